//! Models that a device is updated to: the one that finds the clip's patches under another version, and one that passes its
//! self-test and then fails on the road. Both come as signed bundles.

use std::fs;
use std::path::{Path, PathBuf};

use image::{Rgb, RgbImage};
use sha2::{Digest, Sha256};
use time::macros::datetime;
use umsicht::edge::config::{ModelConfig, UpdateConfig};
use umsicht::edge::infer::{BackendChoice, BackendSettings};
use umsicht::edge::update::bundle::{About, Bundle};
use umsicht::edge::update::key::{PrivateKey, generate};
use umsicht::edge::update::{TrialLimits, Updater, files_of};
use umsicht::models::verify::renew_golden;
use umsicht::schema::device_tag::hex;

use crate::support::clip;
use crate::support::onnx::Attribute::{Number, Numbers};
use crate::support::onnx::Network;

const SIDE: u32 = 64;
const CELLS: i64 = 16;

/// A device's folder with keys and, later, its models.
pub struct Device {
    pub folder: PathBuf,
}

impl Device {
    pub fn new(folder: &Path) -> Self {
        generate(&folder.join("private"), &folder.join("public")).unwrap();
        Self { folder: folder.to_owned() }
    }

    pub fn config(&self) -> UpdateConfig {
        let folder = self.folder.join("models");
        UpdateConfig { inbox: folder.join("inbox"), public_key_file: self.folder.join("public"), folder }
    }

    /// With what came with the program: the clip's model, version 1.0.0.
    pub fn updater(&self, limits: TrialLimits) -> Updater {
        Updater::open(&self.config(), &came_with_the_program(), limits).unwrap()
    }

    pub fn bundle(&self, version: u64, models: &Path) -> Vec<u8> {
        let key = PrivateKey::read(&self.folder.join("private")).unwrap();
        let content = |name: String| (name.clone(), fs::read(models.join(name)).unwrap());
        let files = files_of(models).unwrap().into_iter().map(content).collect();
        let about = About { version, made_at: datetime!(2026-11-20 10:00 UTC), note: None };
        Bundle::seal(&about, files, &key).unwrap()
    }
}

pub fn came_with_the_program() -> ModelConfig {
    let backend = BackendSettings::with_choice(BackendChoice::Tract);
    ModelConfig { folder: clip::models(), name: "road".into(), backend }
}

/// The model that finds the clip's patches, as `version`, with a golden picture that shows each of them.
pub fn colours(folder: &Path, version: &str) -> PathBuf {
    let models = folder.join(format!("colours-{version}"));
    fs::create_dir(&models).unwrap();
    for name in ["colours.onnx", "colours.md"] {
        fs::copy(clip::models().join(name), models.join(name)).unwrap();
    }
    let card = fs::read_to_string(models.join("colours.md")).unwrap();
    fs::write(models.join("colours.md"), format!("{card}\nVersion {version}.\n")).unwrap();
    let manifest = fs::read_to_string(clip::models().join("manifest.toml")).unwrap();
    let manifest = manifest
        .replace("version = \"1.0.0\"", &format!("version = \"{version}\""))
        .replace("nms_iou = 0.5", "nms_iou = 0.5\ngolden = \"golden.json\"");
    let data = "[[model.data]]\nname = \"none\"\nlicence = \"EUPL-1.2\"\nattribution = \"the Umsicht project\"\n";
    fs::write(models.join("manifest.toml"), manifest + data).unwrap();
    let patches = RgbImage::from_fn(320, 200, |x, y| match (x / 80, y / 50) {
        (1, 2) => Rgb([210, 60, 60]),
        (2, 1) => Rgb([60, 60, 200]),
        _ => Rgb([90; 3]),
    });
    golden(&models, &patches);
    models
}

/// Finds nothing in bright pictures; where some part is dark, as on a road, it answers with what is no number.
pub fn fails_on_the_road(folder: &Path) -> PathBuf {
    let models = folder.join("fails");
    fs::create_dir(&models).unwrap();
    let cell = i64::from(SIDE) / 4;
    let boxes = [8.0f32; 4 * CELLS as usize];
    let network = Network::new(SIDE.into(), SIDE.into())
        .node(
            "AveragePool",
            &["input"],
            "mean",
            &[("kernel_shape", Numbers(vec![cell, cell])), ("strides", Numbers(vec![cell, cell]))],
        )
        .integers("flat", &[1, 3, CELLS])
        .node("Reshape", &["mean", "flat"], "rows", &[])
        .node("ReduceMin", &["rows"], "darkest", &[("axes", Numbers(vec![1, 2])), ("keepdims", Number(1))])
        .floats("dark", &[1, 1, 1], &[0.42])
        .node("Sub", &["darkest", "dark"], "above", &[])
        .node("Relu", &["above"], "light", &[])
        .floats("little", &[1, 1, 1], &[1e-9])
        .node("Div", &["little", "light"], "broken", &[])
        .floats("nothing", &[1, 1, 1], &[0.0])
        .node("Mul", &["rows", "nothing"], "silence", &[])
        .node("Add", &["silence", "broken"], "scores", &[])
        .floats("boxes", &[1, 4, CELLS], &boxes)
        .node("Concat", &["boxes", "scores"], "output0", &[("axis", Number(1))])
        .output("output0", &[1, 7, CELLS]);
    let file = network.file();
    let hash = hex(&Sha256::digest(&file));
    fs::write(models.join("fails.onnx"), file).unwrap();
    fs::write(models.join("fails.md"), "Version 9.\n").unwrap();
    let manifest = format!(
        "[[model]]\nname = \"road\"\ntask = \"road\"\nversion = \"9\"\nfile = \"fails.onnx\"\nsha256 = \"{hash}\"\n\
         card = \"fails.md\"\nlicence = \"CC0-1.0\"\nlayout = \"yolo\"\nclasses = [\"D00\", \"D20\", \"D40\"]\n\
         score_threshold = 0.25\nnms_iou = 0.5\ngolden = \"golden.json\"\n\
         [model.input]\nwidth = {SIDE}\nheight = {SIDE}\npad_value = 0\nscale = 0.00392156862745098\n"
    );
    fs::write(models.join("manifest.toml"), manifest).unwrap();
    golden(&models, &RgbImage::from_pixel(SIDE, SIDE, Rgb([255; 3])));
    models
}

fn golden(models: &Path, picture: &RgbImage) {
    picture.save(models.join("golden.png")).unwrap();
    fs::write(models.join("golden.json"), r#"{"picture": "golden.png", "detections": []}"#).unwrap();
    renew_golden(models, &BackendSettings::with_choice(BackendChoice::Tract)).unwrap();
}
