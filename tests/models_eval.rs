//! `umsicht models eval` says what can be worked out by hand, and refuses what it cannot judge.
//!
//! The model of `tests/fixtures/models` answers with the mean colour of 16 cells: a red cell is a D40 with that score, a
//! blue one a D00, a green one a D10.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use image::{Rgb, RgbImage};
use serde_json::Value;
use tempfile::TempDir;

/// Pictures of the model's own 64×64, so that colours stay exact, with labels beside them. A cell has 16 pixels.
struct Pictures {
    folder: TempDir,
}

impl Pictures {
    fn new(classes: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["images", "labels", "ignore"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        fs::write(folder.path().join("classes.txt"), classes).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Cells as (column, row, colour); labels as (class, column, row).
    fn add(&self, name: &str, cells: &[(u32, u32, [u8; 3])], labels: &[(usize, u32, u32)]) {
        let picture = RgbImage::from_fn(64, 64, |x, y| {
            let cell = cells.iter().find(|(column, row, _)| (x / 16, y / 16) == (*column, *row));
            Rgb(cell.map_or([0; 3], |cell| cell.2))
        });
        picture.save(self.path("images").join(name)).unwrap();
        self.label("labels", name, labels);
    }

    fn label(&self, folder: &str, picture: &str, labels: &[(usize, u32, u32)]) {
        let centre = |cell: u32| (f64::from(cell) + 0.5) / 4.0;
        let line = |(class, x, y): &(usize, u32, u32)| format!("{class} {} {} 0.25 0.25\n", centre(*x), centre(*y));
        let file = self.path(folder).join(picture).with_extension("txt");
        fs::write(file, labels.iter().map(line).collect::<String>()).unwrap();
    }

    fn run(&self, more: &[&str]) -> Output {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models");
        Command::new(env!("CARGO_BIN_EXE_umsicht"))
            .args(["models", "eval", "--model", "blob", "--backend", "tract", "--json", "--models"])
            .arg(fixtures)
            .args(["--images".into(), self.path("images"), "--labels".into(), self.path("labels")])
            .args(["--classes".into(), self.path("classes.txt")])
            .args(more)
            .output()
            .unwrap()
    }

    fn report(&self, more: &[&str]) -> Value {
        let output = self.run(more);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn refusal(&self, more: &[&str]) -> (i32, String) {
        let output = self.run(more);
        assert!(output.stdout.is_empty(), "a refusal prints no result");
        (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

const CLASSES: &str = "D00_longitudinal_crack\nD10_transverse_crack\nD40_pothole\n";
const RED: [u8; 3] = [255, 0, 0];
const BLUE: [u8; 3] = [0, 0, 255];
const PALE_GREEN: [u8; 3] = [0, 102, 0];

/// Found: D40 at 1.0 twice (one is wrong), D00 at 1.0 where D10 is labelled, D10 at 0.4. Labelled: D40, D10 twice.
fn example() -> Pictures {
    let pictures = Pictures::new(CLASSES);
    pictures.add("a.png", &[(0, 0, RED), (3, 3, RED)], &[(2, 0, 0)]);
    pictures.add("b.webp", &[(1, 2, BLUE)], &[(1, 1, 2)]);
    pictures.add("c.png", &[(2, 0, PALE_GREEN)], &[(1, 2, 0)]);
    pictures
}

fn close(report: &Value, pointer: &str, expected: f64) {
    let found = report.pointer(pointer).and_then(Value::as_f64).unwrap_or_else(|| panic!("{pointer} in {report:#}"));
    assert!((found - expected).abs() < 1e-3, "{pointer} is {found}, not {expected}: {report:#}");
}

#[test]
fn exact_classes() {
    let report = example().report(&[]);
    // At 0.4: two right (D40, D10), two wrong (D40, D00), three labelled. As shipped, at 0.5: one right, two wrong.
    close(&report, "/overall/f1", 4.0 / 7.0);
    close(&report, "/overall/precision", 0.5);
    close(&report, "/overall/recall", 2.0 / 3.0);
    close(&report, "/overall/threshold", 0.4);
    close(&report, "/overall/shipped/threshold", 0.5);
    close(&report, "/overall/shipped/f1", 2.0 / 6.0);
    // D40: half right at full recall. D10: one of two found. D00 is labelled nowhere.
    close(&report, "/classes/D40/ap50", 0.5);
    close(&report, "/classes/D10/ap50", 0.5);
    close(&report, "/classes/D00/labelled", 0.0);
    close(&report, "/overall/ap50", 0.5);
}

#[test]
fn groups_of_the_manifest_count_as_one_and_any_class_as_any() {
    let report = example().report(&["--match", "group"]);
    close(&report, "/classes/crack/f1", 1.0);
    close(&report, "/classes/crack/labelled", 2.0);
    close(&report, "/overall/f1", 6.0 / 7.0);
    assert_eq!(report["classes"].as_object().unwrap().len(), 2);
    let report = example().report(&["--match", "any"]);
    close(&report, "/overall/f1", 6.0 / 7.0);
    close(&report, "/overall/shipped/recall", 2.0 / 3.0);
}

#[test]
fn what_is_ignored_is_neither_found_nor_missed() {
    let pictures = example();
    pictures.label("ignore", "a.png", &[(2, 3, 3)]);
    let folder = pictures.path("ignore");
    let report = pictures.report(&["--only", "D40", "--ignore-labels", folder.to_str().unwrap()]);
    close(&report, "/overall/f1", 1.0);
    close(&report, "/overall/labelled", 1.0);
    assert_eq!(report["classes"].as_object().unwrap().keys().collect::<Vec<_>>(), ["D40"]);
    close(&pictures.report(&["--ignore-classes", "D10_transverse_crack,D00"]), "/overall/labelled", 1.0);
    let (code, message) = pictures.refusal(&["--min-side-px", "17"]);
    assert!(code == 65 && message.contains("no labelled box is left"), "{message}");
    close(&pictures.report(&["--min-side-px", "15"]), "/overall/labelled", 3.0);
}

#[test]
fn what_cannot_be_judged_is_refused_with_its_place() {
    let refused = |pictures: &Pictures, more: &[&str], code: i32, says: &str| {
        let (found, message) = pictures.refusal(more);
        assert!(found == code && message.contains(says), "{found}: {message}");
    };
    refused(&example(), &["--match", "cover"], 64, "--match cover is not available yet");
    refused(&example(), &["--masks", "anywhere"], 64, "--masks is not available yet");
    refused(&example(), &["--only", "D99"], 64, "--only names \"D99\"");
    refused(&example(), &["--iou", "1.5"], 64, "--iou");
    let unknown = Pictures::new("D00\nmanhole\n");
    unknown.add("a.png", &[], &[(0, 0, 0)]);
    refused(&unknown, &[], 64, "classes.txt:2: \"manhole\"");
    close(&unknown.report(&["--ignore-classes", "manhole"]), "/overall/f1", 0.0);
    let broken = example();
    fs::write(broken.path("labels/b.txt"), "0 0.5 0.5 0.1 0.1\n7 0.5 0.5 0.1 0.1\n").unwrap();
    refused(&broken, &[], 65, "b.txt:2: class 7");
    let torn = example();
    fs::write(torn.path("images/b.webp"), "no picture").unwrap();
    refused(&torn, &[], 65, "b.webp");
    let bare = example();
    fs::remove_dir_all(bare.path("labels")).unwrap();
    refused(&bare, &[], 65, "none of 3 pictures has a label file");
    fs::remove_dir_all(bare.path("images")).unwrap();
    refused(&bare, &[], 65, "images");
}

#[test]
fn a_changed_model_file_is_refused_and_verify_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models");
    for name in ["manifest.toml", "blob.onnx", "blob.md"] {
        fs::copy(fixtures.join(name), folder.path().join(name)).unwrap();
    }
    let verify = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_umsicht"));
        let output = command.args(["models", "verify", "--models"]).arg(folder.path()).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    assert_eq!(verify().0, 0);
    let mut bytes = fs::read(folder.path().join("blob.onnx")).unwrap();
    bytes.push(0);
    fs::write(folder.path().join("blob.onnx"), &bytes).unwrap();
    fs::write(folder.path().join("other.onnx"), &bytes).unwrap();
    fs::write(folder.path().join("blob.md"), "an old card").unwrap();
    let (code, said) = verify();
    assert_eq!(code, 65);
    for part in ["blob.onnx is not the file", "expected SHA-256", "1.0.0", "other.onnx stands in no entry"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}
