//! What was driven is kept once, found by time and place, and says neither who drove nor what belongs to one pass.

use std::collections::BTreeMap;

use time::macros::datetime;
use umsicht::geo::LatLon;
use umsicht::schema::event::EventData;
use umsicht::schema::{DeviceTag, Event, EventKind, ModelRef, Ordinal, PassTag, RoadCoverage, Topic, Unusable};

use crate::central_service::{config, damage_topic, event, get, publish, site, started, wait_for};
use crate::support::mosquitto::Mosquitto;

pub(crate) fn coverage_topic() -> String {
    Topic::RoadEvent { site: site(), kind: EventKind::RoadCoverage }.to_string()
}

/// A stretch of about 80 m to the east; each number lies another 200 m further north.
pub(crate) fn driven(number: u32) -> Event {
    let lat = 51.5 + 0.002 * f64::from(number);
    let coverage = RoadCoverage {
        from: LatLon { lat, lon: 8.1002 },
        to: LatLon { lat, lon: 8.1013 },
        accuracy_metres: 3.5,
        heading_degrees: 90.0,
        length_metres: 80.0,
        usable_metres: 60.0,
        unusable: BTreeMap::from([(Unusable::Wet, 20.0)]),
        calibrated: true,
        model: ModelRef { name: "road".into(), version: "0.1.0".into(), sha256: "ab".into(), trial_operation: false },
        simulated: true,
        pass: PassTag("passtag0".into()),
    };
    let device_tag = Some(DeviceTag("0123456789abcdef".repeat(2)));
    Event { ordinal: Some(Ordinal(4711)), device_tag, data: EventData::RoadCoverage(coverage), ..event(number) }
}

#[tokio::test(flavor = "multi_thread")]
async fn coverage_is_kept_once_and_found_by_time_and_place() {
    let Some(broker) = Mosquitto::start(false) else { return };
    let folder = tempfile::tempdir().unwrap();
    let (serving, stop) = started(config(&folder, broker.port())).await;
    let (address, store) = (serving.address, serving.store.clone());
    wait_for("the broker", async || serving.ingest.is_connected()).await;
    let later = Event { time: datetime!(2026-03-17 11:00 UTC), ..driven(3) };
    let lines = async |query: &str| {
        let (code, _, body) = get(address, &format!("/api/v1/coverage{query}")).await;
        assert_eq!(code, 200, "{body}");
        assert!(!["passtag0", "4711", "0123456789abcdef"].iter().any(|secret| body.contains(secret)), "{body}");
        let list: serde_json::Value = serde_json::from_str(&body).unwrap();
        (list["features"].as_array().unwrap().clone(), list["truncated"] == true)
    };
    wait_for("the stretches", async || {
        let all = [driven(1), driven(2), later.clone()].map(|event| (coverage_topic(), event.to_json()));
        let messages = all.iter().cloned().chain(all.clone()).chain([(damage_topic(), event(9).to_json())]);
        publish(broker.port(), messages.collect()).await;
        store.counts().await.unwrap().sightings == 1 && lines("").await.0.len() == 3
    })
    .await;
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.defects, counts.rejected), (1, 0), "what was driven is no damage");

    let (all, truncated) = lines("").await;
    assert!(!truncated);
    let newest = &all[0];
    assert_eq!(newest["properties"]["hour"], "2026-03-17T11:00:00Z");
    assert_eq!(newest["geometry"]["coordinates"], serde_json::json!([[8.1002, 51.506], [8.1013, 51.506]]));
    assert_eq!(newest["properties"]["unusable"], serde_json::json!({"wet": 20.0}));
    assert_eq!(lines("?limit=2").await, (all[..2].to_vec(), true));

    let ids = async |query: &str| {
        let (found, _) = lines(query).await;
        found.iter().map(|line| line["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ids("?from=2026-03-17T10:00:00Z").await, [driven(3).id.to_string()]);
    assert_eq!(ids("?to=2026-03-17T11:00:00Z&bbox=8.0,51.503,8.2,51.6").await, [driven(2).id.to_string()]);
    // It touches the area with one end only.
    assert_eq!(ids("?bbox=8.1012,51.5039,8.2,51.5041").await, [driven(2).id.to_string()]);
    assert!(ids("?bbox=8.1014,51.5039,8.2,51.5041").await.is_empty());
    for wrong in ["?bbox=8.0,51.5,8.2", "?bbox=9,51,8,52", "?bbox=NaN,1,2,3", "?from=yesterday", "?limit=0", "?to=1"] {
        assert_eq!(get(address, &format!("/api/v1/coverage{wrong}")).await.0, 400, "{wrong}");
    }
    stop.send(()).unwrap();
    serving.finished().await.unwrap();
}
