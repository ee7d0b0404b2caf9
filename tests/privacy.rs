//! No unmasked region leaves the device.
//!
//! The pixels are guarded three times: by types (only `anonymise` makes a `RedactedImage`), by the property tests beside
//! `anonymise`, and here by a look at the sources and by drives through the real program on which somebody stands beside
//! the damage.

use std::fs;
use std::path::{Path, PathBuf};

use image::{Rgb, RgbImage};
use serde_json::Value;

use crate::support::umsicht;

/// Who may turn pixels into bytes: the guard itself, and the simulated world, which shows nobody.
const MAY_ENCODE: [&str; 2] = ["src/edge/anonymise.rs", "src/world/pictures.rs"];
/// Who may look at unredacted camera pixels: their owner, the model's input, the guard.
const MAY_SEE_UNREDACTED: [&str; 4] =
    ["src/edge/frame.rs", "src/edge/preprocess.rs", "src/edge/detector.rs", "src/edge/anonymise.rs"];
const ENCODERS: [&str; 6] =
    ["JpegEncoder", "PngEncoder", "WebPEncoder", ".write_to(", "write_buffer_with_format", ".save_with_format("];

#[test]
fn only_anonymise_encodes_camera_pixels() {
    for (file, text) in sources() {
        if MAY_ENCODE.iter().any(|allowed| file.ends_with(allowed)) {
            continue;
        }
        for encoder in ENCODERS {
            assert!(!text.contains(encoder), "{} encodes pictures ({encoder}); only anonymise may", file.display());
        }
    }
}

#[test]
fn unredacted_pixels_are_seen_by_the_model_and_the_guard_alone() {
    for (file, text) in sources() {
        if !MAY_SEE_UNREDACTED.iter().any(|allowed| file.ends_with(allowed)) {
            assert!(!text.contains("unredacted("), "{} looks at unredacted pixels", file.display());
        }
    }
}

fn sources() -> Vec<(PathBuf, String)> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("source folders are readable") {
            let path = entry.expect("directory entries are readable").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = fs::read_to_string(&path).expect("source files are readable");
                let shipped = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default().to_owned();
                found.push((path, shipped));
            }
        }
    }
    assert!(found.len() > 10, "the source folder was not found");
    found
}

const BLOB: &str = "6b23c257905bb1bbe34362b87c2f04e9140e22d0a55b1c8f07cbf3b7ab785245";
/// The test model scores a cell of 160 pixels by its colours: as a damage in `road`, as somebody in `privacy`.
const POTHOLE: [u8; 3] = [204, 0, 0];
const FACE: [u8; 3] = [0, 0, 102];

/// One model of a manifest, on the weights of the test model.
fn entry(task: &str, hash: &str, classes: &str, threshold: f32, more: &str) -> String {
    format!(
        "[[model]]\nname = \"{task}\"\ntask = \"{task}\"\nversion = \"1.0.0\"\nfile = \"blob.onnx\"\nsha256 = \"{hash}\"\n\
         card = \"blob.md\"\nlicence = \"EUPL-1.2\"\nlayout = \"yolo\"\nclasses = {classes}\nscore_threshold = {threshold}\n\
         nms_iou = 0.5\n[model.input]\nwidth = 64\nheight = 64\npad_value = 0\nscale = 0.00392156862745098\n{more}"
    )
}

fn road() -> String {
    entry("road", BLOB, r#"["D00", "D10", "D40"]"#, 0.5, "")
}

/// A face from 0.3 on, grown by a quarter; a red cell is no person below 0.95.
fn privacy(hash: &str) -> String {
    let rule = |class, threshold| format!("{class} = {{ score_threshold = {threshold}, dilation = 0.25 }}\n");
    let rules = rule("face", 0.3) + &rule("licence_plate", 0.3) + &rule("person", 0.95);
    entry("privacy", hash, r#"["face", "licence_plate", "person"]"#, 0.3, &format!("[model.masks]\n{rules}"))
}

/// Replays three frames, the second with these cells (column, row, colour), and says whether the one event has a picture.
fn has_picture(manifest: &str, cells: &[(u32, u32, [u8; 3])]) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let (models, pictures) = (folder.path().join("models"), folder.path().join("pictures"));
    fs::create_dir(&models).unwrap();
    fs::create_dir(&pictures).unwrap();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models");
    fs::copy(fixtures.join("blob.onnx"), models.join("blob.onnx")).unwrap();
    fs::write(models.join("manifest.toml"), manifest).unwrap();
    for number in 0..3 {
        let shown = if number == 1 { cells } else { &[] };
        let colour =
            |x, y| shown.iter().find(|cell| (x / 160, y / 160) == (cell.0, cell.1)).map_or([0; 3], |cell| cell.2);
        RgbImage::from_fn(640, 640, |x, y| Rgb(colour(x, y))).save(pictures.join(format!("{number}.png"))).unwrap();
    }
    let point = |second: u32| {
        let latitude = 50.0 + f64::from(second) * 0.00009;
        format!("<trkpt lat=\"{latitude}\" lon=\"8\"><time>2026-03-17T09:30:0{second}Z</time></trkpt>")
    };
    let points: String = (0..4).map(point).collect();
    let gpx = format!("<gpx version=\"1.1\" creator=\"test\"><trk><trkseg>{points}</trkseg></trk></gpx>");
    fs::write(folder.path().join("drive.gpx"), gpx).unwrap();
    let out = folder.path().join("events.jsonl");
    let output = umsicht()
        .args(["edge", "replay", "--video"])
        .arg(&pictures)
        .arg("--gnss")
        .arg(folder.path().join("drive.gpx"))
        .arg("--models")
        .arg(&models)
        .arg("--out")
        .arg(&out)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let events = fs::read_to_string(out).unwrap();
    assert_eq!(events.lines().count(), 1, "the damage is reported, with or without a picture: {events}");
    let event: Value = serde_json::from_str(&events).unwrap();
    event["data"]["has_evidence"].as_bool().unwrap()
}

#[test]
fn somebody_beside_the_damage_takes_the_picture_and_leaves_the_event() {
    let damage = (1, 2, POTHOLE);
    let both = road() + &privacy(BLOB);
    assert!(has_picture(&both, &[damage]), "nobody is there");
    assert!(has_picture(&both, &[damage, (3, 0, FACE)]), "somebody far off is not shown anyway");
    assert!(!has_picture(&both, &[damage, (2, 2, FACE)]), "somebody stands beside the damage");
    assert!(has_picture(&road(), &[damage, (2, 2, FACE)]), "without a privacy model the allow-list stands alone");
}

#[test]
fn a_privacy_model_that_cannot_run_takes_every_picture() {
    let spoiled = "0".repeat(64);
    assert!(!has_picture(&(road() + &privacy(&spoiled)), &[(1, 2, POTHOLE)]));
}
