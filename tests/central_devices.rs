//! What devices say under their own name: a danger waits for a person, a state of health is shown and forgotten.

use umsicht::schema::event::EventData;
use umsicht::schema::health::{DeliveryHealth, LinkHealth, SpoolHealth};
use umsicht::schema::topic::TopicName;
use umsicht::schema::{
    BlindReason, DeviceBlind, DeviceHealth, DeviceRecovered, DriverMark, Event, EventKind, RoadDanger, Topic,
};

use crate::central_service::{ask, config, event, follow, get, publish, site, started, wait_for};
use crate::support::mosquitto::Mosquitto;

pub(crate) fn device() -> TopicName {
    TopicName::new("bus7").unwrap()
}

pub(crate) fn danger(number: u32) -> Event {
    let seen = event(number);
    let EventData::RoadDamage(damage) = seen.data else { unreachable!("it is made as one") };
    Event { data: EventData::RoadDanger(RoadDanger::Seen(damage)), ..event(number) }
}

/// A driver's mark.
pub(crate) fn marked(number: u32) -> Event {
    let Event { data: EventData::RoadDamage(place), .. } = event(number) else { unreachable!("it is made as one") };
    let mark = DriverMark {
        position: place.position,
        position_covariance: place.position_covariance,
        heading_degrees: place.heading_degrees,
        simulated: false,
    };
    Event { data: EventData::RoadDanger(RoadDanger::MarkedByDriver(mark)), ..event(number) }
}

pub(crate) fn danger_topic() -> String {
    Topic::of_event(&site(), &device(), EventKind::RoadDanger).to_string()
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_danger_is_shown_until_a_person_has_seen_it() {
    let Some(broker) = Mosquitto::start(false) else { return };
    let folder = tempfile::tempdir().unwrap();
    let (serving, stop) = started(config(&folder, broker.port())).await;
    let (address, store) = (serving.address, serving.store.clone());
    wait_for("the broker", async || serving.ingest.is_connected()).await;
    let mut next = follow(address);
    wait_for("the danger", async || {
        publish(broker.port(), vec![(danger_topic(), danger(1).to_json())]).await;
        store.counts().await.unwrap().dangers == 1
    })
    .await;
    next("danger", r#""acknowledged":false"#);
    next("status", r#""dangers":1"#);
    assert_eq!(store.counts().await.unwrap().sightings, 0, "the sighting comes by itself, later");

    let (code, _, list) = get(address, "/api/v1/dangers").await;
    assert_eq!((code, &json(&list)[0]["class"], json(&list).as_array().unwrap().len()), (200, &"D40".into(), 1));
    assert!(!list.contains("bus7") && !list.contains("tag"), "{list}");
    let path = format!("/api/v1/dangers/{}/acknowledge", danger(1).id);
    let post = format!("POST {path} HTTP/1.1\r\nContent-Length: 0\r\n");
    let (code, _, _) = ask(address, &format!("{post}Sec-Fetch-Site: cross-site\r\n")).await;
    assert_eq!(code, 403, "a page from elsewhere acknowledges nothing");
    assert_eq!(ask(address, &post.replace(&danger(1).id.to_string(), &danger(2).id.to_string())).await.0, 404);
    let (code, _, answer) = ask(address, &format!("{post}Sec-Fetch-Site: same-origin\r\n")).await;
    assert_eq!((code, &json(&answer)["acknowledged"]), (200, &true.into()));
    next("danger", r#""acknowledged":true"#);
    next("status", r#""dangers":0"#);
    assert_eq!(ask(address, &post).await.0, 200, "saying so again changes nothing");

    // What comes again does not undo what a person has said.
    publish(broker.port(), vec![(danger_topic(), danger(1).to_json()), (danger_topic(), danger(2).to_json())]).await;
    wait_for("the second danger", async || store.counts().await.unwrap().dangers == 2).await;
    let open = json(&get(address, "/api/v1/dangers?acknowledged=false").await.2);
    assert_eq!(open.as_array().unwrap().len(), 1);
    assert_eq!(open[0]["id"], danger(2).id.to_string());
    assert_eq!(get(address, "/api/v1/dangers?acknowledged=perhaps").await.0, 400);
    let metrics = get(address, "/metrics").await.2;
    assert!(metrics.contains("\numsicht_dangers 2\n") && metrics.contains("\numsicht_dangers_open 1\n"), "{metrics}");
    stop.send(()).unwrap();
    serving.finished().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_counter_tells_how_many_devices_are_on_duty() {
    let Some(broker) = Mosquitto::start(false) else { return };
    let folder = tempfile::tempdir().unwrap();
    let (serving, stop) = started(config(&folder, broker.port())).await;
    let address = serving.address;
    wait_for("the broker", async || serving.ingest.is_connected()).await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let health = DeviceHealth { program: "0.1.0".into(), ..DeviceHealth::default() };
    let mut messages = vec![("umsicht/1/soest/bus7/health".to_owned(), health.to_json()); 10];
    messages.push((danger_topic(), danger(1).to_json()));
    publish(broker.port(), messages).await;
    wait_for("the danger alone to be counted", async || {
        let metrics = get(address, "/metrics").await.2;
        metrics.contains("\numsicht_messages_received_total 1\n")
    })
    .await;
    assert_eq!(serving.devices.counts().known, 1, "the states of health came too");
    stop.send(()).unwrap();
    serving.finished().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blind_camera_is_seen_at_once_and_so_is_its_recovery() {
    let Some(broker) = Mosquitto::start(false) else { return };
    let folder = tempfile::tempdir().unwrap();
    let (serving, stop) = started(config(&folder, broker.port())).await;
    let address = serving.address;
    wait_for("the broker", async || serving.ingest.is_connected()).await;
    let mut next = follow(address);
    let since = time::macros::datetime!(2026-03-17 09:47:11 UTC);
    let blind = DeviceBlind { camera: "beckenrand".into(), reason: BlindReason::Covered, since };
    let recovered = DeviceRecovered { camera: "beckenrand".into(), reason: BlindReason::Covered, blind_seconds: 42 };
    let send = async |data: EventData| {
        let topic = Topic::of_event(&site(), &TopicName::new("pool1").unwrap(), data.kind()).to_string();
        publish(broker.port(), vec![(topic, Event { time: since, data, ..event(1) }.to_json())]).await;
    };
    wait_for("the camera to be blind", async || {
        send(EventData::DeviceBlind(blind.clone())).await;
        serving.devices.counts().blind == 1
    })
    .await;
    next("status", r#""blind":1"#);
    let list = json(&get(address, "/api/v1/devices").await.2);
    let concern = &list[0]["concerns"][0];
    assert_eq!((&list[0]["name"], &concern["code"]), (&"pool1".into(), &"blind".into()));
    assert_eq!(concern["since"], "2026-03-17T09:47:11Z");
    assert_eq!(concern["text"]["de"], "Kamera „beckenrand“ ist blind: verdeckt oder verschmutzt.");
    send(EventData::DeviceRecovered(recovered)).await;
    next("status", r#""blind":0"#);
    assert_eq!(json(&get(address, "/api/v1/devices").await.2)[0]["concerns"], serde_json::json!([]));
    assert_eq!(serving.store.counts().await.unwrap().rejected, 0);
    stop.send(()).unwrap();
    serving.finished().await.unwrap();
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!["pool1", "beckenrand"].iter().any(|name| bytes.windows(name.len()).any(|w| w == name.as_bytes())));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_are_shown_as_they_are_now_and_metrics_name_none() {
    let Some(broker) = Mosquitto::start(false) else { return };
    let folder = tempfile::tempdir().unwrap();
    let (serving, stop) = started(config(&folder, broker.port())).await;
    let (address, devices) = (serving.address, serving.devices.clone());
    wait_for("the broker", async || serving.ingest.is_connected()).await;
    let mut next = follow(address);
    let topic = |name: &str, rest: &str| format!("umsicht/1/soest/{name}/{rest}");
    let well = DeviceHealth {
        program: "0.1.0".into(),
        delivery: DeliveryHealth { batch_minutes: 60, waiting: 3 },
        link: LinkHealth { mqtt: "5".into(), encrypted: true, ..LinkHealth::default() },
        ..DeviceHealth::default()
    };
    let ill = DeviceHealth {
        delivery: DeliveryHealth::default(),
        spool: SpoolHealth { set_aside: 2, ..SpoolHealth::default() },
        ..well.clone()
    };
    wait_for("the devices", async || {
        let messages = vec![
            (topic("bus7", "status"), b"online".to_vec()),
            (topic("bus7", "health"), well.to_json()),
            (topic("lorry", "status"), b"online".to_vec()),
            (topic("lorry", "health"), ill.to_json()),
            (topic("lorry", "health"), b"{".to_vec()),
        ];
        publish(broker.port(), messages).await;
        devices.counts().with_concerns == 1 && devices.counts().known == 2 && devices.unreadable() > 0
    })
    .await;
    next("status", r#""unbatched":1"#);
    let list = json(&get(address, "/api/v1/devices").await.2);
    assert_eq!((&list[0]["name"], &list[0]["online"]), (&"bus7".into(), &true.into()));
    assert_eq!((&list[0]["concerns"], &list[0]["health"]["waiting"]), (&serde_json::json!([]), &3.into()));
    let codes: Vec<_> = list[1]["concerns"].as_array().unwrap().iter().map(|c| c["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["unbatched", "set_aside"]);
    let metrics = get(address, "/metrics").await.2;
    assert!(metrics.contains("umsicht_devices_with_problem{problem=\"set_aside\"} 1\n"), "{metrics}");
    assert!(!metrics.contains("bus7") && !metrics.contains("lorry"), "{metrics}");
    assert_eq!(serving.store.counts().await.unwrap().rejected, 0, "health that cannot be read is counted, not kept");

    publish(broker.port(), vec![(topic("lorry", "status"), b"offline".to_vec())]).await;
    next("status", r#""unbatched":0"#);
    stop.send(()).unwrap();
    serving.finished().await.unwrap();

    // Nothing of it is kept.
    let (serving, stop) = started(config(&folder, broker.port())).await;
    assert!(serving.devices.all().iter().all(|device| device.health.is_none()));
    stop.send(()).unwrap();
    serving.finished().await.unwrap();
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!["bus7", "lorry"].iter().any(|name| bytes.windows(name.len()).any(|w| w == name.as_bytes())));
    }
}
