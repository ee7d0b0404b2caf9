//! Straight edges in a picture: connected pixels whose brightness changes in the same direction.
//!
//! After von Gioi et al., *LSD: a Line Segment Detector* (IPOL 2012), without its statistics: what is too short or too crooked is
//! dropped, and the vanishing point is found by agreement anyway.

use crate::edge::calibrate::grey::Grey;
use crate::edge::camera::ImagePoint;

/// Pictures are looked at in about this width: edges of paint are no sharper, and it is fast.
const WORKING_WIDTH_PX: usize = 960;
const SMOOTHING_PX: f32 = 1.0;
/// Of brightness per pixel; less is noise or grain.
const MIN_GRADIENT: f32 = 4.0;
const ANGLE_TOLERANCE_RADIANS: f32 = 0.3;
/// Of the picture's height.
const MIN_LENGTH_SHARE: f64 = 0.05;
/// Scatter across the line; a soft edge may scatter by as much as its breadth explains.
const MAX_CROOKEDNESS_PX: f64 = 1.2;

/// In pixels of the original picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Segment {
    pub from: ImagePoint,
    pub to: ImagePoint,
}

impl Segment {
    #[must_use]
    pub fn length_px(&self) -> f64 {
        (self.to.x_px - self.from.x_px).hypot(self.to.y_px - self.from.y_px)
    }
}

/// The segments of a picture, longest first.
#[must_use]
pub fn segments(picture: &Grey) -> Vec<Segment> {
    let factor = (picture.width / WORKING_WIDTH_PX).max(1);
    let small = if factor > 1 { picture.reduced(factor).blurred(SMOOTHING_PX) } else { picture.blurred(SMOOTHING_PX) };
    let edges = Edges::of(&small);
    let mut taken = vec![false; edges.strength.len()];
    let mut order: Vec<usize> = (0..taken.len()).filter(|k| edges.strength[*k] >= MIN_GRADIENT).collect();
    order.sort_by(|a, b| edges.strength[*b].total_cmp(&edges.strength[*a]));
    let min_length = MIN_LENGTH_SHARE * small.height as f64;
    let mut found = Vec::new();
    for start in order {
        if taken[start] {
            continue;
        }
        let region = edges.region(start, &mut taken);
        // A segment of this length has at least about this many pixels.
        if (region.len() as f64) < min_length {
            continue;
        }
        if let Some((from, to)) = edges.straight(&region, min_length) {
            let scaled = |(x, y): (f64, f64)| ImagePoint { x_px: x * factor as f64, y_px: y * factor as f64 };
            found.push(Segment { from: scaled(from), to: scaled(to) });
        }
    }
    found.sort_by(|a, b| b.length_px().total_cmp(&a.length_px()));
    found
}

struct Edges {
    width: usize,
    height: usize,
    strength: Vec<f32>,
    direction: Vec<f32>,
}

impl Edges {
    fn of(grey: &Grey) -> Self {
        let (width, height) = (grey.width, grey.height);
        let (mut strength, mut direction) = (Vec::with_capacity(width * height), Vec::with_capacity(width * height));
        for y in 0..height {
            for x in 0..width {
                let (gx, gy) = grey.gradient(x, y);
                let inside = x > 0 && y > 0 && x + 1 < width && y + 1 < height;
                strength.push(if inside { gx.hypot(gy) } else { 0.0 });
                direction.push(gy.atan2(gx));
            }
        }
        Self { width, height, strength, direction }
    }

    /// Connected pixels that agree with the mean direction so far.
    fn region(&self, start: usize, taken: &mut [bool]) -> Vec<usize> {
        let mut region = vec![start];
        taken[start] = true;
        let (mut sum_cos, mut sum_sin) = (self.direction[start].cos(), self.direction[start].sin());
        let mut next = 0;
        while next < region.len() {
            let (x, y) = ((region[next] % self.width) as isize, (region[next] / self.width) as isize);
            next += 1;
            let mean = sum_sin.atan2(sum_cos);
            for (dx, dy) in [(-1, -1), (0, -1), (1, -1), (-1, 0), (1, 0), (-1, 1), (0, 1), (1, 1)] {
                let (nx, ny) = (x + dx, y + dy);
                if nx < 0 || ny < 0 || nx >= self.width as isize || ny >= self.height as isize {
                    continue;
                }
                let at = ny as usize * self.width + nx as usize;
                if taken[at] || self.strength[at] < MIN_GRADIENT {
                    continue;
                }
                let off = (self.direction[at] - mean).rem_euclid(std::f32::consts::TAU);
                if off.min(std::f32::consts::TAU - off) > ANGLE_TOLERANCE_RADIANS {
                    continue;
                }
                taken[at] = true;
                sum_cos += self.direction[at].cos();
                sum_sin += self.direction[at].sin();
                region.push(at);
            }
        }
        region
    }

    /// Both ends of the line through a region, weighted by strength; `None` when it is short or bent.
    fn straight(&self, region: &[usize], min_length: f64) -> Option<((f64, f64), (f64, f64))> {
        let place = |at: usize| ((at % self.width) as f64 + 0.5, (at / self.width) as f64 + 0.5);
        let (mut sum, mut mean_x, mut mean_y) = (0.0, 0.0, 0.0);
        for at in region {
            let ((x, y), weight) = (place(*at), f64::from(self.strength[*at]));
            sum += weight;
            mean_x += weight * x;
            mean_y += weight * y;
        }
        (mean_x, mean_y) = (mean_x / sum, mean_y / sum);
        let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
        for at in region {
            let ((x, y), weight) = (place(*at), f64::from(self.strength[*at]) / sum);
            xx += weight * (x - mean_x).powi(2);
            xy += weight * (x - mean_x) * (y - mean_y);
            yy += weight * (y - mean_y).powi(2);
        }
        let angle = 0.5 * (2.0 * xy).atan2(xx - yy);
        let (along_x, along_y) = (angle.cos(), angle.sin());
        // The smaller eigenvalue: the variance across the line.
        let across = 0.5 * (xx + yy) - (0.25 * (xx - yy).powi(2) + xy * xy).sqrt();
        let (mut first, mut last) = (f64::MAX, f64::MIN);
        for at in region {
            let (x, y) = place(*at);
            let along = (x - mean_x) * along_x + (y - mean_y) * along_y;
            (first, last) = (first.min(along), last.max(along));
        }
        // The scatter of pixels that are spread evenly over the region's breadth.
        let by_breadth = region.len() as f64 / (last - first).max(1.0) / 12.0_f64.sqrt();
        let straight = last - first >= min_length && across.max(0.0).sqrt() <= by_breadth.max(MAX_CROOKEDNESS_PX);
        let end = |along: f64| (mean_x + along * along_x, mean_y + along * along_y);
        straight.then(|| (end(first), end(last)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_edges_of_a_stripe_are_found_where_they_are() {
        // A stripe whose left edge runs from (100, 180) to (160, 0), 8 pixels wide, anti-aliased.
        let mut grey = Grey { width: 320, height: 180, values: vec![80.0; 320 * 180] };
        for y in 0..180 {
            let left = 160.0 - 60.0 * (180.0 - (179 - y) as f32 - 0.5) / 180.0;
            for x in 0..320 {
                let inside =
                    ((x as f32 + 1.0 - left).clamp(0.0, 1.0) - (x as f32 - left - 7.0).clamp(0.0, 1.0)).max(0.0);
                grey.values[y * 320 + x] += 120.0 * inside;
            }
        }
        let found = segments(&grey);
        assert_eq!(found.len(), 2, "{found:?}");
        for segment in found {
            assert!(segment.length_px() > 170.0);
            let slope = (segment.to.x_px - segment.from.x_px) / (segment.to.y_px - segment.from.y_px);
            assert!((slope + 1.0 / 3.0).abs() < 0.004, "{slope}");
            let at_middle = segment.from.x_px + slope * (90.0 - segment.from.y_px);
            let off = (at_middle - 130.0).abs().min((at_middle - 138.0).abs());
            assert!(off < 0.4, "{at_middle}");
        }
    }

    #[test]
    fn a_soft_edge_is_found_and_a_bent_one_is_not() {
        // Brightness rises over eight pixels across a line from the top to the bottom, as paint does near the camera.
        let seen = |place: fn(f32) -> f32| {
            let rows = (0..180_u8).flat_map(|y| (0..=255_u8).map(move |x| (f32::from(x), f32::from(y))));
            let values = rows.map(|(x, y)| 80.0 + 120.0 * ((x - place(y)) / 8.0).clamp(0.0, 1.0)).collect();
            segments(&Grey { width: 256, height: 180, values })
        };
        let straight = seen(|y| 60.0 + 0.5 * y);
        assert!(straight.len() == 1 && straight[0].length_px() > 190.0, "{straight:?}");
        let bent = seen(|y| 60.0 + 0.5 * y + 12.0 * (std::f32::consts::PI * y / 180.0).sin());
        assert!(bent.iter().all(|segment| segment.length_px() < 150.0), "{bent:?}");
    }

    #[test]
    fn grain_gives_no_segments() {
        let values = (0..320 * 180_u32).map(|k| 90.0 + (k.wrapping_mul(2_654_435_761) >> 27) as f32).collect();
        assert!(segments(&Grey { width: 320, height: 180, values }).is_empty());
    }
}
