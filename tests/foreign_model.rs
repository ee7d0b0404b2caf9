//! A model that others have trained finds people and vehicles in real pictures: the layout `yolox` is read as it is meant, and
//! picture, network and picture coordinates fit together.
//!
//! Needs real data that is no part of this project: `shared/data` beside the checkout, or in a folder above it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use umsicht::edge::detection::{BoundingBox, Detection};
use umsicht::edge::detector::Detector;
use umsicht::edge::frame::CameraImage;
use umsicht::edge::infer::BackendChoice;

use crate::support::real_data;

/// Numbers of the COCO list, by the name the pictures are labelled with.
const PERSON: &[usize] = &[0];
const VEHICLE: &[usize] = &[2, 3, 5, 7];
/// Smaller ones are hard for this network.
const MIN_SIDE_PX: f32 = 48.0;

/// A folder with the weights and a manifest that describes them.
fn describe(weights: &Path, folder: &Path) {
    fs::copy(weights, folder.join("yolox.onnx")).unwrap();
    let printed = Command::new("sha256sum").arg(weights).output().unwrap().stdout;
    let hash = String::from_utf8(printed[..64].to_vec()).unwrap();
    let classes: Vec<String> = (0..80).map(|number| format!("\"coco{number}\"")).collect();
    let manifest = format!(
        "[[model]]\nname = \"yolox\"\ntask = \"privacy\"\nversion = \"0\"\nfile = \"yolox.onnx\"\nsha256 = \"{hash}\"\n\
         card = \"yolox.md\"\nlicence = \"Apache-2.0\"\nlayout = \"yolox\"\nstrides = [8, 16, 32]\nclasses = [{}]\n\
         score_threshold = 0.3\nnms_iou = 0.5\n[model.input]\nwidth = 416\nheight = 416\npad_value = 114\nscale = 1.0\n\
         order = \"bgr\"\n",
        classes.join(", ")
    );
    fs::write(folder.join("manifest.toml"), manifest).unwrap();
}

fn labelled(text: &str, width: f32, height: f32) -> Vec<(usize, BoundingBox)> {
    let read = |line: &str| {
        let values: Vec<f32> = line.split_whitespace().map(|value| value.parse().unwrap()).collect();
        let [class, cx, cy, w, h] = values[..5] else { panic!("{line}") };
        let (x0, x1) = ((cx - w / 2.0) * width, (cx + w / 2.0) * width);
        let (y0, y1) = ((cy - h / 2.0) * height, (cy + h / 2.0) * height);
        (class as usize, BoundingBox::new(x0, y0, x1, y1).unwrap())
    };
    text.lines().map(read).collect()
}

#[test]
fn yolox_finds_people_and_vehicles_in_real_pictures() {
    let Some(data) = real_data().filter(|data| data.join("weights/yolox_nano_416.onnx").is_file()) else {
        eprintln!("SKIPPED: the yolox layout was not tried on real pictures: there is no shared/data with its weights");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    describe(&data.join("weights/yolox_nano_416.onnx"), folder.path());
    let unpacked = Command::new("tar")
        .arg("xf")
        .arg(data.join("privacy.tar"))
        .arg("-C")
        .arg(folder.path())
        .args(["--wildcards", "*/images/coco_*", "*/labels/coco_*"])
        .status()
        .unwrap();
    assert!(unpacked.success());
    let mut detector = Detector::open(folder.path(), "yolox", BackendChoice::Tract).unwrap();
    let mut pictures: Vec<PathBuf> =
        fs::read_dir(folder.path().join("privacy/images")).unwrap().map(|entry| entry.unwrap().path()).collect();
    pictures.sort();
    let (mut to_find, mut found, mut overlap) = (0, 0, 0.0);
    for path in &pictures {
        let pixels = image::open(path).unwrap().into_rgb8();
        let (width, height) = (pixels.width() as f32, pixels.height() as f32);
        let labels = folder.path().join("privacy/labels").join(path.file_name().unwrap()).with_extension("txt");
        let detections = detector.detect(&CameraImage::new(pixels)).unwrap();
        for (class, label) in labelled(&fs::read_to_string(labels).unwrap_or_default(), width, height) {
            let names = if class == 2 { PERSON } else { VEHICLE };
            if (label.x1 - label.x0).min(label.y1 - label.y0) < MIN_SIDE_PX {
                continue;
            }
            let hits = |d: &&Detection| names.contains(&d.class) && d.box_in_image.iou(&label) >= 0.5;
            let best = detections.iter().filter(hits).map(|d| d.box_in_image.iou(&label)).fold(0.0, f32::max);
            to_find += 1;
            found += usize::from(best > 0.0);
            overlap += best;
        }
    }
    assert!(to_find > 50, "only {to_find} people and vehicles are labelled");
    let (recall, mean_overlap) = (found as f32 / to_find as f32, overlap / found.max(1) as f32);
    println!("found {found} of {to_find} people and vehicles, mean overlap {mean_overlap:.2}");
    assert!(recall >= 0.6, "found {found} of {to_find}");
    assert!(mean_overlap >= 0.75, "boxes are displaced: mean overlap {mean_overlap}");
}
