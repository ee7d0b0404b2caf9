//! A picture that shows whether a calibration fits: horizon, vanishing point and a grid of metres over what the camera saw.
//!
//! Privacy: what the camera saw is reduced to [`BACKDROP_WIDTH_PX`] columns first, in which a plate is a few pixels and a face is
//! one or two; lines of the road remain. Only the drawing on top is sharp.

use image::{Rgb, RgbImage};

use crate::edge::anonymise::coarse;
use crate::edge::camera::{Camera, GroundPoint, ImagePoint};
use crate::edge::frame::CameraImage;

/// A plate 5 m ahead is about 12 of these columns wide and 3 high, through a lens of 65°.
const BACKDROP_WIDTH_PX: u32 = 160;
const MAX_WIDTH_PX: f64 = 1280.0;
const GRID: Rgb<u8> = Rgb([255, 220, 0]);
const HORIZON: Rgb<u8> = Rgb([0, 255, 255]);
const VANISHING: Rgb<u8> = Rgb([255, 0, 255]);
const MARKED: Rgb<u8> = Rgb([0, 255, 80]);
const FORWARD_METRES: [f64; 10] = [3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0, 50.0];
const SIDE_METRES: i32 = 4;

/// Rows of digits, three columns each, and of "m".
const GLYPHS: [[u8; 5]; 11] = [
    [7, 5, 5, 5, 7],
    [2, 6, 2, 2, 7],
    [7, 1, 7, 4, 7],
    [7, 1, 7, 1, 7],
    [5, 5, 7, 1, 1],
    [7, 4, 7, 1, 7],
    [7, 4, 7, 5, 7],
    [7, 1, 1, 2, 2],
    [7, 5, 7, 5, 7],
    [7, 5, 7, 1, 7],
    [0, 0, 7, 7, 5],
];

struct Canvas {
    pixels: RgbImage,
    scale: f64,
    /// Rows of the canvas above the picture: the horizon may lie there.
    above: f64,
}

/// The drawing; `marked` are lines or points that the calibration used, each from one place to another.
#[must_use]
pub fn drawn(camera: &Camera, image: &CameraImage, marked: &[(ImagePoint, ImagePoint)]) -> RgbImage {
    let (width, height) = (f64::from(image.width_px()), f64::from(image.height_px()));
    let scale = (MAX_WIDTH_PX / width).min(1.0);
    let horizon_y = |x: f64| camera.horizon_y_px(x);
    let highest = horizon_y(0.0).min(horizon_y(width)).min(0.0).max(-height);
    let above = (-highest * scale * 1.1).ceil() + if highest < 0.0 { 12.0 } else { 0.0 };
    let mut canvas =
        Canvas { pixels: RgbImage::new((width * scale) as u32, (height * scale + above) as u32), scale, above };
    canvas.backdrop(image);
    for left in -SIDE_METRES..=SIDE_METRES {
        let along =
            (0..=200).map(|k| GroundPoint { forward_metres: 2.0 + 0.4 * f64::from(k), left_metres: f64::from(left) });
        canvas.path(along.map(|g| camera.image_from_ground(g)), GRID);
    }
    for forward in FORWARD_METRES {
        let side = f64::from(SIDE_METRES);
        let across =
            (-20..=20).map(|k| GroundPoint { forward_metres: forward, left_metres: side * f64::from(k) / 20.0 });
        canvas.path(across.map(|g| camera.image_from_ground(g)), GRID);
        if let Some(place) = camera.image_from_ground(GroundPoint { forward_metres: forward, left_metres: -side }) {
            canvas.label(place, forward as u32);
        }
    }
    let columns = (0..=40).map(|k| width * f64::from(k) / 40.0);
    canvas.path(columns.map(|x| Some(ImagePoint { x_px: x, y_px: horizon_y(x) })), HORIZON);
    let far = GroundPoint { forward_metres: 1e5, left_metres: 0.0 };
    if let Some(point) = camera.image_from_ground(far) {
        canvas.cross(point, 14.0, VANISHING);
    }
    for (from, to) in marked {
        canvas.path([Some(*from), Some(*to)].into_iter(), MARKED);
        canvas.cross(*from, 4.0, MARKED);
        canvas.cross(*to, 4.0, MARKED);
    }
    canvas.pixels
}

impl Canvas {
    fn backdrop(&mut self, image: &CameraImage) {
        let coarse = coarse(image, BACKDROP_WIDTH_PX);
        let per_pixel = f64::from(coarse.width()) / f64::from(image.width_px()) / self.scale;
        for (x, y, pixel) in self.pixels.enumerate_pixels_mut() {
            let row = (f64::from(y) - self.above) * per_pixel;
            if row >= 0.0 {
                let column = (f64::from(x) * per_pixel) as u32;
                *pixel = *coarse.get_pixel(column.min(coarse.width() - 1), (row as u32).min(coarse.height() - 1));
            }
        }
    }

    fn place(&self, point: ImagePoint) -> (f64, f64) {
        (point.x_px * self.scale, point.y_px * self.scale + self.above)
    }

    fn path(&mut self, points: impl Iterator<Item = Option<ImagePoint>>, colour: Rgb<u8>) {
        let mut last: Option<(f64, f64)> = None;
        for point in points {
            let here = point.map(|p| self.place(p));
            if let (Some(from), Some(to)) = (last, here) {
                self.stroke(from, to, colour);
            }
            last = here;
        }
    }

    fn stroke(&mut self, from: (f64, f64), to: (f64, f64), colour: Rgb<u8>) {
        // What lies far outside is not drawn point by point.
        let limit = 4.0 * f64::from(self.pixels.width().max(self.pixels.height()));
        if [from.0, from.1, to.0, to.1].iter().any(|v| v.abs() > limit) {
            return;
        }
        let steps = (to.0 - from.0).abs().max((to.1 - from.1).abs()).ceil().max(1.0);
        for k in 0..=steps as u32 {
            let share = f64::from(k) / steps;
            self.dot(from.0 + share * (to.0 - from.0), from.1 + share * (to.1 - from.1), colour);
        }
    }

    fn dot(&mut self, x: f64, y: f64, colour: Rgb<u8>) {
        if x >= 0.0 && y >= 0.0 && (x as u32) < self.pixels.width() && (y as u32) < self.pixels.height() {
            self.pixels.put_pixel(x as u32, y as u32, colour);
        }
    }

    fn cross(&mut self, point: ImagePoint, arm: f64, colour: Rgb<u8>) {
        let (x, y) = self.place(point);
        self.stroke((x - arm, y), (x + arm, y), colour);
        self.stroke((x, y - arm), (x, y + arm), colour);
    }

    fn label(&mut self, point: ImagePoint, metres: u32) {
        let (mut x, y) = self.place(point);
        // Inside the picture, at its edge if need be.
        x = (x + 4.0).clamp(2.0, f64::from(self.pixels.width()) - 30.0);
        let digits = metres.to_string().into_bytes();
        for glyph in digits.iter().map(|d| usize::from(d - b'0')).chain([10]) {
            for (row, bits) in (0..).zip(GLYPHS[glyph]) {
                for column in (0..3).filter(|c| bits & (4 >> c) != 0) {
                    for (dx, dy) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
                        self.dot(x + f64::from(2 * column + dx), y - 5.0 + f64::from(2 * row + dy), GRID);
                    }
                }
            }
            x += 8.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::config::assumed_camera;

    #[test]
    fn a_horizon_above_the_picture_gets_room_and_is_drawn() {
        let camera = assumed_camera(1024, 630);
        assert!(camera.horizon_y_px(512.0) < 0.0);
        let image = CameraImage::new(RgbImage::from_pixel(1024, 630, Rgb([90; 3])));
        let picture = drawn(&camera, &image, &[]);
        assert!(picture.height() > 630 && picture.width() == 1024, "{:?}", picture.dimensions());
        let count = |colour: Rgb<u8>| picture.pixels().filter(|p| **p == colour).count();
        assert!(count(HORIZON) > 900, "{}", count(HORIZON));
        assert!(count(VANISHING) > 20 && count(GRID) > 1000);
    }

    #[test]
    fn of_what_the_camera_saw_only_coarse_blocks_remain() {
        // Stripes of a plate's letters: 6 pixels each at 1280.
        let pixels = RgbImage::from_fn(1280, 720, |x, _| if x / 6 % 2 == 0 { Rgb([20; 3]) } else { Rgb([230; 3]) });
        let camera = assumed_camera(1280, 720);
        let picture = drawn(&camera, &CameraImage::new(pixels), &[]);
        let backdrop = picture.pixels().filter(|p| p[0] == p[1] && p[1] == p[2] && p[0] > 0);
        let (low, high) = backdrop.fold((255, 0), |(l, h), p| (p[0].min(l), p[0].max(h)));
        // Eight pixels are one: of the full contrast of 210 less than half is left.
        assert!(high - low < 110, "{low} to {high}");
    }
}
