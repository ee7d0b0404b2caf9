//! Height, pitch, roll and yaw from one picture of a checkerboard that lies flat on the road.
//!
//! The board's plane gives height, pitch and roll, its squares give the scale. Yaw cannot come from the plane: it comes from how far
//! left of the camera's way the board's middle lies, which was measured. How the board is turned on the road does not matter.

use nalgebra::{DVector, Matrix3, Vector3};

use crate::edge::calibrate::board::Board;
use crate::edge::calibrate::least_squares::minimise;
use crate::edge::calibrate::lens::{board_pose, homography};
use crate::edge::camera::{Camera, GroundPoint, ImagePoint, Intrinsics, Mounting};

/// A tape on the road: the board's middle is known to about this.
pub const LEFT_SIGMA_METRES: f64 = 0.01;
/// The lens's focal length is known to about this share, where it was not calibrated with the board it is worse.
const FOCAL_SIGMA: f64 = 0.003;
/// A road is not a table.
const PLANE_SIGMA_DEGREES: f64 = 0.1;

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FlatBoard {
    pub mounting: Mounting,
    pub rms_px: f64,
    /// Where the board's middle is, ahead of the point below the lens: to be compared with the tape.
    pub forward_metres: f64,
}

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FlatError {
    #[error(
        "the board does not lie on a road in front of the camera as this lens sees it; is it flat on the ground, and is the lens right?"
    )]
    NotOnTheRoad,
    #[error(
        "the board's middle is {seen_metres:.2} m away, so it cannot lie {left_metres:.2} m to the left; measure again"
    )]
    TooFarLeft { seen_metres: f64, left_metres: f64 },
    #[error(
        "the corners fit to {rms_px:.1} pixels only; is the board flat, and does the configuration describe this lens? calibrate the lens first"
    )]
    DoesNotFit { rms_px: f64 },
}

/// `left_metres` of the board's middle from the line that the camera travels along.
pub fn flat_board(
    intrinsics: Intrinsics,
    board: &Board,
    seen: &[ImagePoint],
    left_metres: f64,
) -> Result<FlatBoard, FlatError> {
    let start = start(&intrinsics, board, seen, left_metres)?;
    let residuals = |p: &DVector<f64>| {
        let camera = Camera::new(intrinsics, mounting(p));
        let far = 1e4;
        let off = seen.iter().enumerate().flat_map(|(k, point)| {
            let ground = on_road(board, k, p[4], left_metres, p[5]);
            let there = camera.image_from_ground(ground);
            there.map_or([far, far], |there| [there.x_px - point.x_px, there.y_px - point.y_px])
        });
        DVector::from_vec(off.collect())
    };
    let fit = minimise(&residuals, start).ok_or(FlatError::NotOnTheRoad)?;
    let rms_px = fit.rms * std::f64::consts::SQRT_2;
    if rms_px > 2.0 {
        return Err(FlatError::DoesNotFit { rms_px });
    }
    let forward_metres = fit.parameters[4];
    let found = mounting(&fit.parameters);
    let degrees = |parameter: usize| fit.sigma(parameter).to_degrees().hypot(PLANE_SIGMA_DEGREES);
    let by_tape = (LEFT_SIGMA_METRES / forward_metres).to_degrees();
    let mounting = Mounting {
        height_sigma_metres: fit.sigma(0).hypot(FOCAL_SIGMA * found.height_metres).max(0.003),
        pitch_sigma_degrees: degrees(1),
        roll_sigma_degrees: degrees(2),
        yaw_sigma_degrees: degrees(3).hypot(by_tape),
        ..found
    };
    Ok(FlatBoard { mounting, rms_px, forward_metres })
}

/// Parameters: height, pitch, roll, yaw (radians), how far ahead the board's middle is, how it is turned.
fn start(intrinsics: &Intrinsics, board: &Board, seen: &[ImagePoint], left: f64) -> Result<DVector<f64>, FlatError> {
    let straight = |p: &ImagePoint| {
        let (x, y) = intrinsics.undistort(
            (p.x_px - intrinsics.centre_x_px) / intrinsics.focal_x_px,
            (p.y_px - intrinsics.centre_y_px) / intrinsics.focal_y_px,
        );
        ImagePoint { x_px: x, y_px: y }
    };
    let rays: Vec<ImagePoint> = seen.iter().map(straight).collect();
    let map: Matrix3<f64> = homography(board, &rays).ok_or(FlatError::NotOnTheRoad)?;
    let (rotation, place) = board_pose(&map);
    // The board's third axis points away from who sees its front: down, on a road.
    let up: Vector3<f64> = -(rotation * Vector3::z());
    let height = -up.dot(&place);
    let pitch = -up.z.asin();
    let roll = (-up.x).atan2(-up.y);
    if !(height > 0.1 && height < 10.0) || pitch.abs() > 1.4 || roll.abs() > 1.0 {
        return Err(FlatError::NotOnTheRoad);
    }
    // With yaw 0 first: the board's middle and its first axis in the level camera's axes.
    let level = Camera::new(*intrinsics, mounting(&DVector::from_vec(vec![height, pitch, roll, 0.0])));
    let [forward_axis, left_axis] = [[1.0, 0.0], [0.0, 1.0]].map(|axis: [f64; 2]| {
        let [x, y, z] = level.camera_from_vehicle([axis[0], axis[1], height]);
        Vector3::new(x, y, z)
    });
    let half = |count: usize| 0.5 * (count as f64 - 1.0) * board.square_metres;
    let middle = rotation * Vector3::new(half(board.columns), half(board.rows), 0.0) + place;
    let first = rotation * Vector3::x();
    let (ahead, aside) = (middle.dot(&forward_axis), middle.dot(&left_axis));
    let away = ahead.hypot(aside);
    if away <= left.abs() * 1.02 {
        return Err(FlatError::TooFarLeft { seen_metres: away, left_metres: left });
    }
    let forward = (away * away - left * left).sqrt();
    let yaw = left.atan2(forward) - aside.atan2(ahead);
    let turned = first.dot(&forward_axis).atan2(-first.dot(&left_axis)) + yaw;
    Ok(DVector::from_vec(vec![height, pitch, roll, yaw, forward, turned]))
}

fn mounting(p: &DVector<f64>) -> Mounting {
    Mounting {
        height_metres: p[0],
        pitch_degrees: p[1].to_degrees(),
        roll_degrees: p[2].to_degrees(),
        yaw_degrees: p[3].to_degrees(),
        height_sigma_metres: 0.0,
        pitch_sigma_degrees: 0.0,
        roll_sigma_degrees: 0.0,
        yaw_sigma_degrees: 0.0,
    }
}

/// Where a corner of the board lies on the road. Not turned, its columns run to the right and its rows towards the camera.
#[must_use]
pub fn on_road(board: &Board, corner: usize, forward: f64, left: f64, turned_radians: f64) -> GroundPoint {
    let (x, y) = board.place(corner);
    let across = x - 0.5 * (board.columns as f64 - 1.0) * board.square_metres;
    let back = y - 0.5 * (board.rows as f64 - 1.0) * board.square_metres;
    let (sin, cos) = turned_radians.sin_cos();
    GroundPoint { forward_metres: forward - back * cos + across * sin, left_metres: left - back * sin - across * cos }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BOARD: Board = Board { columns: 9, rows: 6, square_metres: 0.1 };

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn any_mounting_is_found_from_a_board_on_the_road(
            (height, pitch, roll, yaw) in (1.2..2.6_f64, 5.0..30.0_f64, -4.0..4.0_f64, -8.0..8.0_f64),
            (forward, left, turned) in (3.0..4.5_f64, -0.6..0.6_f64, -3.1..3.1_f64),
            seed in 0..1000_u64,
        ) {
            let truth = mounting(&DVector::from_vec(vec![height, pitch.to_radians(), roll.to_radians(), yaw.to_radians()]));
            let intrinsics = Intrinsics { k1: -0.1, ..Intrinsics::from_horizontal_fov(1280, 720, 65.0) };
            let camera = Camera::new(intrinsics, truth);
            let wobble = |k: usize, axis: u64| {
                let number = (seed * 10_000 + k as u64 * 2 + axis).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
                0.3 * (number as f64 / 16_777_216.0 - 0.5)
            };
            let seen: Vec<ImagePoint> = (0..54)
                .map(|k| {
                    let p = camera.image_from_ground(on_road(&BOARD, k, forward, left, turned)).unwrap();
                    ImagePoint { x_px: p.x_px + wobble(k, 0), y_px: p.y_px + wobble(k, 1) }
                })
                .collect();
            let found = flat_board(intrinsics, &BOARD, &seen, left).unwrap();
            prop_assert!((found.mounting.height_metres - height).abs() < 0.02, "{found:?}");
            prop_assert!((found.mounting.pitch_degrees - pitch).abs() < 0.3, "{found:?}");
            prop_assert!((found.mounting.roll_degrees - roll).abs() < 0.3, "{found:?}");
            prop_assert!((found.mounting.yaw_degrees - yaw).abs() < 0.3, "{found:?}");
            prop_assert!((found.forward_metres - forward).abs() < 0.03, "{found:?}");
            prop_assert!(found.rms_px < 0.3, "{found:?}");
        }
    }

    #[test]
    fn a_board_that_cannot_lie_there_is_refused() {
        let intrinsics = Intrinsics::from_horizontal_fov(1280, 720, 65.0);
        let camera = Camera::new(intrinsics, mounting(&DVector::from_vec(vec![1.6, 0.2, 0.0, 0.0])));
        let seen: Vec<ImagePoint> =
            (0..54).map(|k| camera.image_from_ground(on_road(&BOARD, k, 3.5, 0.0, 0.3)).unwrap()).collect();
        let error = flat_board(intrinsics, &BOARD, &seen, 4.0).unwrap_err();
        assert!(matches!(error, FlatError::TooFarLeft { .. }), "{error}");
        // Held upright before the camera.
        let upright: Vec<ImagePoint> = (0..54)
            .map(|k| ImagePoint { x_px: 300.0 + 40.0 * f64::from(k % 9), y_px: 200.0 + 40.0 * f64::from(k / 9) })
            .collect();
        assert_eq!(flat_board(intrinsics, &BOARD, &upright, 0.0).unwrap_err(), FlatError::NotOnTheRoad);
    }
}
