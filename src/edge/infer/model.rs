//! The models of a folder: `manifest.toml` says what each file is, how to feed it and how to read what it answers.
//!
//! A model is what its hash says it is: the file is read once, checked, and these bytes run. Class names, groups and thresholds
//! belong to the model, so nothing about them is in the code.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};

pub use super::layout::{Column, Layout, NoObject, ScoreKind};
use super::manifest;
use crate::schema::ModelRef;

pub const MANIFEST: &str = "manifest.toml";

#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error("{}: {reason}", path.display())]
    Unreadable { path: PathBuf, reason: String },
    #[error("{}:{line}: {what}", path.display())]
    Manifest { path: PathBuf, line: usize, what: String },
    #[error("{} has no model {name:?}; it has {}", path.display(), known.join(", "))]
    Unknown { path: PathBuf, name: String, known: Vec<String> },
    #[error(
        "{} is not the file that the manifest describes: expected SHA-256 {expected}, found {found}; \
         install the model again, or correct the manifest if the file is the right one",
        path.display()
    )]
    HashDiffers { path: PathBuf, expected: String, found: String },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    Road,
    Privacy,
    Pool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChannelOrder {
    #[default]
    Rgb,
    Bgr,
}

/// How a picture comes to the input's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fit {
    /// It keeps its shape and is centred; the rest is `pad_value`.
    #[default]
    Letterbox,
    /// Width and height are scaled apart, nothing is left over.
    Stretch,
}

/// What the network expects: planes of `(value * scale - mean) / std`, where `pad_value` counts as a value.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputSpec {
    pub width: usize,
    pub height: usize,
    pub pad_value: u8,
    pub scale: f32,
    #[serde(default)]
    pub order: ChannelOrder,
    #[serde(default)]
    pub fit: Fit,
    /// Of red, green and blue, whatever the order; after `scale`.
    #[serde(default)]
    pub mean: [f32; 3],
    #[serde(default = "ones")]
    pub std: [f32; 3],
}

fn ones() -> [f32; 3] {
    [1.0; 3]
}

impl InputSpec {
    /// (factor, summand) for each of red, green and blue: what turns a byte into what the network reads.
    #[must_use]
    pub fn normalisation(&self) -> [(f32, f32); 3] {
        std::array::from_fn(|channel| (self.scale / self.std[channel], -self.mean[channel] / self.std[channel]))
    }
}

/// Pictures a model learned from, and under which terms.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSource {
    pub name: String,
    pub licence: String,
    /// Who must be named, in words that can be printed.
    pub attribution: String,
}

/// Below this F1 on a camera that it never saw in training, a model is in trial operation.
pub const TRIAL_BELOW_F1: f64 = 0.40;
/// The metric that decides it: F1 as shipped at an overlap of 0.5, classes of a group merged.
pub const UNSEEN_CAMERA_F1: &str = "unseen_camera_f1";

/// What of one class of a privacy model is masked.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaskRule {
    pub score_threshold: f32,
    /// Share of the box's width and height by which the mask is larger on each side.
    pub dilation: f32,
}

/// One checked entry of the manifest.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelSpec {
    pub name: String,
    pub task: Task,
    pub version: String,
    /// Beside the manifest, like the card.
    pub file: String,
    /// Lower-case hexadecimal.
    pub sha256: String,
    pub card: String,
    pub licence: String,
    pub layout: Layout,
    /// Names of the graph's outputs that the layout reads, in its order; empty: the first ones.
    pub outputs: Vec<String>,
    pub classes: Vec<String>,
    pub score_threshold: f32,
    /// 1 suppresses nothing.
    pub nms_iou: f32,
    pub nms_within_group: bool,
    /// Classes that are easily taken for one another, by the name of the group.
    pub groups: BTreeMap<String, Vec<String>>,
    pub input: InputSpec,
    /// A second output says how much of a box is damaged; see `edge::extent`.
    pub extent: Option<ExtentSpec>,
    pub data: Vec<DataSource>,
    /// What the card reports, by name.
    pub metrics: BTreeMap<String, f64>,
    /// Beside the manifest: a picture and what the model finds in it (see `edge::golden`).
    pub golden: Option<String>,
    /// Per class of a privacy model, and of no other; see `edge::mask`.
    pub masks: BTreeMap<String, MaskRule>,
}

/// The planes of the extent mask.
#[derive(Debug, Clone, PartialEq)]
pub struct ExtentSpec {
    /// Names of groups or of classes, one per plane.
    pub classes: Vec<String>,
    /// A cell counts as damaged from this probability on.
    pub threshold: f32,
}

impl ModelSpec {
    /// Batch, channels, height, width.
    #[must_use]
    pub fn input_shape(&self) -> [usize; 4] {
        [1, 3, self.input.height, self.input.width]
    }

    #[must_use]
    pub fn class_index(&self, name: &str) -> Option<usize> {
        self.classes.iter().position(|class| class == name)
    }

    /// A number per class; classes of one group share it.
    #[must_use]
    pub fn group_of_class(&self) -> Vec<usize> {
        let first_of_group = |class: &String| {
            let group = self.groups.values().find(|members| members.contains(class))?;
            self.classes.iter().position(|other| group.contains(other))
        };
        self.classes.iter().enumerate().map(|(index, class)| first_of_group(class).unwrap_or(index)).collect()
    }

    /// The extent plane that answers for each class.
    #[must_use]
    pub fn extent_plane_of_class(&self) -> Vec<Option<usize>> {
        let planes: &[String] = self.extent.as_ref().map_or(&[], |extent| &extent.classes);
        let answers = |plane: &String, class: &String| match self.groups.get(plane) {
            Some(members) => members.contains(class),
            None => plane == class,
        };
        self.classes.iter().map(|class| planes.iter().position(|plane| answers(plane, class))).collect()
    }

    /// Whether people must check everything it says: it was not shown to see well enough through a camera it does not know.
    /// A privacy model reports nothing; its card says what it covers.
    #[must_use]
    pub fn is_on_trial(&self) -> bool {
        self.task != Task::Privacy && self.metrics.get(UNSEEN_CAMERA_F1).is_none_or(|f1| *f1 < TRIAL_BELOW_F1)
    }

    #[must_use]
    pub fn model_ref(&self) -> ModelRef {
        ModelRef {
            name: self.name.clone(),
            version: self.version.clone(),
            sha256: self.sha256.clone(),
            trial_operation: self.is_on_trial(),
        }
    }
}

/// All entries of a folder's manifest.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    pub folder: PathBuf,
    pub models: Vec<ModelSpec>,
}

impl Manifest {
    pub fn read(folder: &Path) -> Result<Self, ModelError> {
        let path = folder.join(MANIFEST);
        let text = std::fs::read_to_string(&path)
            .map_err(|e| ModelError::Unreadable { path: path.clone(), reason: e.to_string() })?;
        let models = manifest::parse(&path, &text)?;
        Ok(Self { folder: folder.to_owned(), models })
    }

    pub fn model(&self, name: &str) -> Result<&ModelSpec, ModelError> {
        self.models.iter().find(|model| model.name == name).ok_or_else(|| ModelError::Unknown {
            path: self.folder.join(MANIFEST),
            name: name.to_owned(),
            known: self.models.iter().map(|model| model.name.clone()).collect(),
        })
    }
}

/// A model whose file is what the manifest says.
#[derive(Debug, Clone)]
pub struct Model {
    pub spec: ModelSpec,
    pub folder: PathBuf,
    pub path: PathBuf,
    bytes: Vec<u8>,
}

impl Model {
    /// Reads the manifest and the file of the model `name` and compares their hashes.
    pub fn read(folder: &Path, name: &str) -> Result<Self, ModelError> {
        Self::from_spec(folder, Manifest::read(folder)?.model(name)?.clone())
    }

    pub fn from_spec(folder: &Path, spec: ModelSpec) -> Result<Self, ModelError> {
        let path = folder.join(&spec.file);
        let bytes =
            std::fs::read(&path).map_err(|e| ModelError::Unreadable { path: path.clone(), reason: e.to_string() })?;
        let found = sha256_hex(&bytes);
        if found != spec.sha256 {
            return Err(ModelError::HashDiffers { path, expected: spec.sha256, found });
        }
        Ok(Self { spec, folder: folder.to_owned(), path, bytes })
    }

    /// The checked content of the file.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

pub(super) fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::infer::manifest::tests::{manifest, read};

    #[test]
    fn without_a_good_score_on_an_unseen_camera_a_model_is_on_trial() {
        let with = |line: &str| manifest(|text| format!("{text}[model.metrics]\n{line}"));
        let on_trial = |text: &str| read(text).unwrap()[0].is_on_trial();
        assert!(on_trial(&manifest(str::to_owned)));
        assert!(on_trial(&with("survey_f1 = 0.9")));
        assert!(on_trial(&with("unseen_camera_f1 = 0.39")));
        assert!(!on_trial(&with("unseen_camera_f1 = 0.40")));
    }

    #[test]
    fn a_changed_file_is_refused_with_both_hashes() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(MANIFEST), manifest(str::to_owned)).unwrap();
        std::fs::write(folder.path().join("road.onnx"), b"weights").unwrap();
        assert_eq!(Model::read(folder.path(), "road").unwrap().bytes(), b"weights");
        std::fs::write(folder.path().join("road.onnx"), b"weightz").unwrap();
        let error = Model::read(folder.path(), "road").unwrap_err().to_string();
        for part in ["road.onnx", &sha256_hex(b"weights"), &sha256_hex(b"weightz")] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn an_unknown_model_names_the_known_ones() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(MANIFEST), manifest(str::to_owned)).unwrap();
        let error = Model::read(folder.path(), "raod").unwrap_err().to_string();
        assert!(error.contains("raod") && error.contains("it has road"), "{error}");
    }
}
