//! Where four squares of a checkerboard meet: saddles of brightness, to a fraction of a pixel.
//!
//! A candidate is a maximum of Ixy² − Ixx·Iyy. It is kept when the brightness on a small ring around it changes four times and
//! is the same on opposite sides. Its place is refined so that all gradients around it are at right angles to the way to it
//! (Förstner and Gülch 1987).

use std::f64::consts::TAU;

use crate::edge::calibrate::grey::Grey;
use crate::edge::camera::ImagePoint;

/// Squares must be at least about three times as large in the picture.
const RING_PX: f64 = 5.0;
const RING_SAMPLES: usize = 40;
/// Of brightness between the dark and the bright squares.
const MIN_CONTRAST: f32 = 18.0;
const MAX_CANDIDATES: usize = 3000;

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Corner {
    pub place: ImagePoint,
    /// Directions of the four edges, radians from right over down, ascending.
    pub edges: [f64; 4],
    /// Whether the square between the first and the second edge is bright; they alternate.
    pub first_is_bright: bool,
}

impl Corner {
    #[must_use]
    pub fn is_bright(&self, sector: usize) -> bool {
        self.first_is_bright == sector.is_multiple_of(2)
    }
}

#[must_use]
pub fn corners(picture: &Grey) -> Vec<Corner> {
    let smooth = picture.blurred(1.5);
    let sharp = picture.blurred(0.7);
    let mut found: Vec<Corner> = Vec::new();
    for (x, y) in saddles(&smooth) {
        let Some(place) = refined(&smooth, x as f64 + 0.5, y as f64 + 0.5) else { continue };
        // Two neighbouring maxima of one saddle.
        if found.iter().any(|c| (c.place.x_px - place.x_px).hypot(c.place.y_px - place.y_px) < 3.0) {
            continue;
        }
        found.extend(ring(&sharp, place));
    }
    found
}

fn saddles(grey: &Grey) -> Vec<(usize, usize)> {
    let (width, height) = (grey.width, grey.height);
    let mut strength = vec![0.0_f32; width * height];
    for y in 2..height.saturating_sub(2) {
        for x in 2..width.saturating_sub(2) {
            let at = |dx: isize, dy: isize| grey.at(x as isize + dx, y as isize + dy);
            let middle = at(0, 0);
            let xx = at(1, 0) + at(-1, 0) - 2.0 * middle;
            let yy = at(0, 1) + at(0, -1) - 2.0 * middle;
            let xy = 0.25 * (at(1, 1) + at(-1, -1) - at(1, -1) - at(-1, 1));
            strength[y * width + x] = xy * xy - xx * yy;
        }
    }
    let mut found = Vec::new();
    for y in 6..height.saturating_sub(6) {
        for x in 6..width.saturating_sub(6) {
            let own = strength[y * width + x];
            // A board with the least contrast gives about this much.
            if own < 0.5 {
                continue;
            }
            let highest = (y - 2..=y + 2).all(|ny| (x - 2..=x + 2).all(|nx| strength[ny * width + nx] <= own));
            if highest {
                found.push((own, x, y));
            }
        }
    }
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    found.into_iter().take(MAX_CANDIDATES).map(|(_, x, y)| (x, y)).collect()
}

fn refined(grey: &Grey, start_x: f64, start_y: f64) -> Option<ImagePoint> {
    const REACH: i32 = 5;
    let (mut x, mut y) = (start_x, start_y);
    for _ in 0..12 {
        let (mut xx, mut xy, mut yy, mut right_x, mut right_y) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for dy in -REACH..=REACH {
            for dx in -REACH..=REACH {
                let (px, py) = (x + f64::from(dx), y + f64::from(dy));
                let weight = (-0.5 * f64::from(dx * dx + dy * dy) / 6.0).exp();
                let gx = f64::from(grey.between(px + 0.5, py) - grey.between(px - 0.5, py));
                let gy = f64::from(grey.between(px, py + 0.5) - grey.between(px, py - 0.5));
                xx += weight * gx * gx;
                xy += weight * gx * gy;
                yy += weight * gy * gy;
                right_x += weight * (gx * gx * px + gx * gy * py);
                right_y += weight * (gx * gy * px + gy * gy * py);
            }
        }
        let determinant = xx * yy - xy * xy;
        if determinant < 1e-6 * (xx + yy).powi(2) {
            return None;
        }
        let (next_x, next_y) =
            ((right_x * yy - right_y * xy) / determinant, (right_y * xx - right_x * xy) / determinant);
        let step = (next_x - x).hypot(next_y - y);
        (x, y) = (next_x, next_y);
        if step < 1e-3 {
            break;
        }
    }
    ((x - start_x).hypot(y - start_y) < 3.0).then_some(ImagePoint { x_px: x, y_px: y })
}

/// The edges, where the ring shows what a corner of squares shows.
fn ring(grey: &Grey, place: ImagePoint) -> Option<Corner> {
    let inside = |value: f64, size: usize| value > RING_PX + 1.0 && value < size as f64 - RING_PX - 1.0;
    if !inside(place.x_px, grey.width) || !inside(place.y_px, grey.height) {
        return None;
    }
    let angle = |k: usize| k as f64 * TAU / RING_SAMPLES as f64;
    let sample = |k: usize| {
        let (sin, cos) = angle(k).sin_cos();
        grey.between(place.x_px + RING_PX * cos, place.y_px + RING_PX * sin)
    };
    let values: Vec<f32> = (0..RING_SAMPLES).map(sample).collect();
    let (low, high) = values.iter().fold((f32::MAX, f32::MIN), |(l, h), v| (l.min(*v), h.max(*v)));
    if high - low < MIN_CONTRAST {
        return None;
    }
    let half = RING_SAMPLES / 2;
    let asymmetry: f32 = (0..half).map(|k| (values[k] - values[k + half]).abs()).sum::<f32>() / half as f32;
    if asymmetry > 0.25 * (high - low) {
        return None;
    }
    let middle = 0.5 * (low + high);
    let mut edges = Vec::new();
    let mut rises = Vec::new();
    for k in 0..RING_SAMPLES {
        let (here, next) = (values[k] - middle, values[(k + 1) % RING_SAMPLES] - middle);
        if (here > 0.0) != (next > 0.0) {
            edges.push(angle(k) + f64::from(here / (here - next)) * TAU / RING_SAMPLES as f64);
            rises.push(next > 0.0);
        }
    }
    let edges: [f64; 4] = edges.try_into().ok()?;
    let narrow = (0..4).any(|k| (edges[(k + 1) % 4] - edges[k]).rem_euclid(TAU) < 0.3);
    (!narrow).then_some(Corner { place, edges, first_is_bright: rises[0] })
}
