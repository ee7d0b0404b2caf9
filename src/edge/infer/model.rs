//! The models of a folder: `manifest.toml` says what each file is, how to feed it and how to read what it answers.
//!
//! A model is what its hash says it is: the file is read once, checked, and these bytes run. Class names, groups and thresholds
//! belong to the model, so nothing about them is in the code.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};
use toml::Spanned;

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

/// How the output tensor is laid out; see `edge::postprocess`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layout {
    /// `[1, 4 + C, N]`: centre and size in input pixels, then class scores.
    Yolo,
    /// `[1, N, 5 + C]`: offsets within a grid cell, log sizes, objectness, class scores; one grid per stride.
    Yolox { strides: Vec<usize> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChannelOrder {
    #[default]
    Rgb,
    Bgr,
}

/// What the network expects: planes of `value * scale`, the picture centred, the rest `pad_value`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputSpec {
    pub width: usize,
    pub height: usize,
    pub pad_value: u8,
    pub scale: f32,
    #[serde(default)]
    pub order: ChannelOrder,
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
    pub classes: Vec<String>,
    pub score_threshold: f32,
    pub nms_iou: f32,
    pub nms_within_group: bool,
    /// Classes that are easily taken for one another, by the name of the group.
    pub groups: BTreeMap<String, Vec<String>>,
    pub input: InputSpec,
    /// A second output says how much of a box is damaged; see `edge::extent`.
    pub extent: Option<ExtentSpec>,
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

    #[must_use]
    pub fn model_ref(&self) -> ModelRef {
        ModelRef { name: self.name.clone(), version: self.version.clone(), sha256: self.sha256.clone() }
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
        let models = parse(&path, &text)?;
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

fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawManifest {
    #[serde(default)]
    model: Vec<Spanned<RawModel>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawModel {
    name: Spanned<String>,
    task: Task,
    version: String,
    file: Spanned<String>,
    sha256: Spanned<String>,
    card: Spanned<String>,
    licence: String,
    layout: Spanned<String>,
    strides: Option<Spanned<Vec<usize>>>,
    classes: Spanned<Vec<String>>,
    score_threshold: Spanned<f32>,
    nms_iou: Spanned<f32>,
    #[serde(default)]
    nms_within_group: bool,
    #[serde(default)]
    groups: BTreeMap<String, Spanned<Vec<String>>>,
    input: Spanned<InputSpec>,
    extent: Option<RawExtent>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawExtent {
    classes: Spanned<Vec<String>>,
    threshold: Spanned<f32>,
}

fn parse(path: &Path, text: &str) -> Result<Vec<ModelSpec>, ModelError> {
    let wrong = |span: Range<usize>, what: String| {
        let line = 1 + text.get(..span.start).unwrap_or_default().bytes().filter(|byte| *byte == b'\n').count();
        ModelError::Manifest { path: path.to_owned(), line, what }
    };
    let raw: RawManifest =
        toml::from_str(text).map_err(|e| wrong(e.span().unwrap_or(0..0), e.message().replace('\n', ", ")))?;
    let mut models: Vec<ModelSpec> = Vec::with_capacity(raw.model.len());
    for entry in raw.model {
        let name_span = entry.get_ref().name.span();
        let model = checked(entry.into_inner()).map_err(|(span, what)| wrong(span, what))?;
        if models.iter().any(|other| other.name == model.name) {
            return Err(wrong(name_span, format!("a second model is named {:?}; names must differ", model.name)));
        }
        models.push(model);
    }
    if models.is_empty() {
        return Err(wrong(0..0, "there is no model in it; write a section [[model]]".into()));
    }
    Ok(models)
}

type Wrong = (Range<usize>, String);

fn checked(raw: RawModel) -> Result<ModelSpec, Wrong> {
    let sha256 = raw.sha256.get_ref();
    let is_hash = sha256.len() == 64 && sha256.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if !is_hash {
        let what = "sha256 must be 64 lower-case hexadecimal digits; `sha256sum FILE` prints them";
        return Err((raw.sha256.span(), what.into()));
    }
    for name in [&raw.file, &raw.card] {
        if Path::new(name.get_ref()).components().count() != 1 || name.get_ref().starts_with(['.', '/']) {
            return Err((name.span(), format!("{:?} must be the name of a file beside the manifest", name.get_ref())));
        }
    }
    let classes = raw.classes.get_ref();
    let repeated = classes.iter().enumerate().any(|(index, class)| classes[..index].contains(class));
    if classes.is_empty() || repeated {
        return Err((raw.classes.span(), "classes must be a list of different names, at least one".into()));
    }
    for (key, value) in [("score_threshold", &raw.score_threshold), ("nms_iou", &raw.nms_iou)] {
        if !(*value.get_ref() > 0.0 && *value.get_ref() <= 1.0) {
            return Err((value.span(), format!("{key} must lie above 0 and up to 1")));
        }
    }
    let mut grouped: Vec<&String> = Vec::new();
    for (group, members) in &raw.groups {
        for class in members.get_ref() {
            if !classes.contains(class) {
                return Err((
                    members.span(),
                    format!("the group {group} names {class:?}, which is not one of classes"),
                ));
            }
            if grouped.contains(&class) {
                return Err((members.span(), format!("{class:?} is in more than one group, or twice in {group}")));
            }
            grouped.push(class);
        }
    }
    let input = raw.input.get_ref();
    let sides_fit = [input.width, input.height].iter().all(|side| (32..=4096).contains(side));
    if !sides_fit || !input.scale.is_finite() || input.scale <= 0.0 {
        return Err((raw.input.span(), "input needs width and height from 32 to 4096 and a scale above 0".into()));
    }
    let layout = layout(&raw.layout, raw.strides.as_ref(), input)?;
    let extent = raw.extent.map(|extent| checked_extent(extent, classes, &raw.groups)).transpose()?;
    let groups = raw.groups.into_iter().map(|(group, members)| (group, members.into_inner())).collect();
    Ok(ModelSpec {
        name: raw.name.into_inner(),
        task: raw.task,
        version: raw.version,
        file: raw.file.into_inner(),
        sha256: raw.sha256.into_inner(),
        card: raw.card.into_inner(),
        licence: raw.licence,
        layout,
        classes: raw.classes.into_inner(),
        score_threshold: raw.score_threshold.into_inner(),
        nms_iou: raw.nms_iou.into_inner(),
        nms_within_group: raw.nms_within_group,
        groups,
        input: raw.input.into_inner(),
        extent,
    })
}

fn checked_extent(
    raw: RawExtent,
    classes: &[String],
    groups: &BTreeMap<String, Spanned<Vec<String>>>,
) -> Result<ExtentSpec, Wrong> {
    if let Some(name) = raw.classes.get_ref().iter().find(|name| !classes.contains(name) && !groups.contains_key(*name))
    {
        return Err((raw.classes.span(), format!("the extent names {name:?}, which is neither a class nor a group")));
    }
    if raw.classes.get_ref().is_empty() {
        return Err((raw.classes.span(), "the extent needs at least one class".into()));
    }
    if !(*raw.threshold.get_ref() > 0.0 && *raw.threshold.get_ref() < 1.0) {
        return Err((raw.threshold.span(), "the extent's threshold must lie between 0 and 1".into()));
    }
    Ok(ExtentSpec { classes: raw.classes.into_inner(), threshold: raw.threshold.into_inner() })
}

fn layout(name: &Spanned<String>, strides: Option<&Spanned<Vec<usize>>>, input: &InputSpec) -> Result<Layout, Wrong> {
    match (name.get_ref().as_str(), strides) {
        ("yolo", None) => Ok(Layout::Yolo),
        ("yolo", Some(strides)) => Err((strides.span(), "strides belong to the layout \"yolox\" only".into())),
        ("yolox", None) => Err((name.span(), "the layout \"yolox\" needs strides, as [8, 16, 32]".into())),
        ("yolox", Some(strides)) => {
            let divides = |stride: &usize| {
                *stride > 0 && input.width.is_multiple_of(*stride) && input.height.is_multiple_of(*stride)
            };
            if strides.get_ref().is_empty() || !strides.get_ref().iter().all(divides) {
                return Err((strides.span(), "each of strides must divide the input's width and height".into()));
            }
            Ok(Layout::Yolox { strides: strides.get_ref().clone() })
        }
        (other, _) => Err((name.span(), format!("layout {other:?} is not known; write \"yolo\" or \"yolox\""))),
    }
}

#[cfg(test)]
pub(in crate::edge) mod tests {
    use super::*;

    /// The test manifest's model, with planes for cracks and potholes.
    pub(in crate::edge) fn spec_with_extent() -> ModelSpec {
        let text =
            manifest(|text| format!("{text}\n[model.extent]\nclasses = [\"crack\", \"D40\"]\nthreshold = 0.5\n"));
        read(&text).unwrap().remove(0)
    }

    #[test]
    fn an_extent_of_an_unknown_kind_is_refused_with_its_line() {
        let text = manifest(|text| format!("{text}\n[model.extent]\nclasses = [\"snow\"]\nthreshold = 0.5\n"));
        let error = read(&text).unwrap_err().to_string();
        assert!(error.contains("\"snow\"") && error.contains("neither a class nor a group"), "{error}");
    }

    fn manifest(change: impl Fn(&str) -> String) -> String {
        change(&format!(
            r#"[[model]]
name = "road"
task = "road"
version = "0.1.0"
file = "road.onnx"
sha256 = "{}"
card = "road.md"
licence = "CC-BY-SA-4.0"
layout = "yolo"
classes = ["D00", "D10", "D40"]
score_threshold = 0.3
nms_iou = 0.5
nms_within_group = true
[model.groups]
crack = ["D00", "D10"]
[model.input]
width = 512
height = 320
pad_value = 114
scale = 0.003921569
"#,
            sha256_hex(b"weights")
        ))
    }

    fn read(text: &str) -> Result<Vec<ModelSpec>, ModelError> {
        parse(Path::new("models/manifest.toml"), text)
    }

    #[test]
    fn a_good_manifest_is_read() {
        let models = read(&manifest(str::to_owned)).unwrap();
        assert_eq!(models[0].input_shape(), [1, 3, 320, 512]);
        assert_eq!(models[0].layout, Layout::Yolo);
        let groups = models[0].group_of_class();
        assert_eq!(groups[0], groups[1]);
        assert_ne!(groups[0], groups[2]);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (from, to, line, says) in [
            ("version = ", "verison = ", 4, "verison"),
            ("layout = \"yolo\"", "layout = \"ssd\"", 9, "ssd"),
            ("layout = \"yolo\"", "layout = \"yolox\"", 9, "strides"),
            ("layout = \"yolo\"", "layout = \"yolox\"\nstrides = [8, 48]", 10, "divide"),
            ("layout = \"yolo\"", "layout = \"yolo\"\nstrides = [8]", 10, "yolox"),
            ("\"D00\", \"D10\"]", "\"D00\", \"D99\"]", 15, "D99"),
            ("score_threshold = 0.3", "score_threshold = 3.0", 11, "score_threshold"),
            ("pad_value = 114", "pad_value = 114\nmean = 0.5", 20, "mean"),
            ("file = \"road.onnx\"", "file = \"../road.onnx\"", 5, "beside the manifest"),
            ("nms_within_group = true", "nms_within_group = ", 13, ""),
        ] {
            let error = read(&manifest(|text| text.replace(from, to))).unwrap_err().to_string();
            assert!(error.starts_with(&format!("models/manifest.toml:{line}: ")), "{to}: {error}");
            assert!(error.contains(says), "{to}: {error}");
        }
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
