//! Do the masks cover what must not be seen? Pure.
//!
//! A labelled region is *covered* when at least 90 % of its pixels lie under the union of all masks, whatever class they were made
//! for. Masks that hide too much are counted as the masked share of pixels outside every labelled or ignored box enlarged by
//! 20 %. A pixel belongs to a box when its centre does.

use crate::edge::detection::{BoundingBox, Detection};

pub const COVERED_SHARE: f64 = 0.90;
/// Around labelled boxes masked pixels are no excess.
const ENLARGED_BY: f32 = 0.20;
/// For models that are no privacy models: a box grows by this part of its sides, half of it on each side.
const MASKED_BEYOND: f32 = 0.20;

/// The box with sides longer by `part`, around the same centre.
#[must_use]
pub fn enlarged(b: &BoundingBox, part: f32) -> BoundingBox {
    let (x, y) = (0.5 * part * (b.x1 - b.x0), 0.5 * part * (b.y1 - b.y0));
    BoundingBox { x0: b.x0 - x, y0: b.y0 - y, x1: b.x1 + x, y1: b.y1 + y }
}

/// Each detection, a little larger.
#[must_use]
pub fn dilated(found: &[Detection]) -> Vec<BoundingBox> {
    found.iter().map(|finding| enlarged(&finding.box_in_image, MASKED_BEYOND)).collect()
}

/// Pixels of one picture that some box holds.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pixels {
    width: usize,
    height: usize,
    held: Vec<bool>,
}

impl Pixels {
    fn of<'b>(width_px: u32, height_px: u32, boxes: impl Iterator<Item = &'b BoundingBox>) -> Self {
        let (width, height) = (width_px as usize, height_px as usize);
        let mut pixels = Self { width, height, held: vec![false; width * height] };
        for b in boxes {
            let (columns, rows) = pixels.inside(b);
            for row in rows {
                pixels.held[row * width..][columns.clone()].fill(true);
            }
        }
        pixels
    }

    /// Columns and rows whose centres a box holds.
    fn inside(&self, b: &BoundingBox) -> (std::ops::Range<usize>, std::ops::Range<usize>) {
        let range = |from: f32, to: f32, side: usize| {
            let first = (from - 0.5).ceil().clamp(0.0, side as f32) as usize;
            first..((to - 0.5).ceil().clamp(0.0, side as f32) as usize).max(first)
        };
        (range(b.x0, b.x1, self.width), range(b.y0, b.y1, self.height))
    }

    /// The share of a box's pixels that are held; `None` for a box without pixels.
    fn share(&self, b: &BoundingBox) -> Option<f64> {
        let (columns, rows) = self.inside(b);
        let all = columns.len() * rows.len();
        let held: usize =
            rows.map(|row| self.held[row * self.width..][columns.clone()].iter().filter(|held| **held).count()).sum();
        (all > 0).then(|| held as f64 / all as f64)
    }
}

/// What masks do in one picture.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Covered {
    /// Per region asked for: is it covered?
    pub regions: Vec<bool>,
    /// Per mask: does it touch anything labelled or ignored?
    pub needed: Vec<bool>,
    /// Pixels outside every enlarged box, and how many of them are masked.
    pub outside_px: usize,
    pub masked_outside_px: usize,
}

/// `regions` must be covered; `known` are all boxes, labelled or ignored, around which masks are no excess.
#[must_use]
pub fn judge(
    masks: &[BoundingBox],
    regions: &[BoundingBox],
    known: &[BoundingBox],
    width_px: u32,
    height_px: u32,
) -> Covered {
    let masked = Pixels::of(width_px, height_px, masks.iter());
    let around: Vec<BoundingBox> = known.iter().map(|b| enlarged(b, ENLARGED_BY)).collect();
    let allowed = Pixels::of(width_px, height_px, around.iter());
    let is_covered = |region| masked.share(region).is_some_and(|share| share >= COVERED_SHARE);
    let outside = allowed.held.iter().zip(&masked.held).filter(|(allowed, _)| !**allowed);
    Covered {
        regions: regions.iter().map(is_covered).collect(),
        needed: masks.iter().map(|mask| around.iter().any(|b| b.intersection_px(mask) > 0.0)).collect(),
        outside_px: outside.clone().count(),
        masked_outside_px: outside.filter(|(_, masked)| **masked).count(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn square(x: f32, y: f32, side: f32) -> BoundingBox {
        BoundingBox::new(x, y, x + side, y + side).unwrap()
    }

    #[test]
    fn nine_tenths_are_enough_and_less_is_not() {
        let region = square(10.0, 10.0, 10.0);
        let covered = |mask: BoundingBox| judge(&[mask], &[region], &[region], 100, 100).regions[0];
        assert!(covered(BoundingBox::new(10.0, 10.0, 19.0, 20.0).unwrap()));
        assert!(!covered(BoundingBox::new(10.0, 10.0, 18.0, 20.0).unwrap()));
    }

    #[test]
    fn masks_count_together_and_an_overlap_counts_once() {
        let region = square(10.0, 10.0, 10.0);
        let left = BoundingBox::new(0.0, 0.0, 15.0, 100.0).unwrap();
        let right = BoundingBox::new(15.0, 0.0, 30.0, 100.0).unwrap();
        assert!(judge(&[left, right], &[region], &[region], 100, 100).regions[0]);
        assert!(!judge(&[left, left], &[region], &[region], 100, 100).regions[0]);
    }

    #[test]
    fn only_what_lies_away_from_every_known_box_is_excess() {
        let known = square(40.0, 40.0, 20.0);
        // Enlarged by 20 %: 38..62 on both axes, 576 of 10,000 pixels.
        let around = judge(&[square(38.0, 38.0, 24.0)], &[], &[known], 100, 100);
        assert_eq!((around.outside_px, around.masked_outside_px), (10_000 - 576, 0));
        assert_eq!(around.needed, [true]);
        let away = judge(&[square(38.0, 38.0, 25.0), square(0.0, 0.0, 10.0)], &[], &[known], 100, 100);
        assert_eq!(away.masked_outside_px, 25 * 25 - 24 * 24 + 100);
        assert_eq!(away.needed, [true, false]);
        assert_eq!(judge(&[], &[known], &[known], 100, 100).regions, [false]);
    }

    #[test]
    fn masks_may_reach_beyond_the_picture() {
        let region = square(95.0, 95.0, 5.0);
        let found = [Detection { box_in_image: region, class: 0, score: 0.9 }];
        let masks = dilated(&found);
        assert_eq!(masks[0], BoundingBox::new(94.5, 94.5, 100.5, 100.5).unwrap());
        assert_eq!(judge(&masks, &[region], &[region], 100, 100).regions, [true]);
    }
}
