//! The road judge: one sighting per damage and pass.
//!
//! A track becomes a sighting when the vehicle has passed it, if it was detected often and surely enough. Position, size
//! and covariance are those of the whole pass; the picture is the best view of it, redacted at the moment it was seen.

use time::OffsetDateTime;

use std::collections::HashMap;

use crate::edge::anonymise::{RedactedImage, redact};
use crate::edge::camera::{Camera, GroundPoint};
use crate::edge::detection::{BoundingBox, Detection};
use crate::edge::extent::ExtentMask;
use crate::edge::frame::{CameraImage, Frame};
use crate::edge::locate::{AntennaOffset, LocateNoise, heading_covariance, locate};
use crate::edge::mask::NoPicture;
use crate::edge::track::{Placed, Track, TrackId, Tracker, TrackerConfig, Update};
use crate::geo::{Covariance, LatLon};
use crate::schema::DamageClass;

#[derive(Debug, Clone, PartialEq)]
pub struct RoadJudgeConfig {
    pub tracker: TrackerConfig,
    pub noise: LocateNoise,
    pub antenna: AntennaOffset,
    /// A thing seen in fewer frames counts only when its one score reaches `single_frame_score`.
    pub min_frames: u32,
    /// Sum of scores over the pass that makes a sighting.
    pub min_score_sum: f32,
    /// Mean score over the frames that showed its place; a frame without a detection counts as 0.
    pub min_mean_score: f32,
    pub single_frame_score: f32,
    /// Whether pictures of damages are made.
    pub pictures: bool,
}

impl Default for RoadJudgeConfig {
    fn default() -> Self {
        Self {
            tracker: TrackerConfig::default(),
            noise: LocateNoise::default(),
            antenna: AntennaOffset::default(),
            min_frames: 2,
            min_score_sum: 1.0,
            min_mean_score: 0.38,
            single_frame_score: 0.6,
            pictures: true,
        }
    }
}

/// A receiver's accuracy changes slowly and is its own: told exactly, it would lead from one sighting to the next. So only its
/// class is told, the next larger power of two: 0.5, 1, 2, 4 … metres.
#[must_use]
pub fn accuracy_class_metres(accuracy_metres: f64) -> f64 {
    accuracy_metres.clamp(0.5, 1024.0).log2().ceil().exp2()
}

/// One damage on one pass.
#[derive(Debug, Clone, PartialEq)]
pub struct Sighting {
    pub class: DamageClass,
    /// The best score of the pass, 0..1.
    pub score: f32,
    pub position: LatLon,
    /// Square metres, east/north: boxes, mounting, heading and GNSS.
    pub position_covariance: Covariance,
    pub heading_degrees: f64,
    pub length_metres: f64,
    pub width_metres: f64,
    pub area_square_metres: f64,
    pub calibrated: bool,
    pub frames_seen: u32,
    /// When it was nearest; reports round it to the hour.
    pub best_seen_at: OffsetDateTime,
    /// Or why there is none.
    pub picture: Result<RedactedImage, NoPicture>,
}

/// Finds what must not be seen in a frame's picture (see `edge::mask`); asked at most once a frame, and only when a
/// picture is about to be made.
pub type Look<'l> = dyn FnMut(&CameraImage) -> Result<Vec<BoundingBox>, NoPicture> + 'l;

#[derive(Debug)]
pub struct RoadJudge {
    config: RoadJudgeConfig,
    camera: Camera,
    calibrated: bool,
    tracker: Tracker,
    pictures: HashMap<TrackId, View>,
}

/// The best view of a track so far.
#[derive(Debug)]
struct View {
    /// Of the best one that was tried.
    quality: f64,
    picture: Result<RedactedImage, NoPicture>,
}

impl View {
    /// A picture is better than none.
    fn beats(&self, other: &Self) -> bool {
        match (&self.picture, &other.picture) {
            (Ok(_), Err(_)) => true,
            (Err(_), Ok(_)) => false,
            _ => self.quality > other.quality,
        }
    }
}

/// A better view must be better by this factor before a picture is made anew: few redactions per pass.
const WORTH_A_NEW_PICTURE: f64 = 1.3;

impl RoadJudge {
    #[must_use]
    pub fn new(camera: Camera, calibrated: bool, config: RoadJudgeConfig) -> Self {
        let tracker = Tracker::new(config.tracker.clone(), camera, config.antenna);
        Self { config, camera, calibrated, tracker, pictures: HashMap::new() }
    }

    /// Takes one frame's detections; gives the sightings that this frame completed. A frame without a fix is skipped:
    /// a damage without a place helps nobody.
    pub fn observe(
        &mut self,
        frame: &Frame,
        detections: &[(DamageClass, Detection)],
        extent: Option<&ExtentMask>,
        look: &mut Look<'_>,
    ) -> Vec<Sighting> {
        let Some(fix) = &frame.fix else { return Vec::new() };
        let placed: Vec<Placed> = detections
            .iter()
            .filter_map(|&(class, detection)| {
                let located = locate(&self.camera, detection.box_in_image, &self.config.noise)?;
                let damaged = extent.and_then(|mask| mask.within(&self.camera, &detection));
                Some(Placed { class, detection, located, damaged })
            })
            .collect();
        let update = self.tracker.update(fix, &placed);
        let mut seen = None;
        let mut masks = || seen.get_or_insert_with(|| look(&frame.image)).clone();
        for (one, id) in placed.iter().zip(&update.assigned) {
            if let Some(id) = id
                && self.config.pictures
            {
                self.keep_best_view(*id, frame, one, &mut masks);
            }
        }
        self.sightings(update)
    }

    /// The sightings of what is still open at the end of a run.
    pub fn finish(&mut self) -> Vec<Sighting> {
        let update = self.tracker.finish();
        self.sightings(update)
    }

    fn keep_best_view(
        &mut self,
        id: TrackId,
        frame: &Frame,
        one: &Placed,
        masks: &mut dyn FnMut() -> Result<Vec<BoundingBox>, NoPicture>,
    ) {
        let whole = if one.located.is_whole() { 1.0 } else { 0.3 };
        let quality = whole * f64::from(one.detection.score) * f64::from(one.detection.box_in_image.area_px()).sqrt();
        if self.pictures.get(&id).is_some_and(|best| quality <= WORTH_A_NEW_PICTURE * best.quality) {
            return;
        }
        let picture = redact(&frame.image, &self.camera, &one.located.footprint, masks);
        // Somebody may step into the better view; the earlier picture was as well guarded and stays.
        let kept = self.pictures.remove(&id).map(|best| best.picture).filter(|_| picture.is_err());
        self.pictures.insert(id, View { quality, picture: kept.filter(Result::is_ok).unwrap_or(picture) });
    }

    fn sightings(&mut self, update: Update) -> Vec<Sighting> {
        for (id, by) in update.absorbed {
            if let Some(view) = self.pictures.remove(&id)
                && self.pictures.get(&by).is_none_or(|best| view.beats(best))
            {
                self.pictures.insert(by, view);
            }
        }
        let mut sightings = Vec::new();
        for (id, track) in update.closed {
            let picture = self.pictures.remove(&id).map_or(Err(NoPicture::NotInSight), |view| view.picture);
            if self.is_confirmed(&track) {
                sightings.extend(self.sighting(&track, picture));
            }
        }
        sightings
    }

    fn is_confirmed(&self, track: &Track) -> bool {
        let often = track.hits >= self.config.min_frames
            && track.score_sum() >= self.config.min_score_sum
            && track.score_sum() >= self.config.min_mean_score * track.opportunities as f32;
        let once = track.opportunities <= 3 && track.max_score >= self.config.single_frame_score;
        often || once
    }

    fn sighting(&self, track: &Track, picture: Result<RedactedImage, NoPicture>) -> Option<Sighting> {
        let frame = self.tracker.frame()?;
        let estimate = &track.estimate;
        let extent = estimate.extent();
        let fix = &track.best_fix;
        let ahead = GroundPoint { forward_metres: track.best_range_metres, left_metres: 0.0 };
        let covariance = estimate
            .covariance()
            .plus(heading_covariance(ahead, fix.heading_degrees, &self.config.noise))
            .plus(Covariance::isotropic(accuracy_class_metres(fix.accuracy_metres)));
        Some(Sighting {
            class: track.class(),
            score: track.max_score,
            position: frame.latlon_from_local(track.centre()),
            position_covariance: covariance,
            heading_degrees: estimate.heading_degrees(),
            length_metres: extent.length_metres(),
            width_metres: extent.width_metres(),
            area_square_metres: track.damaged_share() * extent.length_metres() * extent.width_metres(),
            calibrated: self.calibrated,
            frames_seen: track.hits,
            best_seen_at: fix.at,
            picture,
        })
    }
}
