//! The driver's mark, from the button to the person in the town: it goes at once whether or not a camera sees, says a place and
//! nothing else, and waits in the strip until somebody has acknowledged it.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use umsicht::geo::{EastNorth, LatLon, LocalFrame};

use crate::browser::tools;
use crate::central_service::{WAIT, ask, config, get, started, wait_for};
use crate::support::clip::{self, Clip};
use crate::support::mosquitto::{Mosquitto, free_port};
use crate::support::receiver::{DEPOT, sentences};
use crate::support::umsicht;

const SPEED: f64 = 10.0;
const REACTION_SECONDS: f64 = 1.5;

/// The real program in a vehicle that drives north from the depot at 10 m/s, from five seconds ago on.
struct Device {
    process: Child,
    port: u16,
    left_at: OffsetDateTime,
    folder: tempfile::TempDir,
}

impl Device {
    /// `camera` makes what stands under `[camera.front]` for a drive in this folder that began then; `more` is of the root.
    fn start(broker_port: u16, camera: impl Fn(&Path, OffsetDateTime) -> String, more: &str) -> Self {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let left_at = OffsetDateTime::now_utc() - Duration::from_secs(5);
        let fix = |second: u32| sentences(left_at + Duration::from_secs(second.into()), SPEED * f64::from(second), 0.0);
        fs::write(folder.path().join("drive.nmea"), (0..300).map(fix).collect::<String>()).unwrap();
        let around_the_depot = r#"{"type": "Feature", "properties": {"radius_metres": 20000},
            "geometry": {"type": "Point", "coordinates": [8.7, 50.0]}}"#;
        fs::write(folder.path().join("zones.geojson"), around_the_depot).unwrap();
        let text = format!(
            "site = \"soest\"\ndevice = \"bauhof-3\"\n[camera.front]\n{}\n[gnss]\nkind = \"file\"\nfile = \"drive.nmea\"\n\
             [local]\nlisten = \"127.0.0.1:{port}\"\n[model]\nfolder = \"{}\"\nbackend = \"tract\"\n\
             [spool]\nfolder = \"spool\"\nbatch_minutes = 60\n[broker]\nhost = \"127.0.0.1\"\nport = {broker_port}\n{more}",
            camera(folder.path(), left_at),
            clip::models().display(),
        );
        let config = folder.path().join("edge.toml");
        fs::write(&config, text).unwrap();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let process = umsicht().args(["edge", "run", "--config"]).arg(&config).stderr(log).spawn().unwrap();
        Self { process, port, left_at, folder }
    }

    /// Code and body, or nothing while the device does not listen yet.
    fn try_ask(&self, request: &str) -> Option<(u16, Value)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(WAIT)).unwrap();
        write!(stream, "{request} HTTP/1.1\r\nHost: localhost\r\nX-Umsicht: 1\r\nConnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.get(9..12)?.parse().ok()?, serde_json::from_str(body).unwrap_or_default()))
    }

    fn ask(&self, request: &str) -> (u16, Value) {
        let started = Instant::now();
        loop {
            if let Some(answer) = self.try_ask(request) {
                return answer;
            }
            assert!(started.elapsed() < WAIT, "no answer: {}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Presses the button; when that was.
    fn mark(&self) -> OffsetDateTime {
        let (code, answer) = self.ask("POST /mark");
        assert_eq!(code, 202, "{answer}");
        OffsetDateTime::parse(answer["at"].as_str().unwrap(), &Rfc3339).unwrap()
    }

    /// Waits until so many marks were reported and refused.
    fn until_marks(&self, reported: u64, refused: u64) {
        let started = Instant::now();
        loop {
            let status = self.ask("GET /status").1;
            if (&status["marks"], &status["marks_refused"]) == (&reported.into(), &refused.into()) {
                return;
            }
            assert!(started.elapsed() < WAIT, "{} {}: {}", status["marks"], status["marks_refused"], self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    fn place_at(&self, at: OffsetDateTime) -> LatLon {
        let metres = (at - self.left_at).as_seconds_f64() * SPEED;
        LocalFrame::at(DEPOT).latlon_from_local(EastNorth::new(0.0, metres))
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A camera that is not there.
fn no_camera(_: &Path, _: OffsetDateTime) -> String {
    format!("kind = \"rtsp\"\nurl = \"rtsp://127.0.0.1:{}/front\"", free_port())
}

/// Pictures of an even road, at the pace at which they were taken.
fn pictures(folder: &Path, left_at: OffsetDateTime) -> String {
    let clip = Clip { patches: Vec::new(), along_at: |seconds| seconds * SPEED, duration: Duration::from_secs(10) };
    let pictures = clip.write_pictures(folder, Duration::ZERO, clip.duration);
    format!(
        "kind = \"images\"\nfolder = \"{pictures}\"\ntimes = \"{pictures}/times.csv\"\nframes = \"latest\"\nstarts_at = \"{}\"",
        left_at.format(&Rfc3339).unwrap(),
        pictures = pictures.display()
    )
}

/// A street from the depot to the north.
fn street(folder: &Path) -> std::path::PathBuf {
    let network = folder.join("streets.geojson");
    let line = r#"{"type": "FeatureCollection", "features": [{"type": "Feature",
        "properties": {"highway": "residential", "name": "Bahnhofstraße"},
        "geometry": {"type": "LineString", "coordinates": [[8.7, 50.0], [8.7, 50.02]]}}]}"#;
    fs::write(&network, line).unwrap();
    network
}

/// The steps in the browser; `None` where there is none.
fn in_the_browser(url: String) -> Option<bool> {
    let (chromium, driver) = match tools("mark.mjs") {
        Ok(tools) => tools,
        Err(missing) => {
            eprintln!("SKIPPED: the mark was not tried in a browser: {missing}; `make test` installs it");
            return None;
        }
    };
    Some(
        Command::new("node")
            .arg(driver)
            .arg(url)
            .env("CHROMIUM", chromium)
            .stdout(Stdio::inherit())
            .status()
            .unwrap()
            .success(),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mark_reaches_a_person_though_no_camera_works() {
    let Some(broker) = Mosquitto::start(false) else { return };
    let folder = tempfile::tempdir().unwrap();
    let network = Some(street(folder.path()));
    let (serving, stop) =
        started(umsicht::central::config::CheckedConfig { network, ..config(&folder, broker.port()) }).await;
    let (address, store) = (serving.address, serving.store.clone());
    wait_for("the broker", async || serving.ingest.is_connected()).await;
    let port = broker.port();
    let (device, pressed) = tokio::task::spawn_blocking(move || {
        let device = Device::start(port, no_camera, "");
        // Into a device that has looked around for a while.
        device.until_marks(0, 0);
        let pressed = device.mark();
        device.until_marks(1, 0);
        (device, pressed)
    })
    .await
    .unwrap();
    wait_for("the mark", async || store.counts().await.unwrap().dangers == 1).await;

    let list: Value = serde_json::from_str(&get(address, "/api/v1/dangers").await.2).unwrap();
    let mark = &list[0];
    assert_eq!((&mark["marked_by"], &mark["acknowledged"]), (&"driver".into(), &false.into()), "{mark}");
    for unsaid in ["class", "score", "length_metres", "width_metres", "area_square_metres", "calibrated", "model"] {
        assert_eq!(mark[unsaid], Value::Null, "nobody has said {unsaid}");
    }
    assert!(!list.to_string().contains("bauhof-3"), "{list}");
    let place =
        LatLon { lat: mark["position"]["lat"].as_f64().unwrap(), lon: mark["position"]["lon"].as_f64().unwrap() };
    let seen_at = pressed - Duration::from_secs_f64(REACTION_SECONDS);
    let error = umsicht::geo::distance_metres(place, device.place_at(seen_at));
    assert!(error < 1.0, "{error:.1} m from where the driver saw it");
    // 10 m along the way and what a dilution of 0.8 gives in every direction.
    let sigma = mark["sigma_metres"].as_f64().unwrap();
    assert!((7.0..7.5).contains(&sigma), "{sigma}");
    let hour = OffsetDateTime::parse(mark["hour"].as_str().unwrap(), &Rfc3339).unwrap();
    assert_eq!(hour, umsicht::clock::hour_of(pressed));
    assert_eq!(mark["section"]["name"], "Bahnhofstraße");

    let url = format!("http://{address}/");
    let shown = tokio::task::spawn_blocking(|| in_the_browser(url)).await.unwrap();
    assert_ne!(shown, Some(false), "the steps in the browser failed");
    if shown.is_none() {
        let path = format!("/api/v1/dangers/{}/acknowledge", mark["id"].as_str().unwrap());
        assert_eq!(ask(address, &format!("POST {path} HTTP/1.1\r\nContent-Length: 0\r\n")).await.0, 200);
    }
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.dangers, counts.open_dangers), (1, 0), "a person has acknowledged it");
    assert_eq!((counts.sightings, counts.defects, counts.rejected), (0, 0, 0), "a mark is no damage");
    stop.send(()).unwrap();
    serving.finished().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mark_goes_at_once_beside_a_camera_and_none_from_a_privacy_zone() {
    let Some(broker) = Mosquitto::start(false) else { return };
    let folder = tempfile::tempdir().unwrap();
    let (serving, stop) = started(config(&folder, broker.port())).await;
    let store = serving.store.clone();
    wait_for("the broker", async || serving.ingest.is_connected()).await;
    let port = broker.port();
    let (_seeing, secret) = tokio::task::spawn_blocking(move || {
        let secret = Device::start(port, no_camera, "[recording]\nprivacy_zones_file = \"zones.geojson\"\n");
        let seeing = Device::start(port, pictures, "");
        seeing.mark();
        secret.mark();
        secret.until_marks(0, 1);
        (seeing, secret)
    })
    .await
    .unwrap();
    wait_for("the mark", async || store.counts().await.unwrap().dangers == 1).await;
    assert!(secret.log().contains("a mark of the driver is not reported: nothing may be recorded there or then"));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.dangers, counts.rejected), (1, 0), "nothing came from the zone");
    stop.send(()).unwrap();
    serving.finished().await.unwrap();
}
