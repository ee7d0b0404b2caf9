//! The town's service with a real broker: takes events once, however often it is killed, keeps what it cannot read, tells
//! pages what changes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event as MqttEvent, MqttOptions};
use time::macros::datetime;
use umsicht::central::config::CheckedConfig;
use umsicht::central::store::DefectFilter;
use umsicht::central::{Serving, serve};
use umsicht::clock::SystemClock;
use umsicht::geo::{Covariance, LatLon};
use umsicht::mqtt::BrokerAddress;
use umsicht::schema::event::EventData;
use umsicht::schema::topic::TopicName;
use umsicht::schema::{DamageClass, Event, EventId, EventKind, ModelRef, PassTag, RoadDamage, Topic};

use crate::support::mosquitto::{Mosquitto, free_port};
use crate::support::umsicht;

pub(crate) const WAIT: Duration = Duration::from_secs(30);

pub(crate) fn site() -> TopicName {
    TopicName::new("soest").unwrap()
}

pub(crate) fn config(folder: &tempfile::TempDir, broker_port: u16) -> CheckedConfig {
    CheckedConfig {
        site: site(),
        town_name: "Soest".into(),
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        broker: BrokerAddress::plain("127.0.0.1", broker_port),
        database: folder.path().join("central.sqlite"),
        network: None,
        profile: None,
    }
}

pub(crate) async fn started(config: CheckedConfig) -> (Serving, tokio::sync::oneshot::Sender<()>) {
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let shutdown = async move {
        let _ = stopped.await;
    };
    (serve(config, Arc::new(SystemClock), shutdown).await.unwrap(), stop)
}

pub(crate) fn event(number: u32) -> Event {
    let mut id = [3; 16];
    id[..4].copy_from_slice(&number.to_be_bytes());
    Event {
        id: EventId::from_bytes(id),
        source: "/umsicht/soest".into(),
        time: datetime!(2026-03-17 09:00 UTC),
        ordinal: None,
        device_tag: None,
        data: EventData::RoadDamage(RoadDamage {
            class: DamageClass::Pothole,
            score: 0.5,
            position: LatLon { lat: 51.5 + 0.0002 * f64::from(number), lon: 8.1 },
            position_covariance: Covariance::isotropic(0.5),
            heading_degrees: 0.0,
            length_metres: 0.5,
            width_metres: 0.5,
            area_square_metres: 0.2,
            calibrated: true,
            pass: PassTag(format!("{number}")),
            frames_seen: 3,
            model: ModelRef {
                name: "road".into(),
                version: "0.1.0".into(),
                sha256: "ab".into(),
                trial_operation: false,
            },
            simulated: true,
            has_evidence: true,
        }),
    }
}

/// Publishes and returns when the broker has acknowledged everything.
pub(crate) async fn publish(port: u16, messages: Vec<(String, Vec<u8>)>) {
    let mut options = MqttOptions::new(format!("test-{}", EventId::random()), "127.0.0.1", port);
    options.set_max_packet_size(Some(1 << 20));
    let (client, mut connection) = AsyncClient::new(options, messages.len() + 10);
    let count = messages.len();
    for (topic, payload) in messages {
        client.try_publish(topic, QoS::AtLeastOnce, false, payload).unwrap();
    }
    let mut acknowledged = 0;
    while acknowledged < count {
        let event = tokio::time::timeout(WAIT, connection.poll()).await.unwrap().unwrap();
        acknowledged += usize::from(matches!(event, MqttEvent::Incoming(Packet::PubAck(_))));
    }
}

pub(crate) fn damage_topic() -> String {
    Topic::RoadEvent { site: site(), kind: EventKind::RoadDamage }.to_string()
}

pub(crate) async fn wait_for(what: &str, mut reached: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !reached().await {
        assert!(start.elapsed() < WAIT, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) async fn get(address: SocketAddr, path: &str) -> (u16, String, String) {
    ask(address, &format!("GET {path} HTTP/1.1\r\n")).await
}

/// `request` is its first lines; code, head in small letters, body of the answer.
pub(crate) async fn ask(address: SocketAddr, request: &str) -> (u16, String, String) {
    let request = request.to_owned();
    tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(WAIT)).unwrap();
        write!(stream, "{request}Host: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = Vec::new();
        stream.read_to_end(&mut text).unwrap();
        let text = String::from_utf8_lossy(&text).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), head.to_lowercase(), body.to_owned())
    })
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn events_arrive_once_and_what_is_unreadable_is_kept() {
    let Some(broker) = Mosquitto::start(false) else { return };
    let folder = tempfile::tempdir().unwrap();
    let (serving, stop) = started(config(&folder, broker.port())).await;
    wait_for("the broker", async || serving.ingest.is_connected()).await;
    tokio::time::sleep(Duration::from_millis(200)).await;

    let mut messages: Vec<_> = (0..2000).map(|n| (damage_topic(), event(n).to_json())).collect();
    messages.extend((0..100).map(|n| (damage_topic(), event(n).to_json())));
    messages.push((damage_topic(), b"not json".to_vec()));
    messages.push(("umsicht/1/soest/road/evidence/abc".into(), vec![1, 2, 3]));
    let picture = Topic::RoadEvidence { site: site(), event_id: event(5).id };
    messages.push((picture.to_string(), vec![0xff, 0xd8, 0xff, 0xe0]));
    let begun = Instant::now();
    publish(broker.port(), messages).await;
    let store = serving.store.clone();
    wait_for("all messages", async || {
        let counts = store.counts().await.unwrap();
        counts.sightings == 2000 && counts.rejected == 2 && counts.evidence == 1
    })
    .await;
    println!("{:.0} messages a second from publisher to store", 2103.0 / begun.elapsed().as_secs_f64());
    assert_eq!(store.defects(&DefectFilter::default()).await.unwrap().1, 2000);

    let (code, head, body) = get(serving.address, "/api/v1/defects?limit=3").await;
    assert_eq!(code, 200);
    assert!(head.contains("content-security-policy: default-src 'self'"), "{head}");
    assert!(head.contains("x-content-type-options: nosniff"));
    let json: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(json["total"], 2000);
    let defects = json["defects"].as_array().unwrap();
    assert_eq!(defects.len(), 3);
    for defect in defects {
        let sum: f64 = defect["reasons"].as_array().unwrap().iter().map(|r| r["points"].as_f64().unwrap()).sum();
        assert!((sum - defect["priority"].as_f64().unwrap()).abs() < 1e-6);
        assert_eq!(defect["simulated"], true);
    }
    let (_, _, detail) = get(serving.address, &format!("/api/v1/defects/{}", defects[0]["id"].as_str().unwrap())).await;
    let detail: serde_json::Value = serde_json::from_str(&detail).unwrap();
    assert_eq!(detail["sightings_detail"][0]["model"]["name"], "road");
    let (code, head, _) = get(serving.address, &format!("/api/v1/evidence/{}", event(5).id)).await;
    assert_eq!(code, 200);
    assert!(head.contains("content-type: image/jpeg"));
    let (_, _, rejected) = get(serving.address, "/api/v1/rejected").await;
    assert!(rejected.contains("not a CloudEvents 1.0 JSON envelope") && rejected.contains("no topic of this system"));
    let (_, _, status) = get(serving.address, "/api/v1/status").await;
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert_eq!((&status["town"]["name"], &status["broker_connected"]), (&"Soest".into(), &true.into()));
    for (path, wanted) in [
        ("/api/v1/defects?limit=0", 400),
        ("/api/v1/defects?class=D99", 400),
        ("/api/v1/defects?limit=many", 400),
        ("/api/v1/defects/nonsense", 404),
        ("/api/v1/nothing", 404),
        ("/api/v1/network", 200),
        ("/api/v1/openapi.json", 200),
        ("/metrics", 200),
        ("/", 200),
    ] {
        assert_eq!(get(serving.address, path).await.0, wanted, "{path}");
    }
    stop.send(()).unwrap();
    serving.finished().await.unwrap();
}

/// Follows the changes as a page does: waits for the next event of a name with a part in it.
pub(crate) fn follow(address: SocketAddr) -> impl FnMut(&str, &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(WAIT)).unwrap();
    write!(stream, "GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut lines = BufReader::new(stream).lines();
    move |name: &str, part: &str| {
        let mut current = String::new();
        for line in lines.by_ref() {
            let line = line.unwrap();
            if let Some(event) = line.strip_prefix("event: ") {
                current = event.to_owned();
            }
            if current == name && line.starts_with("data: ") && line.contains(part) {
                return line;
            }
        }
        panic!("the stream ended before {name} with {part}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_sees_a_new_defect_and_a_broker_that_comes_late() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    // The service starts although there is no broker yet.
    let (serving, stop) = started(config(&folder, port)).await;
    let mut next = follow(serving.address);
    next("status", r#""broker_connected":false"#);
    let Some(_broker) = Mosquitto::start_on(port, false) else { return };
    next("status", r#""broker_connected":true"#);
    wait_for("the subscription", async || {
        publish(port, vec![(damage_topic(), event(1).to_json())]).await;
        serving.store.counts().await.unwrap().sightings == 1
    })
    .await;
    next("defect", r#""sightings":1"#);
    next("status", r#""defects":1"#);
    stop.send(()).unwrap();
    serving.finished().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_while_the_service_is_away_is_taken_later() {
    let Some(broker) = Mosquitto::start(false) else { return };
    let folder = tempfile::tempdir().unwrap();
    let (serving, stop) = started(config(&folder, broker.port())).await;
    wait_for("the broker", async || serving.ingest.is_connected()).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    stop.send(()).unwrap();
    serving.finished().await.unwrap();
    publish(broker.port(), (0..300).map(|n| (damage_topic(), event(n).to_json())).collect()).await;
    let (serving, stop) = started(config(&folder, broker.port())).await;
    wait_for("all events", async || serving.store.counts().await.unwrap().sightings == 300).await;
    stop.send(()).unwrap();
    serving.finished().await.unwrap();
}

/// `umsicht central serve` as a process that can be killed.
struct Service {
    process: Child,
    address: SocketAddr,
}

impl Service {
    fn start(folder: &Path, broker_port: u16) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let config = folder.join("central.toml");
        let text = format!(
            "site = \"soest\"\n[town]\nname = \"Soest\"\n[http]\nlisten = \"{address}\"\n\
             [broker]\nport = {broker_port}\n[store]\ndatabase = \"central.sqlite\"\n"
        );
        std::fs::write(&config, text).unwrap();
        let mut command = umsicht();
        command.args(["--log", "error", "central", "serve", "--config"]).arg(&config).stdin(Stdio::null());
        Self { process: command.spawn().unwrap(), address }
    }

    /// `None` while it does not answer yet.
    async fn status(&self) -> Option<serde_json::Value> {
        let url = format!("http://{}/api/v1/status", self.address);
        tokio::task::spawn_blocking(move || ureq::get(url).call().ok()?.body_mut().read_json().ok()).await.unwrap()
    }

    async fn sightings(&self) -> u64 {
        self.status().await.map_or(0, |status| status["sightings"].as_u64().unwrap())
    }
}

/// As a crash does it; also at the end of a test.
impl Drop for Service {
    fn drop(&mut self) {
        // Fails only when it has already ended, and then there is nothing to kill.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_killed_takes_each_event_once() {
    const KILLS: u64 = 10;
    let Some(broker) = Mosquitto::start(true) else { return };
    let folder = tempfile::tempdir().unwrap();
    let port = broker.port();
    let mut service = Service::start(folder.path(), port);
    // From the first connection on the broker keeps what the service has not acknowledged.
    wait_for("the subscription", async || {
        publish(port, vec![(damage_topic(), event(0).to_json())]).await;
        service.sightings().await == 1
    })
    .await;

    let killing = Arc::new(AtomicBool::new(true));
    let still_killing = Arc::clone(&killing);
    let publishing = tokio::spawn(async move {
        let mut published = 1;
        while still_killing.load(Ordering::Relaxed) {
            publish(port, (published..published + 200).map(|n| (damage_topic(), event(n).to_json())).collect()).await;
            published += 200;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        u64::from(published)
    });
    let mut taken = 1;
    for kill in 0..KILLS {
        wait_for("the service to take more", async || {
            let before = taken;
            taken = service.sightings().await.max(before);
            taken > before
        })
        .await;
        // At another point of a batch each time.
        tokio::time::sleep(Duration::from_millis(11 * kill)).await;
        drop(service);
        service = Service::start(folder.path(), port);
    }
    killing.store(false, Ordering::Relaxed);
    let published = publishing.await.unwrap();
    wait_for("all events", async || service.sightings().await >= published).await;
    // What comes twice would come about now.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let status = service.status().await.unwrap();
    println!("{published} events over {KILLS} kills");
    assert!(published > 500, "{published} events are too few to be killed among");
    let counted = ["sightings", "defects", "rejected"].map(|count| status[count].as_u64().unwrap());
    assert_eq!(counted, [published, published, 0], "each event is one sighting of its own defect");
}

#[test]
fn a_taken_port_and_a_bad_network_are_told_clearly() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let write = |listen: u16, network: &str| {
        let path = folder.path().join("central.toml");
        let text = format!(
            "site = \"soest\"\n[town]\nname = \"Soest\"\n[http]\nlisten = \"127.0.0.1:{listen}\"\n\
             [store]\ndatabase = \"c.sqlite\"\n{network}"
        );
        std::fs::write(&path, text).unwrap();
        let output = umsicht().args(["central", "serve", "--config"]).arg(&path).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, message) = write(port, "");
    assert_eq!(code, Some(69), "{message}");
    assert!(message.contains(&format!("127.0.0.1:{port}")) && message.contains("[http] listen"), "{message}");
    std::fs::write(folder.path().join("town.osm.pbf"), b"rubbish").unwrap();
    let (code, message) = write(0, "[network]\nfile = \"town.osm.pbf\"\n");
    assert_eq!(code, Some(65), "{message}");
    assert!(message.contains("town.osm.pbf"), "{message}");
    let (code, message) = write(0, "[netwrok]\nfile = \"town.osm.pbf\"\n");
    assert_eq!(code, Some(64), "{message}");
    assert!(message.contains("did you mean `network`?"), "{message}");
}
