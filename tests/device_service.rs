//! The whole service on the device, against real peers: two cameras in the network of which one dies, gpsd, a broker, systemd's
//! socket, the technician's questions, a new configuration, and the ignition.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use time::OffsetDateTime;
use umsicht::schema::event::EventData;
use umsicht::schema::{DamageClass, Event};

use crate::support::clip::{self, Clip, Patch};
use crate::support::mosquitto::{Collected, Mosquitto, collect, free_port};
use crate::support::receiver::{Gpsd, sentences};
use crate::support::rtsp::RtspServer;
use crate::support::umsicht;

/// Far longer than anything takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(90);
/// From the moment at which the last picture came.
const BLIND_WITHIN: time::Duration = time::Duration::seconds(5);
/// A picture in which something can be seen.
const SEEN: &[&str] = &["--pattern", "smpte"];
const STOPS_WITHIN: Duration = Duration::from_secs(10);

struct Service {
    process: Child,
    config: PathBuf,
    local: u16,
    /// What systemd was told and the test has not looked at yet.
    told: Arc<Mutex<String>>,
    folder: tempfile::TempDir,
}

fn camera(name: &str, server: &RtspServer) -> String {
    format!("[camera.{name}]\nkind = \"rtsp\"\nurl = \"{}\"\n", server.url())
}

impl Service {
    fn start(cameras: &str, gpsd_port: u16, broker_port: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (config, local) = (folder.path().join("edge.toml"), free_port());
        fs::write(folder.path().join("ignition"), "1").unwrap();
        let text = format!(
            "site = \"soest\"\ndevice = \"bauhof-3\"\n{cameras}[gnss]\nkind = \"gpsd\"\nhost = \"127.0.0.1\"\nport = {gpsd_port}\n\
             [vehicle.ignition]\nfile = \"ignition\"\nsettle_millis = 200\n[local]\nlisten = \"127.0.0.1:{local}\"\n\
             [model]\nfolder = \"{}\"\nbackend = \"tract\"\n[spool]\nfolder = \"spool\"\nbatch_minutes = 0\n\
             [broker]\nhost = \"127.0.0.1\"\nport = {broker_port}\n",
            clip::models().display()
        );
        fs::write(&config, text).unwrap();
        let socket = folder.path().join("notify");
        let told = listen_as_systemd(UnixDatagram::bind(&socket).unwrap());
        let process = umsicht()
            .args(["edge", "run", "--config"])
            .arg(&config)
            .env("NOTIFY_SOCKET", &socket)
            .env("WATCHDOG_USEC", "4000000")
            .env("RUNTIME_DIRECTORY", folder.path())
            .stdout(Stdio::null())
            .stderr(fs::File::create(folder.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        Self { process, config, local, told, folder }
    }

    fn status(&self) -> Option<Value> {
        let url = format!("http://127.0.0.1:{}/status", self.local);
        let agent = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(5))).build();
        let mut answer = ureq::Agent::new_with_config(agent).get(&url).call().ok()?;
        serde_json::from_str(&answer.body_mut().read_to_string().ok()?).ok()
    }

    /// Waits until the status is as wanted.
    fn comes_to(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut last = None;
        let status = wait_for(|| {
            last = self.status();
            last.clone().filter(|status| wanted(status))
        });
        status.unwrap_or_else(|| panic!("{what} never came: {last:#?}\n{}", self.log()))
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).unwrap();
    }

    /// What systemd was told since the last call.
    fn told(&self) -> String {
        std::mem::take(&mut *self.told.lock().unwrap())
    }

    fn ignition(&self, on: bool) {
        fs::write(self.folder.path().join("ignition"), if on { "1" } else { "0" }).unwrap();
    }

    fn is_parked(&self) -> bool {
        self.folder.path().join("ignition-off").exists()
    }

    fn ends(&mut self) -> Duration {
        let asked = Instant::now();
        self.signal(Signal::TERM);
        let ended = wait_for(|| self.process.try_wait().unwrap());
        assert!(ended.is_some_and(|status| status.success()), "{}", self.log());
        asked.elapsed()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Like systemd it reads at once: its queue holds a few messages, and a full one would hold up who sends.
fn listen_as_systemd(socket: UnixDatagram) -> Arc<Mutex<String>> {
    let told = Arc::new(Mutex::new(String::new()));
    let keep = Arc::clone(&told);
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(count) = socket.recv(&mut bytes) {
            let mut told = keep.lock().unwrap();
            told.push_str(&String::from_utf8_lossy(&bytes[..count]));
            told.push('\n');
        }
    });
    told
}

fn wait_for<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        if let Some(found) = look() {
            return Some(found);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    None
}

/// The first event of a kind about a camera.
fn event(collected: &Collected, kind: &str, camera: &str) -> Option<Event> {
    let events = collected.on(&format!("umsicht/1/soest/bauhof-3/event/{kind}"));
    let events = events.iter().map(|payload| Event::from_json(payload).unwrap());
    events.into_iter().find(|event| match &event.data {
        EventData::DeviceBlind(blind) => blind.camera == camera,
        EventData::DeviceRecovered(recovered) => recovered.camera == camera,
        _ => false,
    })
}

fn frames(status: &Value, camera: &str) -> u64 {
    status["cameras"][camera]["frames"].as_u64().unwrap_or(0)
}

/// A vehicle that drives north for ten minutes, at the pace at which gpsd hears it: two sentences take 160 ms.
fn drive() -> String {
    let start = OffsetDateTime::now_utc();
    (0..3750).map(|k| sentences(start + Duration::from_millis(160) * k, 1.6 * f64::from(k), 0.0)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_camera_dies_and_the_rest_goes_on_until_the_ignition_is_off() {
    let Some(broker) = Mosquitto::start(false) else { return };
    let (Some(front), Some(mut rear)) = (RtspServer::start(SEEN), RtspServer::start(SEEN)) else { return };
    let gpsd_port = free_port();
    let Some(_gpsd) = Gpsd::replay(&drive(), gpsd_port) else { return };
    let collected = collect(broker.port());
    let cameras = camera("front", &front) + &camera("rear", &rear);
    let mut service = Service::start(&cameras, gpsd_port, broker.port());

    tokio::task::block_in_place(|| {
        let both = service.comes_to("two cameras, a fix and the broker", |status| {
            let sees = |camera| frames(status, camera) > 10;
            sees("front")
                && sees("rear")
                && status["position"]["fixes"].as_u64() > Some(3)
                && status["connected"] == true
        });
        assert_eq!(both["cameras"]["front"]["state"], "delivering", "{both:#?}");
        assert!(both["position"]["connected"] == true && both["clock"]["leaps"] == 0, "{both:#?}");
        let told = service.told();
        assert!(told.contains("READY=1") && told.contains("WATCHDOG=1"), "{told}");

        rear.kill();
        let killed_at = OffsetDateTime::now_utc();
        let blind = wait_for(|| event(&collected, "device.blind", "rear")).expect("the town is told");
        assert!(blind.time - killed_at <= BLIND_WITHIN, "{} after {killed_at}", blind.time);
        let before = service.status().unwrap();
        assert_eq!(before["cameras"]["rear"]["blind"], "no_frames", "{before:#?}");
        let on =
            service.comes_to("the other camera's pictures", |now| frames(now, "front") > frames(&before, "front") + 20);
        assert!(
            on["cameras"]["front"]["blind"].is_null() && on["cameras"]["rear"]["last_error"].is_string(),
            "{on:#?}"
        );
        service.told();
        std::thread::sleep(Duration::from_secs(5));
        assert!(service.told().contains("WATCHDOG=1"), "a camera that is away is no reason to start anew");

        rear.restart(SEEN);
        wait_for(|| event(&collected, "device.recovered", "rear")).expect("the town is told that it sees again");
        let metrics = format!("http://127.0.0.1:{}/metrics", service.local);
        let metrics = ureq::get(&metrics).call().unwrap().body_mut().read_to_string().unwrap();
        assert!(metrics.contains("camera=\"rear\"") && metrics.contains("umsicht_"), "{metrics}");

        let page = umsicht().args(["edge", "status", "--config"]).arg(&service.config).output().unwrap();
        let page = String::from_utf8(page.stdout).unwrap();
        assert!(page.contains("front") && page.contains("gpsd at"), "{page}");

        // A wrong configuration changes nothing, a right one is taken.
        let right = fs::read_to_string(&service.config).unwrap();
        fs::write(&service.config, right.replace("kind = \"gpsd\"", "kind = \"gspd\"")).unwrap();
        service.signal(Signal::HUP);
        let refused = service.comes_to("the refusal", |status| status["last_reload"]["refused"].is_string());
        assert!(refused["last_reload"]["refused"].as_str().unwrap().contains("gnss.kind"), "{refused:#?}");
        assert!(refused["uptime_seconds"].as_u64() > Some(5), "the run goes on");
        let one_camera = right.replace(&camera("rear", &rear), "");
        fs::write(&service.config, one_camera).unwrap();
        service.signal(Signal::HUP);
        let anew = service.comes_to("the new configuration", |status| {
            status["cameras"]["rear"].is_null()
                && frames(status, "front") > 5
                && status["last_reload"]["refused"].is_null()
        });
        assert_eq!(anew["cameras"].as_object().unwrap().len(), 1);

        let off_at = Instant::now();
        service.ignition(false);
        wait_for(|| service.is_parked().then_some(())).expect("it parks");
        assert!(off_at.elapsed() < STOPS_WITHIN, "{:?}", off_at.elapsed());
        assert!(service.status().is_none(), "nothing runs while it is parked");
        assert!(service.process.try_wait().unwrap().is_none(), "it waits for the ignition");
        service.ignition(true);
        service.comes_to("pictures after the ignition", |status| frames(status, "front") > 5);
        let took = service.ends();
        assert!(took < STOPS_WITHIN, "{took:?}");
        assert!(service.told().contains("STOPPING=1"));
    });
}

#[test]
fn a_camera_of_another_size_than_measured_is_told_and_keeps_the_other_from_nothing() {
    let Some(broker) = Mosquitto::start(false) else { return };
    let (Some(front), Some(rear)) = (RtspServer::start(SEEN), RtspServer::start(SEEN)) else { return };
    // The server gives 160×120.
    let mounting = "[camera.rear.mounting]\nwidth_px = 1280\nheight_px = 720\nhorizontal_fov_degrees = 65.0\nheight_metres = 1.6\n\
                    pitch_degrees = 10.0\n";
    let cameras = camera("front", &front) + &camera("rear", &rear) + mounting;
    let mut service = Service::start(&cameras, free_port(), broker.port());
    let status = service.comes_to("the complaint", |status| {
        frames(status, "front") > 10 && status["cameras"]["rear"]["wrong_size"].as_u64() > Some(0)
    });
    let page = umsicht().args(["edge", "status", "--config"]).arg(&service.config).output().unwrap();
    let page = String::from_utf8(page.stdout).unwrap();
    assert!(page.contains("camera rear gives 160×120, its mounting was measured for another size"), "{page}");
    assert!(status["position"]["last_error"].is_string(), "no gpsd is there, and that is told: {status:#?}");
    service.ends();
}

#[test]
fn whoever_switches_recording_off_is_obeyed_over_a_restart() {
    let Some(broker) = Mosquitto::start(false) else { return };
    let Some(front) = RtspServer::start(SEEN) else { return };
    let mut service = Service::start(&camera("front", &front), free_port(), broker.port());
    service.comes_to("pictures", |status| frames(status, "front") > 5);
    let post = |path: &str| {
        let url = format!("http://127.0.0.1:{}{path}", service.local);
        ureq::post(&url).header("X-Umsicht", "1").send_empty().map(|answer| answer.status().as_u16())
    };
    assert_eq!(post("/recording/off").unwrap(), 200);
    service.comes_to("recording off", |status| status["recording"]["on"] == false);
    assert!(post("/mark").is_err(), "nor is a mark taken");
    let config = service.config.clone();
    service.ends();
    let folder: &Path = config.parent().unwrap();
    assert!(folder.join("spool/recording-off").exists(), "it stays off until somebody switches it on");
}

const METRES_PER_SECOND: f64 = 10.0;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_road_that_was_driven_is_told_beside_its_damages() {
    let Some(broker) = Mosquitto::start(false) else { return };
    let collected = collect(broker.port());
    collected.listens().await;
    let folder = tempfile::tempdir().unwrap();
    let patch = Patch {
        class: DamageClass::Pothole,
        along_metres: 60.0,
        left_metres: 0.4,
        length_metres: 0.8,
        width_metres: 0.6,
    };
    let clip = Clip {
        patches: vec![patch],
        along_at: |seconds| METRES_PER_SECOND * seconds,
        duration: Duration::from_secs(12),
    };
    clip.write_log(folder.path());
    let pictures = clip.write_pictures(folder.path(), Duration::ZERO, clip.duration);
    let config = folder.path().join("edge.toml");
    let text = format!(
        "site = \"soest\"\ndevice = \"bauhof-3\"\n[camera.front]\nkind = \"images\"\nfolder = \"{pictures}\"\n\
         times = \"{pictures}/times.csv\"\nframes = \"every\"\n{}[gnss]\nkind = \"file\"\nfile = \"drive.nmea\"\n\
         [local]\nlisten = \"127.0.0.1:0\"\n[model]\nfolder = \"{}\"\nbackend = \"tract\"\n\
         [spool]\nfolder = \"spool\"\nbatch_minutes = 0\n[broker]\nhost = \"127.0.0.1\"\nport = {}\n",
        clip::CAMERA,
        clip::models().display(),
        broker.port(),
        pictures = pictures.display(),
    );
    fs::write(&config, text).unwrap();
    let output = umsicht().args(["edge", "run", "--config"]).arg(&config).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let coverage = collected.comes("umsicht/1/soest/road/event/road.coverage", 1).await;
    assert_eq!(collected.comes("umsicht/1/soest/road/event/road.damage", 1).await.len(), 1);
    let mut driven = 0.0;
    for payload in coverage {
        let event = Event::from_json(&payload).unwrap();
        assert!(event.ordinal.is_some() && event.time.minute() == 0, "as a damage is told: {event:?}");
        let EventData::RoadCoverage(stretch) = event.data else { panic!("{event:?}") };
        assert!(stretch.unusable.is_empty() && stretch.calibrated, "{stretch:?}");
        driven += stretch.usable_metres;
    }
    let whole = METRES_PER_SECOND * clip.duration.as_secs_f64();
    assert!(driven > 0.75 * whole && driven < 1.1 * whole, "{driven} m of {whole} m");
}
