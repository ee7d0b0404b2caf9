//! From a drive to a map: the real `umsicht demo` with its own Mosquitto, on a simulated drive and on a recorded one, and
//! the report that scripts rely on.
//!
//! The recorded drive is real data that is no part of this project: `shared/data` beside the checkout, or above it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use gstreamer as gst;
use gstreamer::prelude::*;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use umsicht::geo::{LatLon, distance_metres};
use umsicht::schema::DamageClass;
use umsicht::world::town::ORIGIN;
use umsicht::world::{Split, Town};

use crate::support::demo::Demo;
use crate::support::mosquitto::Mosquitto;
use crate::support::real_data;

/// What a script may rely on; more may stand in a report, none of this may be missing.
#[derive(Debug, Deserialize)]
struct Report {
    simulated: bool,
    commit: String,
    binary_sha256: String,
    frames: u64,
    dropped_frames: u64,
    sightings: usize,
    detections: Vec<ReportDetection>,
    lost_events: u64,
    defects: Vec<ReportDefect>,
    truth: Option<Truth>,
}

#[derive(Debug, Deserialize)]
struct ReportDetection {
    video_time_seconds: f64,
    #[serde(rename = "box")]
    box_in_image: [f64; 4],
    class: String,
    score: f64,
}

#[derive(Debug, Deserialize)]
struct ReportDefect {
    id: String,
    class: String,
    lat: f64,
    lon: f64,
    length_metres: f64,
    width_metres: f64,
    section: Option<String>,
    grade: f64,
    priority: f64,
    reasons: Vec<String>,
    sightings: usize,
}

#[derive(Debug, Deserialize)]
struct Truth {
    f1: f64,
    position_error_median_metres: Option<f64>,
}

impl Report {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(json.get("truth").is_some(), "truth is there, if only as null");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in\n{text}"))
    }

    /// What holds for every drive on which something was found.
    fn check(&self, width_px: f64, height_px: f64, near: LatLon, within_metres: f64) {
        assert_eq!(self.lost_events, 0);
        assert!(self.frames > 0 && !self.detections.is_empty() && !self.defects.is_empty(), "{self:?}");
        for found in &self.detections {
            let [x0, y0, x1, y1] = found.box_in_image;
            assert!(0.0 <= x0 && x0 < x1 && x1 <= width_px && 0.0 <= y0 && y0 < y1 && y1 <= height_px, "{found:?}");
            assert!(found.class.parse::<DamageClass>().is_ok() && (0.0..=1.0).contains(&found.score), "{found:?}");
            assert!((0.0..60.0).contains(&found.video_time_seconds), "{found:?}");
        }
        let ids: BTreeSet<&str> = self.defects.iter().map(|defect| defect.id.as_str()).collect();
        assert_eq!(ids.len(), self.defects.len(), "each defect has its own id");
        assert_eq!(self.defects.iter().map(|defect| defect.sightings).sum::<usize>(), self.sightings);
        for defect in &self.defects {
            let place = LatLon::new(defect.lat, defect.lon).unwrap();
            assert!(distance_metres(place, near) < within_metres, "{defect:?}");
            assert!(defect.class.parse::<DamageClass>().is_ok(), "{defect:?}");
            let has_size = |metres: f64| metres > 0.0 && metres < 30.0;
            assert!(has_size(defect.length_metres) && has_size(defect.width_metres), "{defect:?}");
            assert!(defect.section.as_ref().is_some_and(|name| !name.is_empty()), "{defect:?}");
            assert!((1.0..=5.0).contains(&defect.grade) && (0.0..=100.0).contains(&defect.priority), "{defect:?}");
            // "+12.5 because …": the points add up to the priority, to their rounding.
            let points: f64 =
                defect.reasons.iter().map(|reason| reason.split(' ').next().unwrap().parse::<f64>().unwrap()).sum();
            assert!((points - defect.priority).abs() < 0.06 * (defect.reasons.len() + 1) as f64, "{defect:?}");
        }
    }
}

fn run(report: &Path, arguments: &[&str]) -> Report {
    let demo = Demo::start(&[&["--headless", "--report", report.to_str().unwrap()], arguments].concat());
    assert_eq!(demo.wait().code(), Some(0));
    Report::read(report)
}

#[test]
fn a_simulated_drive_becomes_defects_with_reasons() {
    if Mosquitto::program().is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let report = run(&folder.path().join("report.json"), &["--for", "15s"]);
    report.check(960.0, 540.0, ORIGIN, 300.0);
    assert!(report.simulated, "a simulation is called one");
    let truth = report.truth.as_ref().expect("a simulated drive has its truth");
    assert!(truth.f1 > 0.0 && truth.f1 <= 1.0, "{truth:?}");
    assert!(truth.position_error_median_metres.is_some_and(|metres| metres < 2.0), "{truth:?}");
    let town = Town::generate(1, Split::Test);
    let streets: BTreeSet<String> = town.scene.streets.iter().map(|street| street.name.to_string()).collect();
    for defect in &report.defects {
        assert!(streets.contains(defect.section.as_deref().unwrap()), "{defect:?}");
    }
    let program = fs::read(env!("CARGO_BIN_EXE_umsicht")).unwrap();
    let hash: String = Sha256::digest(program).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!((report.commit.as_str(), report.binary_sha256), (umsicht::COMMIT, hash));
}

#[test]
fn a_recorded_drive_becomes_defects_on_its_street() {
    let Some(data) = real_data().filter(|_| Mosquitto::program().is_some()) else { return };
    let drive = |kind: &str| data.join("drives").join(format!("drive_a.{kind}")).to_str().unwrap().to_owned();
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.json");
    let report = run(&report, &["--for", "20s", "--video", &drive("mp4"), "--gnss", &drive("nmea")]);
    assert!(!report.simulated && report.truth.is_none(), "nothing about a real street is called simulated");
    let truth = fs::read_to_string(drive("truth.csv")).unwrap();
    let number = |row: &str, column: usize| row.split(',').nth(column).unwrap().parse::<f64>().unwrap();
    let start = truth.lines().nth(1).unwrap();
    report.check(1024.0, 630.0, LatLon::new(number(start, 3), number(start, 4)).unwrap(), 1000.0);
}

#[test]
fn the_demo_ends_with_its_input_unless_it_loops() {
    if Mosquitto::program().is_none() {
        return;
    }
    const FRAMES: u64 = 15;
    let folder = tempfile::tempdir().unwrap();
    let (video, log) = (grey_video(folder.path(), FRAMES), folder.path().join("drive.nmea"));
    fs::write(&log, "$GNRMC,093000.00,A,5000.5000,N,00841.9557,E,19.44,0.0,170326,,,A*40\r\n").unwrap();
    let input = ["--video", video.to_str().unwrap(), "--gnss", log.to_str().unwrap()];
    let once = run(&folder.path().join("once.json"), &input);
    assert_eq!(once.frames + once.dropped_frames, FRAMES, "all of the input, once");
    assert_eq!((once.lost_events, once.sightings, once.defects.len()), (0, 0, 0), "on grey there is no damage");

    let report = folder.path().join("looped.json");
    let looping = ["--headless", "--loop", "--report", report.to_str().unwrap()];
    let mut demo = Demo::start(&[&looping[..], &input[..]].concat());
    for _ in 0..3 {
        demo.wait_for_line("model loaded model=\"road\"");
    }
    assert!(demo.is_running(), "it drives a third time");
    demo.interrupt();
    assert_eq!(demo.wait().code(), Some(0), "Ctrl-C ends it in order");
    let looped = Report::read(&report);
    assert!(looped.frames + looped.dropped_frames >= 2 * FRAMES, "{looped:?}");
}

/// A video of one and a half seconds on which there is nothing to find.
fn grey_video(folder: &Path, frames: u64) -> PathBuf {
    let path = folder.join("grey.mkv");
    gst::init().unwrap();
    let pipeline = gst::parse::launch(&format!(
        "videotestsrc num-buffers={frames} pattern=solid-color foreground-color=0xff606060 ! \
         video/x-raw,width=320,height=240,framerate=10/1 ! jpegenc ! matroskamux ! filesink location=\"{}\"",
        path.display()
    ))
    .unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let end = [gst::MessageType::Eos, gst::MessageType::Error];
    let message = pipeline.bus().unwrap().timed_pop_filtered(gst::ClockTime::from_seconds(30), &end).unwrap();
    pipeline.set_state(gst::State::Null).unwrap();
    assert_eq!(message.type_(), gst::MessageType::Eos, "{message:?}");
    path
}
