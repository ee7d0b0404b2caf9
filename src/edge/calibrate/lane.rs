//! Pitch, yaw and height from one picture of a lane whose width is known.
//!
//! What determines what: the point where both lines meet gives pitch and yaw, if the focal length is known; the angle
//! between the lines gives lane width ÷ height, so the width gives the height. With the height given as well, the focal length
//! can be found instead, but only where the camera looks down steeply: the angle depends on the pitch by its cosine alone. Roll
//! cannot be told from two lines and must be given.

use crate::edge::calibrate::segments::Segment;
use crate::edge::calibrate::vanish::{RoadLines, VanishError};
use crate::edge::camera::{Camera, GroundPoint, ImagePoint, Intrinsics, Mounting};

/// Lines given by hand are off by about this.
const POINT_SIGMA_PX: f64 = 1.0;
pub const WIDTH_SIGMA_METRES: f64 = 0.05;
const FOCAL_SIGMA: f64 = 0.01;
const HEIGHT_SIGMA_METRES: f64 = 0.02;
const MIN_LINE_PX: f64 = 30.0;
/// A focal length that is known worse than this is not known.
const MAX_FOCAL_SIGMA: f64 = 0.05;
/// No camera on a vehicle is turned further away from the way ahead.
const MAX_ANGLE_RADIANS: f64 = 1.05;
/// Both edges of a marking, in heights of the camera.
const MARKING_HEIGHTS: f64 = 0.12;
/// A single dash of a broken line is so short beside an unbroken one; what is shorter is a crack or a joint.
const MIN_SHARE_OF_LONGEST: f64 = 0.1;

/// Two points on one line of the road, as far apart as they can be seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LinePoints {
    pub one: ImagePoint,
    pub other: ImagePoint,
}

impl LinePoints {
    /// `X1,Y1,X2,Y2` in pixels.
    pub fn from_text(text: &str) -> Result<Self, String> {
        let numbers: Option<Vec<f64>> = text.split(',').map(|n| n.trim().parse().ok()).collect();
        match numbers.as_deref() {
            Some(&[x1, y1, x2, y2]) => {
                Ok(Self { one: ImagePoint { x_px: x1, y_px: y1 }, other: ImagePoint { x_px: x2, y_px: y2 } })
            }
            _ => Err("is no line; write two points of it in pixels, X1,Y1,X2,Y2, e.g. 412,700,598,430".into()),
        }
    }

    fn numbers(&self) -> [f64; 4] {
        [self.one.x_px, self.one.y_px, self.other.x_px, self.other.y_px]
    }
}

/// What is known before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lane {
    pub left: LinePoints,
    pub right: LinePoints,
    /// From the middle of one line to the middle of the other.
    pub width_metres: f64,
    pub roll_degrees: f64,
    pub roll_sigma_degrees: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LaneFit {
    pub intrinsics: Intrinsics,
    pub mounting: Mounting,
    /// Relative; `None` where the focal length was given.
    pub focal_sigma: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LaneError {
    #[error(
        "the two points of the {which} line are {apart_px:.0} pixels apart; take them as far apart as the line can be seen, {MIN_LINE_PX} at least"
    )]
    TooShort { which: &'static str, apart_px: f64 },
    #[error(
        "the two lines do not meet ahead: they are the same line, or no lane lines; take the left and the right line of one straight lane"
    )]
    DoNotMeet,
    #[error("the left line lies right of the right line; exchange them")]
    Exchanged,
    #[error(
        "the width and the height that are given cannot both be true for these lines with any lens; measure again, or leave the height out"
    )]
    NoSuchLens,
    #[error(
        "the camera looks down by {pitch_degrees:.0}° only: from that the focal length cannot be found (it would be known to {percent:.0} %); \
         give --horizontal-fov-degrees from the data sheet, or calibrate the lens with a checkerboard"
    )]
    FocalOpen { pitch_degrees: f64, percent: f64 },
    #[error("{0}; or give the lines by --left-line and --right-line")]
    NotFound(#[from] VanishError),
    #[error("lines were found on the {found} only; give both by --left-line and --right-line")]
    OneSide { found: &'static str },
}

/// With a known lens: pitch, yaw and height.
pub fn with_lens(lane: &Lane, intrinsics: Intrinsics) -> Result<LaneFit, LaneError> {
    for (which, line) in [("left", &lane.left), ("right", &lane.right)] {
        let apart_px = (line.one.x_px - line.other.x_px).hypot(line.one.y_px - line.other.y_px);
        if apart_px < MIN_LINE_PX {
            return Err(LaneError::TooShort { which, apart_px });
        }
    }
    let found = solve(lane, intrinsics)?;
    if found[0].abs() > MAX_ANGLE_RADIANS || found[1].abs() > MAX_ANGLE_RADIANS {
        return Err(LaneError::DoNotMeet);
    }
    // Each of what goes in is moved by its sigma; what comes out moves by its share.
    let mut variance = [0.0; 3];
    for moved in moved_by_sigma(lane) {
        add_square(&mut variance, found, solve(&moved, intrinsics)?);
    }
    add_square(&mut variance, found, solve(lane, with_focal(intrinsics, 1.0 + FOCAL_SIGMA))?);
    let [pitch_sigma, yaw_sigma, height_sigma] = variance.map(f64::sqrt);
    let [pitch, yaw, height_metres] = found;
    let mounting = Mounting {
        height_metres,
        pitch_degrees: pitch.to_degrees(),
        roll_degrees: lane.roll_degrees,
        yaw_degrees: yaw.to_degrees(),
        height_sigma_metres: height_sigma,
        pitch_sigma_degrees: pitch_sigma.to_degrees(),
        roll_sigma_degrees: lane.roll_sigma_degrees,
        yaw_sigma_degrees: yaw_sigma.to_degrees(),
    };
    Ok(LaneFit { intrinsics, mounting, focal_sigma: None })
}

/// With a known height: pitch, yaw and the focal length of a lens without distortion.
pub fn with_height(lane: &Lane, width_px: u32, height_px: u32, height_metres: f64) -> Result<LaneFit, LaneError> {
    let lens = |fov: f64| Intrinsics::from_horizontal_fov(width_px, height_px, fov);
    let focal_for = |lane: &Lane, height: f64| -> Result<f64, LaneError> {
        let off = |fov: f64| solve(lane, lens(fov)).map(|found| found[2] - height);
        let (mut narrow, mut wide) = (20.0, 150.0);
        let narrow_is_low = off(narrow)? < 0.0;
        if (off(wide)? < 0.0) == narrow_is_low {
            return Err(LaneError::NoSuchLens);
        }
        for _ in 0..60 {
            let middle = 0.5 * (narrow + wide);
            if (off(middle)? < 0.0) == narrow_is_low {
                narrow = middle;
            } else {
                wide = middle;
            }
        }
        Ok(lens(0.5 * (narrow + wide)).focal_x_px)
    };
    let focal = focal_for(lane, height_metres)?;
    let mut variance = (focal_for(lane, height_metres + HEIGHT_SIGMA_METRES).unwrap_or(2.0 * focal) - focal).powi(2);
    for moved in moved_by_sigma(lane) {
        variance += (focal_for(&moved, height_metres).unwrap_or(2.0 * focal) - focal).powi(2);
    }
    let focal_sigma = variance.sqrt() / focal;
    let intrinsics = Intrinsics { focal_x_px: focal, focal_y_px: focal, ..lens(60.0) };
    let mut fit = with_lens(lane, intrinsics)?;
    if focal_sigma > MAX_FOCAL_SIGMA {
        let pitch_degrees = fit.mounting.pitch_degrees;
        return Err(LaneError::FocalOpen { pitch_degrees, percent: 100.0 * focal_sigma });
    }
    // The point where the lines meet stays in the picture: the angles change as the focal length does.
    let by_focal = |degrees: f64| focal_sigma * 0.5 * (2.0 * degrees.to_radians()).sin().abs().to_degrees();
    let m = &mut fit.mounting;
    m.pitch_sigma_degrees = m.pitch_sigma_degrees.hypot(by_focal(m.pitch_degrees));
    m.yaw_sigma_degrees = m.yaw_sigma_degrees.hypot(by_focal(m.yaw_degrees));
    (m.height_metres, m.height_sigma_metres) = (height_metres, HEIGHT_SIGMA_METRES);
    Ok(LaneFit { focal_sigma: Some(focal_sigma), ..fit })
}

fn add_square(variance: &mut [f64; 3], one: [f64; 3], other: [f64; 3]) {
    for k in 0..3 {
        variance[k] += (one[k] - other[k]).powi(2);
    }
}

fn with_focal(intrinsics: Intrinsics, factor: f64) -> Intrinsics {
    Intrinsics { focal_x_px: intrinsics.focal_x_px * factor, focal_y_px: intrinsics.focal_y_px * factor, ..intrinsics }
}

fn moved_by_sigma(lane: &Lane) -> Vec<Lane> {
    let mut moved = Vec::new();
    for k in 0..8 {
        let mut lines = [lane.left, lane.right];
        let line = &mut lines[k / 4];
        match k % 4 {
            0 => line.one.x_px += POINT_SIGMA_PX,
            1 => line.one.y_px += POINT_SIGMA_PX,
            2 => line.other.x_px += POINT_SIGMA_PX,
            _ => line.other.y_px += POINT_SIGMA_PX,
        }
        moved.push(Lane { left: lines[0], right: lines[1], ..*lane });
    }
    moved.push(Lane { width_metres: lane.width_metres + WIDTH_SIGMA_METRES, ..*lane });
    moved.push(Lane { roll_degrees: lane.roll_degrees + lane.roll_sigma_degrees, ..*lane });
    moved
}

/// Pitch and yaw in radians, height in metres.
fn solve(lane: &Lane, i: Intrinsics) -> Result<[f64; 3], LaneError> {
    let (sin_roll, cos_roll) = lane.roll_degrees.to_radians().sin_cos();
    let straight = |x_px: f64, y_px: f64| {
        let (x, y) = i.undistort((x_px - i.centre_x_px) / i.focal_x_px, (y_px - i.centre_y_px) / i.focal_y_px);
        [cos_roll * x - sin_roll * y, sin_roll * x + cos_roll * y]
    };
    // Each line as a point and a direction; they meet at one + s·way.
    let [left, right] = [lane.left, lane.right].map(|line| {
        let [x1, y1, x2, y2] = line.numbers();
        let (one, other) = (straight(x1, y1), straight(x2, y2));
        (one, [other[0] - one[0], other[1] - one[1]])
    });
    let cross = |a: [f64; 2], b: [f64; 2]| a[0] * b[1] - a[1] * b[0];
    let divisor = cross(left.1, right.1);
    let between = [right.0[0] - left.0[0], right.0[1] - left.0[1]];
    let along = cross(between, right.1) / divisor;
    let meeting = [left.0[0] + along * left.1[0], left.0[1] + along * left.1[1]];
    // Lines of the road meet ahead of the camera and above where they are seen.
    let lowest_seen = [left, right].map(|(p, way)| p[1].min(p[1] + way[1]));
    let ahead = meeting.iter().all(|c| c.is_finite() && c.abs() < 20.0);
    if !ahead || lowest_seen.iter().any(|y| *y < meeting[1]) {
        return Err(LaneError::DoNotMeet);
    }
    let pitch = -meeting[1].atan();
    let yaw = (meeting[0] * pitch.cos()).atan();
    let (sin_pitch, cos_pitch) = pitch.sin_cos();
    let (sin_yaw, cos_yaw) = yaw.sin_cos();
    let left_in_heights = |p: [f64; 2]| {
        let left = -p[0] * cos_yaw - p[1] * sin_pitch * sin_yaw + cos_pitch * sin_yaw;
        left / (p[1] * cos_pitch + sin_pitch)
    };
    let lower = |(p, way): ([f64; 2], [f64; 2])| if way[1] > 0.0 { [p[0] + way[0], p[1] + way[1]] } else { p };
    let apart = left_in_heights(lower(left)) - left_in_heights(lower(right));
    if apart < 0.0 {
        return Err(LaneError::Exchanged);
    }
    // Narrower than a fifth of the height: both edges of one marking.
    if apart < 0.2 {
        return Err(LaneError::DoNotMeet);
    }
    Ok([pitch, yaw, lane.width_metres / apart])
}

/// The nearest line on either side of the camera, in the middle of its paint, from the segments of one picture.
pub fn find_lines(
    intrinsics: Intrinsics,
    roll_degrees: f64,
    segments: &[Segment],
) -> Result<(LinePoints, LinePoints), LaneError> {
    let mut lines = RoadLines::new(intrinsics, roll_degrees);
    lines.add(segments);
    let found = lines.vanishing_point()?;
    // One metre high: metres are heights of the camera.
    let mounting = Mounting {
        height_metres: 1.0,
        pitch_degrees: found.pitch_degrees,
        roll_degrees,
        yaw_degrees: found.yaw_degrees,
        height_sigma_metres: 0.0,
        pitch_sigma_degrees: 0.0,
        roll_sigma_degrees: 0.0,
        yaw_sigma_degrees: 0.0,
    };
    let camera = Camera::new(intrinsics, mounting);
    let mut agreeing = lines.agreeing(0, &found);
    agreeing.sort_by(|a, b| a.1.total_cmp(&b.1));
    let mut groups: Vec<Vec<(Segment, f64)>> = Vec::new();
    for line in agreeing {
        match groups.last_mut().filter(|group| group.last().is_some_and(|last| line.1 - last.1 < MARKING_HEIGHTS)) {
            Some(group) => group.push(line),
            None => groups.push(vec![line]),
        }
    }
    let length = |group: &[(Segment, f64)]| group.iter().map(|(s, _)| s.length_px()).sum::<f64>();
    let longest = groups.iter().map(|g| length(g)).fold(0.0, f64::max);
    let middle = |group: &[(Segment, f64)]| 0.5 * (group[0].1 + group[group.len() - 1].1);
    let nearest = |on_left: bool| {
        groups
            .iter()
            .filter(|g| {
                length(g) > MIN_SHARE_OF_LONGEST * longest && (middle(g) > 0.0) == on_left && middle(g).abs() > 0.2
            })
            .min_by(|a, b| middle(a).abs().total_cmp(&middle(b).abs()))
    };
    let points = |group: &Vec<(Segment, f64)>| {
        let left = middle(group);
        let seen = group.iter().flat_map(|(s, _)| [s.from, s.to]).filter_map(|p| camera.ground_from_image(p));
        let (near, far) =
            seen.fold((f64::MAX, f64::MIN), |(n, f), g| (n.min(g.forward_metres), f.max(g.forward_metres)));
        let at = |forward: f64| camera.image_from_ground(GroundPoint { forward_metres: forward, left_metres: left });
        Some(LinePoints { one: at(near)?, other: at(far)? })
    };
    match (nearest(true).and_then(points), nearest(false).and_then(points)) {
        (Some(left), Some(right)) => Ok((left, right)),
        (Some(_), None) => Err(LaneError::OneSide { found: "left" }),
        (None, Some(_)) => Err(LaneError::OneSide { found: "right" }),
        (None, None) => Err(LaneError::DoNotMeet),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn camera(fov: f64, height: f64, pitch: f64, roll: f64, yaw: f64) -> Camera {
        let mounting = Mounting {
            height_metres: height,
            pitch_degrees: pitch,
            roll_degrees: roll,
            yaw_degrees: yaw,
            height_sigma_metres: 0.0,
            pitch_sigma_degrees: 0.0,
            roll_sigma_degrees: 0.0,
            yaw_sigma_degrees: 0.0,
        };
        Camera::new(Intrinsics::from_horizontal_fov(1280, 720, fov), mounting)
    }

    fn line(camera: &Camera, left: f64) -> LinePoints {
        let at = |forward: f64| {
            camera.image_from_ground(GroundPoint { forward_metres: forward, left_metres: left }).unwrap()
        };
        LinePoints { one: at(6.0), other: at(18.0) }
    }

    fn lane(camera: &Camera, left: f64, right: f64) -> Lane {
        let roll_degrees = camera.mounting.roll_degrees;
        let (left, right, width_metres) = (line(camera, left), line(camera, right), left - right);
        Lane { left, right, width_metres, roll_degrees, roll_sigma_degrees: 0.5 }
    }

    proptest! {
        #[test]
        fn the_lens_gives_the_mounting(
            height in 1.0..2.8_f64, pitch in 1.0..25.0_f64, roll in -3.0..3.0_f64, yaw in -8.0..8.0_f64, left in 0.5..2.5_f64,
        ) {
            let truth = camera(60.0, height, pitch, roll, yaw);
            let fit = with_lens(&lane(&truth, left, left - 3.5), truth.intrinsics).unwrap();
            prop_assert!((fit.mounting.height_metres - height).abs() < 1e-6, "{fit:?}");
            prop_assert!((fit.mounting.pitch_degrees - pitch).abs() < 1e-6, "{fit:?}");
            prop_assert!((fit.mounting.yaw_degrees - yaw).abs() < 1e-6, "{fit:?}");
            prop_assert!(fit.mounting.pitch_sigma_degrees < 2.0, "{fit:?}");
        }

        #[test]
        fn the_height_gives_a_lens_or_it_is_said_that_it_cannot(pitch in 1.0..35.0_f64, fov in 40.0..80.0_f64) {
            let truth = camera(fov, 2.3, pitch, 0.0, 2.0);
            match with_height(&lane(&truth, 1.7, -1.8), 1280, 720, 2.3) {
                Ok(fit) => {
                    let off = (fit.intrinsics.focal_x_px / truth.intrinsics.focal_x_px - 1.0).abs();
                    prop_assert!(off < 1e-4, "{fit:?}");
                    prop_assert!(fit.focal_sigma.unwrap() <= MAX_FOCAL_SIGMA);
                }
                Err(error) => prop_assert!(
                    matches!(error, LaneError::FocalOpen { .. } | LaneError::NoSuchLens),
                    "{error}"
                ),
            }
        }
    }

    #[test]
    fn mistakes_are_named() {
        let truth = camera(60.0, 1.5, 6.0, 0.0, 0.0);
        let good = lane(&truth, 1.7, -1.8);
        let exchanged = Lane { left: good.right, right: good.left, ..good };
        assert_eq!(with_lens(&exchanged, truth.intrinsics).unwrap_err(), LaneError::Exchanged);
        let same = Lane { right: good.left, ..good };
        assert_eq!(with_lens(&same, truth.intrinsics).unwrap_err(), LaneError::DoNotMeet);
        let mut short = good;
        short.left.other = ImagePoint { x_px: short.left.one.x_px + 3.0, ..short.left.one };
        assert!(matches!(with_lens(&short, truth.intrinsics).unwrap_err(), LaneError::TooShort { which: "left", .. }));
        let flat = with_height(&good, 1280, 720, 1.5).unwrap_err();
        assert!(flat.to_string().contains("--horizontal-fov-degrees"), "{flat}");
        assert!(LinePoints::from_text("1,2,3").unwrap_err().contains("X1,Y1,X2,Y2"));
    }
}
