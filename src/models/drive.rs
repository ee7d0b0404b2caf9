//! A road model on a labelled drive, as a town sees it: which stretches of the way have a sighting, and do sightings lie where
//! something is damaged?
//!
//! The way is cut into stretches of a few metres, by chainage: metres driven since the first frame with a fix. A stretch is
//! *damaged* where the ground under a labelled box of any frame touches it, and it *has a sighting* where a sighting's length
//! touches it. A sighting lies on damage when the stretch of its centre is damaged. Labels and detections go through the same
//! camera, so an error of its mounting moves both alike. Boxes farther ahead than `REACH_METRES` are left to later frames, which
//! see the same ground from nearer by.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::edge::camera::{Camera, ImagePoint};
use crate::edge::config::{MountedCamera, assumed_camera};
use crate::edge::detection::{BoundingBox, Detection};
use crate::edge::detector::Detector;
use crate::edge::fix::{DEFAULT_MAX_GAP_MILLIS, Fix, FixLog};
use crate::edge::frame::{CameraImage, Frame};
use crate::edge::infer::InferError;
use crate::edge::judge::road::{RoadJudgeConfig, Sighting};
use crate::edge::locate::{Footprint, LocateNoise, locate};
use crate::edge::mask::NoPicture;
use crate::edge::pipeline::{PipelineError, road_judge};
use crate::edge::replay::{read_fixes, source_of};
use crate::edge::source::{self, SourceError};
use crate::failure::Failure;
use crate::geo::{EastNorth, LatLon, LocalFrame, direction_of};
use crate::schema::{DamageClass, ModelRef};

/// Ground farther ahead of the camera is not judged.
pub const REACH_METRES: f64 = 15.0;

#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    #[error("{}: {reason}", path.display())]
    Boxes { path: PathBuf, reason: String },
    #[error("{}: it labels frame {frame}, but the video has {frames} frames (0 is the first)", path.display())]
    NoSuchFrame { path: PathBuf, frame: u64, frames: u64 },
    #[error("no frame of the video has a position in {}, so nothing has a place", path.display())]
    NoFix { path: PathBuf },
    #[error("the vehicle did not move by a single stretch of {stretch_metres} m")]
    StoodStill { stretch_metres: f64 },
    #[error("the model has the class {0:?}, which is no road damage; take a road model (D00, D10, D20, D40, Repair)")]
    ForeignClass(String),
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Infer(#[from] InferError),
    #[error("{0}")]
    Fixes(Failure),
    #[error(transparent)]
    Camera(#[from] PipelineError),
}

impl From<DriveError> for Failure {
    fn from(error: DriveError) -> Self {
        match error {
            DriveError::Infer(error) => error.into(),
            DriveError::Fixes(failure) => failure,
            DriveError::Camera(error) => error.into(),
            DriveError::ForeignClass(_) => Self::usage(error),
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
    /// Of the damaged stretches, those with a sighting.
    pub found_share: f64,
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
    let mut of_frame: BTreeMap<u64, Vec<LabelledBox>> = BTreeMap::new();
    for (index, row) in reader.deserialize().enumerate() {
        let line = index + 2;
        let row: Row =
            row.map_err(|e| wrong(format!("line {line}: {e}; expected the columns still,class,x0,y0,x1,y1")))?;
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

/// Runs the model over the video once, then the judge once per threshold.
pub fn judge_drive(detector: &mut Detector, task: &Task) -> Result<Report, DriveError> {
    let labels = read_boxes(&task.boxes)?;
    let fixes = read_fixes(&task.gnss, DEFAULT_MAX_GAP_MILLIS).map_err(DriveError::Fixes)?;
    let shipped = detector.spec().score_threshold;
    let lowest = task.thresholds.iter().copied().fold(shipped, f32::min);
    let (size_px, seen) = look(detector, task, &fixes, lowest)?;
    let frames = seen.len() as u64;
    if let Some((&frame, _)) = labels.last_key_value().filter(|(frame, _)| **frame >= frames) {
        return Err(DriveError::NoSuchFrame { path: task.boxes.clone(), frame, frames });
    }
    let no_fix = || DriveError::NoFix { path: task.gnss.clone() };
    let way = Way::driven(seen.iter().filter_map(|seen| seen.frame.fix.as_ref())).ok_or_else(no_fix)?;
    let road = Road::new(&way, &View::of(task.camera, size_px), &seen, &labels, task.stretch_metres);
    if road.seen.is_empty() || way.length_metres() < task.stretch_metres {
        return Err(DriveError::StoodStill { stretch_metres: task.stretch_metres });
    }
    let point = |threshold: f32| -> Result<Point, DriveError> {
        Ok(road.point(threshold, &way, &sightings(task.camera, size_px, &seen, threshold)?))
    };
    let mut thresholds = task.thresholds.clone();
    thresholds.sort_by(f32::total_cmp);
    Ok(Report {
        frames: seen.len(),
        stretch_metres: task.stretch_metres,
        stretches: road.seen.len(),
        damaged_stretches: road.damaged.len(),
        shipped: point(shipped)?,
        curve: thresholds.into_iter().map(point).collect::<Result<_, _>>()?,
        model: detector.model_ref(),
        backend: detector.backend_name(),
        calibrated: task.camera.is_some(),
    })
}

fn look(
    detector: &mut Detector,
    task: &Task,
    fixes: &FixLog,
    lowest: f32,
) -> Result<((u32, u32), Vec<Seen>), DriveError> {
    let class = |name: &String| name.parse().map_err(|_| DriveError::ForeignClass(name.clone()));
    let classes: Vec<DamageClass> = detector.classes().iter().map(class).collect::<Result<_, _>>()?;
    let no_fix = || DriveError::NoFix { path: task.gnss.clone() };
    let mut source = source::open(&source_of(&task.video), fixes.first_at().ok_or_else(no_fix)?)?;
    let mut size_px = None;
    let mut seen: Vec<Seen> = Vec::new();
    while let Some(captured) = source.next_image()? {
        size_px = Some((captured.image.width_px(), captured.image.height_px()));
        let found = detector.detect_above(&captured.image, lowest)?;
        let frame = Frame {
            sequence: seen.len() as u64,
            captured_at: captured.captured_at,
            stream_time: captured.stream_time,
            fix: fixes.at(captured.captured_at),
            // No picture is made here, so no pixels are kept.
            image: CameraImage::new(image::RgbImage::new(1, 1)),
        };
        seen.push(Seen { frame, found: found.into_iter().map(|d| (classes[d.class], d)).collect() });
    }
    Ok((size_px.ok_or_else(no_fix)?, seen))
}

fn sightings(
    camera: Option<MountedCamera>,
    (width_px, height_px): (u32, u32),
    seen: &[Seen],
    threshold: f32,
) -> Result<Vec<Sighting>, DriveError> {
    let mut judge = road_judge(camera, &RoadJudgeConfig::default(), width_px, height_px)?;
    let mut sightings = Vec::new();
    for Seen { frame, found } in seen {
        let above: Vec<_> = found.iter().filter(|(_, d)| d.score >= threshold).copied().collect();
        sightings.extend(judge.observe(frame, &above, None, &mut |_| Err(NoPicture::NobodyLooked)));
    }
    sightings.extend(judge.finish());
    Ok(sightings)
}

/// What of the road a frame shows.
struct View {
    camera: Camera,
    /// The places of a drive are the antenna's.
    antenna_forward_metres: f64,
}

impl View {
    fn of(mounted: Option<MountedCamera>, (width_px, height_px): (u32, u32)) -> Self {
        match mounted {
            Some(mounted) => Self { camera: mounted.camera(), antenna_forward_metres: mounted.antenna_forward_metres },
            None => Self { camera: assumed_camera(width_px, height_px), antenna_forward_metres: 0.0 },
        }
    }

    /// The nearest ground in the middle of the picture, metres ahead of the camera.
    fn nearest_metres(&self) -> f64 {
        let (width_px, height_px) = (self.camera.intrinsics.width_px, self.camera.intrinsics.height_px);
        let bottom = ImagePoint { x_px: 0.5 * f64::from(width_px), y_px: f64::from(height_px) };
        self.camera.ground_from_image(bottom).map_or(0.0, |point| point.forward_metres)
    }

    /// The ground under a box, nearest and farthest, metres ahead; `None` where that lies beyond the reach or nowhere.
    fn ahead(&self, box_in_image: BoundingBox) -> Option<(f64, f64)> {
        let located = locate(&self.camera, box_in_image, &LocateNoise::default())?;
        let Footprint { near_metres, far_metres, .. } = located.footprint;
        (near_metres < REACH_METRES).then(|| (near_metres, far_metres.min(REACH_METRES)))
    }
}

/// The way driven: places with their chainages.
#[derive(Debug, Clone)]
struct Way {
    frame: LocalFrame,
    places: Vec<EastNorth>,
    chainages_metres: Vec<f64>,
    /// At its end.
    ahead: EastNorth,
}

impl Way {
    fn driven<'f>(fixes: impl Iterator<Item = &'f Fix>) -> Option<Self> {
        let fixes: Vec<&Fix> = fixes.collect();
        let frame = LocalFrame::at(fixes.first()?.position);
        let places: Vec<EastNorth> = fixes.iter().map(|fix| frame.local_from_latlon(fix.position)).collect();
        let mut chainages_metres = vec![0.0];
        for pair in places.windows(2) {
            chainages_metres.push(chainages_metres[chainages_metres.len() - 1] + pair[0].distance_metres(pair[1]));
        }
        Some(Self { frame, places, chainages_metres, ahead: direction_of(fixes.last()?.heading_degrees) })
    }

    fn length_metres(&self) -> f64 {
        self.chainages_metres[self.chainages_metres.len() - 1]
    }

    /// Chainage of the nearest point of the way, which goes straight on beyond its end.
    fn chainage_of(&self, place: LatLon) -> f64 {
        let here = self.frame.local_from_latlon(place);
        let end = self.places[self.places.len() - 1];
        let beyond = EastNorth::new(
            end.east_metres + REACH_METRES * 2.0 * self.ahead.east_metres,
            end.north_metres + REACH_METRES * 2.0 * self.ahead.north_metres,
        );
        let starts = self.places.iter().zip(&self.chainages_metres);
        let ends = self.places[1..].iter().chain(std::iter::once(&beyond));
        let along = |((from, chainage), to): ((&EastNorth, &f64), &EastNorth)| {
            let (east, north) = (to.east_metres - from.east_metres, to.north_metres - from.north_metres);
            let length = east.hypot(north);
            let way = (here.east_metres - from.east_metres) * east + (here.north_metres - from.north_metres) * north;
            let share = if length > 0.0 { (way / (length * length)).clamp(0.0, 1.0) } else { 0.0 };
            let nearest = EastNorth::new(from.east_metres + share * east, from.north_metres + share * north);
            (nearest.distance_metres(here), chainage + share * length)
        };
        let nearest = starts.zip(ends).map(along).min_by(|a, b| a.0.total_cmp(&b.0));
        nearest.map_or(0.0, |(_, chainage)| chainage)
    }
}

/// Stretches by their number: seen from near enough, and damaged.
struct Road {
    stretch_metres: f64,
    seen: BTreeSet<i64>,
    damaged: BTreeSet<i64>,
}

impl Road {
    fn new(
        way: &Way,
        view: &View,
        seen: &[Seen],
        labels: &BTreeMap<u64, Vec<LabelledBox>>,
        stretch_metres: f64,
    ) -> Self {
        let mut road = Self { stretch_metres, seen: BTreeSet::new(), damaged: BTreeSet::new() };
        let with_fix = seen.iter().filter(|seen| seen.frame.fix.is_some());
        for (seen, chainage) in with_fix.zip(&way.chainages_metres) {
            let camera_at = chainage - view.antenna_forward_metres;
            road.seen.extend(road.touched(camera_at + view.nearest_metres(), camera_at + REACH_METRES));
            for label in labels.get(&seen.frame.sequence).into_iter().flatten() {
                if let Some((near, far)) = view.ahead(label.box_in_image) {
                    road.damaged.extend(road.touched(camera_at + near, camera_at + far));
                }
            }
        }
        let known = &road.seen;
        road.damaged.retain(|stretch| known.contains(stretch));
        road
    }

    fn stretch_of(&self, chainage_metres: f64) -> i64 {
        (chainage_metres / self.stretch_metres).floor() as i64
    }

    fn touched(&self, from_metres: f64, to_metres: f64) -> std::ops::RangeInclusive<i64> {
        self.stretch_of(from_metres)..=self.stretch_of(to_metres)
    }

    fn point(&self, threshold: f32, way: &Way, sightings: &[Sighting]) -> Point {
        let mut with_sighting = BTreeSet::new();
        let (mut judged, mut right) = (0, 0);
        for sighting in sightings {
            let centre = way.chainage_of(sighting.position);
            let stretch = self.stretch_of(centre);
            if !self.seen.contains(&stretch) {
                continue;
            }
            judged += 1;
            right += usize::from(self.damaged.contains(&stretch));
            let half = 0.5 * sighting.length_metres;
            with_sighting.extend(self.touched(centre - half, centre + half).filter(|s| self.seen.contains(s)));
        }
        let found = self.damaged.intersection(&with_sighting).count();
        Point {
            threshold,
            sightings: judged,
            sightings_on_damage: right,
            damaged_stretches_with_sighting: found,
            found_share: found as f64 / self.damaged.len().max(1) as f64,
            right_share: (judged > 0).then(|| right as f64 / judged as f64),
            covered_share: with_sighting.len() as f64 / self.seen.len() as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const HOME: LatLon = LatLon { lat: 50.0, lon: 8.7 };

    /// North, then east, a fix every 5 m.
    fn corner() -> Vec<Fix> {
        let frame = LocalFrame::at(HOME);
        let north = (0..=10).map(|k| (EastNorth::new(0.0, 5.0 * f64::from(k)), 0.0));
        let east = (1..=10).map(|k| (EastNorth::new(5.0 * f64::from(k), 50.0), 90.0));
        north
            .chain(east)
            .map(|(place, heading_degrees)| Fix {
                at: datetime!(2026-03-17 09:00 UTC),
                position: frame.latlon_from_local(place),
                speed_metres_per_second: 10.0,
                heading_degrees,
                accuracy_metres: 1.0,
            })
            .collect()
    }

    fn at(east: f64, north: f64) -> LatLon {
        LocalFrame::at(HOME).latlon_from_local(EastNorth::new(east, north))
    }

    #[test]
    fn chainage_follows_the_way_around_the_corner_and_straight_on_beyond_its_end() {
        let way = Way::driven(corner().iter()).unwrap();
        assert!((way.length_metres() - 100.0).abs() < 0.01);
        for (place, chainage) in
            [(at(1.5, 12.0), 12.0), (at(-2.0, 0.0), 0.0), (at(23.0, 48.5), 73.0), (at(58.0, 51.0), 108.0)]
        {
            let found = way.chainage_of(place);
            assert!((found - chainage).abs() < 0.01, "{place:?}: {found}, not {chainage}");
        }
    }

    fn sighting(place: LatLon, length_metres: f64) -> Sighting {
        Sighting {
            class: DamageClass::Pothole,
            score: 0.8,
            position: place,
            position_covariance: crate::geo::Covariance::isotropic(0.5),
            heading_degrees: 0.0,
            length_metres,
            width_metres: 1.0,
            area_square_metres: 1.0,
            calibrated: false,
            frames_seen: 3,
            best_seen_at: datetime!(2026-03-17 09:00 UTC),
            picture: Err(NoPicture::NobodyLooked),
        }
    }

    #[test]
    fn shares_count_stretches_by_length_and_sightings_by_their_centre() {
        let way = Way::driven(corner().iter()).unwrap();
        let road = Road { stretch_metres: 5.0, seen: (0..20).collect(), damaged: [2, 3, 10].into() };
        // From 11 to 17 m: both damaged stretches 2 and 3. At 47 m: on none. At 140 m: beyond what was seen.
        let found = [sighting(at(0.0, 14.0), 6.0), sighting(at(0.0, 47.0), 1.0), sighting(at(29.0, 50.0), 1.0)];
        let point = road.point(0.3, &way, &found);
        assert_eq!((point.sightings, point.sightings_on_damage, point.damaged_stretches_with_sighting), (3, 1, 2));
        assert_eq!((point.found_share, point.right_share), (2.0 / 3.0, Some(1.0 / 3.0)));
        assert_eq!(point.covered_share, 4.0 / 20.0);
        let nothing = road.point(0.9, &way, &[]);
        assert_eq!((nothing.found_share, nothing.right_share), (0.0, None));
    }

    #[test]
    fn the_ground_under_a_label_ends_at_the_reach() {
        let view = View::of(None, (1024, 630));
        let near = BoundingBox::new(450.0, 500.0, 550.0, 600.0).unwrap();
        let (from, to) = view.ahead(near).unwrap();
        assert!(from > 3.0 && to < 8.0 && from < to, "{from}–{to}");
        let long = BoundingBox::new(450.0, 90.0, 550.0, 600.0).unwrap();
        assert_eq!(view.ahead(long).unwrap().1, REACH_METRES);
        assert_eq!(view.ahead(BoundingBox::new(450.0, 60.0, 550.0, 80.0).unwrap()), None);
    }

    #[test]
    fn a_wrong_line_of_labels_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("boxes.csv");
        for (text, says) in [
            ("still,class,x0,y0,x1\n", ""),
            ("still,class,x0,y0,x1,y1\n0,D40,1,2,3,4\n1,manhole,1,2,3,4\n", "line 3: \"manhole\""),
            ("still,class,x0,y0,x1,y1\n0,D40,3,2,1,4\n", "line 2: the box is empty"),
            ("still,class,x0,y0,x1\n0,D40,3,2,1\n", "line 2: "),
        ] {
            std::fs::write(&path, text).unwrap();
            let result = read_boxes(&path);
            if says.is_empty() {
                assert!(result.unwrap().is_empty());
            } else {
                let error = result.unwrap_err().to_string();
                assert!(error.contains("boxes.csv: ") && error.contains(says), "{error}");
            }
        }
    }
}
