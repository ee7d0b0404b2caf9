//! How well a model finds what is labelled in a folder of pictures.
//!
//! Each picture is judged once at a low threshold; everything else is arithmetic on what was found (see `matching`, `metrics`).
//! `ap50` of the whole is the mean over the kinds that are labelled; F1, precision and recall of the whole count all boxes alike.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::edge::detection::Detection;
use crate::edge::detector::Detector;
use crate::edge::frame::CameraImage;
use crate::edge::infer::InferError;
use crate::edge::infer::model::ModelSpec;
use crate::failure::Failure;
use crate::models::labels::{self, ClassMap, LabelError};
use crate::models::matching::{self, Labelled, OfKind, Rules};
use crate::models::metrics::{self, Judged, Quality};
use crate::schema::ModelRef;

/// Below this nothing is looked at; the sweep starts here.
const LOWEST_THRESHOLD: f32 = 0.01;
const AP50_IOU: f32 = 0.5;
const ENDINGS: [&str; 4] = ["jpg", "jpeg", "png", "webp"];

#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    #[error(transparent)]
    Label(#[from] LabelError),
    #[error(transparent)]
    Infer(#[from] InferError),
    #[error("{}: {reason}", path.display())]
    Picture { path: PathBuf, reason: String },
    #[error("{}: there is no picture in it (jpg, png or webp)", folder.display())]
    NoPictures { folder: PathBuf },
    #[error("{}: none of {pictures} pictures has a label file in it", folder.display())]
    NoLabels { folder: PathBuf, pictures: usize },
    #[error(
        "no labelled box is left to find, so nothing can be measured; see --only, --ignore-classes and --min-side-px"
    )]
    NothingToFind,
}

impl From<EvalError> for Failure {
    fn from(error: EvalError) -> Self {
        match error {
            EvalError::Infer(error) => error.into(),
            EvalError::Label(LabelError::UnknownClass { .. } | LabelError::UnknownName { .. }) => Self::usage(error),
            _ => Self::data(error),
        }
    }
}

/// When a found class counts as the labelled one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Match {
    Exact,
    /// Classes of one group of the manifest count as one.
    Group,
    /// All classes count as one.
    Any,
}

impl Match {
    fn kind_of_class(self, spec: &ModelSpec) -> Vec<usize> {
        match self {
            Self::Exact => (0..spec.classes.len()).collect(),
            Self::Group => spec.group_of_class(),
            Self::Any => vec![0; spec.classes.len()],
        }
    }

    fn name_of_kind(self, spec: &ModelSpec, kind: usize) -> String {
        match self {
            Self::Any => "any".into(),
            Self::Exact => spec.classes[kind].clone(),
            Self::Group => {
                let group = spec.groups.iter().find(|(_, members)| members.contains(&spec.classes[kind]));
                group.map_or_else(|| spec.classes[kind].clone(), |(name, _)| name.clone())
            }
        }
    }
}

/// What to judge by.
#[derive(Debug, Clone)]
pub struct Task {
    pub images: PathBuf,
    pub labels: PathBuf,
    /// Names of the labels' classes, one per line.
    pub classes: PathBuf,
    /// Labels whose boxes are neither found nor missed.
    pub ignore_labels: Option<PathBuf>,
    pub matching: Match,
    /// Empty: all.
    pub only: Vec<String>,
    pub ignore_classes: Vec<String>,
    /// In pixels of the original picture: boxes with a shorter side below this are neither found nor missed.
    pub min_side_px: f32,
    pub min_iou: f32,
}

#[derive(Debug, Serialize)]
pub struct Report {
    pub overall: Quality,
    pub classes: BTreeMap<String, Quality>,
    pub model: ModelRef,
    pub backend: &'static str,
    pub pictures: usize,
    #[serde(rename = "match")]
    pub matching: Match,
    pub iou: f32,
}

/// One picture's findings and labels.
struct Picture {
    found: Vec<Detection>,
    labelled: Vec<Labelled>,
}

pub fn evaluate(detector: &mut Detector, task: &Task) -> Result<Report, EvalError> {
    let spec = detector.spec().clone();
    let map = ClassMap::read(&task.classes, &spec.classes, &task.ignore_classes)?;
    let asked = asked_classes(&spec, &map, task)?;
    let kind_of_class = task.matching.kind_of_class(&spec);
    let files = pictures(&task.images)?;
    let mut label_files = 0;
    let mut judged_pictures = Vec::with_capacity(files.len());
    for file in &files {
        let image = open(file)?;
        let labelled = labels_of(file, &image, &map, &asked, task, &mut label_files)?;
        let mut found = detector.detect_above(&image, LOWEST_THRESHOLD.min(spec.score_threshold))?;
        found.retain(|finding| asked[finding.class]);
        if task.matching != Match::Exact {
            found = matching::merge_rivals(&found, &kind_of_class, spec.nms_iou);
        }
        judged_pictures.push(Picture { found, labelled });
    }
    if label_files == 0 {
        return Err(EvalError::NoLabels { folder: task.labels.clone(), pictures: files.len() });
    }
    let at_iou = |min_iou: f32| -> Vec<OfKind> {
        let rules = Rules { kind_of_class: kind_of_class.clone(), min_iou, min_side_px: task.min_side_px };
        judged_pictures.iter().flat_map(|p| matching::judge(&p.found, &p.labelled, &rules)).collect()
    };
    let (asked_iou, half) = (at_iou(task.min_iou), at_iou(AP50_IOU));
    let to_find = |kind: Option<usize>| {
        let labels = judged_pictures.iter().flat_map(|p| &p.labelled);
        labels.filter(|l| !l.ignored && kind.is_none_or(|kind| kind_of_class[l.class] == kind)).count()
    };
    if to_find(None) == 0 {
        return Err(EvalError::NothingToFind);
    }
    let mut classes = BTreeMap::new();
    let mut areas = Vec::new();
    for kind in 0..spec.classes.len() {
        let counted = asked.iter().zip(&kind_of_class).any(|(asked, of_class)| *asked && *of_class == kind);
        if counted {
            let ap50 = metrics::average_precision(&of_kind(&half, Some(kind)), to_find(Some(kind)));
            let judged = of_kind(&asked_iou, Some(kind));
            classes.insert(
                task.matching.name_of_kind(&spec, kind),
                quality(&judged, to_find(Some(kind)), ap50, spec.score_threshold),
            );
            if to_find(Some(kind)) > 0 {
                areas.push(ap50);
            }
        }
    }
    let mean_area = areas.iter().sum::<f64>() / areas.len().max(1) as f64;
    Ok(Report {
        overall: quality(&of_kind(&asked_iou, None), to_find(None), mean_area, spec.score_threshold),
        classes,
        model: detector.model_ref(),
        backend: detector.backend_name(),
        pictures: files.len(),
        matching: task.matching,
        iou: task.min_iou,
    })
}

fn of_kind(judged: &[OfKind], kind: Option<usize>) -> Vec<Judged> {
    judged.iter().filter(|of| kind.is_none_or(|kind| of.kind == kind)).map(|of| of.judged).collect()
}

fn quality(judged: &[Judged], labelled: usize, ap50: f64, shipped_threshold: f32) -> Quality {
    Quality {
        best: metrics::best(judged, labelled),
        ap50,
        shipped: metrics::at_threshold(judged, labelled, shipped_threshold),
        labelled,
    }
}

/// Per class of the model: is it judged at all?
fn asked_classes(spec: &ModelSpec, map: &ClassMap, task: &Task) -> Result<Vec<bool>, LabelError> {
    let mut asked = vec![task.only.is_empty(); spec.classes.len()];
    for name in &task.only {
        match map.resolve("--only", name, &spec.classes)? {
            Some(class) => asked[class] = true,
            None => {
                let known = spec.classes.clone();
                return Err(LabelError::UnknownName { option: "--only", name: name.clone(), known });
            }
        }
    }
    for name in &task.ignore_classes {
        if let Some(class) = map.resolve("--ignore-classes", name, &spec.classes)? {
            asked[class] = false;
        }
    }
    Ok(asked)
}

fn labels_of(
    file: &Path,
    image: &CameraImage,
    map: &ClassMap,
    asked: &[bool],
    task: &Task,
    label_files: &mut usize,
) -> Result<Vec<Labelled>, LabelError> {
    let name = PathBuf::from(file.file_name().unwrap_or_default()).with_extension("txt");
    let mut all = Vec::new();
    for (folder, ignored) in [(Some(&task.labels), false), (task.ignore_labels.as_ref(), true)] {
        let Some(folder) = folder else { continue };
        let Some(lines) = labels::read(&folder.join(&name), map, image.width_px(), image.height_px())? else {
            continue;
        };
        *label_files += usize::from(!ignored);
        for line in lines {
            let Some(class) = line.class else { continue };
            let small = matching::shorter_side_px(&line.box_in_image) < task.min_side_px;
            // A class that is not judged still forgives, where classes count as one.
            let ignored = ignored || small || !asked[class];
            all.push(Labelled { box_in_image: line.box_in_image, class, ignored });
        }
    }
    Ok(all)
}

/// Pictures of a folder, in order of their names.
fn pictures(folder: &Path) -> Result<Vec<PathBuf>, EvalError> {
    let unreadable = |e: std::io::Error| EvalError::Picture { path: folder.to_owned(), reason: e.to_string() };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let ending = path.extension().map(|e| e.to_string_lossy().to_lowercase());
        if ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str())) {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(EvalError::NoPictures { folder: folder.to_owned() });
    }
    Ok(files)
}

fn open(path: &Path) -> Result<CameraImage, EvalError> {
    let wrong = |reason: String| EvalError::Picture { path: path.to_owned(), reason };
    let reader = image::ImageReader::open(path).map_err(|e| wrong(e.to_string()))?;
    // A file's content decides, not its ending.
    let reader = reader.with_guessed_format().map_err(|e| wrong(e.to_string()))?;
    let pixels = reader.decode().map_err(|e| wrong(e.to_string()))?;
    Ok(CameraImage::new(pixels.into_rgb8()))
}
