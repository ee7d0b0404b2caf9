//! The device answers on loopback: metrics, status, the mark button, the recording switch; and no web page can use it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Output;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use umsicht::clock::SystemClock;
use umsicht::edge::local::{Local, LocalConfig, LocalParts};
use umsicht::edge::status::{CameraStatus, DeviceStatus, RecordingStatus, StatusSource};
use umsicht::edge::vehicle::{Mark, Marks, Recording};

use crate::support::umsicht;

struct Device {
    address: SocketAddr,
    marks: mpsc::Receiver<Mark>,
    end: watch::Sender<bool>,
    serving: tokio::task::JoinHandle<()>,
}

fn status(recording: &Recording) -> DeviceStatus {
    let front = CameraStatus {
        state: "waiting".into(),
        blind: Some("no_frames".into()),
        last_error: Some("rtsp://admin:hunter2@10.0.0.5/1: timed out".into()),
        ..CameraStatus::default()
    };
    DeviceStatus {
        site: "soest".into(),
        device: "bauhof-3".into(),
        program: "0.1.0".into(),
        cameras: [("front".into(), front)].into(),
        recording: RecordingStatus { on: recording.is_on(), why_off: recording.why_off().map(str::to_owned) },
        ..DeviceStatus::default()
    }
}

impl Device {
    async fn start(folder: &Path) -> Self {
        let recording = Arc::new(Recording::kept_in(folder, None));
        let asked = Arc::clone(&recording);
        Self::with(recording, Arc::new(move || status(&asked))).await
    }

    async fn with(recording: Arc<Recording>, status: StatusSource) -> Self {
        let (to, marks_taken) = mpsc::channel(4);
        let marks = Arc::new(Marks::new(to, Arc::clone(&recording), Arc::new(SystemClock)));
        let local = Local::bind(LocalConfig { listen: "127.0.0.1:0".parse().unwrap() }).await.unwrap();
        let address = local.address();
        let (end, ended) = watch::channel(false);
        let serving = tokio::spawn(local.serve(LocalParts { status, recording, marks }, ended));
        Self { address, marks: marks_taken, end, serving }
    }

    /// Status code and body; the request is written as it is, so that a test can be as rude as it likes.
    async fn ask(&self, request: &'static str) -> (u16, String) {
        let address = self.address;
        tokio::task::spawn_blocking(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            stream.write_all(request.replace('\n', "\r\n").as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            let code = answer.split(' ').nth(1).unwrap().parse().unwrap();
            (code, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
        })
        .await
        .unwrap()
    }

    async fn page(&self, arguments: &'static [&'static str]) -> (Output, tempfile::TempDir) {
        let text = format!("nonsense = true\n[local]\nlisten = \"{}\"\n", self.address);
        tokio::task::spawn_blocking(move || edge_status(&text, arguments)).await.unwrap()
    }
}

fn edge_status(config: &str, arguments: &[&str]) -> (Output, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("edge.toml");
    std::fs::write(&path, config).unwrap();
    (umsicht().args(["edge", "status", "--config"]).arg(path).args(arguments).output().unwrap(), folder)
}

const GET_STATUS: &str = "GET /status HTTP/1.1\nHost: localhost\nConnection: close\n\n";
const OFF: &str =
    "POST /recording/off HTTP/1.1\nHost: localhost\nX-Umsicht: 1\nContent-Length: 0\nConnection: close\n\n";
const ON: &str = "POST /recording/on HTTP/1.1\nHost: localhost\nX-Umsicht: 1\nContent-Length: 0\nConnection: close\n\n";
const MARK: &str = "POST /mark HTTP/1.1\nHost: 127.0.0.1:9110\nX-Umsicht: 1\nContent-Length: 0\nConnection: close\n\n";

#[tokio::test(flavor = "multi_thread")]
async fn status_and_metrics_are_told_without_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let device = Device::start(folder.path()).await;
    let (code, body) = device.ask(GET_STATUS).await;
    let told: DeviceStatus = serde_json::from_str(&body).unwrap();
    assert_eq!((code, told.device.as_str(), told.recording.on), (200, "bauhof-3", true));
    assert!(!body.contains("hunter2") && body.contains("rtsp://…@10.0.0.5/1"), "{body}");
    let (code, metrics) = device.ask("GET /metrics HTTP/1.1\nHost: [::1]:9110\nConnection: close\n\n").await;
    assert_eq!(code, 200);
    assert!(metrics.contains("\numsicht_camera_blind{camera=\"front\",reason=\"no_frames\"} 1\n"), "{metrics}");
    assert!(!metrics.contains("hunter2"));
    assert_eq!(device.ask("GET /etc/passwd HTTP/1.1\nHost: localhost\nConnection: close\n\n").await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_switch_stops_recording_and_marks_and_outlasts_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let mut device = Device::start(folder.path()).await;
    let (code, body) = device.ask(MARK).await;
    let taken = device.marks.recv().await.unwrap();
    let at = taken.at.format(&time::format_description::well_known::Rfc3339).unwrap();
    assert_eq!((code, body), (202, format!("{{\"at\":\"{at}\"}}")));
    let (code, body) = device.ask(OFF).await;
    assert_eq!((code, body.as_str()), (200, r#"{"on":false,"why_off":"switched off by hand"}"#));
    assert_eq!(device.ask(MARK).await.0, 409);
    let restarted = Device::start(folder.path()).await;
    let recording = "GET /recording HTTP/1.1\nHost: localhost\nConnection: close\n\n";
    assert!(restarted.ask(recording).await.1.contains("\"on\":false"));
    assert_eq!(restarted.ask(ON).await, (200, r#"{"on":true,"why_off":null}"#.into()));
    assert!(Device::start(folder.path()).await.ask(recording).await.1.contains("\"on\":true"));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_web_page_can_use_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut device = Device::start(folder.path()).await;
    for request in [
        // A page whose own name leads to this device.
        "GET /status HTTP/1.1\nHost: evil.example\nConnection: close\n\n",
        "POST /recording/off HTTP/1.1\nHost: evil.example\nX-Umsicht: 1\nContent-Length: 0\nConnection: close\n\n",
        // A form and a script of a page from elsewhere.
        "POST /recording/off HTTP/1.1\nHost: 127.0.0.1\nOrigin: http://evil.example\nContent-Length: 0\nConnection: close\n\n",
        "POST /mark HTTP/1.1\nHost: 127.0.0.1\nContent-Length: 0\nConnection: close\n\n",
        // What a browser asks before it would send a header of a page.
        "OPTIONS /mark HTTP/1.1\nHost: 127.0.0.1\nOrigin: http://evil.example\nAccess-Control-Request-Headers: x-umsicht\nConnection: close\n\n",
    ] {
        assert_eq!(device.ask(request).await.0, 403, "{request}");
    }
    assert!(device.marks.try_recv().is_err(), "no mark was made");
    assert!(device.ask(GET_STATUS).await.1.contains("\"recording\":{\"on\":true"), "nothing was switched");
    let (code, _) = device.ask("GET /recording/off HTTP/1.1\nHost: localhost\nConnection: close\n\n").await;
    assert_eq!(code, 405, "a link switches nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_hangs_takes_neither_the_answers_nor_the_end_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let recording = Arc::new(Recording::kept_in(folder.path(), None));
    let (go_on, hangs) = std::sync::mpsc::channel::<()>();
    let hangs = Mutex::new(hangs);
    let source = move || {
        // For ever, until the other end is gone.
        let _ = hangs.lock().unwrap().recv();
        DeviceStatus::default()
    };
    let device = Device::with(recording, Arc::new(source)).await;
    let asked = asked_often(&device, 6).await;
    assert!(asked.iter().all(|(code, body)| *code == 503 && body.contains("does not answer")), "{asked:?}");
    assert_eq!(device.ask(OFF).await.0, 200, "the privacy switch works all the same");
    // Somebody who began a request and never ends it.
    let mut half = TcpStream::connect(device.address).unwrap();
    half.write_all(b"POST /mark HTTP/1.1\r\nHost: localhost\r\n").unwrap();
    device.end.send_replace(true);
    tokio::time::timeout(Duration::from_secs(10), device.serving).await.expect("it ends in time").unwrap();
    drop(go_on);
}

async fn asked_often(device: &Device, count: usize) -> Vec<(u16, String)> {
    let mut asked = Vec::new();
    for _ in 0..count {
        asked.push(device.ask(GET_STATUS).await);
    }
    asked
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_edge_status_comes_from_the_running_device() {
    let folder = tempfile::tempdir().unwrap();
    let device = Device::start(folder.path()).await;
    let (output, _folder) = device.page(&[]).await;
    let page = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{page}");
    let fault = page.find("FAULT      camera front gives no pictures (rtsp://…@10.0.0.5/1: timed out)\n");
    let remedy = page.find("→ check its cable and power");
    let facts = page.find("\nrecording  on\n");
    assert!(fault.is_some() && fault < remedy && remedy < facts, "what is wrong comes first: {page}");
    let (output, _folder) = device.page(&["--json"]).await;
    assert_eq!(serde_json::from_slice::<DeviceStatus>(&output.stdout).unwrap().site, "soest");
}

#[test]
fn edge_status_says_what_to_do_when_nobody_answers() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    let config = format!("[local]\nlisten = \"{address}\"\n");
    let other = std::thread::spawn(move || {
        let (mut stream, _) = free.accept().unwrap();
        let _ = stream.read(&mut [0; 1024]).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello").unwrap();
    });
    let told = |config: &str| {
        let (output, _folder) = edge_status(config, &[]);
        assert!(output.stdout.is_empty());
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, text) = told(&config);
    assert!(code == Some(69) && text.contains("is not this service"), "{text}");
    other.join().unwrap();
    let (code, text) = told(&config);
    assert!(code == Some(69) && text.contains("systemctl start umsicht-edge"), "{text}");
    let (code, text) = told("[local]\nlisten = \"0.0.0.0:9110\"\n");
    assert!(code == Some(64) && text.contains("can be reached from outside"), "{text}");
}
