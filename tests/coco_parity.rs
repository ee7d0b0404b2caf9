//! Our average precision is COCO's: the same findings, judged by us and by `pycocotools`.
//!
//! `scripts/prepare.sh test` puts pycocotools, pinned, into the folder that `UMSICHT_PYCOCOTOOLS` names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use umsicht::edge::detection::{BoundingBox, Detection};
use umsicht::models::eval::score::{Seen, Table};
use umsicht::models::groups::Origin;
use umsicht::models::matching::{Labelled, Rules, Smallest};

const CLASSES: [&str; 3] = ["D00", "D20", "D40"];
const PICTURES: usize = 60;

/// Labels, findings near them of all kinds of quality, some of a wrong class, some out of nowhere.
fn picture(dice: &mut ChaCha8Rng) -> Seen {
    let random_box = |dice: &mut ChaCha8Rng| {
        let (x, y) = (dice.random_range(0.0..400.0f32), dice.random_range(0.0..250.0f32));
        let (w, h) = (dice.random_range(10.0..150.0f32), dice.random_range(10.0..100.0f32));
        BoundingBox::new(x, y, x + w, y + h).unwrap()
    };
    let mut labelled = Vec::new();
    let mut found = Vec::new();
    for _ in 0..dice.random_range(0..6) {
        let box_in_image = random_box(dice);
        let class = dice.random_range(0..CLASSES.len());
        labelled.push(Labelled { box_in_image, class, ignored: false });
        for _ in 0..dice.random_range(0..4) {
            let mut shift = |side: f32| side + dice.random_range(-12.0..12.0f32);
            let b = box_in_image;
            let Some(near) = BoundingBox::new(shift(b.x0), shift(b.y0), shift(b.x1), shift(b.y1)) else { continue };
            let class = if dice.random_bool(0.9) { class } else { dice.random_range(0..CLASSES.len()) };
            found.push(Detection { box_in_image: near, class, score: dice.random_range(0.1..1.0) });
        }
    }
    for _ in 0..dice.random_range(0..4) {
        let class = dice.random_range(0..CLASSES.len());
        found.push(Detection { box_in_image: random_box(dice), class, score: dice.random_range(0.01..0.7) });
    }
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    Seen { found, labelled, origin: Origin::default(), cover: None, extent: None }
}

fn corner_and_size(b: &BoundingBox) -> [f64; 4] {
    let [x0, y0, x1, y1] = [b.x0, b.y0, b.x1, b.y1].map(f64::from);
    [x0, y0, x1 - x0, y1 - y0]
}

/// What pycocotools reads: labels, and findings.
fn write(seen: &[Seen], folder: &Path) -> [PathBuf; 2] {
    let mut annotations = Vec::new();
    let mut found = Vec::new();
    for (image, picture) in seen.iter().enumerate() {
        for label in &picture.labelled {
            let b = corner_and_size(&label.box_in_image);
            annotations.push(json!({
                "id": annotations.len() + 1, "image_id": image, "category_id": label.class, "bbox": b,
                "area": b[2] * b[3], "iscrowd": 0,
            }));
        }
        for finding in &picture.found {
            found.push(json!({
                "image_id": image, "category_id": finding.class, "bbox": corner_and_size(&finding.box_in_image),
                "score": finding.score,
            }));
        }
    }
    let categories: Vec<_> = CLASSES.iter().enumerate().map(|(id, name)| json!({ "id": id, "name": name })).collect();
    let images: Vec<_> = (0..seen.len()).map(|id| json!({ "id": id, "width": 640, "height": 400 })).collect();
    let truth = json!({ "info": {}, "images": images, "annotations": annotations, "categories": categories });
    let paths = ["truth.json", "found.json"].map(|name| folder.join(name));
    std::fs::write(&paths[0], truth.to_string()).unwrap();
    std::fs::write(&paths[1], json!(found).to_string()).unwrap();
    paths
}

#[test]
fn average_precision_is_that_of_pycocotools() {
    let library = std::env::var_os("UMSICHT_PYCOCOTOOLS").map(PathBuf::from);
    let Some(library) = library.filter(|folder| folder.join("pycocotools").is_dir()) else {
        eprintln!(
            "SKIPPED: average precision was not compared with pycocotools: UMSICHT_PYCOCOTOOLS names no folder with it"
        );
        return;
    };
    let mut dice = ChaCha8Rng::seed_from_u64(7);
    let seen: Vec<Seen> = (0..PICTURES).map(|_| picture(&mut dice)).collect();
    let folder = tempfile::tempdir().unwrap();
    let [truth, found] = write(&seen, folder.path());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/coco_ap.py");
    let output = Command::new("python3").env("PYTHONPATH", &library).arg(script).args([truth, found]).output();
    let output = output.unwrap();
    if !output.status.success() {
        // A Python that the pinned wheels were not made for.
        eprintln!("SKIPPED: pycocotools does not run here: {}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    let expected: BTreeMap<String, [f64; 2]> = serde_json::from_slice(&output.stdout).unwrap();

    let rules = Rules { kind_of_class: (0..CLASSES.len()).collect(), min_iou: 0.5, smallest: Smallest::default() };
    let kinds: Vec<usize> = (0..CLASSES.len()).collect();
    let table = Table::new(&seen, &rules, &kinds, 0.5);
    let all = vec![1; seen.len()];
    for (kind, name) in CLASSES.into_iter().enumerate() {
        let (ours, theirs) = (table.of_kind(kind, &all), expected[name]);
        assert!(theirs[1] > 0.1 && theirs[0] < 0.95, "the example says too little: {theirs:?}");
        for (ours, theirs) in [(ours.ap50, theirs[0]), (ours.ap50_95, theirs[1])] {
            assert!((ours - theirs).abs() < 1e-6, "{name}: {ours}, pycocotools says {theirs}");
        }
    }
    let overall = table.overall(&all);
    let mean = |at: usize| expected.values().map(|of| of[at]).sum::<f64>() / expected.len() as f64;
    assert!((overall.ap50 - mean(0)).abs() < 1e-6 && (overall.ap50_95 - mean(1)).abs() < 1e-6);
}
