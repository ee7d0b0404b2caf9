//! A model that others have trained runs by its manifest alone: one small network per layout, through both backends.
//!
//! Each network cuts its input of 64×64 into 16 cells and answers with the mean of red, green and blue of each: a red cell is a
//! box of class `red` there. Only the way it says so differs.

use std::fs;
use std::path::{Path, PathBuf};

use image::{Rgb, RgbImage};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use umsicht::edge::detection::Detection;
use umsicht::edge::detector::Detector;
use umsicht::edge::frame::CameraImage;
use umsicht::edge::infer::{BackendChoice, BackendSettings, InferError, library};
use umsicht::schema::device_tag::hex;

use crate::support::onnx::Attribute::{Number, Numbers};
use crate::support::onnx::Network;

const CELL: usize = 16;
const ACROSS: usize = 4;
const CELLS: i64 = 16;

/// One network, how the manifest describes it, and what it makes of a mean.
struct Export {
    name: &'static str,
    manifest: &'static str,
    network: Network,
    score_of_mean: fn(f32) -> f32,
}

fn cells() -> impl Iterator<Item = (f32, f32)> {
    (0..ACROSS * ACROSS).map(|cell| (((cell % ACROSS) * CELL) as f32, ((cell / ACROSS) * CELL) as f32))
}

/// Per cell the numbers that `of` makes of its corner.
fn per_cell<const N: usize>(of: impl Fn(f32, f32) -> [f32; N]) -> Vec<f32> {
    cells().flat_map(|(x, y)| of(x, y)).collect()
}

/// `rows` `[1, 3, 16]` and `columns` `[1, 16, 3]` hold the mean of each colour in each cell.
fn means() -> Network {
    let side = CELL as i64;
    Network::new(64, 64)
        .node(
            "AveragePool",
            &["input"],
            "mean",
            &[("kernel_shape", Numbers(vec![side, side])), ("strides", Numbers(vec![side, side]))],
        )
        .integers("flat", &[1, 3, CELLS])
        .node("Reshape", &["mean", "flat"], "rows", &[])
        .node("Transpose", &["rows"], "columns", &[("perm", Numbers(vec![0, 2, 1]))])
}

fn yolo() -> Network {
    let side = CELL as f32;
    let mut boxes: Vec<f32> = cells().map(|(x, _)| x + side / 2.0).collect();
    boxes.extend(cells().map(|(_, y)| y + side / 2.0));
    boxes.extend([side; 2 * ACROSS * ACROSS]);
    means()
        .floats("boxes", &[1, 4, CELLS], &boxes)
        .node("Concat", &["boxes", "rows"], "output0", &[("axis", Number(1))])
        .output("output0", &[1, 7, CELLS])
}

/// Boxes as written, an objectness of one half, scores: `[1, 16, 8]`.
fn with_objectness(boxes: &[f32]) -> Network {
    means()
        .floats("boxes", &[1, CELLS, 4], boxes)
        .floats("objectness", &[1, CELLS, 1], &[0.5; ACROSS * ACROSS])
        .node("Concat", &["boxes", "objectness", "columns"], "output", &[("axis", Number(2))])
        .output("output", &[1, CELLS, 8])
}

fn yolov5() -> Network {
    let side = CELL as f32;
    with_objectness(&per_cell(|x, y| [x + side / 2.0, y + side / 2.0, side, side]))
}

fn yolox() -> Network {
    with_objectness(&per_cell(|_, _| [0.5, 0.5, 0.0, 0.0]))
}

/// A mean of 1 becomes a logit of 6, a mean of 0 one of -6.
fn logits() -> Network {
    let boxes = per_cell(|x, y| [x + 8.0, y + 8.0, 16.0, 16.0].map(|px| px / 64.0));
    means()
        .floats("places", &[1, CELLS, 4], &boxes)
        .node("Identity", &["places"], "pred_boxes", &[])
        .floats("twelve", &[1], &[12.0])
        .floats("minus_six", &[1], &[-6.0])
        .node("Mul", &["columns", "twelve"], "wide", &[])
        .node("Add", &["wide", "minus_six"], "classes", &[])
}

fn detr_sigmoid() -> Network {
    logits().output("pred_boxes", &[1, CELLS, 4]).output("classes", &[1, CELLS, 3])
}

/// The scores come first here, so that only the names tell which is which.
fn detr_softmax() -> Network {
    logits()
        .floats("nothing", &[1, CELLS, 1], &[0.0; ACROSS * ACROSS])
        .node("Concat", &["classes", "nothing"], "logits", &[("axis", Number(2))])
        .output("logits", &[1, CELLS, 4])
        .output("pred_boxes", &[1, CELLS, 4])
}

fn best_class() -> Network {
    let corners = per_cell(|x, y| [x, y, x + CELL as f32, y + CELL as f32]);
    means()
        .floats("corners", &[1, CELLS, 4], &corners)
        .node("ReduceMax", &["columns"], "score", &[("axes", Numbers(vec![2])), ("keepdims", Number(1))])
        .node("ArgMax", &["columns"], "number", &[("axis", Number(2)), ("keepdims", Number(1))])
        .node("Cast", &["number"], "class", &[("to", Number(1))])
}

fn end_to_end() -> Network {
    best_class()
        .node("Concat", &["corners", "score", "class"], "output0", &[("axis", Number(2))])
        .output("output0", &[1, CELLS, 6])
}

fn end_to_end_with_batch() -> Network {
    best_class()
        .floats("batch", &[1, CELLS, 1], &[0.0; ACROSS * ACROSS])
        .node("Concat", &["batch", "corners", "class", "score"], "together", &[("axis", Number(2))])
        .integers("table", &[CELLS, 7])
        .node("Reshape", &["together", "table"], "output", &[])
        .output("output", &[CELLS, 7])
}

fn certainty(mean: f32) -> f32 {
    1.0 / (1.0 + (6.0 - 12.0 * mean).exp())
}

fn exports() -> Vec<Export> {
    vec![
        Export {
            name: "yolo",
            manifest: "layout = \"yolo\"\nnms_iou = 0.5\n",
            network: yolo(),
            score_of_mean: |mean| mean,
        },
        Export {
            name: "yolov5",
            manifest: "layout = \"yolov5\"\nnms_iou = 0.5\n",
            network: yolov5(),
            score_of_mean: |mean| mean / 2.0,
        },
        Export {
            name: "yolox",
            manifest: "layout = \"yolox\"\nstrides = [16]\nnms_iou = 0.5\n",
            network: yolox(),
            score_of_mean: |mean| mean / 2.0,
        },
        Export {
            name: "detr_sigmoid",
            manifest: "layout = \"detr\"\nscores = \"sigmoid\"\n",
            network: detr_sigmoid(),
            score_of_mean: certainty,
        },
        Export {
            name: "detr_softmax",
            manifest: "layout = \"detr\"\nscores = \"softmax\"\nno_object = \"last\"\noutputs = [\"pred_boxes\", \"logits\"]\n",
            network: detr_softmax(),
            // Against "no object" at 0 and two classes at -6.
            score_of_mean: |mean| {
                let [this, others] = [(12.0 * mean - 6.0).exp(), 2.0 * (-6f32).exp()];
                this / (this + others + 1.0)
            },
        },
        Export {
            name: "end2end",
            manifest: "layout = \"end2end\"\n",
            network: end_to_end(),
            score_of_mean: |mean| mean,
        },
        Export {
            name: "end2end_with_batch",
            manifest: "layout = \"end2end\"\ncolumns = [\"batch\", \"x0\", \"y0\", \"x1\", \"y1\", \"class\", \"score\"]\n",
            network: end_to_end_with_batch(),
            score_of_mean: |mean| mean,
        },
    ]
}

/// A folder with the network and a manifest of `lines` for it.
fn install(network: &Network, lines: &str, side: usize) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let file = network.file();
    let hash = hex(&Sha256::digest(&file));
    fs::write(folder.path().join("own.onnx"), file).unwrap();
    let manifest = format!(
        "[[model]]\nname = \"own\"\ntask = \"road\"\nversion = \"7\"\nfile = \"own.onnx\"\nsha256 = \"{hash}\"\n\
         card = \"own.md\"\nlicence = \"CC0-1.0\"\nclasses = [\"red\", \"green\", \"blue\"]\nscore_threshold = 0.3\n{lines}\
         [model.input]\nwidth = {side}\nheight = {side}\npad_value = 0\nscale = 0.00392156862745098\n"
    );
    fs::write(folder.path().join("manifest.toml"), manifest).unwrap();
    folder
}

fn open(folder: &Path, choice: BackendChoice) -> Result<Detector, InferError> {
    let probe_program = Some(PathBuf::from(env!("CARGO_BIN_EXE_umsicht")));
    Detector::open_with(folder, "own", &BackendSettings { choice, probe_program, ..BackendSettings::default() })
}

/// Red at the top left, a darker green beside the middle, blue at the right.
fn picture() -> CameraImage {
    CameraImage::new(RgbImage::from_fn(64, 64, |x, y| match (x / 16, y / 16) {
        (0, 0) => Rgb([255, 0, 0]),
        (1, 2) => Rgb([0, 204, 0]),
        (3, 1) => Rgb([0, 0, 255]),
        _ => Rgb([0; 3]),
    }))
}

fn check(export: &Export, backend: &str, found: &[Detection]) {
    let expected = [(0, 1.0, [0.0, 0.0]), (2, 1.0, [48.0, 16.0]), (1, 0.8, [16.0, 32.0])];
    assert_eq!(found.len(), expected.len(), "{} on {backend}: {found:?}", export.name);
    for (class, mean, [x, y]) in expected {
        let of_class = found.iter().find(|found| found.class == class);
        let found = of_class.unwrap_or_else(|| panic!("{} on {backend}: {found:?}", export.name));
        let score = (export.score_of_mean)(mean);
        assert!((found.score - score).abs() < 1e-3, "{} on {backend}: {found:?}", export.name);
        let b = found.box_in_image;
        for (side, wanted) in [(b.x0, x), (b.y0, y), (b.x1, x + 16.0), (b.y1, y + 16.0)] {
            assert!((side - wanted).abs() < 1e-3, "{} on {backend}: {found:?}", export.name);
        }
    }
}

#[test]
fn every_layout_runs_by_its_manifest_alone() {
    let mut backends = vec![BackendChoice::Tract];
    match library::find(None) {
        Ok(_) => backends.push(BackendChoice::Ort),
        Err(missing) => eprintln!("SKIPPED: the layouts were not tried on ONNX Runtime: {missing}"),
    }
    for export in exports() {
        let folder = install(&export.network, export.manifest, 64);
        for &backend in &backends {
            let mut detector = open(folder.path(), backend).unwrap_or_else(|e| panic!("{}: {e}", export.name));
            let found = detector.detect(&picture()).unwrap();
            check(&export, detector.backend_name(), &found);
        }
    }
}

#[test]
fn a_model_whose_answer_does_not_fit_its_manifest_is_refused_before_the_first_picture() {
    let exports = exports();
    for export in &exports {
        for other in &exports {
            // These two look alike; only pictures tell them apart.
            let alike = ["yolov5", "yolox"];
            let same = export.name == other.name || [export.name, other.name].iter().all(|name| alike.contains(name));
            if same {
                continue;
            }
            let folder = install(&export.network, other.manifest, 64);
            let message = open(folder.path(), BackendChoice::Tract).err().map(|e| e.to_string()).unwrap_or_default();
            let layout = other.manifest.split('"').nth(1).unwrap();
            let told = message.contains(&format!("the layout {layout:?}")) && message.contains("[1, ")
                || message.contains("names the output");
            assert!(told, "{} read as {}: {message:?}", export.name, other.name);
        }
    }
}

#[test]
fn a_manifest_with_another_input_is_refused_on_both_backends() {
    let folder = install(&yolo(), "layout = \"yolo\"\nnms_iou = 0.5\n", 96);
    let refusal = |choice| open(folder.path(), choice).err().map(|e| e.to_string()).unwrap_or_default();
    let mut messages = vec![refusal(BackendChoice::Tract)];
    if library::find(None).is_ok() {
        messages.push(refusal(BackendChoice::Ort));
    }
    for message in messages {
        for part in ["[1, 3, 96, 96]", "\"input\" of [1, 3, 64, 64]"] {
            assert!(message.contains(part), "{part}: {message}");
        }
    }
}
