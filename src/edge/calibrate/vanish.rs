//! Where the lines of the road meet: the vanishing point of the direction of travel, which is pitch and yaw.
//!
//! Coordinates here are those of a pinhole camera with focal length 1 and no roll (x right, y down): lens distortion and the
//! given roll are taken out first. A camera that looks `pitch` down and `yaw` to the left sees the direction of travel at
//! x = tan(yaw) / cos(pitch), y = −tan(pitch). The point may lie far outside the picture, then lines are extrapolated.
//!
//! First every direction in question counts the lines that point at it (a turn or a side street spreads its votes, the
//! way ahead gathers them), then the best one is refined by robust least squares. The uncertainty comes from leaving out
//! one part of the drive after the other (the jackknife), since lines of neighbouring pictures are the same paint.

use nalgebra::{Matrix2, Vector2};

use crate::edge::calibrate::segments::Segment;
use crate::edge::camera::{ImagePoint, Intrinsics};

/// Which mountings are looked at.
const PITCH_DEGREES: (i32, i32) = (-15, 45);
const YAW_DEGREES: i32 = 35;
/// Lines that point by further than this are not counted.
const VOTE_TOLERANCE_RADIANS: f64 = 0.03;
/// Of the mean of unit vectors: cosine of twice five degrees.
const LIKE_DIRECTIONS: f64 = 0.985;
/// How far below the point the middle of a line must lie.
const LEAST_BELOW: f64 = 0.02;
/// An unbroken line is seen up to the point itself. So far beyond it may end: more than the grid of the vote is off.
const MAX_BEYOND: f64 = 0.02;
const MAX_VOTERS: usize = 2500;
/// A frame's longest.
const MAX_LINES_PER_FRAME: usize = 40;
/// Paint is not straighter, and streets are not either.
const DIRECTION_FLOOR_RADIANS: f64 = 0.004;
const EDGE_SIGMA_PX: f64 = 0.5;
/// In sigmas; beyond it a line belongs to something else.
const TUKEY: f64 = 4.0;
const MIN_LINES: usize = 4;
const BLOCKS: usize = 10;

/// A segment in the coordinates of this module.
#[derive(Debug, Clone, Copy)]
struct Line {
    middle: Vector2<f64>,
    direction: Vector2<f64>,
    length: f64,
    sigma_radians: f64,
}

/// The lines of each frame, with where they were in the picture.
#[derive(Debug, Clone)]
pub struct RoadLines {
    roll_radians: f64,
    intrinsics: Intrinsics,
    frames: Vec<Vec<(Line, Segment)>>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VanishingPoint {
    pub pitch_degrees: f64,
    pub yaw_degrees: f64,
    /// Of the mean over the drive.
    pub pitch_sigma_degrees: f64,
    pub yaw_sigma_degrees: f64,
    /// How much single frames scatter around it: the vehicle's pitching. `None` where single frames show too little.
    pub pitching_degrees: Option<f64>,
    /// Frames with a line that agrees.
    pub frames: usize,
    pub lines: usize,
    /// By how much these lines point past it.
    pub rms_degrees: f64,
}

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum VanishError {
    #[error(
        "only {lines} lines along the road agree, in {frames} pictures; take a straight road with markings or kerbs on both sides, \
         in daylight and dry"
    )]
    TooFewLines { lines: usize, frames: usize },
    #[error(
        "the {lines} lines along the road run so alike that they meet anywhere; take a road with markings or kerbs on both sides"
    )]
    Alike { lines: usize },
}

impl RoadLines {
    #[must_use]
    pub fn new(intrinsics: Intrinsics, roll_degrees: f64) -> Self {
        Self { roll_radians: roll_degrees.to_radians(), intrinsics, frames: Vec::new() }
    }

    /// Adds a frame; its segments longest first.
    pub fn add(&mut self, segments: &[Segment]) {
        let lines = segments.iter().take(MAX_LINES_PER_FRAME).filter_map(|s| Some((self.line(s)?, *s))).collect();
        self.frames.push(lines);
    }

    #[must_use]
    pub fn frames(&self) -> usize {
        self.frames.len()
    }

    /// How many lines a frame has.
    #[must_use]
    pub fn lines_in(&self, frame: usize) -> usize {
        self.frames.get(frame).map_or(0, Vec::len)
    }

    fn straight(&self, point: ImagePoint) -> Vector2<f64> {
        let i = &self.intrinsics;
        let (x, y) =
            i.undistort((point.x_px - i.centre_x_px) / i.focal_x_px, (point.y_px - i.centre_y_px) / i.focal_y_px);
        let (sin, cos) = self.roll_radians.sin_cos();
        Vector2::new(cos * x - sin * y, sin * x + cos * y)
    }

    fn line(&self, segment: &Segment) -> Option<Line> {
        let (from, to) = (self.straight(segment.from), self.straight(segment.to));
        let length = (to - from).norm();
        let length_px = segment.length_px();
        if length < 1e-6 || length_px < 2.0 {
            return None;
        }
        // Of a line fitted to one point per pixel.
        let by_noise = EDGE_SIGMA_PX * (12.0 / length_px.powi(3)).sqrt();
        let sigma_radians = by_noise.hypot(DIRECTION_FLOOR_RADIANS);
        Some(Line { middle: 0.5 * (from + to), direction: (to - from) / length, length, sigma_radians })
    }

    /// The point where most lines meet.
    pub fn vanishing_point(&self) -> Result<VanishingPoint, VanishError> {
        let all: Vec<&Line> = self.frames.iter().flatten().map(|(line, _)| line).collect();
        let too_few = |lines| VanishError::TooFewLines { lines, frames: self.frames.len() };
        if all.len() < MIN_LINES {
            return Err(too_few(all.len()));
        }
        let start = best_vote(&all);
        let (point, covariance) = refined(&all, start).ok_or(VanishError::Alike { lines: all.len() })?;
        let agreeing = |line: &&&Line| weight(line, point) > 0.0;
        let lines: Vec<&&Line> = all.iter().filter(agreeing).collect();
        if lines.len() < MIN_LINES {
            return Err(too_few(lines.len()));
        }
        let (pitch, yaw) = angles(point);
        let formal = (covariance[(0, 0)].sqrt(), covariance[(1, 1)].sqrt());
        // One line in all frames says nothing about where on it the point lies, and neither do the two edges of its paint.
        if !(formal.0 < 0.2 && formal.1 < 0.2) || run_alike(&lines) {
            return Err(VanishError::Alike { lines: lines.len() });
        }
        let (by_parts_yaw, by_parts_pitch) = self.jackknife(point).unwrap_or((formal.0 * 1.5, formal.1 * 1.5));
        let yaw_sigma = formal.0.max(by_parts_yaw) * pitch.cos();
        let pitch_sigma = formal.1.max(by_parts_pitch) * pitch.cos().powi(2);
        let square: f64 = lines.iter().map(|line| past(line, point).powi(2)).sum();
        Ok(VanishingPoint {
            pitch_degrees: pitch.to_degrees(),
            yaw_degrees: yaw.to_degrees(),
            pitch_sigma_degrees: pitch_sigma.to_degrees(),
            yaw_sigma_degrees: yaw_sigma.to_degrees(),
            pitching_degrees: self.pitching(point),
            frames: self.frames.iter().filter(|f| f.iter().any(|(line, _)| weight(line, point) > 0.0)).count(),
            lines: lines.len(),
            rms_degrees: (square / lines.len() as f64).sqrt().to_degrees(),
        })
    }

    /// The segments of a frame that point at this vanishing point, each with how far left of the camera it lies on the
    /// road, in heights of the camera.
    #[must_use]
    pub fn agreeing(&self, frame: usize, found: &VanishingPoint) -> Vec<(Segment, f64)> {
        let (pitch, yaw) = (found.pitch_degrees.to_radians(), found.yaw_degrees.to_radians());
        let point = Vector2::new(yaw.tan() / pitch.cos(), -pitch.tan());
        let lines = self.frames.get(frame).map_or(&[][..], Vec::as_slice);
        let agreeing = lines.iter().filter(|(line, _)| weight(line, point) > 0.0);
        agreeing.map(|(line, segment)| (*segment, left_in_heights(line.middle, pitch, yaw))).collect()
    }

    /// Root of the variances in x and y, from leaving out parts; `None` for fewer than three frames with lines.
    fn jackknife(&self, point: Vector2<f64>) -> Option<(f64, f64)> {
        let used: Vec<&Vec<(Line, Segment)>> =
            self.frames.iter().filter(|f| f.iter().any(|(line, _)| weight(line, point) > 0.0)).collect();
        let blocks = BLOCKS.min(used.len());
        if blocks < 3 {
            return None;
        }
        let without = |block: usize| {
            let kept = used.iter().enumerate().filter(|(k, _)| k * blocks / used.len() != block);
            let lines: Vec<&Line> = kept.flat_map(|(_, frame)| frame.iter().map(|(line, _)| line)).collect();
            refined(&lines, point).map(|(point, _)| point)
        };
        let parts: Vec<Vector2<f64>> = (0..blocks).filter_map(without).collect();
        if parts.len() < 3 {
            return None;
        }
        let count = parts.len() as f64;
        let mean = parts.iter().sum::<Vector2<f64>>() / count;
        let spread =
            |k: usize| ((count - 1.0) / count * parts.iter().map(|p| (p[k] - mean[k]).powi(2)).sum::<f64>()).sqrt();
        Some((spread(0), spread(1)))
    }

    /// Scatter of the pitch between frames, robust (1.4826 × median deviation).
    fn pitching(&self, point: Vector2<f64>) -> Option<f64> {
        let single = |frame: &Vec<(Line, Segment)>| {
            let lines: Vec<&Line> = frame.iter().map(|(line, _)| line).collect();
            let (own, covariance) = refined(&lines, point)?;
            (covariance[(1, 1)].sqrt() < 0.01).then(|| angles(own).0.to_degrees())
        };
        let pitches: Vec<f64> = self.frames.iter().filter_map(single).collect();
        if pitches.len() < 10 {
            return None;
        }
        let middle = median(pitches.clone())?;
        Some(1.4826 * median(pitches.iter().map(|p| (p - middle).abs()).collect())?)
    }
}

/// Whether all lines run in one direction, give or take ten degrees. Directions have no sign, so their angles are doubled.
fn run_alike(lines: &[&&Line]) -> bool {
    let doubled = |line: &&&Line| {
        let (x, y) = (line.direction.x, line.direction.y);
        Vector2::new(x * x - y * y, 2.0 * x * y)
    };
    let mean = lines.iter().map(doubled).sum::<Vector2<f64>>() / lines.len().max(1) as f64;
    mean.norm() > LIKE_DIRECTIONS
}

/// Lateral place of a road point on the line through it towards the vanishing point; positive to the left.
fn left_in_heights(middle: Vector2<f64>, pitch: f64, yaw: f64) -> f64 {
    let (sin_pitch, cos_pitch) = pitch.sin_cos();
    let (sin_yaw, cos_yaw) = yaw.sin_cos();
    // The ray in vehicle axes: x·right + y·down + ahead, see `edge::camera`.
    let left = -middle.x * cos_yaw - middle.y * sin_pitch * sin_yaw + cos_pitch * sin_yaw;
    let down = middle.y * cos_pitch + sin_pitch;
    left / down
}

fn angles(point: Vector2<f64>) -> (f64, f64) {
    let pitch = -point.y.atan();
    (pitch, (point.x * pitch.cos()).atan())
}

/// By which angle a line points past the point; its middle lies below the point or the answer is of no use.
fn past(line: &Line, point: Vector2<f64>) -> f64 {
    let way = point - line.middle;
    let distance = way.norm().max(1e-9);
    (line.direction.x * way.y - line.direction.y * way.x) / distance
}

/// Only what lies below the point can be road, and a line that runs through it belongs to something else.
fn in_question(line: &Line, point: Vector2<f64>) -> bool {
    let way = line.middle - point;
    way.y > LEAST_BELOW && way.norm() > 0.5 * line.length - MAX_BEYOND
}

fn best_vote(lines: &[&Line]) -> Vector2<f64> {
    let step = lines.len().div_ceil(MAX_VOTERS).max(1);
    let voters: Vec<&Line> = lines.iter().step_by(step).copied().collect();
    let at = |pitch: f64, yaw: f64| Vector2::new(yaw.tan() / pitch.cos(), -pitch.tan());
    let votes = |point: Vector2<f64>| -> f64 {
        let vote = |line: &&Line| {
            let off = past(line, point) / VOTE_TOLERANCE_RADIANS;
            if off.abs() < 1.0 && in_question(line, point) { line.length * (1.0 - off * off) } else { 0.0 }
        };
        voters.iter().map(vote).sum()
    };
    let mut best = (f64::MIN, at(0.0, 0.0));
    let mut consider = |pitch_degrees: f64, yaw_degrees: f64| {
        let point = at(pitch_degrees.to_radians(), yaw_degrees.to_radians());
        let count = votes(point);
        if count > best.0 {
            best = (count, point);
        }
    };
    for pitch in PITCH_DEGREES.0..=PITCH_DEGREES.1 {
        for yaw in -YAW_DEGREES..=YAW_DEGREES {
            consider(f64::from(pitch), f64::from(yaw));
        }
    }
    best.1
}

/// Tukey's biweight over the line's own variance.
fn weight(line: &Line, point: Vector2<f64>) -> f64 {
    let off = past(line, point) / (TUKEY * line.sigma_radians);
    if off.abs() < 1.0 && in_question(line, point) { ((1.0 - off * off) / line.sigma_radians).powi(2) } else { 0.0 }
}

/// Refined point and its covariance; `None` where the lines leave it open.
fn refined(lines: &[&Line], start: Vector2<f64>) -> Option<(Vector2<f64>, Matrix2<f64>)> {
    let mut point = start;
    let mut covariance = Matrix2::zeros();
    // Wide at first: the vote is as coarse as its grid.
    for widened in [5.0, 3.0, 2.0, 1.5, 1.0, 1.0, 1.0, 1.0] {
        let (mut normal, mut right) = (Matrix2::zeros(), Vector2::zeros());
        let (mut square, mut count) = (0.0, 0.0);
        for line in lines {
            let wide = Line { sigma_radians: line.sigma_radians * widened, ..**line };
            let weight = weight(&wide, point);
            if weight == 0.0 {
                continue;
            }
            let distance = (point - line.middle).norm().max(1e-9);
            let slope = Vector2::new(-line.direction.y, line.direction.x) / distance;
            let off = past(line, point);
            normal += weight * slope * slope.transpose();
            right -= weight * off * slope;
            square += weight * off * off;
            count += 1.0;
        }
        let inverse = normal.try_inverse()?;
        let step: Vector2<f64> = inverse * right;
        if !step.iter().all(|s| s.is_finite()) || step.norm() > 0.5 {
            return None;
        }
        point += step;
        let scale = if count > 2.0 { (square / (count - 2.0)).max(0.2) } else { 4.0 };
        covariance = inverse * scale;
    }
    Some((point, covariance))
}

/// The middle value; `None` of nothing.
#[must_use]
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = if values.len().is_multiple_of(2) { values[values.len() / 2 - 1] } else { upper };
    Some(0.5 * (lower + upper))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::camera::{Camera, GroundPoint, Mounting};
    use proptest::prelude::*;

    pub fn camera(pitch: f64, roll: f64, yaw: f64) -> Camera {
        let mounting = Mounting {
            height_metres: 1.8,
            pitch_degrees: pitch,
            roll_degrees: roll,
            yaw_degrees: yaw,
            height_sigma_metres: 0.01,
            pitch_sigma_degrees: 0.1,
            roll_sigma_degrees: 0.1,
            yaw_sigma_degrees: 0.1,
        };
        let intrinsics = Intrinsics { k1: -0.12, k2: 0.02, ..Intrinsics::from_horizontal_fov(1280, 720, 65.0) };
        Camera::new(intrinsics, mounting)
    }

    /// Pieces of lines along the road, seen by this camera, with the ends off by up to half a pixel.
    fn seen(camera: &Camera, lefts: &[f64], seed: u64) -> Vec<Segment> {
        let wobble = |k: u64| ((k.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as f64 / 16_777_216.0) - 0.5;
        let mut found = Vec::new();
        for (k, left) in (0..).zip(lefts) {
            for (piece, near) in (0..).zip([6.0, 10.0, 15.0]) {
                let end = |forward: f64, number: u64| {
                    let ground = GroundPoint { forward_metres: forward, left_metres: *left };
                    let p = camera.image_from_ground(ground)?;
                    let number = seed * 1000 + k * 100 + piece * 10 + number;
                    Some(ImagePoint { x_px: p.x_px + wobble(number), y_px: p.y_px + wobble(number + 5) })
                };
                if let (Some(from), Some(to)) = (end(near, 1), end(near + 4.0, 2)) {
                    found.push(Segment { from, to });
                }
            }
        }
        found
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]

        #[test]
        fn pitch_and_yaw_are_found_for_any_mounting(pitch in 0.0..25.0, roll in -4.0..4.0, yaw in -12.0..12.0) {
            let camera = camera(pitch, roll, yaw);
            let mut lines = RoadLines::new(camera.intrinsics, roll);
            for frame in 0..20 {
                let aside = 0.2 * (frame as f64 * 0.7).sin();
                let mut segments = seen(&camera, &[-1.7 + aside, -1.85 + aside, 1.8 + aside, 5.2 + aside], frame);
                // A crossing street in every fourth frame.
                if frame % 4 == 0 {
                    segments.extend((0..8).map(|k| {
                        let y = 300.0 + 40.0 * f64::from(k);
                        let (from, to) = (ImagePoint { x_px: 200.0, y_px: y }, ImagePoint { x_px: 900.0, y_px: y + 25.0 });
                        Segment { from, to }
                    }));
                }
                lines.add(&segments);
            }
            let found = lines.vanishing_point().unwrap();
            prop_assert!((found.pitch_degrees - pitch).abs() < 0.25, "{found:?}");
            prop_assert!((found.yaw_degrees - yaw).abs() < 0.25, "{found:?}");
            prop_assert!(found.pitch_sigma_degrees < 0.3 && found.yaw_sigma_degrees < 0.3, "{found:?}");
            for (segment, left) in lines.agreeing(3, &found) {
                let middle = ImagePoint {
                    x_px: 0.5 * (segment.from.x_px + segment.to.x_px),
                    y_px: 0.5 * (segment.from.y_px + segment.to.y_px),
                };
                let truth = camera.ground_from_image(middle).unwrap().left_metres;
                prop_assert!((left * 1.8 - truth).abs() < 0.12, "{left} {truth}");
            }
        }
    }

    #[test]
    fn a_turn_in_a_third_of_the_drive_does_not_move_it() {
        let straight = camera(8.0, 0.0, 2.0);
        let mut lines = RoadLines::new(straight.intrinsics, 0.0);
        for frame in 0..60_u64 {
            // In the turn the road runs off to the side, each time by another angle.
            let seen_by = if frame % 3 == 0 { camera(8.0, 0.0, 4.0 + frame as f64 * 0.2) } else { straight };
            lines.add(&seen(&seen_by, &[-1.7, 1.8], frame));
        }
        let found = lines.vanishing_point().unwrap();
        assert!((found.pitch_degrees - 8.0).abs() < 0.2 && (found.yaw_degrees - 2.0).abs() < 0.3, "{found:?}");
    }

    #[test]
    fn too_little_is_said() {
        let camera = camera(8.0, 0.0, 0.0);
        let lines = RoadLines::new(camera.intrinsics, 0.0);
        let error = lines.vanishing_point().unwrap_err();
        assert_eq!(error, VanishError::TooFewLines { lines: 0, frames: 0 });
        let mut one_line = RoadLines::new(camera.intrinsics, 0.0);
        for frame in 0..10 {
            one_line.add(&seen(&camera, &[-1.7], frame));
        }
        let error = one_line.vanishing_point().unwrap_err();
        assert!(error.to_string().contains("on both sides"), "{error}");
    }
}
