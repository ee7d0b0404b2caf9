//! Two roles together can have one device's events removed; one alone, or two that do not belong together, cannot.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Output;

use time::macros::datetime;
use umsicht::central::message::{Message, read};
use umsicht::central::profile::Profile;
use umsicht::central::store::{CoverageFilter, Incoming, Store};
use umsicht::clock::{Clock, SimulatedClock};
use umsicht::geo::LatLon;
use umsicht::schema::event::EventData;
use umsicht::schema::topic::TopicName;
use umsicht::schema::{DeviceSecret, Event, EventId, PassTag};

use crate::central_coverage::{coverage_topic, driven};
use crate::central_devices::{danger, danger_topic, marked};
use crate::central_service::{ask, config, damage_topic, event, get, site, started};
use crate::support::mosquitto::free_port;
use crate::support::umsicht;

const DEVICES: [&str; 3] = ["bus7", "lorry", "sweeper"];
const PLACES: u32 = 40;

fn enrol(name: &str, out: &Path) -> DeviceSecret {
    let output = umsicht().args(["central", "enrol", "--device", name, "--out"]).arg(out).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = std::fs::read_to_string(out.join(format!("{name}.device-secret"))).unwrap();
    DeviceSecret::from_file_text(&text).unwrap()
}

/// What each device reports in a day: most places are seen by two of the three, a few metres apart from the next.
fn reports(secrets: &[DeviceSecret]) -> Vec<(usize, Event)> {
    let mut reports = Vec::new();
    for place in 0..PLACES {
        for device in 0..secrets.len() {
            if (place as usize + device).is_multiple_of(3) {
                continue;
            }
            let number = 1000 * (1 + device as u32) + place;
            let mut seen = match place {
                7 => danger(number),
                9 => marked(number),
                12 | 13 => driven(number),
                _ => event(number),
            };
            if let Some(damage) = seen.data.damage_mut() {
                // A row of holes, so near to one another that what joins two neighbourhoods may go.
                damage.position =
                    LatLon { lat: 51.5 + 0.000_02 * f64::from(place), lon: 8.1 + 0.000_003 * device as f64 };
                damage.pass = PassTag(format!("{device}-{}", place / 5));
            }
            // Two days; the last hour of the first is another UTC day in Germany.
            seen.time = if place < 30 { datetime!(2026-03-17 23:00 UTC) } else { datetime!(2026-03-18 09:00 UTC) };
            seen.device_tag = Some(secrets[device].tag(seen.id, seen.time));
            reports.push((device, seen));
        }
    }
    reports
}

async fn fill(database: &Path, events: impl Iterator<Item = &Event>) -> Store {
    let store = Store::open(database, Profile::standard().unwrap()).await.unwrap();
    let mut batch: Vec<Incoming> = Vec::new();
    for event in events {
        let topic = match event.data {
            EventData::RoadDanger(_) => danger_topic(),
            EventData::RoadCoverage(_) => coverage_topic(),
            _ => damage_topic(),
        };
        let evidence = (format!("umsicht/1/soest/road/evidence/{}", event.id), vec![0xff, 0xd8, 0xff, 0xe0]);
        let picture = event.data.damage().map(|_| evidence);
        for (topic, payload) in [(topic, event.to_json())].into_iter().chain(picture) {
            match read(&site(), &topic, &payload) {
                Message::Keep(incoming) => batch.push(incoming),
                Message::Device { .. } => unreachable!("these are events"),
            }
        }
    }
    let clock = SimulatedClock::starting_at(datetime!(2026-03-18 10:00 UTC));
    store.commit(&batch, clock.now()).await.unwrap();
    store
}

/// What the map shows, without the identities of defects, which remember how they came to be.
async fn shown(store: &Store) -> BTreeSet<String> {
    let (defects, _) = store.defects(&Default::default()).await.unwrap();
    defects.iter().map(|d| format!("{:?} {} {} {:?}", d.summary, d.grade, d.priority, d.evidence)).collect()
}

fn purge(config: &Path, shares: &[PathBuf], days: [&str; 2], yes: bool) -> Output {
    let mut command = umsicht();
    command.args(["central", "purge", "--from", days[0], "--to", days[1], "--config"]).arg(config);
    for share in shares {
        command.arg("--share").arg(share);
    }
    if yes {
        command.arg("--yes");
    }
    command.output().unwrap()
}

fn holds(folder: &Path, id: EventId) -> bool {
    ["central.sqlite", "central.sqlite-wal"].iter().any(|name| {
        let bytes = std::fs::read(folder.join(name)).unwrap_or_default();
        bytes.windows(16).any(|window| window == id.as_bytes())
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn both_shares_remove_exactly_the_events_of_their_device_and_no_other_pair_opens_anything() {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys");
    let secrets = DEVICES.map(|name| enrol(name, &keys));
    let again = umsicht().args(["central", "enrol", "--device", "bus7", "--out"]).arg(&keys).output().unwrap();
    assert_eq!(again.status.code(), Some(64), "a secret is never overwritten");

    let reports = reports(&secrets);
    let database = folder.path().join("central.sqlite");
    let store = fill(&database, reports.iter().map(|(_, event)| event)).await;
    let before = shown(&store).await;
    store.close().await;
    let config = folder.path().join("central.toml");
    std::fs::write(&config, "site = \"soest\"\n[town]\nname = \"Soest\"\n[store]\ndatabase = \"central.sqlite\"\n")
        .unwrap();

    let share = |device: &str, role: &str| keys.join(format!("{device}.share-{role}"));
    let days = ["2026-03-17", "2026-03-18"];
    for (shares, why) in [
        (vec![share("bus7", "operations")], "one alone"),
        (vec![share("bus7", "operations"), share("bus7", "operations")], "other role"),
        (vec![share("bus7", "operations"), share("lorry", "data-protection")], "different devices"),
    ] {
        let output = purge(&config, &shares, days, true);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(64), "{message}");
        assert!(message.contains(why), "{message}");
    }

    let shares = [share("lorry", "data-protection"), share("lorry", "operations")];
    let first_day = |device: usize| reports.iter().filter(move |(d, e)| *d == device && e.time.day() == 17);
    let of_the_day = first_day(1).filter(|(_, e)| matches!(e.data, EventData::RoadDamage(_))).count();
    let stretches = first_day(1).filter(|(_, e)| matches!(e.data, EventData::RoadCoverage(_))).count();
    let dangers = first_day(1).count() - of_the_day - stretches;
    assert!(of_the_day > 10 && (dangers, stretches) == (2, 2));
    // Of a mark there is none.
    let pictures = of_the_day + dangers - 1;
    let told = format!("{of_the_day} sightings, {dangers} dangers, {stretches} stretches, {pictures} pictures");
    let only_counted = purge(&config, &shares, ["2026-03-17", "2026-03-17"], false);
    assert!(
        String::from_utf8_lossy(&only_counted.stdout).contains(&format!("would be removed: {told}")),
        "{only_counted:?}"
    );
    let store = Store::open(&database, Profile::standard().unwrap()).await.unwrap();
    assert_eq!(shown(&store).await, before, "without --yes nothing changes");
    store.close().await;

    let removed = purge(&config, &shares, ["2026-03-17", "2026-03-17"], true);
    assert!(removed.status.success(), "{}", String::from_utf8_lossy(&removed.stderr));
    assert_eq!(String::from_utf8_lossy(&removed.stdout).trim(), format!("removed: {told}"));
    let is_gone = |device: usize, event: &Event| device == 1 && event.time.day() == 17;
    for (device, event) in &reports {
        assert_eq!(holds(folder.path(), event.id), !is_gone(*device, event), "{device} {}", event.id);
        assert!(!String::from_utf8_lossy(&removed.stderr).contains(&event.id.to_string()));
    }

    // As if the device had never reported on that day.
    let other = folder.path().join("other.sqlite");
    let never = fill(&other, reports.iter().filter(|(d, e)| !is_gone(*d, e)).map(|(_, e)| e)).await;
    let store = Store::open(&database, Profile::standard().unwrap()).await.unwrap();
    assert_eq!(shown(&store).await, shown(&never).await);
    assert_ne!(shown(&store).await, before);
    assert_eq!(store.dangers(None, 1000).await.unwrap().len(), never.dangers(None, 1000).await.unwrap().len());
    let everywhere = CoverageFilter { bounds: None, from: None, until: None, limit: 1000 };
    let driven = store.coverage(&everywhere).await.unwrap();
    assert_eq!(driven, never.coverage(&everywhere).await.unwrap());
    assert_eq!(driven.len(), 2);
    let counts = (store.counts().await.unwrap(), never.counts().await.unwrap());
    assert_eq!((counts.0.sightings, counts.0.evidence), (counts.1.sightings, counts.1.evidence));
    let record = store.purges().await.unwrap();
    assert_eq!(record, [format!("2026-03-17 to 2026-03-17: {told}")]);
    assert!(!DEVICES.iter().any(|name| record[0].contains(name)), "{record:?}");
    let again = purge(&config, &shares, ["2026-03-17", "2026-03-17"], true);
    assert!(
        String::from_utf8_lossy(&again.stdout).contains("removed: 0 sightings, 0 dangers, 0 stretches, 0 pictures")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_asks_again_after_a_purge_by_another_process_gets_the_network_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (serving, stop) = started(config(&folder, free_port())).await;
    let (_, head, _) = get(serving.address, "/api/v1/network").await;
    let etag = head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap().to_owned();
    let known =
        async || ask(serving.address, &format!("GET /api/v1/network HTTP/1.1\r\nIf-None-Match: {etag}\r\n")).await.0;
    assert_eq!(known().await, 304);
    let other = Store::open(&folder.path().join("central.sqlite"), Profile::standard().unwrap()).await.unwrap();
    other.purge((datetime!(2026-03-17 00:00 UTC), datetime!(2026-03-18 00:00 UTC)), true, |_| true).await.unwrap();
    other.close().await;
    assert_eq!(known().await, 200);
    stop.send(()).unwrap();
    serving.finished().await.unwrap();
}

#[test]
fn a_name_that_cannot_be_a_device_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["../bus7", "road", ""] {
        assert!(TopicName::new(name).is_err());
        let output =
            umsicht().args(["central", "enrol", "--device", name, "--out"]).arg(folder.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(64), "{name}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
