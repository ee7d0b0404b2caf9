//! The page in a real Chromium: the map shows the defects, a click on a symbol opens the reasons, a new sighting
//! appears without loading the page anew, the language switches, and nothing is fetched from elsewhere.
//!
//! Everything is the real thing: Mosquitto, `umsicht central serve`, its embedded page, Chromium. The steps in the
//! browser stand in `ui/tests/browser.mjs`. Without Node.js or Chromium the test says so and is skipped; `make test`
//! installs both.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use image::codecs::jpeg::JpegEncoder;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::{Client, Event as MqttEvent, Incoming, MqttOptions};
use time::macros::datetime;
use umsicht::geo::{Covariance, EastNorth, LatLon, LocalFrame};
use umsicht::schema::event::EventData;
use umsicht::schema::topic::TopicName;
use umsicht::schema::{DamageClass, Event, EventId, EventKind, ModelRef, PassTag, RoadDamage, Topic};

use crate::support::mosquitto::Mosquitto;

const ORIGIN: LatLon = LatLon { lat: 50.0, lon: 8.7 };
const SITE: &str = "teststadt";
const START_TIMEOUT: Duration = Duration::from_secs(60);

#[test]
fn a_browser_shows_defects_reasons_and_new_sightings() {
    let (chromium, driver) = match tools() {
        Ok(tools) => tools,
        Err(missing) => {
            eprintln!("SKIPPED a_browser_shows_defects_reasons_and_new_sightings: {missing}; `make test` installs it");
            return;
        }
    };
    let folder = tempfile::tempdir().unwrap();
    let Some(broker) = Mosquitto::start(false) else { return };
    let central = Central::start(folder.path(), broker.port());
    let first: Vec<_> = damages().map(|(class, place)| sighting(class, place)).collect();
    central.wait_for_defects(first.len(), || report(broker.port(), &first));

    let mut browser = Command::new("node")
        .arg(driver)
        .args([central.url.as_str(), &first.len().to_string()])
        .env("CHROMIUM", chromium)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut steps = Vec::new();
    for line in BufReader::new(browser.stdout.take().unwrap()).lines().map_while(Result::ok) {
        if line == "await new sighting" {
            report(broker.port(), &[sighting(DamageClass::Pothole, EastNorth::new(60.0, 190.0))]);
        }
        eprintln!("browser: {line}");
        steps.push(line);
    }
    assert!(browser.wait().unwrap().success(), "the steps in the browser failed after {:?}", steps.last());
    assert_eq!(steps.last().map(String::as_str), Some("all holds"));
}

/// Chromium and the script that drives it, or what of it is missing.
fn tools() -> Result<(PathBuf, PathBuf), String> {
    let chromium = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"]
        .iter()
        .map(PathBuf::from)
        .find(|path| path.is_file())
        .ok_or("Chromium is not installed")?;
    if Command::new("node").arg("--version").stdout(Stdio::null()).status().is_err() {
        return Err("Node.js is not installed".into());
    }
    let ui = Path::new(env!("CARGO_MANIFEST_DIR")).join("ui");
    if !ui.join("node_modules/playwright-core").is_dir() {
        return Err("ui/node_modules is not there (npm --prefix ui ci)".into());
    }
    assert!(ui.join("dist/index.html").is_file(), "the page is not built: npm --prefix ui run build");
    Ok((chromium, ui.join("tests/browser.mjs")))
}

/// Name, class, and both ends in metres east and north.
type Street = (&'static str, &'static str, [(f64, f64); 2]);

/// Two crossing streets.
const STREETS: [Street; 2] = [
    ("Hauptstraße", "primary", [(-200.0, 0.0), (260.0, 0.0)]),
    ("Feldweg", "residential", [(60.0, -160.0), (60.0, 260.0)]),
];

/// One damage of each class and one more, far enough from each other to be different things.
fn damages() -> impl Iterator<Item = (DamageClass, EastNorth)> {
    let places = [(-150.0, 1.5), (-90.0, -1.5), (-30.0, 1.0), (20.0, -1.0), (130.0, 0.5), (58.0, 90.0)];
    DamageClass::ALL
        .into_iter()
        .chain([DamageClass::AlligatorCrack])
        .zip(places)
        .map(|(class, (east, north))| (class, EastNorth::new(east, north)))
}

/// Publishes sightings with a picture each and returns when the broker has taken all of them.
fn report(broker_port: u16, sightings: &[Event]) {
    let mut options = MqttOptions::new(format!("browser-test-{}", EventId::random()), "127.0.0.1", broker_port);
    options.set_max_packet_size(Some(1024 * 1024));
    let (client, mut connection) = Client::new(options, 2 * sightings.len() + 2);
    let site = TopicName::new(SITE).unwrap();
    for event in sightings {
        let topic = Topic::RoadEvent { site: site.clone(), kind: EventKind::RoadDamage };
        client.publish(topic.to_string(), QoS::AtLeastOnce, false, event.to_json()).unwrap();
        let topic = Topic::RoadEvidence { site: site.clone(), event_id: event.id };
        client.publish(topic.to_string(), QoS::AtLeastOnce, false, picture()).unwrap();
    }
    let mut unacknowledged = 2 * sightings.len();
    for happened in connection.iter() {
        if matches!(happened.unwrap(), MqttEvent::Incoming(Incoming::PubAck(_))) {
            unacknowledged -= 1;
            if unacknowledged == 0 {
                return;
            }
        }
    }
}

fn sighting(class: DamageClass, place: EastNorth) -> Event {
    Event {
        id: EventId::random(),
        source: format!("/umsicht/{SITE}"),
        time: datetime!(2026-03-17 09:00 UTC),
        data: EventData::RoadDamage(RoadDamage {
            class,
            score: 0.7,
            position: LocalFrame::at(ORIGIN).latlon_from_local(place),
            position_covariance: Covariance::isotropic(0.6),
            heading_degrees: 90.0,
            length_metres: 1.2,
            width_metres: 0.6,
            area_square_metres: 0.5,
            calibrated: true,
            pass: PassTag("00ff".into()),
            frames_seen: 5,
            model: ModelRef {
                name: "road".into(),
                version: "0.1.0".into(),
                sha256: "ab".repeat(32),
                trial_operation: false,
            },
            simulated: true,
            has_evidence: true,
        }),
    }
}

fn picture() -> Vec<u8> {
    let asphalt = image::GrayImage::from_fn(160, 96, |x, y| image::Luma([80 + ((x * 7 + y * 13) % 40) as u8]));
    let mut jpeg = Vec::new();
    JpegEncoder::new(&mut jpeg).encode_image(&asphalt).unwrap();
    jpeg
}

/// The town's service, with its page; stopped when dropped.
struct Central {
    process: Child,
    url: String,
}

impl Central {
    fn start(folder: &Path, broker_port: u16) -> Self {
        std::fs::write(folder.join("streets.geojson"), streets().to_string()).unwrap();
        let port = free_port();
        let config = folder.join("central.toml");
        std::fs::write(&config, configuration(broker_port, port)).unwrap();
        let process = Command::new(env!("CARGO_BIN_EXE_umsicht"))
            .args(["central", "serve", "--config"])
            .arg(&config)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Self { process, url: format!("http://127.0.0.1:{port}/") }
    }

    /// Lets the sightings be reported, again and again until this service listens to the broker: an event counts once,
    /// however often it comes.
    fn wait_for_defects(&self, count: usize, report: impl Fn()) {
        let started = Instant::now();
        let mut shown = None;
        while started.elapsed() < START_TIMEOUT {
            shown = self.defects();
            match shown {
                Some(n) if n == count => return,
                Some(_) => report(),
                None => {}
            }
            thread::sleep(Duration::from_millis(500));
        }
        panic!("central shows {shown:?} defects of {count} after {} s", START_TIMEOUT.as_secs());
    }

    fn defects(&self) -> Option<usize> {
        let mut answer = ureq::get(format!("{}api/v1/defects", self.url)).call().ok()?;
        let list: serde_json::Value = answer.body_mut().read_json().ok()?;
        list["defects"].as_array().map(Vec::len)
    }
}

impl Drop for Central {
    fn drop(&mut self) {
        // Fails only when it has already ended, which is what is wanted here.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn streets() -> serde_json::Value {
    let frame = LocalFrame::at(ORIGIN);
    let features: Vec<_> = STREETS
        .iter()
        .map(|(name, highway, ends)| {
            let line: Vec<_> = ends
                .iter()
                .map(|&(east, north)| frame.latlon_from_local(EastNorth::new(east, north)))
                .map(|p| [p.lon, p.lat])
                .collect();
            serde_json::json!({
                "type": "Feature",
                "properties": { "name": name, "highway": highway },
                "geometry": { "type": "LineString", "coordinates": line },
            })
        })
        .collect();
    serde_json::json!({ "type": "FeatureCollection", "features": features })
}

fn free_port() -> u16 {
    std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

fn configuration(broker_port: u16, port: u16) -> String {
    format!(
        "site = \"{SITE}\"\n\
         [town]\nname = \"Teststadt\"\n\
         [http]\nlisten = \"127.0.0.1:{port}\"\n\
         [broker]\nport = {broker_port}\n\
         [store]\ndatabase = \"central.sqlite\"\n\
         [network]\nfile = \"streets.geojson\"\n"
    )
}
