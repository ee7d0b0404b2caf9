//! A picture as brightness: what lines and corners are looked for in.
//!
//! Coordinates as in `edge::camera`: origin at the outer corner of the top left pixel, so a pixel's middle is at +0.5.

use crate::edge::frame::CameraImage;

#[derive(Debug, Clone)]
pub struct Grey {
    pub width: usize,
    pub height: usize,
    /// 0 to 255, row by row.
    pub values: Vec<f32>,
}

impl Grey {
    /// Of what a camera saw; it serves to measure the camera, and is neither kept nor sent.
    #[must_use]
    pub fn of(image: &CameraImage) -> Self {
        let (width, height) = (image.width_px(), image.height_px());
        let rows = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        let values = rows.map(|(x, y)| f32::from(image.luma_at(x, y))).collect();
        Self { width: width as usize, height: height as usize, values }
    }

    /// The value of the nearest pixel that there is.
    #[must_use]
    pub fn at(&self, x: isize, y: isize) -> f32 {
        let x = x.clamp(0, self.width as isize - 1) as usize;
        let y = y.clamp(0, self.height as isize - 1) as usize;
        self.values[y * self.width + x]
    }

    /// Between pixels, bilinear.
    #[must_use]
    pub fn between(&self, x_px: f64, y_px: f64) -> f32 {
        let (x, y) = (x_px - 0.5, y_px - 0.5);
        let (left, top) = (x.floor(), y.floor());
        let (dx, dy) = ((x - left) as f32, (y - top) as f32);
        let (left, top) = (left as isize, top as isize);
        let upper = self.at(left, top) * (1.0 - dx) + self.at(left + 1, top) * dx;
        let lower = self.at(left, top + 1) * (1.0 - dx) + self.at(left + 1, top + 1) * dx;
        upper * (1.0 - dy) + lower * dy
    }

    /// Convolved with a Gaussian, first along rows, then along columns.
    #[must_use]
    pub fn blurred(&self, sigma_px: f32) -> Self {
        let reach = (3.0 * sigma_px).ceil() as isize;
        let weights: Vec<f32> = (-reach..=reach).map(|k| (-0.5 * (k as f32 / sigma_px).powi(2)).exp()).collect();
        let sum: f32 = weights.iter().sum();
        let pass = |from: &Self, step_x: isize, step_y: isize| {
            let mut out = vec![0.0; from.values.len()];
            for y in 0..from.height as isize {
                for x in 0..from.width as isize {
                    let mut value = 0.0;
                    for (k, weight) in (-reach..).zip(&weights) {
                        value += weight * from.at(x + k * step_x, y + k * step_y);
                    }
                    out[y as usize * from.width + x as usize] = value / sum;
                }
            }
            Self { width: from.width, height: from.height, values: out }
        };
        pass(&pass(self, 1, 0), 0, 1)
    }

    /// Each `factor`×`factor` pixels become one, their mean; what is left over at the right and the bottom is cut off.
    #[must_use]
    pub fn reduced(&self, factor: usize) -> Self {
        let factor = factor.max(1);
        let (width, height) = ((self.width / factor).max(1), (self.height / factor).max(1));
        let mut values = Vec::with_capacity(width * height);
        for y in 0..height {
            for x in 0..width {
                let mut sum = 0.0;
                for dy in 0..factor {
                    for dx in 0..factor {
                        sum += self.at((x * factor + dx) as isize, (y * factor + dy) as isize);
                    }
                }
                values.push(sum / (factor * factor) as f32);
            }
        }
        Self { width, height, values }
    }

    /// Change of brightness per pixel, right and down.
    #[must_use]
    pub fn gradient(&self, x: usize, y: usize) -> (f32, f32) {
        let (x, y) = (x as isize, y as isize);
        (0.5 * (self.at(x + 1, y) - self.at(x - 1, y)), 0.5 * (self.at(x, y + 1) - self.at(x, y - 1)))
    }

    /// How much two pictures of the same size differ on average; infinite where the sizes differ.
    #[must_use]
    pub fn mean_difference(&self, other: &Self) -> f32 {
        if (self.width, self.height) != (other.width, other.height) {
            return f32::INFINITY;
        }
        let sum: f32 = self.values.iter().zip(&other.values).map(|(a, b)| (a - b).abs()).sum();
        sum / self.values.len().max(1) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blur_keeps_the_mean_and_a_reduction_keeps_the_place() {
        let mut grey = Grey { width: 40, height: 20, values: vec![10.0; 800] };
        grey.values[10 * 40 + 20] = 110.0;
        let sum: f32 = grey.blurred(1.5).values.iter().sum();
        assert!((sum - 8100.0).abs() < 1.0, "{sum}");
        let small = grey.reduced(4);
        assert_eq!((small.width, small.height), (10, 5));
        assert_eq!(small.values[2 * 10 + 5], 10.0 + 100.0 / 16.0);
        assert_eq!(grey.between(20.5, 10.5), 110.0);
        assert_eq!(grey.between(21.0, 10.5), 60.0);
        assert!(grey.mean_difference(&small).is_infinite());
    }
}
