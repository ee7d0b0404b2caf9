//! The camera's rays, worked out once: for every pixel the ground point it sees, in vehicle axes.

use crate::edge::camera::{Camera, ImagePoint};

/// Beyond this the ground is haze.
const HORIZON_METRES: f32 = 260.0;

#[derive(Debug)]
pub struct Optics {
    pub camera: Camera,
    pub width: usize,
    pub height: usize,
    /// Forward and left in metres per pixel, row by row; `NaN` where no ground is seen.
    pub ground: Vec<[f32; 2]>,
    /// Size of a pixel on the ground per row, metres: across and along the line of sight.
    pub footprint: Vec<(f32, f32)>,
    /// Row of the horizon per column.
    pub horizon: Vec<f32>,
}

impl Optics {
    #[must_use]
    pub fn new(camera: Camera) -> Self {
        let i = camera.intrinsics;
        let (width, height) = (i.width_px as usize, i.height_px as usize);
        let ray = |x: usize, y: usize| camera.ray_from_image(ImagePoint { x_px: x as f64 + 0.5, y_px: y as f64 + 0.5 });
        let straight = [i.k1, i.k2, i.p1, i.p2].iter().all(|k| *k == 0.0);
        let origin = ray(0, 0);
        let (per_column, per_row) =
            ([0, 1, 2].map(|k| ray(1, 0)[k] - origin[k]), [0, 1, 2].map(|k| ray(0, 1)[k] - origin[k]));
        let mut ground = Vec::with_capacity(width * height);
        let mut footprint = Vec::with_capacity(height);
        let lens_height = camera.mounting.height_metres;
        for y in 0..height {
            for x in 0..width {
                // Without distortion rays are linear in the pixel: much faster than undistorting each.
                let [forward, left, up] = if straight {
                    [0, 1, 2].map(|k| origin[k] + x as f64 * per_column[k] + y as f64 * per_row[k])
                } else {
                    ray(x, y)
                };
                let scale = lens_height / -up;
                let point = [(forward * scale) as f32, (left * scale) as f32];
                let seen = up < 0.0 && point[0].hypot(point[1]) < HORIZON_METRES;
                ground.push(if seen { point } else { [f32::NAN; 2] });
            }
            let [forward, left, up] = ray(width / 2, y);
            footprint.push(if up < 0.0 {
                let depth = (lens_height / -up).min(f64::from(HORIZON_METRES));
                let distance = forward.hypot(left) * depth;
                let across = depth / i.focal_x_px;
                (across as f32, (depth / i.focal_y_px * distance.hypot(lens_height) / lens_height) as f32)
            } else {
                (1.0, 50.0)
            });
        }
        // The horizon is a straight line.
        let (first, last) = (camera.horizon_y_px(0.0), camera.horizon_y_px(width as f64));
        let horizon = (0..width).map(|x| (first + (last - first) * (x as f64 + 0.5) / width as f64) as f32).collect();
        Self { camera, width, height, ground, footprint, horizon }
    }
}
