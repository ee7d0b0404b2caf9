//! `umsicht models eval` says what can be worked out by hand, and refuses what it cannot judge.
//!
//! The model of `tests/fixtures/models` answers with the mean colour of 16 cells: a red cell is a D40 with that score, a
//! blue one a D00, a green one a D10.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use image::{GrayImage, Luma, Rgb, RgbImage};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use umsicht::edge::golden::Golden;
use umsicht::edge::infer::model::Manifest;
use umsicht::models::bench::Timing;
use umsicht::schema::device_tag::hex;

use crate::support::onnx::Attribute::{Number, Numbers};
use crate::support::onnx::Network;

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
            .args(["models", "eval", "--model", "blob", "--backend", "tract", "--json"])
            .args(
                if more.contains(&"--models") { None } else { Some([PathBuf::from("--models"), fixtures]) }
                    .iter()
                    .flatten(),
            )
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
    // D40: half right at full recall. D10: one of two found, that is 51 of COCO's 101 recalls. D00 is labelled nowhere.
    close(&report, "/classes/D40/ap50", 0.5);
    close(&report, "/classes/D10/ap50", 51.0 / 101.0);
    close(&report, "/classes/D00/labelled", 0.0);
    close(&report, "/overall/ap50", f64::midpoint(0.5, 51.0 / 101.0));
    // The boxes lie where the labels do, so every overlap finds the same.
    close(&report, "/overall/ap50_95", f64::midpoint(0.5, 51.0 / 101.0));
    let expected = serde_json::json!({
        "D10": { "D00": 1, "nothing": 1 }, "D40": { "D40": 1 }, "nothing": { "D40": 1 },
    });
    assert_eq!(report["confusion"], expected);
}

#[test]
fn sources_and_groups_are_scored_apart_and_intervals_draw_whole_groups() {
    let pictures = example();
    let csv = "file,source,group,boxes\na.png,dnit,road 1,1\nb.webp,dnit,road 1,1\nc.png,\"lens, wide\",road 2,1\n";
    fs::write(pictures.path("manifest.csv"), csv).unwrap();
    let groups = pictures.path("manifest.csv");
    let report = pictures.report(&["--groups", groups.to_str().unwrap()]);
    assert_eq!(report["bootstrap"], serde_json::json!({ "draws": 1000, "unit": "group", "units": 2 }));
    // One right, two wrong of two labelled; and all of one.
    close(&report, "/sources/dnit/f1", 2.0 / 5.0);
    close(&report, "/sources/lens, wide/f1", 1.0);
    close(&report, "/groups/road 2/labelled", 1.0);
    // Two groups: either may be drawn twice.
    close(&report, "/overall/interval_95/f1/0", 2.0 / 5.0);
    close(&report, "/overall/interval_95/f1/1", 1.0);
    let by_picture = pictures.report(&[]);
    assert_eq!(by_picture["bootstrap"]["units"], 3);
    let strangers = pictures.path("strangers.csv");
    fs::write(&strangers, "file,group\nz.png,a\n").unwrap();
    let (code, message) = pictures.refusal(&["--groups", strangers.to_str().unwrap()]);
    assert!(code == 65 && message.contains("none of the pictures"), "{message}");
}

#[test]
fn cover_counts_what_lies_under_the_masks_as_shipped() {
    let report = example().report(&["--match", "cover"]);
    // As shipped three boxes are masked. They hide the D40 and the D10 that was taken for a D00, not the D10 below the threshold;
    // one hides nothing that is labelled.
    close(&report, "/overall/regions", 3.0);
    close(&report, "/overall/recall", 2.0 / 3.0);
    close(&report, "/overall/precision", 2.0 / 3.0);
    close(&report, "/overall/shipped/recall", 2.0 / 3.0);
    // The share p at which two or three of three have a chance of 5 %: 3p² - 2p³ = 0.05.
    close(&report, "/overall/lower_bound_95", 0.13535);
    // That one is 18×18 pixels up to the picture's rim; the boxes enlarged by 20 % take 18×18, 20×20 and 20×18.
    close(&report, "/overall/masked_elsewhere", 324.0 / (3.0 * 4096.0 - 324.0 - 400.0 - 360.0));
    close(&report, "/classes/D10/recall", 0.5);
    close(&report, "/classes/D40/lower_bound_95", 0.05);
    let only = example().report(&["--match", "cover", "--only", "D10"]);
    close(&only, "/overall/regions", 2.0);
    close(&only, "/overall/masked_elsewhere", 324.0 / (3.0 * 4096.0 - 324.0 - 400.0 - 360.0));
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
    let (code, message) = pictures.refusal(&["--min-width-px", "17"]);
    assert!(code == 65 && message.contains("no labelled box is left"), "{message}");
    close(&pictures.report(&["--min-width-px", "15"]), "/overall/labelled", 3.0);
}

#[test]
fn what_cannot_be_judged_is_refused_with_its_place() {
    let refused = |pictures: &Pictures, more: &[&str], code: i32, says: &str| {
        let (found, message) = pictures.refusal(more);
        assert!(found == code && message.contains(says), "{found}: {message}");
    };
    refused(&example(), &["--masks", "anywhere"], 64, "has no extent in its manifest");
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

/// The fixture's answer, and an extent: cells of 8×8, cracks by their blue, potholes by their red.
fn install_with_extent(folder: &Folder) {
    let boxes = |of: fn(u32) -> f32| (0..16).map(of).collect::<Vec<f32>>();
    let places = [boxes(|cell| (cell % 4 * 16 + 8) as f32), boxes(|cell| (cell / 4 * 16 + 8) as f32), vec![16.0; 32]];
    let pool = |side| vec![("kernel_shape", Numbers(vec![side, side])), ("strides", Numbers(vec![side, side]))];
    let network = Network::new(64, 64)
        .node("AveragePool", &["input"], "mean", &pool(16))
        .integers("blue_green_red", &[2, 1, 0])
        .node("Gather", &["mean", "blue_green_red"], "turned", &[("axis", Number(1))])
        .integers("flat", &[1, 3, 16])
        .node("Reshape", &["turned", "flat"], "scores", &[])
        .floats("boxes", &[1, 4, 16], &places.concat())
        .node("Concat", &["boxes", "scores"], "output", &[("axis", Number(1))])
        .node("AveragePool", &["input"], "fine", &pool(8))
        .integers("blue_red", &[2, 0])
        .node("Gather", &["fine", "blue_red"], "extent", &[("axis", Number(1))])
        .output("output", &[1, 7, 16])
        .output("extent", &[1, 2, 8, 8]);
    let file = network.file();
    let hash = hex(&Sha256::digest(&file));
    fs::write(folder.path("blob.onnx"), file).unwrap();
    folder.change_manifest("6b23c257905bb1bbe34362b87c2f04e9140e22d0a55b1c8f07cbf3b7ab785245", &hash);
    let text = fs::read_to_string(folder.path("manifest.toml")).unwrap();
    let extent = "[model.extent]\nclasses = [\"crack\", \"D40\"]\nthreshold = 0.5\n";
    fs::write(folder.path("manifest.toml"), text + extent).unwrap();
}

#[test]
fn masks_are_compared_cell_by_cell() {
    let folder = Folder::new();
    install_with_extent(&folder);
    let pictures = example();
    fs::create_dir(pictures.path("masks")).unwrap();
    // Found in a.png: the eight cells of two red boxes; drawn: one pixel in each of four cells of the first, and one elsewhere.
    let drawn = [(0, 0), (8, 0), (0, 8), (15, 15), (40, 0)];
    let mask = GrayImage::from_fn(64, 64, |x, y| Luma([u8::from(drawn.contains(&(x, y)))]));
    mask.save(pictures.path("masks/a.png")).unwrap();
    let (masks, models) = (pictures.path("masks"), folder.path(""));
    let report = pictures.report(&["--models", models.to_str().unwrap(), "--masks", masks.to_str().unwrap()]);
    close(&report, "/mask/precision", 4.0 / 8.0);
    close(&report, "/mask/recall", 4.0 / 5.0);
    close(&report, "/mask/cell_f1", 8.0 / 13.0);
    assert_eq!((&report["mask"]["cell_px"], &report["mask"]["pictures"]), (&8.into(), &1.into()));
    fs::remove_file(masks.join("a.png")).unwrap();
    let (code, message) = pictures.refusal(&["--models", models.to_str().unwrap(), "--masks", masks.to_str().unwrap()]);
    assert!(code == 65 && message.contains("none of the pictures has a mask"), "{message}");
}

/// A copy of the fixture's folder that a test may change.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models");
        for name in ["manifest.toml", "blob.onnx", "blob.md"] {
            fs::copy(fixtures.join(name), folder.path().join(name)).unwrap();
        }
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn change_manifest(&self, from: &str, to: &str) {
        let text = fs::read_to_string(self.path("manifest.toml")).unwrap();
        assert!(text.contains(from), "{from}");
        fs::write(self.path("manifest.toml"), text.replace(from, to)).unwrap();
    }

    fn verify(&self, more: &[&str]) -> (i32, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_umsicht"));
        let output = command.args(["models", "verify", "--models"]).arg(self.0.path()).args(more).output().unwrap();
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        (output.status.code().unwrap(), said)
    }
}

#[test]
fn a_changed_model_file_is_refused_and_verify_names_it() {
    let folder = Folder::new();
    assert_eq!(folder.verify(&[]).0, 0, "{}", folder.verify(&[]).1);
    let mut bytes = fs::read(folder.path("blob.onnx")).unwrap();
    bytes.push(0);
    fs::write(folder.path("blob.onnx"), &bytes).unwrap();
    fs::write(folder.path("other.onnx"), &bytes).unwrap();
    fs::write(folder.path("blob.md"), "an old card").unwrap();
    let (code, said) = folder.verify(&[]);
    assert_eq!(code, 65);
    for part in ["blob.onnx is not the file", "expected SHA-256", "1.0.0", "other.onnx stands in no entry"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn verify_names_what_the_manifest_says_wrongly_or_not_at_all() {
    for (from, to, says) in [
        ("layout = \"yolo\"", "layout = \"yolov5\"", "the layout \"yolov5\" with 3 classes wants"),
        ("\"D10\", \"D40\"]", "\"D10\", \"D40\", \"Repair\"]", "[1, 8, N], the model answers with [1, 7, 16]"),
        ("width = 64", "width = 96", "an input of [1, 3, 64, 96]"),
        ("licence = \"EUPL-1.2\"\nlayout", "licence = \"\"\nlayout", "names no licence"),
        ("attribution = \"the Umsicht project\"", "attribution = \" \"", "need a name, a licence and an attribution"),
    ] {
        let folder = Folder::new();
        folder.change_manifest(from, to);
        let (code, said) = folder.verify(&[]);
        assert!(code == 65 && said.contains(says), "{to}: {code}: {said}");
    }
}

#[test]
fn the_golden_picture_is_looked_at_and_renewed_on_demand() {
    let folder = Folder::new();
    folder.change_manifest("nms_within_group = true", "nms_within_group = true\ngolden = \"golden.json\"");
    let red_cell = RgbImage::from_fn(64, 64, |x, y| if (x / 16, y / 16) == (2, 1) { Rgb(RED) } else { Rgb([0; 3]) });
    red_cell.save(folder.path("golden.png")).unwrap();
    fs::write(folder.path("golden.json"), r#"{"picture": "golden.png", "detections": []}"#).unwrap();
    let (code, said) = folder.verify(&[]);
    assert!(code == 65 && said.contains("golden.png finds D40 of 1.000 at [32.0, 16.0, 48.0, 32.0]"), "{said}");
    let (code, said) = folder.verify(&["--renew-golden"]);
    assert!(code == 0 && said.contains("blob: 1 detections"), "{said}");
    let renewed = fs::read_to_string(folder.path("golden.json")).unwrap();
    fs::write(folder.path("golden.json"), renewed.replace("1.0", "0.97")).unwrap();
    let (code, said) = folder.verify(&[]);
    assert!(code == 65 && said.contains("finds no D40"), "{said}");
}

#[test]
fn trial_operation_is_told_until_a_camera_never_seen_shows_otherwise() {
    let folder = Folder::new();
    assert!(folder.verify(&[]).1.contains("TRIAL OPERATION"));
    let text = fs::read_to_string(folder.path("manifest.toml")).unwrap();
    fs::write(folder.path("manifest.toml"), text + "[model.metrics]\nunseen_camera_f1 = 0.41\n").unwrap();
    let (code, said) = folder.verify(&[]);
    assert!(code == 0 && !said.contains("TRIAL"), "{said}");
}

#[test]
fn every_shipped_model_says_what_it_learned_from_what_it_scores_and_has_its_golden_picture() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    for spec in Manifest::read(&folder).unwrap().models {
        assert!(!spec.data.is_empty() && !spec.metrics.is_empty(), "{}", spec.name);
        let golden = spec.golden.as_ref().unwrap_or_else(|| panic!("{} has no golden picture", spec.name));
        let golden = Golden::read(&folder.join(golden)).unwrap();
        assert!(!golden.detections.is_empty(), "{}: finding nothing proves little", spec.name);
        assert!(folder.join(golden.picture).is_file(), "{}", spec.name);
    }
}

#[test]
fn bench_measures_each_backend_in_a_process_of_its_own() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models");
    let output = Command::new(env!("CARGO_BIN_EXE_umsicht"))
        .args(["models", "bench", "--json", "--frames", "3", "--threads", "1,2", "--models"])
        .arg(fixtures)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let timings: Vec<Timing> = serde_json::from_value(report["timings"].clone()).unwrap();
    let rows: Vec<(&str, usize)> = timings.iter().map(|t| (t.backend.as_str(), t.threads)).collect();
    assert_eq!(rows, [("ort", 1), ("ort", 2), ("tract", 1)]);
    let tract = &timings[2];
    let (frame, network) = (tract.frame_milliseconds.unwrap(), tract.network_milliseconds.unwrap());
    assert!(network.median > 0.0 && frame.median >= network.median && frame.p95 >= frame.median, "{tract:?}");
    // The program alone takes more than a megabyte, and this network never a gigabyte.
    assert!(tract.peak_memory_bytes.is_some_and(|bytes| (1 << 20..1 << 30).contains(&bytes)), "{tract:?}");
}
