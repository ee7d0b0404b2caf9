//! `umsicht models drive`: stretches of road with and without damage, with and without a sighting, through the real program.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Output;
use std::time::Duration;

use serde_json::Value;
use umsicht::schema::DamageClass;

use crate::support::clip::{self, Clip, Patch};
use crate::support::umsicht;

const LABELS: &str = "still,class,x0,y0,x1,y1\n";

/// A drive past two damages, far from each other.
struct Drive {
    folder: tempfile::TempDir,
    pictures: PathBuf,
    log: PathBuf,
    config: PathBuf,
}

impl Drive {
    fn new() -> Self {
        let patch = |class, along_metres| Patch {
            class,
            along_metres,
            left_metres: 0.3,
            length_metres: 0.8,
            width_metres: 0.6,
        };
        let patches = vec![patch(DamageClass::Pothole, 20.0), patch(DamageClass::AlligatorCrack, 50.0)];
        let clip = Clip { patches, along_at: |seconds| 8.0 * seconds, duration: Duration::from_secs(8) };
        let folder = tempfile::tempdir().unwrap();
        let pictures = clip.write_pictures(folder.path(), Duration::ZERO, clip.duration);
        let log = clip.write_log(folder.path());
        let config = clip::write_config(folder.path(), "tract");
        Self { folder, pictures, log, config }
    }

    /// What the model finds, as labels, of the chosen classes.
    fn found(&self, chosen: impl Fn(&str) -> bool) -> String {
        let detections = self.folder.path().join("boxes.jsonl");
        let output = umsicht()
            .args(["edge", "replay", "--config"])
            .arg(&self.config)
            .arg("--video")
            .arg(&self.pictures)
            .arg("--gnss")
            .arg(&self.log)
            .arg("--out")
            .arg(self.folder.path().join("events.jsonl"))
            .arg("--detections")
            .arg(&detections)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut labels = LABELS.to_owned();
        for line in fs::read_to_string(detections).unwrap().lines() {
            let found: Value = serde_json::from_str(line).unwrap();
            let class = found["class"].as_str().unwrap();
            if chosen(class) {
                let still = (found["video_time_seconds"].as_f64().unwrap() / 0.2).round();
                let corners: Vec<String> = found["box"].as_array().unwrap().iter().map(ToString::to_string).collect();
                writeln!(labels, "{still},{class},{}", corners.join(",")).unwrap();
            }
        }
        labels
    }

    fn judged(&self, labels: &str, more: &[&str]) -> Output {
        let boxes = self.folder.path().join("boxes.csv");
        fs::write(&boxes, labels).unwrap();
        umsicht()
            .args(["models", "drive", "--model", "road", "--models"])
            .arg(clip::models())
            .arg("--config")
            .arg(&self.config)
            .arg("--video")
            .arg(&self.pictures)
            .arg("--gnss")
            .arg(&self.log)
            .arg("--boxes")
            .arg(&boxes)
            .args(more)
            .output()
            .unwrap()
    }

    fn report(&self, labels: &str) -> Value {
        let output = self.judged(labels, &["--json", "--thresholds", "0.99,0.3"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

/// At the lower of the two thresholds.
fn share(report: &Value, name: &str) -> f64 {
    report["curve"][0][name].as_f64().unwrap()
}

#[test]
fn labels_like_the_detections_are_found_and_others_are_missed() {
    let drive = Drive::new();
    let both = drive.report(&drive.found(|_| true));
    assert_eq!(both["curve"][0]["sightings"], 2, "{both}");
    assert_eq!((share(&both, "found_share"), share(&both, "right_share")), (1.0, 1.0), "{both}");
    assert!(share(&both, "covered_share") < 0.5, "{both}");

    let pothole = drive.report(&drive.found(|class| class == "D40"));
    assert_eq!((share(&pothole, "found_share"), share(&pothole, "right_share")), (1.0, 0.5), "{pothole}");

    // A damage near the end that the model does not see.
    let missed = drive.report(&format!("{}39,D00,200,230,280,260\n", drive.found(|_| true)));
    assert!(share(&missed, "found_share") < 1.0 && share(&missed, "right_share") == 1.0, "{missed}");

    let curve = both["curve"].as_array().unwrap();
    let thresholds: Vec<f64> = curve.iter().map(|point| point["threshold"].as_f64().unwrap()).collect();
    assert!(thresholds.len() == 2 && thresholds[0] < thresholds[1], "{curve:?}");
    assert_eq!((&curve[1]["sightings"], &curve[1]["right_share"]), (&Value::from(0), &Value::Null), "{curve:?}");
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let drive = Drive::new();
    let told = |labels: &str, more: &[&str]| {
        let output = drive.judged(labels, more);
        (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, text) = told(&format!("{LABELS}0,manhole,1,2,3,4\n"), &[]);
    assert!(code == 65 && text.contains("boxes.csv: line 2: \"manhole\""), "{code}: {text}");
    let (code, text) = told(&format!("{LABELS}900,D40,1,2,3,4\n"), &[]);
    assert!(code == 65 && text.contains("frame 900") && text.contains("40 frames"), "{code}: {text}");
    let (code, text) = told(&format!("{LABELS}3,D40,1,2,900,4\n"), &[]);
    assert!(code == 65 && text.contains("frame 3") && text.contains("480×300"), "{code}: {text}");
    let (code, text) = told(LABELS, &["--stretch-metres", "0"]);
    assert!(code == 64 && text.contains("--stretch-metres 0 must lie between 0.5 and 1000"), "{code}: {text}");
    let (code, text) = told(LABELS, &["--thresholds", "0.5,7"]);
    assert!(code == 64 && text.contains("--thresholds: 7 must lie above 0 and up to 1"), "{code}: {text}");
}
