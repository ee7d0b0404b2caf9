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

use super::layout::RawLayout;
pub use super::layout::{Column, Layout, NoObject, ScoreKind};
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

/// Of a privacy model that says nothing about it.
const DEFAULT_DILATION: f32 = 0.15;

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
    /// Beside the manifest: a picture and what the model finds in it (see `models::golden`).
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
    scores: Option<Spanned<ScoreKind>>,
    no_object: Option<Spanned<NoObject>>,
    columns: Option<Spanned<Vec<Column>>>,
    outputs: Option<Spanned<Vec<String>>>,
    classes: Spanned<Vec<String>>,
    score_threshold: Spanned<f32>,
    nms_iou: Option<Spanned<f32>>,
    #[serde(default)]
    nms_within_group: bool,
    #[serde(default)]
    groups: BTreeMap<String, Spanned<Vec<String>>>,
    input: Spanned<InputSpec>,
    extent: Option<RawExtent>,
    #[serde(default)]
    data: Vec<DataSource>,
    #[serde(default)]
    metrics: BTreeMap<String, Spanned<f64>>,
    golden: Option<Spanned<String>>,
    masks: Option<Spanned<BTreeMap<String, MaskRule>>>,
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
    for name in [Some(&raw.file), Some(&raw.card), raw.golden.as_ref()].into_iter().flatten() {
        if Path::new(name.get_ref()).components().count() != 1 || name.get_ref().starts_with(['.', '/']) {
            return Err((name.span(), format!("{:?} must be the name of a file beside the manifest", name.get_ref())));
        }
    }
    let classes = raw.classes.get_ref();
    let repeated = classes.iter().enumerate().any(|(index, class)| classes[..index].contains(class));
    if classes.is_empty() || repeated {
        return Err((raw.classes.span(), "classes must be a list of different names, at least one".into()));
    }
    let layout = RawLayout {
        name: &raw.layout,
        strides: raw.strides.as_ref(),
        scores: raw.scores.as_ref(),
        no_object: raw.no_object.as_ref(),
        columns: raw.columns.as_ref(),
    };
    let layout = layout.checked(raw.input.get_ref())?;
    if raw.nms_iou.is_none() && layout.needs_suppression() {
        return Err((raw.layout.span(), format!("the layout {:?} needs nms_iou, as nms_iou = 0.5", layout.name())));
    }
    let limits = [Some(("score_threshold", &raw.score_threshold)), raw.nms_iou.as_ref().map(|iou| ("nms_iou", iou))];
    for (key, value) in limits.into_iter().flatten() {
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
    let masks = checked_masks(&raw)?;
    let extent = raw.extent.map(|extent| checked_extent(extent, classes, &raw.groups)).transpose()?;
    if !input.std.iter().all(|std| std.is_finite() && *std > 0.0) || !input.mean.iter().all(|mean| mean.is_finite()) {
        return Err((raw.input.span(), "each std must be above 0 and each mean a number".into()));
    }
    let outputs = outputs(raw.outputs, &layout)?;
    if let Some((name, metric)) = raw.metrics.iter().find(|(_, metric)| !metric.get_ref().is_finite()) {
        return Err((metric.span(), format!("the metric {name} is no number")));
    }
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
        outputs,
        classes: raw.classes.into_inner(),
        score_threshold: raw.score_threshold.into_inner(),
        nms_iou: raw.nms_iou.map_or(1.0, Spanned::into_inner),
        nms_within_group: raw.nms_within_group,
        groups,
        input: raw.input.into_inner(),
        extent,
        data: raw.data,
        metrics: raw.metrics.into_iter().map(|(name, metric)| (name, metric.into_inner())).collect(),
        golden: raw.golden.map(Spanned::into_inner),
        masks,
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

/// A privacy model says for each class what is masked, or for none: then each is, from the model's threshold on.
/// Detections below `score_threshold` never come to these rules.
fn checked_masks(raw: &RawModel) -> Result<BTreeMap<String, MaskRule>, Wrong> {
    let privacy = raw.task == Task::Privacy;
    let Some(masks) = &raw.masks else {
        let rule = MaskRule { score_threshold: *raw.score_threshold.get_ref(), dilation: DEFAULT_DILATION };
        let classes = raw.classes.get_ref().iter().filter(|_| privacy);
        return Ok(classes.map(|class| (class.clone(), rule)).collect());
    };
    let wrong = |what: String| Err((masks.span(), what));
    let classes = raw.classes.get_ref();
    if !privacy {
        return wrong("masks belong to a privacy model only".into());
    }
    if let Some(class) = classes.iter().find(|class| !masks.get_ref().contains_key(*class)) {
        return wrong(format!("masks say nothing about {class:?}"));
    }
    for (class, rule) in masks.get_ref() {
        if !classes.contains(class) {
            return wrong(format!("masks name {class:?}, which is not one of classes"));
        }
        if !(rule.score_threshold >= *raw.score_threshold.get_ref() && rule.score_threshold <= 1.0) {
            return wrong(format!("the threshold of {class:?} must lie between the model's score_threshold and 1"));
        }
        if !(0.0..=2.0).contains(&rule.dilation) {
            return wrong(format!("the dilation of {class:?} must lie between 0 and 2"));
        }
    }
    Ok(masks.get_ref().clone())
}

fn outputs(raw: Option<Spanned<Vec<String>>>, layout: &Layout) -> Result<Vec<String>, Wrong> {
    let Some(raw) = raw else { return Ok(Vec::new()) };
    let names = raw.get_ref();
    let repeated = names.iter().enumerate().any(|(index, name)| names[..index].contains(name));
    if names.len() != layout.outputs() || repeated {
        let what = format!("the layout {:?} reads {} output(s); name as many", layout.name(), layout.outputs());
        return Err((raw.span(), what));
    }
    Ok(raw.into_inner())
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

    const MASKS: &str = "[model.masks]\nface = { score_threshold = 0.05, dilation = 0.25 }\n\
                         person = { score_threshold = 0.2, dilation = 0.1 }\n";

    fn privacy_manifest() -> String {
        manifest(|text| {
            let head = text
                .replace("task = \"road\"", "task = \"privacy\"")
                .replace("score_threshold = 0.3", "score_threshold = 0.05");
            let head = head.replace("[\"D00\", \"D10\", \"D40\"]", "[\"face\", \"person\"]");
            head.replace("[model.groups]\ncrack = [\"D00\", \"D10\"]\n", "") + MASKS
        })
    }

    pub(in crate::edge) fn privacy_spec() -> ModelSpec {
        read(&privacy_manifest()).unwrap().remove(0)
    }

    #[test]
    fn a_privacy_model_says_for_each_class_what_is_masked() {
        assert_eq!(privacy_spec().masks["person"], MaskRule { score_threshold: 0.2, dilation: 0.1 });
        let plain = read(&privacy_manifest().replace(MASKS, "")).unwrap().remove(0);
        assert_eq!(plain.masks["face"], MaskRule { score_threshold: 0.05, dilation: DEFAULT_DILATION });
        assert!(
            read(&manifest(|text| format!("{text}{MASKS}"))).unwrap_err().to_string().contains("privacy model only")
        );
        for (from, to, says) in [
            ("person = {", "dog = {", "nothing about \"person\""),
            ("score_threshold = 0.2", "score_threshold = 0.01", "threshold of \"person\""),
            ("dilation = 0.1", "dilation = -0.1", "dilation of \"person\""),
            ("dilation = 0.1", "dilation = nan", "dilation of \"person\""),
        ] {
            let error = read(&privacy_manifest().replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(says), "{to}: {error}");
        }
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
            ("layout = \"yolo\"", "layout = \"detr\"", 9, "scores"),
            ("layout = \"yolo\"", "layout = \"yolo\"\nscores = \"sigmoid\"", 10, "\"detr\" only"),
            ("layout = \"yolo\"", "layout = \"yolov5\"\noutputs = [\"a\", \"b\"]", 10, "reads 1 output"),
            ("layout = \"yolo\"", "layout = \"end2end\"\ncolumns = [\"x0\", \"y0\"]", 10, "each of x0"),
            ("nms_iou = 0.5\n", "", 9, "needs nms_iou"),
            ("\"D00\", \"D10\"]", "\"D00\", \"D99\"]", 15, "D99"),
            ("score_threshold = 0.3", "score_threshold = 3.0", 11, "score_threshold"),
            ("pad_value = 114", "pad_value = 114\ngamma = 0.5", 20, "gamma"),
            ("pad_value = 114", "pad_value = 114\nstd = [1.0, 0.0, 1.0]", 16, "std"),
            ("file = \"road.onnx\"", "golden = \"a/b.json\"\nfile = \"road.onnx\"", 5, "beside the manifest"),
            ("file = \"road.onnx\"", "file = \"../road.onnx\"", 5, "beside the manifest"),
            ("nms_within_group = true", "nms_within_group = ", 13, ""),
        ] {
            let error = read(&manifest(|text| text.replace(from, to))).unwrap_err().to_string();
            assert!(error.starts_with(&format!("models/manifest.toml:{line}: ")), "{to}: {error}");
            assert!(error.contains(says), "{to}: {error}");
        }
    }

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
    fn a_network_that_suppresses_by_itself_needs_no_limit_of_ours() {
        let text = manifest(|text| {
            text.replace("layout = \"yolo\"", "layout = \"detr\"\nscores = \"softmax\"\nno_object = \"last\"")
                .replace("nms_iou = 0.5\n", "")
        });
        let spec = &read(&text).unwrap()[0];
        assert_eq!(spec.layout, Layout::Detr { scores: ScoreKind::Softmax, no_object: Some(NoObject::Last) });
        assert_eq!(spec.nms_iou, 1.0);
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
