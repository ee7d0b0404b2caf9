//! Reads `manifest.toml`: every entry is checked, and what is wrong is told with its line.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use serde::Deserialize;
use toml::Spanned;

use super::layout::{Column, Layout, NoObject, RawLayout, ScoreKind};
use super::model::{DataSource, ExtentSpec, InputSpec, MaskRule, ModelError, ModelSpec, Task};

/// Of a privacy model that says nothing about it.
const DEFAULT_DILATION: f32 = 0.15;

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

/// All entries of the text of a manifest at `path`.
pub(super) fn parse(path: &Path, text: &str) -> Result<Vec<ModelSpec>, ModelError> {
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
    use crate::edge::infer::model::sha256_hex;

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

    pub(in crate::edge) fn manifest(change: impl Fn(&str) -> String) -> String {
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

    pub(in crate::edge) fn read(text: &str) -> Result<Vec<ModelSpec>, ModelError> {
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
    fn a_network_that_suppresses_by_itself_needs_no_limit_of_ours() {
        let text = manifest(|text| {
            text.replace("layout = \"yolo\"", "layout = \"detr\"\nscores = \"softmax\"\nno_object = \"last\"")
                .replace("nms_iou = 0.5\n", "")
        });
        let spec = &read(&text).unwrap()[0];
        assert_eq!(spec.layout, Layout::Detr { scores: ScoreKind::Softmax, no_object: Some(NoObject::Last) });
        assert_eq!(spec.nms_iou, 1.0);
    }
}
