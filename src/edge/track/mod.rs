//! Tracks on the ground: which detections of successive frames are one thing on the road.
//!
//! A track lives in the flat frame of [`motion`], with its own axes: *along* the heading at its first observation and
//! *left* of it, metres. Each frame's boxes are located on the road and compared with the tracks where the vehicle's motion
//! says they must be now; overlap in the picture plays no part, so 2 frames a second work as well as 25. Errors of the
//! GNSS fix do not enter this comparison; the difference between that frame and the earth is averaged per track.
//!
//! A track stays open until the vehicle has passed it, so a thing that is lost and found again on one pass stays one track.
//! A passed track that lies within a like one, or is as good as the same rectangle, was a second box of it and is absorbed.
//! Pure: no clock, no I/O; the frame's fix carries the time.

pub mod estimate;
pub mod motion;

use crate::edge::camera::{Camera, GroundPoint};
use crate::edge::detection::Detection;
use crate::edge::extent::DamagedArea;
use crate::edge::fix::Fix;
use crate::edge::locate::{AREA_SHARE, AntennaOffset, Edge, LocatedBox, offset_from_antenna};
use crate::geo::{EastNorth, LocalFrame};
use crate::schema::DamageClass;

use estimate::{Extent, TrackEstimate};
use motion::Motion;

#[derive(Debug, Clone, PartialEq)]
pub struct TrackerConfig {
    /// Detections whose centre is farther ahead are ignored: too few pixels to place them.
    pub max_range_metres: f64,
    /// Added to the gate for what the covariances leave out: unevenness, time stamps, the box's whims.
    pub gate_slack_metres: f64,
    /// Gate in standard deviations of the expected difference.
    pub gate_sigmas: f64,
    /// Extended things also match when this share of the smaller footprint is covered.
    pub min_overlap: f64,
    /// Two tracks of different class groups that share this much of their common area are one thing.
    pub same_thing_overlap: f64,
    /// A track is a part of a like one when the two share this much of the smaller.
    pub fragment_overlap: f64,
    /// However uncertain the mounting, nothing moves farther than this between frames.
    pub max_gate_along_metres: f64,
    pub max_gate_across_metres: f64,
    /// A crack field that goes on is cut into pieces of this length.
    pub max_length_metres: f64,
    /// How far behind the camera a thing must lie before its track is closed.
    pub closed_behind_metres: f64,
}

impl Default for TrackerConfig {
    fn default() -> Self {
        Self {
            max_range_metres: 25.0,
            gate_slack_metres: 0.5,
            gate_sigmas: 3.0,
            min_overlap: 0.3,
            same_thing_overlap: 0.6,
            fragment_overlap: 0.5,
            max_gate_along_metres: 3.0,
            max_gate_across_metres: 1.2,
            max_length_metres: 20.0,
            closed_behind_metres: 6.0,
        }
    }
}

/// One detection, placed on the road of its frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Placed {
    pub class: DamageClass,
    pub detection: Detection,
    pub located: LocatedBox,
    /// How much of its ground is damaged, where the model's extent mask says so.
    pub damaged: Option<DamagedArea>,
}

/// A thing on the road, as far as this pass has seen it.
#[derive(Debug, Clone, PartialEq)]
pub struct Track {
    pub estimate: TrackEstimate,
    /// Sum of scores per class, in the order of [`DamageClass::ALL`].
    class_scores: [f32; DamageClass::ALL.len()],
    pub hits: u32,
    /// Frames in which it lay within range and within the picture, since it was first seen.
    pub opportunities: u32,
    pub max_score: f32,
    /// The fix of the nearest observation: its accuracy and heading are the track's.
    pub best_fix: Fix,
    pub best_range_metres: f64,
    last_seen_metres_driven: f64,
    /// Weighted sums of the earth's position minus the one in the tracker's frame.
    offset_weight: f64,
    offset_sum: EastNorth,
    /// Weights of the extent masks, and the weighted sum of their shares.
    damaged_weight: f64,
    damaged_sum: f64,
}

impl Track {
    /// The class with the largest sum of scores.
    #[must_use]
    pub fn class(&self) -> DamageClass {
        let best = (0..self.class_scores.len()).max_by(|&a, &b| self.class_scores[a].total_cmp(&self.class_scores[b]));
        DamageClass::ALL[best.unwrap_or(0)]
    }

    #[must_use]
    pub fn score_sum(&self) -> f32 {
        self.class_scores.iter().sum()
    }

    /// Damaged ground as a share of length × width: the mean of the extent masks, the finer ones counting more; without a
    /// mask, what an ellipse fills of its rectangle.
    #[must_use]
    pub fn damaged_share(&self) -> f64 {
        if self.damaged_weight > 0.0 { self.damaged_sum / self.damaged_weight } else { AREA_SHARE }
    }

    /// Centre in the flat frame around the first fix.
    #[must_use]
    pub fn centre(&self) -> EastNorth {
        let centre = self.estimate.centre();
        EastNorth::new(
            centre.east_metres + self.offset_sum.east_metres / self.offset_weight,
            centre.north_metres + self.offset_sum.north_metres / self.offset_weight,
        )
    }

    fn may_be(&self, class: DamageClass) -> bool {
        DamageClass::ALL.iter().zip(self.class_scores).any(|(own, score)| score > 0.0 && own.same_group(class))
    }

    /// Whether `other` was a second box of this thing.
    fn covers(&self, other: &Self, config: &TrackerConfig) -> bool {
        let (own, theirs) = (self.estimate.extent(), self.estimate.extent_of(&other.estimate));
        let same = own.overlap_of_both(&theirs) >= config.same_thing_overlap;
        let within = self.may_be(other.class())
            && own.overlap_of_smaller(&theirs) >= config.fragment_overlap
            && own.joined(&theirs).length_metres() <= config.max_length_metres;
        same || within
    }

    fn absorb(&mut self, other: &Self) {
        self.estimate.absorb(&other.estimate);
        for (own, theirs) in self.class_scores.iter_mut().zip(other.class_scores) {
            *own += theirs;
        }
        self.damaged_weight += other.damaged_weight;
        self.damaged_sum += other.damaged_sum;
        // Boxes side by side in the same frames prove no more than one of them.
        self.hits = self.hits.max(other.hits);
        self.opportunities = self.opportunities.max(other.opportunities);
        self.max_score = self.max_score.max(other.max_score);
        self.last_seen_metres_driven = self.last_seen_metres_driven.max(other.last_seen_metres_driven);
    }
}

/// Name of an open track; never used twice.
pub type TrackId = u64;

/// What a frame did to the tracks.
#[derive(Debug, Default)]
pub struct Update {
    /// The track of each placed detection, in their order; `None` beyond the range.
    pub assigned: Vec<Option<TrackId>>,
    /// Tracks that the vehicle has passed.
    pub closed: Vec<(TrackId, Track)>,
    /// Tracks that were second boxes of another: (absorbed, by).
    pub absorbed: Vec<(TrackId, TrackId)>,
}

#[derive(Debug)]
pub struct Tracker {
    config: TrackerConfig,
    camera: Camera,
    antenna: AntennaOffset,
    frame: Option<LocalFrame>,
    open: Vec<(TrackId, Track)>,
    next_id: TrackId,
    metres_driven: f64,
    last_position: Option<EastNorth>,
    motion: Motion,
}

type Closed = Vec<(TrackId, Track)>;

/// A track not seen for so long a way is closed wherever it seems to lie (the vehicle turned off).
const FORGOTTEN_AFTER_METRES: f64 = 60.0;

impl Tracker {
    #[must_use]
    pub fn new(config: TrackerConfig, camera: Camera, antenna: AntennaOffset) -> Self {
        Self {
            config,
            camera,
            antenna,
            frame: None,
            open: Vec::new(),
            next_id: 0,
            metres_driven: 0.0,
            last_position: None,
            motion: Motion::default(),
        }
    }

    /// The flat frame in which estimates are given; `None` before the first fix.
    #[must_use]
    pub fn frame(&self) -> Option<LocalFrame> {
        self.frame
    }

    /// Takes one frame's detections, placed with that frame's camera and fix.
    pub fn update(&mut self, fix: &Fix, placed: &[Placed]) -> Update {
        let frame = *self.frame.get_or_insert_with(|| LocalFrame::at(fix.position));
        let view = View {
            antenna_at: self.motion.advance(&frame, fix),
            gnss_at: frame.local_from_latlon(fix.position),
            heading_degrees: fix.heading_degrees,
            antenna: self.antenna,
        };
        if let Some(last) = self.last_position.replace(view.antenna_at) {
            self.metres_driven += last.distance_metres(view.antenna_at);
        }
        let (closed, absorbed) = self.close_passed(&view);
        let mut update = Update { assigned: vec![None; placed.len()], closed, absorbed };
        self.count_opportunities(&view);
        for (track, detection) in self.match_up(&view, placed) {
            let (id, open) = &mut self.open[track];
            open.observe(&placed[detection], &view, fix, self.metres_driven);
            update.assigned[detection] = Some(*id);
        }
        for (index, one) in placed.iter().enumerate() {
            if update.assigned[index].is_none() && one.located.range_metres() <= self.config.max_range_metres {
                let id = self.next_id;
                self.next_id += 1;
                self.open.push((id, Track::begin(one, &view, fix, self.metres_driven)));
                update.assigned[index] = Some(id);
            }
        }
        update
    }

    /// Closes what is still open, at the end of a run.
    pub fn finish(&mut self) -> Update {
        let open = std::mem::take(&mut self.open);
        let (closed, absorbed) = self.absorb_fragments(open);
        Update { assigned: Vec::new(), closed, absorbed }
    }

    /// Smaller tracks first, each into the first other that covers it, open or just closed.
    fn absorb_fragments(&mut self, mut closing: Vec<(TrackId, Track)>) -> (Closed, Vec<(TrackId, TrackId)>) {
        let mut absorbed = Vec::new();
        closing.sort_by(|a, b| a.1.estimate.area().total_cmp(&b.1.estimate.area()).then(a.0.cmp(&b.0)));
        let mut closed: Closed = Vec::new();
        while !closing.is_empty() {
            let (id, track) = closing.remove(0);
            let others = closing.iter_mut().chain(self.open.iter_mut());
            if let Some((by, whole)) = others.into_iter().find(|(_, whole)| whole.covers(&track, &self.config)) {
                whole.absorb(&track);
                absorbed.push((id, *by));
            } else {
                closed.push((id, track));
            }
        }
        closed.sort_by_key(|(id, _)| *id);
        (closed, absorbed)
    }

    fn close_passed(&mut self, view: &View) -> (Closed, Vec<(TrackId, TrackId)>) {
        let driven = self.metres_driven;
        let behind = -self.config.closed_behind_metres;
        let passed = |track: &Track| {
            let farthest = track
                .estimate
                .corners()
                .map(|c| view.ground_from_local(c).forward_metres)
                .into_iter()
                .fold(f64::MIN, f64::max);
            farthest < behind || driven - track.last_seen_metres_driven > FORGOTTEN_AFTER_METRES
        };
        let (closed, open) = std::mem::take(&mut self.open).into_iter().partition(|(_, track)| passed(track));
        self.open = open;
        self.absorb_fragments(closed)
    }

    fn count_opportunities(&mut self, view: &View) {
        for (_, track) in &mut self.open {
            let centre = view.ground_from_local(track.estimate.centre());
            if centre.forward_metres <= 0.0
                || centre.forward_metres.hypot(centre.left_metres) > self.config.max_range_metres
            {
                continue;
            }
            let i = &self.camera.intrinsics;
            let inside = self.camera.image_from_ground(centre).is_some_and(|p| {
                (0.0..f64::from(i.width_px)).contains(&p.x_px) && (0.0..f64::from(i.height_px)).contains(&p.y_px)
            });
            track.opportunities += u32::from(inside);
        }
    }

    /// Pairs of (open track, detection), each used once: best pairs first, ties by order, so the result is deterministic.
    fn match_up(&self, view: &View, placed: &[Placed]) -> Vec<(usize, usize)> {
        let mut candidates = Vec::new();
        for (t, (_, track)) in self.open.iter().enumerate() {
            for (d, one) in placed.iter().enumerate() {
                if one.located.range_metres() <= self.config.max_range_metres
                    && let Some(cost) = self.cost(track, one, view)
                {
                    candidates.push((cost, t, d));
                }
            }
        }
        candidates.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2)));
        let (mut used_tracks, mut used_detections) = (vec![false; self.open.len()], vec![false; placed.len()]);
        let mut pairs = Vec::new();
        for (_, t, d) in candidates {
            if !used_tracks[t] && !used_detections[d] {
                used_tracks[t] = true;
                used_detections[d] = true;
                pairs.push((t, d));
            }
        }
        pairs
    }

    /// Smaller is better; `None` when they cannot be the same thing.
    fn cost(&self, track: &Track, one: &Placed, view: &View) -> Option<f64> {
        let estimate = &track.estimate;
        let (own, seen) = (estimate.extent(), estimate.extent_in_track_axes(&one.located, view));
        if seen.joined(&own).length_metres() > self.config.max_length_metres {
            return None;
        }
        if !track.may_be(one.class) {
            // A model that wavers between classes still boxes the same rectangle.
            let both = own.overlap_of_both(&seen);
            return (both >= self.config.same_thing_overlap).then_some(1.0 - both);
        }
        let overlap = own.overlap_of_smaller(&seen);
        let distance = if one.located.is_whole() && !alike(&own, &seen) {
            f64::INFINITY
        } else {
            self.distance_in_gates(estimate, one, &seen)
        };
        (distance <= 1.0 || overlap >= self.config.min_overlap).then_some(distance.min(1.0) - 2.0 * overlap)
    }

    /// The mounting shifts near and far observations of one thing differently, but in the same direction: what counts
    /// between two frames is the difference.
    fn distance_in_gates(&self, estimate: &TrackEstimate, one: &Placed, seen: &Extent) -> f64 {
        let (along, left) = estimate.centre_difference(seen);
        let gate = |a: &Edge, b: &Edge, own: (f64, f64), limit: f64| {
            let boxes = a.box_sigma_metres.max(b.box_sigma_metres).hypot(own.0);
            let mounting = a.mounting_sigma_metres.max(b.mounting_sigma_metres) - own.1;
            (self.config.gate_slack_metres + self.config.gate_sigmas * boxes.hypot(mounting)).min(limit)
        };
        let located = &one.located;
        let gate_along =
            gate(&located.near, &located.far, estimate.sigmas_along_metres(), self.config.max_gate_along_metres);
        let gate_across =
            gate(&located.left, &located.right, estimate.sigmas_left_metres(), self.config.max_gate_across_metres);
        (along / gate_along).hypot(left / gate_across)
    }
}

/// Whether two rectangles may be one thing seen twice: neither side several times the other's.
fn alike(a: &Extent, b: &Extent) -> bool {
    let near = |x: f64, y: f64| (x + 0.3) / (y + 0.3) < 4.0 && (y + 0.3) / (x + 0.3) < 4.0;
    near(a.length_metres(), b.length_metres()) && near(a.width_metres(), b.width_metres())
}

impl Track {
    fn begin(one: &Placed, view: &View, fix: &Fix, metres_driven: f64) -> Self {
        let mut track = Self {
            estimate: TrackEstimate::new(view, &one.located),
            class_scores: [0.0; DamageClass::ALL.len()],
            hits: 0,
            opportunities: 1,
            max_score: 0.0,
            best_fix: *fix,
            best_range_metres: f64::INFINITY,
            last_seen_metres_driven: metres_driven,
            offset_weight: 0.0,
            offset_sum: EastNorth::new(0.0, 0.0),
            damaged_weight: 0.0,
            damaged_sum: 0.0,
        };
        track.observe(one, view, fix, metres_driven);
        track
    }

    fn observe(&mut self, one: &Placed, view: &View, fix: &Fix, metres_driven: f64) {
        self.estimate.add(&one.located, view);
        let weight = one.located.range_metres().max(1.0).powi(-4);
        self.offset_weight += weight;
        self.offset_sum.east_metres += weight * (view.gnss_at.east_metres - view.antenna_at.east_metres);
        self.offset_sum.north_metres += weight * (view.gnss_at.north_metres - view.antenna_at.north_metres);
        if let Some(sum) = DamageClass::ALL.iter().position(|c| *c == one.class).map(|k| &mut self.class_scores[k]) {
            *sum += one.detection.score;
        }
        if let Some(damaged) = one.damaged {
            let weight = 1.0 / damaged.cell_square_metres;
            self.damaged_weight += weight;
            self.damaged_sum += weight * damaged.share;
        }
        self.hits += 1;
        self.max_score = self.max_score.max(one.detection.score);
        self.last_seen_metres_driven = metres_driven;
        if one.located.range_metres() < self.best_range_metres {
            self.best_range_metres = one.located.range_metres();
            self.best_fix = *fix;
        }
    }
}

/// The vehicle's pose in the tracker's flat frame.
#[derive(Debug, Clone, Copy)]
pub struct View {
    /// Dead reckoning: good against the frames before.
    pub antenna_at: EastNorth,
    /// What the fix says: good against the earth.
    pub gnss_at: EastNorth,
    pub heading_degrees: f64,
    pub antenna: AntennaOffset,
}

impl View {
    #[must_use]
    pub fn local_from_ground(&self, point: GroundPoint) -> EastNorth {
        let offset = offset_from_antenna(self.heading_degrees, self.antenna, point);
        EastNorth::new(
            self.antenna_at.east_metres + offset.east_metres,
            self.antenna_at.north_metres + offset.north_metres,
        )
    }

    #[must_use]
    pub fn ground_from_local(&self, point: EastNorth) -> GroundPoint {
        let ahead = crate::geo::direction_of(self.heading_degrees);
        let (e, n) =
            (point.east_metres - self.antenna_at.east_metres, point.north_metres - self.antenna_at.north_metres);
        GroundPoint {
            forward_metres: e * ahead.east_metres + n * ahead.north_metres + self.antenna.forward_metres,
            left_metres: n * ahead.east_metres - e * ahead.north_metres + self.antenna.left_metres,
        }
    }
}

#[cfg(test)]
mod tests;
