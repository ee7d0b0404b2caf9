//! Focal lengths, centre and distortion of a lens from pictures of a checkerboard in several poses.
//!
//! Source: Z. Zhang, *A Flexible New Technique for Camera Calibration*, IEEE PAMI 22 (2000). The start takes the picture's middle as
//! the centre and one focal length, which is more robust than the closed form with few pictures; then all is refined
//! together by least squares in pixels.

use nalgebra::{DMatrix, DVector, Matrix3, Rotation3, SymmetricEigen, Vector3};

use crate::edge::calibrate::board::Board;
use crate::edge::calibrate::least_squares::minimise;
use crate::edge::camera::{ImagePoint, Intrinsics};

pub const MIN_PICTURES: usize = 6;
const LENS_PARAMETERS: usize = 8;
/// A focal length that is known worse than this is not known.
const MAX_FOCAL_SIGMA: f64 = 0.02;

/// A lens and how well it fits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lens {
    pub intrinsics: Intrinsics,
    pub rms_px: f64,
    pub focal_sigma_px: f64,
    pub pictures: usize,
}

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LensError {
    #[error(
        "the board was found in {found} pictures only; take at least {MIN_PICTURES}, better 15, each from another side"
    )]
    TooFew { found: usize },
    #[error(
        "the pictures do not determine the focal length: the board was held alike in all of them; tilt it by 20° to 40° to all sides, and \
         bring it into the corners of the picture"
    )]
    Alike,
}

/// `corners` of each picture in the board's order.
pub fn lens(width_px: u32, height_px: u32, board: &Board, corners: &[Vec<ImagePoint>]) -> Result<Lens, LensError> {
    if corners.len() < MIN_PICTURES {
        return Err(LensError::TooFew { found: corners.len() });
    }
    let (middle_x, middle_y) = (f64::from(width_px) / 2.0, f64::from(height_px) / 2.0);
    let centred = |p: &ImagePoint| ImagePoint { x_px: p.x_px - middle_x, y_px: p.y_px - middle_y };
    let maps: Option<Vec<Matrix3<f64>>> =
        corners.iter().map(|picture| homography(board, &picture.iter().map(centred).collect::<Vec<_>>())).collect();
    let maps = maps.ok_or(LensError::Alike)?;
    let focal = focal_length(&maps).ok_or(LensError::Alike)?;
    let mut start = vec![focal, focal, middle_x, middle_y, 0.0, 0.0, 0.0, 0.0];
    for map in &maps {
        let (turn, place) = pose(map, focal);
        start.extend(turn.iter().chain(place.iter()));
    }
    let residuals = |p: &DVector<f64>| {
        let lens = intrinsics(width_px, height_px, p.as_slice());
        let mut off = Vec::with_capacity(corners.len() * board.columns * board.rows * 2);
        for (picture, seen) in corners.iter().enumerate() {
            let at = LENS_PARAMETERS + 6 * picture;
            let rotation = Rotation3::new(Vector3::new(p[at], p[at + 1], p[at + 2]));
            let place = Vector3::new(p[at + 3], p[at + 4], p[at + 5]);
            for (k, point) in seen.iter().enumerate() {
                let (x, y) = board.place(k);
                let in_camera = rotation * Vector3::new(x, y, 0.0) + place;
                let (dx, dy) = lens.distort(in_camera.x / in_camera.z, in_camera.y / in_camera.z);
                off.push(dx * lens.focal_x_px + lens.centre_x_px - point.x_px);
                off.push(dy * lens.focal_y_px + lens.centre_y_px - point.y_px);
            }
        }
        DVector::from_vec(off)
    };
    let fit = minimise(&residuals, DVector::from_vec(start)).ok_or(LensError::Alike)?;
    let found = intrinsics(width_px, height_px, fit.parameters.as_slice());
    let focal_sigma_px = fit.sigma(0).max(fit.sigma(1));
    if !(focal_sigma_px < MAX_FOCAL_SIGMA * found.focal_x_px && found.focal_x_px > 0.0 && found.focal_y_px > 0.0) {
        return Err(LensError::Alike);
    }
    // Both coordinates of a corner together.
    let rms_px = fit.rms * std::f64::consts::SQRT_2;
    Ok(Lens { intrinsics: found, rms_px, focal_sigma_px, pictures: corners.len() })
}

fn intrinsics(width_px: u32, height_px: u32, p: &[f64]) -> Intrinsics {
    Intrinsics {
        width_px,
        height_px,
        focal_x_px: p[0],
        focal_y_px: p[1],
        centre_x_px: p[2],
        centre_y_px: p[3],
        k1: p[4],
        k2: p[5],
        p1: p[6],
        p2: p[7],
    }
}

/// Board (metres) → picture, by the direct linear transform with normalised coordinates; scaled so that its last entry is 1.
#[must_use]
pub fn homography(board: &Board, seen: &[ImagePoint]) -> Option<Matrix3<f64>> {
    let on_board: Vec<(f64, f64)> = (0..seen.len()).map(|k| board.place(k)).collect();
    let in_picture: Vec<(f64, f64)> = seen.iter().map(|p| (p.x_px, p.y_px)).collect();
    let (from, to) = (normalising(&on_board)?, normalising(&in_picture)?);
    let mut rows = DMatrix::zeros(2 * seen.len(), 9);
    for (k, (a, b)) in on_board.iter().zip(&in_picture).enumerate() {
        let a = from * Vector3::new(a.0, a.1, 1.0);
        let b = to * Vector3::new(b.0, b.1, 1.0);
        for c in 0..3 {
            rows[(2 * k, c)] = -a[c];
            rows[(2 * k, 6 + c)] = b.x * a[c];
            rows[(2 * k + 1, 3 + c)] = -a[c];
            rows[(2 * k + 1, 6 + c)] = b.y * a[c];
        }
    }
    let eigen = SymmetricEigen::new(rows.transpose() * &rows);
    let least = eigen.eigenvalues.iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1))?.0;
    let h = eigen.eigenvectors.column(least);
    let normalised = Matrix3::new(h[0], h[1], h[2], h[3], h[4], h[5], h[6], h[7], h[8]);
    let map = to.try_inverse()? * normalised * from;
    (map[(2, 2)].abs() > 1e-12).then(|| map / map[(2, 2)])
}

/// Moves points to the origin, at a mean distance of √2.
fn normalising(points: &[(f64, f64)]) -> Option<Matrix3<f64>> {
    let count = points.len() as f64;
    let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), p| (x + p.0 / count, y + p.1 / count));
    let spread = points.iter().map(|p| (p.0 - x).hypot(p.1 - y)).sum::<f64>() / count;
    let scale = std::f64::consts::SQRT_2 / spread;
    scale.is_finite().then(|| Matrix3::new(scale, 0.0, -scale * x, 0.0, scale, -scale * y, 0.0, 0.0, 1.0))
}

/// From the conditions that the board's axes are at right angles and equally long (Zhang, equations 3 and 4), by least squares
/// for 1/f².
fn focal_length(maps: &[Matrix3<f64>]) -> Option<f64> {
    let (mut squares, mut products) = (0.0, 0.0);
    for map in maps {
        let (a, b) = (map.column(0), map.column(1));
        // Unit length, so that near and far boards count alike.
        let scale = a.norm().max(b.norm()).powi(2);
        for (in_plane, ahead) in [
            ((a[0] * b[0] + a[1] * b[1]) / scale, a[2] * b[2] / scale),
            (
                (a[0].powi(2) + a[1].powi(2) - b[0].powi(2) - b[1].powi(2)) / scale,
                (a[2].powi(2) - b[2].powi(2)) / scale,
            ),
        ] {
            squares += in_plane * in_plane;
            products -= in_plane * ahead;
        }
    }
    let inverse_square = products / squares;
    (inverse_square.is_finite() && inverse_square > 0.0).then(|| inverse_square.sqrt().recip())
}

/// Rotation vector and place of the board in the camera's axes, from a map into centred pixels.
fn pose(map: &Matrix3<f64>, focal: f64) -> (Vector3<f64>, Vector3<f64>) {
    let into_rays = Matrix3::from_diagonal(&Vector3::new(1.0 / focal, 1.0 / focal, 1.0));
    let (rotation, place) = board_pose(&(into_rays * map));
    (rotation.scaled_axis(), place)
}

/// As [`pose`], from a map into rays of a camera with focal length 1.
#[must_use]
pub fn board_pose(map: &Matrix3<f64>) -> (Rotation3<f64>, Vector3<f64>) {
    let scale = 2.0 / (map.column(0).norm() + map.column(1).norm());
    // The board is in front of the camera.
    let scale = if map[(2, 2)] * scale < 0.0 { -scale } else { scale };
    let (a, b) = (map.column(0) * scale, map.column(1) * scale);
    let matrix = Matrix3::from_columns(&[a, b, a.cross(&b)]);
    (Rotation3::from_matrix(&matrix), map.column(2) * scale)
}
