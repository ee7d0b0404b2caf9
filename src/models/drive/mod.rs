//! A road model on a labelled drive, as a town sees it: which stretches of the way have a sighting, and do sightings lie where
//! something is damaged?
//!
//! The way is cut into stretches of a few metres, by chainage (see `way`). A stretch is *damaged* where the ground under a labelled
//! box of any frame touches it, and it *has a sighting* where a sighting's length touches it. A sighting lies on damage when the
//! stretch of its centre is damaged. Labels and sightings come to the way by the same camera and the same rule, so an error of the
//! mounting moves both alike. Boxes farther ahead than `REACH_METRES` are left to later frames, which see the same ground from
//! nearer by. A frame without labels shows nothing damaged: the whole drive must be labelled.

pub mod cli;
mod stretches;
mod way;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use self::stretches::{Stretches, View};
use self::way::Way;
use crate::edge::config::MountedCamera;
use crate::edge::detection::{BoundingBox, Detection};
use crate::edge::detector::Detector;
use crate::edge::fix::{Fix, FixLog};
use crate::edge::frame::{CameraImage, Frame};
use crate::edge::infer::InferError;
use crate::edge::judge::road::{RoadJudgeConfig, Sighting};
use crate::edge::mask::NoPicture;
use crate::edge::pipeline::{PipelineError, damage_classes, road_judge};
use crate::edge::replay::{read_fixes, source_of};
use crate::edge::source::{self, SourceError};
use crate::failure::Failure;
use crate::schema::{DamageClass, ModelRef};

/// Ground farther ahead of the camera is not judged.
pub const REACH_METRES: f64 = 15.0;
/// Labels may stick out of the picture by rounding.
const BORDER_PX: f32 = 2.0;

#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    #[error("{}: {reason}", path.display())]
    Boxes { path: PathBuf, reason: String },
    #[error("{}: it labels frame {frame}, but the video has {frames} frames (0 is the first)", path.display())]
    NoSuchFrame { path: PathBuf, frame: u64, frames: u64 },
    #[error(
        "{}: a box of frame {frame} reaches beyond the video's {width_px}×{height_px} pixels; was it drawn at another size?",
        path.display()
    )]
    OutsidePicture { path: PathBuf, frame: u64, width_px: u32, height_px: u32 },
    #[error("{}: there is no picture in it", path.display())]
    NoFrames { path: PathBuf },
    #[error("no frame of the video has a position in {}, so nothing has a place", path.display())]
    NoFix { path: PathBuf },
    #[error("the vehicle did not move by a single stretch of {stretch_metres} m")]
    StoodStill { stretch_metres: f64 },
    #[error(
        "the nearest ground that the camera shows lies {nearest_metres:.0} m ahead; only {REACH_METRES} m are judged"
    )]
    LooksTooFar { nearest_metres: f64 },
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Infer(#[from] InferError),
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    #[error("{0}")]
    Fixes(Failure),
}

impl From<DriveError> for Failure {
    fn from(error: DriveError) -> Self {
        match error {
            DriveError::Infer(error) => error.into(),
            DriveError::Pipeline(error) => error.into(),
            DriveError::Fixes(failure) => failure,
            _ => Self::data(error),
        }
    }
}

/// What to judge by.
#[derive(Debug, Clone)]
pub struct Task {
    pub video: PathBuf,
    /// NMEA or GPX.
    pub gnss: PathBuf,
    pub max_gap_millis: u64,
    /// CSV with the columns `still,class,x0,y0,x1,y1`: number of the frame from 0, class, box in pixels; others may stand beside.
    pub boxes: PathBuf,
    /// `None` assumes a survey camera.
    pub camera: Option<MountedCamera>,
    pub stretch_metres: f64,
    /// Score thresholds to try beside the shipped one.
    pub thresholds: Vec<f32>,
}

#[derive(Debug, Serialize)]
pub struct Report {
    pub frames: usize,
    pub stretch_metres: f64,
    pub stretches: usize,
    pub damaged_stretches: usize,
    pub shipped: Point,
    /// By threshold, rising.
    pub curve: Vec<Point>,
    pub model: ModelRef,
    pub backend: &'static str,
    /// Without a measured camera the stretches lie where an assumed one puts them.
    pub calibrated: bool,
}

/// What a threshold gives.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Point {
    pub threshold: f32,
    pub sightings: usize,
    pub sightings_on_damage: usize,
    pub damaged_stretches_with_sighting: usize,
    /// Of the damaged stretches, those with a sighting; `None` where nothing is damaged.
    pub found_share: Option<f64>,
    /// Of the sightings, those on damaged stretches; `None` without sightings.
    pub right_share: Option<f64>,
    /// Of all stretches, those with a sighting: sightings strewn at random would find this share of the damaged ones.
    pub covered_share: f64,
}

/// A labelled box of one frame.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelledBox {
    pub class: DamageClass,
    pub box_in_image: BoundingBox,
}

#[derive(Deserialize)]
struct Row {
    still: u64,
    class: String,
    x0: f32,
    y0: f32,
    x1: f32,
    y1: f32,
}

/// Reads the labelled boxes of a drive by frame, counted from 0.
pub fn read_boxes(path: &Path) -> Result<BTreeMap<u64, Vec<LabelledBox>>, DriveError> {
    let wrong = |reason: String| DriveError::Boxes { path: path.to_owned(), reason };
    let mut reader =
        csv::ReaderBuilder::new().trim(csv::Trim::All).from_path(path).map_err(|e| wrong(e.to_string()))?;
    let header = reader.headers().map_err(|e| wrong(e.to_string()))?.clone();
    let mut of_frame: BTreeMap<u64, Vec<LabelledBox>> = BTreeMap::new();
    for record in reader.records() {
        let record = record.map_err(|e| wrong(e.to_string()))?;
        let line = record.position().map_or(0, csv::Position::line);
        let row: Row = record
            .deserialize(Some(&header))
            .map_err(|e| wrong(format!("line {line}: {e}; expected the columns still,class,x0,y0,x1,y1")))?;
        let class = row.class.parse().map_err(|_| {
            wrong(format!("line {line}: {:?} is no class of damage (D00, D10, D20, D40, Repair)", row.class))
        })?;
        let box_in_image = BoundingBox::new(row.x0, row.y0, row.x1, row.y1)
            .ok_or_else(|| wrong(format!("line {line}: the box is empty; x0 < x1 and y0 < y1 in pixels")))?;
        of_frame.entry(row.still).or_default().push(LabelledBox { class, box_in_image });
    }
    Ok(of_frame)
}

/// A frame without its pixels, and all that the model finds in it at the lowest threshold.
struct Seen {
    frame: Frame,
    found: Vec<(DamageClass, Detection)>,
}

/// All frames of a drive.
struct Drive {
    width_px: u32,
    height_px: u32,
    seen: Vec<Seen>,
}

/// Runs the model over the video once, then the judge once per threshold.
pub fn judge_drive(detector: &mut Detector, task: &Task) -> Result<Report, DriveError> {
    let labels = read_boxes(&task.boxes)?;
    let fixes = read_fixes(&task.gnss, task.max_gap_millis).map_err(DriveError::Fixes)?;
    let shipped = detector.spec().score_threshold;
    let drive = Drive::look(detector, task, &fixes, task.thresholds.iter().copied().fold(shipped, f32::min))?;
    drive.check_labels(&labels, &task.boxes)?;
    let view = View::of(task.camera, drive.width_px, drive.height_px);
    if view.nearest_metres() >= REACH_METRES {
        return Err(DriveError::LooksTooFar { nearest_metres: view.nearest_metres() });
    }
    let with_fix: Vec<(u64, Fix)> =
        drive.seen.iter().filter_map(|seen| Some((seen.frame.sequence, seen.frame.fix?))).collect();
    let fixes: Vec<Fix> = with_fix.iter().map(|(_, fix)| *fix).collect();
    let no_fix = || DriveError::NoFix { path: task.gnss.clone() };
    let way = Way::driven(&fixes, view.farthest_metres()).ok_or_else(no_fix)?;
    if way.length_metres() < task.stretch_metres {
        return Err(DriveError::StoodStill { stretch_metres: task.stretch_metres });
    }
    let road = Stretches::new(&way, &view, &with_fix, &labels, task.stretch_metres);
    let point = |threshold: f32| -> Result<Point, DriveError> {
        let sightings = drive.sightings(task.camera, threshold)?;
        // Where the vehicle was when it saw each best.
        let from = |sighting: &Sighting| {
            let nearest = fixes.iter().enumerate().min_by_key(|(_, fix)| (fix.at - sighting.best_seen_at).abs());
            nearest.map_or(0.0, |(index, _)| way.chainages_metres()[index])
        };
        let placed = sightings.iter().map(|s| (way.chainage_near(s.position, from(s)), s.length_metres));
        Ok(road.point(threshold, placed))
    };
    let mut thresholds = task.thresholds.clone();
    thresholds.sort_by(f32::total_cmp);
    Ok(Report {
        frames: drive.seen.len(),
        stretch_metres: task.stretch_metres,
        stretches: road.seen(),
        damaged_stretches: road.damaged(),
        shipped: point(shipped)?,
        curve: thresholds.into_iter().map(point).collect::<Result<_, _>>()?,
        model: detector.model_ref(),
        backend: detector.backend_name(),
        calibrated: task.camera.is_some(),
    })
}

impl Drive {
    fn look(detector: &mut Detector, task: &Task, fixes: &FixLog, lowest: f32) -> Result<Self, DriveError> {
        let classes = damage_classes(detector)?;
        let starts_at = fixes.first_at().ok_or_else(|| DriveError::NoFix { path: task.gnss.clone() })?;
        let mut source = source::open(&source_of(&task.video), starts_at)?;
        let mut drive: Option<Self> = None;
        while let Some(captured) = source.next_image()? {
            let drive = match &mut drive {
                Some(drive) => drive,
                None => {
                    let (width_px, height_px) = (captured.image.width_px(), captured.image.height_px());
                    // A camera of another size is refused before the whole video was looked at.
                    road_judge(task.camera, &RoadJudgeConfig::default(), width_px, height_px)?;
                    drive.insert(Self { width_px, height_px, seen: Vec::new() })
                }
            };
            let found = detector.detect_above(&captured.image, lowest)?;
            let frame = Frame {
                sequence: drive.seen.len() as u64,
                captured_at: captured.captured_at,
                stream_time: captured.stream_time,
                fix: fixes.at(captured.captured_at),
                // No picture is made here, so no pixels are kept.
                image: CameraImage::new(image::RgbImage::new(1, 1)),
            };
            drive.seen.push(Seen { frame, found: found.into_iter().map(|d| (classes[d.class], d)).collect() });
        }
        drive.ok_or_else(|| DriveError::NoFrames { path: task.video.clone() })
    }

    fn check_labels(&self, labels: &BTreeMap<u64, Vec<LabelledBox>>, path: &Path) -> Result<(), DriveError> {
        let frames = self.seen.len() as u64;
        if let Some((&frame, _)) = labels.last_key_value().filter(|(frame, _)| **frame >= frames) {
            return Err(DriveError::NoSuchFrame { path: path.to_owned(), frame, frames });
        }
        let (width_px, height_px) = (self.width_px, self.height_px);
        let (right, bottom) = (width_px as f32 + BORDER_PX, height_px as f32 + BORDER_PX);
        let reaches_out = |label: &LabelledBox| {
            let b = label.box_in_image;
            b.x0 < -BORDER_PX || b.y0 < -BORDER_PX || b.x1 > right || b.y1 > bottom
        };
        match labels.iter().find(|(_, boxes)| boxes.iter().any(reaches_out)) {
            Some((&frame, _)) => Err(DriveError::OutsidePicture { path: path.to_owned(), frame, width_px, height_px }),
            None => Ok(()),
        }
    }

    fn sightings(&self, camera: Option<MountedCamera>, threshold: f32) -> Result<Vec<Sighting>, DriveError> {
        let mut judge = road_judge(camera, &RoadJudgeConfig::default(), self.width_px, self.height_px)?;
        let mut sightings = Vec::new();
        for Seen { frame, found } in &self.seen {
            let above: Vec<_> = found.iter().filter(|(_, d)| d.score >= threshold).copied().collect();
            sightings.extend(judge.observe(frame, &above, None, &mut |_| Err(NoPicture::NobodyLooked)));
        }
        sightings.extend(judge.finish());
        Ok(sightings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_line_of_labels_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("boxes.csv");
        for (text, says) in [
            ("still,class,x0,y0,x1,y1\n0,D40,1,2,3,4\n1,manhole,1,2,3,4\n", "line 3: \"manhole\""),
            ("still,class,x0,y0,x1,y1\n0,D40,3,2,1,4\n", "line 2: the box is empty"),
            ("still,class,x0,y0,x1\n0,D40,3,2,1\n", "line 2: "),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = read_boxes(&path).unwrap_err().to_string();
            assert!(error.contains("boxes.csv: ") && error.contains(says), "{error}");
        }
        std::fs::write(&path, "still,class,x0,y0,x1,y1\n").unwrap();
        assert!(read_boxes(&path).unwrap().is_empty());
    }
}
