//! How well a model finds what is labelled in a folder of pictures.
//!
//! Each picture is judged once at a low threshold; everything else is arithmetic on what was found (see `score`, `matching`,
//! `metrics`, `cover`).

pub mod score;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::edge::detection::{BoundingBox, Detection};
use crate::edge::detector::Detector;
use crate::edge::frame::CameraImage;
use crate::edge::infer::InferError;
use crate::edge::infer::model::ModelSpec;
use crate::edge::mask::masks;
use crate::edge::preprocess::Letterbox;
use crate::failure::Failure;
use crate::models::bootstrap::DRAWS;
use crate::models::confusion::{self, Confusion};
use crate::models::cover;
use crate::models::extent::{self, MaskQuality};
use crate::models::groups::{self, GroupError, Groups, Origin};
use crate::models::labels::{self, ClassMap, LabelError};
use crate::models::mask::{self, MaskError};
use crate::models::matching::{self, Labelled, Rules, Smallest};
use crate::schema::ModelRef;

use self::score::{Quality, Seen, Table};

/// Below this nothing is looked at; the sweep starts here.
const LOWEST_THRESHOLD: f32 = 0.01;
const ENDINGS: [&str; 4] = ["jpg", "jpeg", "png", "webp"];

#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    #[error(transparent)]
    Label(#[from] LabelError),
    #[error(transparent)]
    Infer(#[from] InferError),
    #[error(transparent)]
    Mask(#[from] MaskError),
    #[error("the model {model:?} has no extent in its manifest, so there is nothing to compare the drawn masks with")]
    NoExtent { model: String },
    #[error("{}: none of the pictures has a mask in it (PNG, named as the picture)", folder.display())]
    NoMasks { folder: PathBuf },
    #[error(transparent)]
    Group(#[from] GroupError),
    #[error("{}: {reason}", path.display())]
    Picture { path: PathBuf, reason: String },
    #[error("{}: there is no picture in it (jpg, png or webp)", folder.display())]
    NoPictures { folder: PathBuf },
    #[error("{}: none of {pictures} pictures has a label file in it", folder.display())]
    NoLabels { folder: PathBuf, pictures: usize },
    #[error(
        "no labelled box is left to find, so nothing can be measured; see --only, --ignore-classes, --min-side-px and --min-width-px"
    )]
    NothingToFind,
}

impl From<EvalError> for Failure {
    fn from(error: EvalError) -> Self {
        match error {
            EvalError::Infer(error) => error.into(),
            EvalError::NoExtent { .. } => Self::usage(error),
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
    /// A labelled region counts as found when the masks as shipped cover it.
    Cover,
}

impl Match {
    fn kind_of_class(self, spec: &ModelSpec) -> Vec<usize> {
        match self {
            Self::Exact | Self::Cover => (0..spec.classes.len()).collect(),
            Self::Group => spec.group_of_class(),
            Self::Any => vec![0; spec.classes.len()],
        }
    }

    fn name_of_kind(self, spec: &ModelSpec, kind: usize) -> String {
        match self {
            Self::Any => "any".into(),
            Self::Exact | Self::Cover => spec.classes[kind].clone(),
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
    /// Which pictures belong together (see `groups`).
    pub groups: Option<PathBuf>,
    pub matching: Match,
    /// Folder of drawn masks of damage (see `mask`).
    pub drawn_masks: Option<PathBuf>,
    /// Empty: all.
    pub only: Vec<String>,
    pub ignore_classes: Vec<String>,
    pub smallest: Smallest,
    pub min_iou: f32,
}

#[derive(Debug, Serialize)]
pub struct Report {
    pub overall: Quality,
    pub classes: BTreeMap<String, Quality>,
    /// Per source and per group of `--groups`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub sources: BTreeMap<String, Quality>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub groups: BTreeMap<String, Quality>,
    /// How well the model's extent shows what is drawn as damaged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mask: Option<MaskQuality>,
    /// Labelled class → found class → boxes, at the shipped threshold.
    pub confusion: Confusion,
    pub bootstrap: Bootstrap,
    pub model: ModelRef,
    pub backend: &'static str,
    pub pictures: usize,
    #[serde(rename = "match")]
    pub matching: Match,
    pub iou: f32,
}

/// How the intervals came about.
#[derive(Debug, Serialize)]
pub struct Bootstrap {
    pub draws: usize,
    /// What was drawn whole: `group` or `picture`.
    pub unit: &'static str,
    pub units: usize,
}

pub fn evaluate(detector: &mut Detector, task: &Task) -> Result<Report, EvalError> {
    let spec = detector.spec().clone();
    let map = ClassMap::read(&task.classes, &spec.classes, &task.ignore_classes)?;
    let asked = asked_classes(&spec, &map, task)?;
    let rules =
        Rules { kind_of_class: task.matching.kind_of_class(&spec), min_iou: task.min_iou, smallest: task.smallest };
    let seen = look(detector, task, &map, &asked, &rules)?;
    if seen.iter().flat_map(|picture| &picture.labelled).all(|label| label.ignored) {
        return Err(EvalError::NothingToFind);
    }
    let is_asked = |kind: usize| asked.iter().zip(&rules.kind_of_class).any(|(asked, of)| *asked && *of == kind);
    let kinds: Vec<usize> = (0..spec.classes.len()).filter(|kind| is_asked(*kind)).collect();
    let table = Table::new(&seen, &rules, &kinds, spec.score_threshold);
    let everything = vec![1; seen.len()];
    let mut overall = table.overall(&everything);
    let mut of_kinds: Vec<Quality> = (0..kinds.len()).map(|kind| table.of_kind(kind, &everything)).collect();
    let origins: Vec<Origin> = seen.iter().map(|picture| picture.origin.clone()).collect();
    let (unit_of_picture, units) = groups::units(&origins);
    if task.matching == Match::Cover {
        set_cover(&mut overall, &seen, &everything, None);
        for (class, quality) in kinds.iter().zip(&mut of_kinds) {
            set_cover(quality, &seen, &everything, Some(*class));
        }
    } else {
        table.add_intervals(&mut overall, &mut of_kinds, &unit_of_picture, units);
    }
    let tallies: Vec<(usize, extent::Tally)> =
        unit_of_picture.iter().zip(&seen).filter_map(|(unit, picture)| Some((*unit, picture.extent?))).collect();
    if let Some(folder) = task.drawn_masks.as_ref().filter(|_| tallies.is_empty()) {
        return Err(EvalError::NoMasks { folder: folder.clone() });
    }
    let part = |name: fn(&Origin) -> &String| parts(&table, &seen, task.matching, name);
    Ok(Report {
        overall,
        classes: kinds.iter().map(|kind| task.matching.name_of_kind(&spec, *kind)).zip(of_kinds).collect(),
        sources: part(|origin| &origin.source),
        groups: part(|origin| &origin.group),
        mask: task.drawn_masks.is_some().then(|| extent::quality(&tallies, units)),
        confusion: confusion_of(&seen, &rules, &spec),
        bootstrap: Bootstrap { draws: DRAWS, unit: if task.groups.is_some() { "group" } else { "picture" }, units },
        model: detector.model_ref(),
        backend: detector.backend_name(),
        pictures: seen.len(),
        matching: task.matching,
        iou: task.min_iou,
    })
}

/// Each picture once.
fn look(
    detector: &mut Detector,
    task: &Task,
    map: &ClassMap,
    asked: &[bool],
    rules: &Rules,
) -> Result<Vec<Seen>, EvalError> {
    let spec = detector.spec().clone();
    if task.drawn_masks.is_some() && spec.extent.is_none() {
        return Err(EvalError::NoExtent { model: spec.name });
    }
    let files = pictures(&task.images)?;
    let origins = match &task.groups {
        Some(path) => Groups::read(path)?.origins(&files)?,
        None => vec![Origin::default(); files.len()],
    };
    let mut label_files = 0;
    let mut seen = Vec::with_capacity(files.len());
    for (file, origin) in files.iter().zip(origins) {
        let image = open(file)?;
        let labelled = labels_of(file, &image, map, asked, task, &mut label_files)?;
        let mut found = detector.detect_above(&image, LOWEST_THRESHOLD.min(spec.score_threshold))?;
        let cover = (task.matching == Match::Cover).then(|| {
            // What ships is masked, whatever classes are asked for.
            let shipped: Vec<Detection> = found.iter().filter(|f| f.score >= spec.score_threshold).copied().collect();
            let (width_px, height_px) = (image.width_px(), image.height_px());
            let masks = if spec.masks.is_empty() {
                cover::dilated(&shipped)
            } else {
                masks(&shipped, &spec, width_px, height_px)
            };
            covered(&masks, &labelled, &image)
        });
        let extent = match &task.drawn_masks {
            Some(folder) => extent_of(detector, &folder.join(mask_name(file)), &image)?,
            None => None,
        };
        found.retain(|finding| asked[finding.class]);
        if matches!(task.matching, Match::Group | Match::Any) {
            found = matching::merge_rivals(&found, &rules.kind_of_class, spec.nms_iou);
        }
        seen.push(Seen { found, labelled, origin, cover, extent });
    }
    if label_files == 0 {
        return Err(EvalError::NoLabels { folder: task.labels.clone(), pictures: files.len() });
    }
    Ok(seen)
}

fn mask_name(picture: &Path) -> PathBuf {
    PathBuf::from(picture.file_name().unwrap_or_default()).with_extension("png")
}

/// The picture was looked at last. `None` where no mask is drawn.
fn extent_of(detector: &Detector, path: &Path, image: &CameraImage) -> Result<Option<extent::Tally>, EvalError> {
    let (width_px, height_px) = (image.width_px(), image.height_px());
    let Some(damaged) = mask::read(path, width_px, height_px)? else { return Ok(None) };
    let input = &detector.spec().input;
    let (Some(found), Some(letterbox)) = (detector.extent(), Letterbox::new(width_px, height_px, input)) else {
        return Ok(None);
    };
    let truth = extent::truth_cells(&damaged, width_px, &letterbox, input);
    Ok(Some(extent::Tally::of(&truth, &extent::found_cells(found))))
}

fn covered(masks: &[BoundingBox], labelled: &[Labelled], image: &CameraImage) -> (cover::Covered, Vec<usize>) {
    let asked = || labelled.iter().filter(|label| !label.ignored);
    let regions: Vec<BoundingBox> = asked().map(|label| label.box_in_image).collect();
    let known: Vec<BoundingBox> = labelled.iter().map(|label| label.box_in_image).collect();
    let judged = cover::judge(masks, &regions, &known, image.width_px(), image.height_px());
    (judged, asked().map(|label| label.class).collect())
}

/// Puts what the masks reach in the place of what the boxes reach.
fn set_cover(quality: &mut Quality, seen: &[Seen], weights: &[usize], class: Option<usize>) {
    let (at, cover) = score::cover_quality(seen, weights, class, quality.shipped.threshold);
    quality.best = at;
    quality.shipped = at;
    quality.cover = Some(cover);
}

/// The whole, for each different origin by itself; those without a name are left out.
fn parts(table: &Table, seen: &[Seen], matching: Match, name: fn(&Origin) -> &String) -> BTreeMap<String, Quality> {
    let names: BTreeSet<&String> = seen.iter().map(|picture| name(&picture.origin)).collect();
    let of = |wanted: &String| {
        let weights: Vec<usize> = seen.iter().map(|picture| usize::from(name(&picture.origin) == wanted)).collect();
        let mut quality = table.overall(&weights);
        if matching == Match::Cover {
            set_cover(&mut quality, seen, &weights, None);
        }
        (wanted.clone(), quality)
    };
    names.into_iter().filter(|name| !name.is_empty()).map(of).collect()
}

fn confusion_of(seen: &[Seen], rules: &Rules, spec: &ModelSpec) -> Confusion {
    let mut table = Confusion::new();
    for picture in seen {
        let end = picture.found.partition_point(|finding| finding.score >= spec.score_threshold);
        confusion::count(&mut table, &picture.found[..end], &picture.labelled, rules, &spec.classes);
    }
    table
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
            let small = !task.smallest.holds(&line.box_in_image);
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
