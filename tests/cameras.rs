//! A live camera never ends by itself: killed, stalled, refused, changed or broken, it comes back and says what was wrong.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use image::RgbImage;
use time::OffsetDateTime;
use umsicht::clock::{Clock, SystemClock};
use umsicht::edge::source::settings::CameraSettings;
use umsicht::edge::source::state::{CameraReport, CameraState, Phase};
use umsicht::edge::source::{first_picture, open_live};

use crate::support::authority::Authority;
use crate::support::rtsp::{RtspServer, babbling_port, camera_of_random_packets};

/// Far longer than anything takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);

struct Taken {
    captured_at: OffsetDateTime,
    stream_time: Duration,
    width_px: u32,
}

/// A camera in its own thread, as the service runs it.
struct Camera {
    state: Arc<CameraState>,
    taken: Arc<Mutex<Vec<Taken>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Camera {
    /// `section` is what stands under `[camera.front]`.
    fn start(section: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (mut source, state) =
            open_live("front", &settings(section), SystemClock.now(), Arc::new(SystemClock), Arc::clone(&stop))
                .unwrap();
        let taken = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&taken);
        let thread = std::thread::spawn(move || {
            while let Some(captured) = source.next_image().unwrap() {
                let (captured_at, stream_time) = (captured.captured_at, captured.stream_time);
                keep.lock().unwrap().push(Taken { captured_at, stream_time, width_px: captured.image.width_px() });
            }
        });
        Self { state, taken, stop, thread: Some(thread) }
    }

    /// Waits until its report is as wanted.
    fn comes_to(&self, wanted: impl Fn(&CameraReport) -> bool) -> CameraReport {
        let started = Instant::now();
        loop {
            let report = self.state.report();
            if wanted(&report) {
                return report;
            }
            assert!(started.elapsed() < PATIENCE, "it only came to {report:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn gives_more(&self, frames: u64) -> CameraReport {
        let before = self.state.report().frames;
        self.comes_to(|report| report.frames >= before + frames)
    }

    /// Returns how long it took.
    fn stop(&mut self) -> Duration {
        let started = Instant::now();
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
        started.elapsed()
    }

    fn widths(&self) -> Vec<u32> {
        let mut widths: Vec<u32> = self.taken.lock().unwrap().iter().map(|taken| taken.width_px).collect();
        widths.dedup();
        widths
    }
}

impl Drop for Camera {
    fn drop(&mut self) {
        self.stop();
    }
}

fn settings(section: &str) -> CameraSettings {
    let text = format!("[camera.front]\n{section}");
    umsicht::config::parse(Path::new("/edge.toml"), &text, |root| {
        CameraSettings::from_table(&root.table("camera").table("front"))
    })
    .unwrap()
}

fn rtsp(url: &str, more: &str) -> String {
    format!("kind = \"rtsp\"\nurl = \"{url}\"\n{more}")
}

#[test]
fn a_killed_camera_comes_back_and_its_times_go_on() {
    let Some(mut server) = RtspServer::start(&[]) else { return };
    let before = SystemClock.now();
    let mut camera = Camera::start(&rtsp(&server.url(), ""));
    let report = camera.comes_to(|report| report.frames >= 20);
    assert_eq!((report.phase, report.size_px), (Phase::Delivering, Some((160, 120))));
    assert!(report.decoder.is_some_and(|decoder| decoder.contains("h264")), "the decoder is named");
    server.kill();
    camera.comes_to(|report| report.phase == Phase::Waiting);
    std::thread::sleep(Duration::from_secs(2));
    let away = camera.state.report();
    server.restart(&[]);
    camera.gives_more(20);
    assert!(camera.stop() < Duration::from_secs(5));
    let report = camera.state.report();
    assert!(away.heartbeat > 0 && report.heartbeat > away.heartbeat);
    assert_eq!((report.connections, report.phase), (2, Phase::Ended));
    let taken = camera.taken.lock().unwrap();
    assert!(taken.is_sorted_by(|a, b| a.stream_time < b.stream_time));
    let after = SystemClock.now();
    assert!(taken.iter().all(|taken| before < taken.captured_at && taken.captured_at < after));
}

#[test]
fn packets_come_by_either_transport() {
    for (protocol, transport) in [("tcp", "tcp"), ("udp", "udp"), ("udp", "auto"), ("tcp", "auto")] {
        let Some(server) = RtspServer::start(&["--protocol", protocol, "--with-audio"]) else { return };
        let camera = Camera::start(&rtsp(&server.url(), &format!("transport = \"{transport}\"")));
        camera.comes_to(|report| report.frames >= 5);
    }
}

#[test]
fn a_refused_password_says_what_to_do_and_a_right_one_helps_without_a_restart() {
    let Some(server) = RtspServer::start(&["--user", "bauhof", "--password", "silber6"]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let password_file = folder.path().join("front.password");
    std::fs::write(&password_file, "falsch5\n").unwrap();
    let login = format!("user_name = \"bauhof\"\npassword_file = \"{}\"", password_file.display());
    let camera = Camera::start(&rtsp(&server.url(), &login));
    let told = camera.comes_to(|report| report.failures > 0).last_error.unwrap();
    assert!(told.contains("401: user name or password is refused; check camera.front.user_name"), "{told}");
    assert!(!told.contains("falsch5"), "{told}");
    std::fs::write(&password_file, "silber6\n").unwrap();
    camera.comes_to(|report| report.frames >= 5);
    let Some(by_digest) = RtspServer::start(&["--user", "bauhof", "--password", "silber6", "--digest"]) else { return };
    Camera::start(&rtsp(&by_digest.url(), &login)).comes_to(|report| report.frames >= 5);

    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    for (section, part) in [
        (rtsp(&server.url(), ""), "401: the camera wants a user name and a password"),
        (rtsp(&format!("{}no", server.url()), &login), "404: the camera has no such stream"),
        (rtsp("rtsp://127.0.0.1:9/x", ""), "nothing listens there"),
        (rtsp("rtsp://kamera.invalid/x", ""), "kamera.invalid:554: the name"),
        ("kind = \"v4l2\"\ndevice = \"/dev/video-none\"".to_owned(), "`ls /dev/video*`"),
    ] {
        let failed = first_picture("front", &settings(&section), clock.now(), Arc::clone(&clock), PATIENCE);
        let told = failed.unwrap_err().to_string();
        assert!(told.starts_with("camera.front: ") && told.contains(part), "{told}");
    }
    let seen = first_picture("front", &settings(&rtsp(&server.url(), &login)), clock.now(), clock, PATIENCE).unwrap();
    assert_eq!((seen.image.width_px(), seen.report.frames), (160, 1));
}

#[test]
fn a_camera_that_stalls_is_noticed_and_asked_anew() {
    let Some(server) = RtspServer::start(&[]) else { return };
    let mut camera = Camera::start(&rtsp(&server.url(), "stall_millis = 1000"));
    camera.comes_to(|report| report.frames >= 10);
    server.freeze();
    let told = camera.comes_to(|report| report.phase == Phase::Waiting).last_error.unwrap();
    assert!(told.contains("no usable picture for 1.0 s"), "{told}");
    server.thaw();
    camera.gives_more(10);
    // Somebody listens, nobody answers: that is where it could hang.
    server.freeze();
    camera.comes_to(|report| report.phase == Phase::Waiting);
    camera.comes_to(|report| report.phase == Phase::Connecting);
    assert!(camera.stop() < Duration::from_secs(5));
    server.thaw();
}

#[test]
fn a_change_of_size_within_the_stream_is_followed_and_counted() {
    let Some(server) = RtspServer::start(&["--then-size", "320x240"]) else { return };
    let camera = Camera::start(&rtsp(&server.url(), ""));
    let report = camera.comes_to(|report| report.size_changes > 0);
    assert_eq!((report.size_px, report.connections, report.failures), (Some((320, 240)), 1, 0));
    camera.gives_more(5);
    assert_eq!(camera.widths(), [160, 320]);
}

#[test]
fn lost_packets_cost_pictures_and_no_more() {
    for codec in [&[][..], &["--mjpeg"]] {
        let arguments = [&["--lost-packets", "0.05"], codec].concat();
        let Some(server) = RtspServer::start(&arguments) else { return };
        let camera = Camera::start(&rtsp(&server.url(), ""));
        camera.comes_to(|report| report.frames >= 30);
    }
}

#[test]
fn rubbish_is_survived_and_counted() {
    for url in [babbling_port(), camera_of_random_packets(96, "H264"), camera_of_random_packets(26, "JPEG")] {
        let mut camera = Camera::start(&rtsp(&url, ""));
        camera.comes_to(|report| report.failures >= 2 || report.broken_frames >= 5);
        assert!(camera.stop() < Duration::from_secs(5));
    }
}

#[test]
fn a_camera_that_dies_does_not_slow_another() {
    let Some(alive) = RtspServer::start(&[]) else { return };
    let Some(mut dying) = RtspServer::start(&[]) else { return };
    let (one, other) = (Camera::start(&rtsp(&alive.url(), "")), Camera::start(&rtsp(&dying.url(), "")));
    one.comes_to(|report| report.frames >= 10);
    other.comes_to(|report| report.frames >= 10);
    dying.kill();
    other.comes_to(|report| report.phase == Phase::Waiting);
    let report = one.gives_more(40);
    assert_eq!((report.connections, report.failures), (1, 0));
}

#[test]
fn no_more_pictures_are_taken_than_were_asked_for() {
    let Some(server) = RtspServer::start(&["--frames-per-second", "25"]) else { return };
    let camera = Camera::start(&rtsp(&server.url(), "max_frames_per_second = 5"));
    camera.comes_to(|report| report.frames >= 15);
    let taken = camera.taken.lock().unwrap();
    let (first, last) = (taken.first().unwrap().stream_time, taken.last().unwrap().stream_time);
    let rate = (taken.len() - 1) as f64 / (last - first).as_secs_f64();
    assert!(rate < 5.5, "{rate} a second");
}

#[test]
fn an_encrypted_camera_is_taken_when_its_certificate_is_to_be_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let identity = Authority::new(folder.path(), "nobody").certify(folder.path(), "camera");
    let pem = folder.path().join("camera.pem");
    let parts = [&identity.certificate_file, &identity.key_file].map(|file| std::fs::read_to_string(file).unwrap());
    std::fs::write(&pem, parts.concat()).unwrap();
    let Some(server) = RtspServer::start(&["--certificate", pem.to_str().unwrap()]) else { return };
    let url = format!("rtsps://localhost:{}/front", server.port());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let strict = settings(&rtsp(&url, ""));
    let told = first_picture("front", &strict, clock.now(), Arc::clone(&clock), PATIENCE).unwrap_err().to_string();
    assert!(told.contains("set camera.front.certificate = \"any\""), "{told}");
    let camera = Camera::start(&rtsp(&url, "certificate = \"any\""));
    camera.comes_to(|report| report.frames >= 5);
}

#[test]
fn a_recording_in_the_place_of_a_camera_ends_at_its_end() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..6 {
        RgbImage::new(8, 6).save(folder.path().join(format!("{number}.png"))).unwrap();
    }
    let pictures = format!("kind = \"images\"\nfolder = \"{}\"\ninterval_millis = 100", folder.path().display());
    let camera = Camera::start(&pictures);
    let report = camera.comes_to(|report| report.phase == Phase::Ended);
    assert_eq!((report.frames, report.failures, report.size_px), (6, 0, Some((8, 6))));
    let camera = Camera::start(&format!("{pictures}\nmax_frames_per_second = 5"));
    assert_eq!(camera.comes_to(|report| report.phase == Phase::Ended).frames, 3);
}
