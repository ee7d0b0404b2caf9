//! How well a model's mask shows what is damaged: cells of 8 pixels of its input, crack and pothole as one. Pure.
//!
//! A cell is truly damaged when any damaged pixel of the drawn mask falls into it. Over a set all cells count alike:
//! F1 = 2·TP / (2·TP + FP + FN).

use serde::Serialize;

use crate::edge::detection::BoundingBox;
use crate::edge::extent::{CELL_PX, ExtentMask};
use crate::edge::infer::model::InputSpec;
use crate::edge::preprocess::Letterbox;
use crate::models::bootstrap::{self, Interval};

/// The drawn mask (`true`: damaged; row by row, of the picture's size) as cells of the input.
#[must_use]
pub fn truth_cells(damaged: &[bool], width_px: u32, letterbox: &Letterbox, input: &InputSpec) -> Vec<bool> {
    let (across, down) = (input.width / CELL_PX, input.height / CELL_PX);
    let mut cells = vec![false; across * down];
    let width = width_px.max(1) as usize;
    for index in damaged.iter().enumerate().filter(|(_, damaged)| **damaged).map(|(index, _)| index) {
        let (x, y) = ((index % width) as f32, (index / width) as f32);
        let [x0, y0, x1, y1] = letterbox.input_from_image(&BoundingBox { x0: x, y0: y, x1: x + 1.0, y1: y + 1.0 });
        let (column, row) = ((0.5 * (x0 + x1)) as usize / CELL_PX, (0.5 * (y0 + y1)) as usize / CELL_PX);
        if column < across && row < down {
            cells[row * across + column] = true;
        }
    }
    cells
}

/// The mask that a model answered with, as cells in the same order.
#[must_use]
pub fn found_cells(mask: &ExtentMask) -> Vec<bool> {
    let (columns, rows) = mask.size();
    (0..rows).flat_map(|row| (0..columns).map(move |column| mask.is_damaged(column, row))).collect()
}

/// Cells of one picture or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    pub right: usize,
    pub wrong: usize,
    pub missed: usize,
}

impl Tally {
    #[must_use]
    pub fn of(truth: &[bool], found: &[bool]) -> Self {
        let count = |wanted: (bool, bool)| truth.iter().zip(found).filter(|(t, f)| (**t, **f) == wanted).count();
        Self { right: count((true, true)), wrong: count((false, true)), missed: count((true, false)) }
    }

    fn add(&mut self, other: &Self, times: usize) {
        self.right += times * other.right;
        self.wrong += times * other.wrong;
        self.missed += times * other.missed;
    }

    /// 0 where nothing is damaged and nothing was found.
    #[must_use]
    pub fn f1(&self) -> f64 {
        2.0 * self.right as f64 / ((2 * self.right + self.wrong + self.missed) as f64).max(1.0)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MaskQuality {
    pub cell_f1: f64,
    pub cell_px: usize,
    pub precision: f64,
    pub recall: f64,
    /// What 95 % of the bootstrap's samples reach.
    pub lower_bound_95: Option<f64>,
    pub interval_95: Option<Interval>,
    /// Pictures with a drawn mask.
    pub pictures: usize,
}

/// From the tallies of all pictures and the unit (see `bootstrap`) of each.
#[must_use]
pub fn quality(pictures: &[(usize, Tally)], units: usize) -> MaskQuality {
    let mut of_unit = vec![Tally::default(); units];
    for (unit, tally) in pictures {
        of_unit[*unit].add(tally, 1);
    }
    let weighted = |weights: &[usize]| {
        let mut sum = Tally::default();
        of_unit.iter().zip(weights).for_each(|(tally, weight)| sum.add(tally, *weight));
        sum
    };
    let all = weighted(&vec![1; units]);
    let drawn: Vec<f64> = bootstrap::samples(units).map(|weights| weighted(&weights).f1()).collect();
    let ratio = |part: usize, whole: usize| part as f64 / (whole as f64).max(1.0);
    MaskQuality {
        cell_f1: all.f1(),
        cell_px: CELL_PX,
        precision: ratio(all.right, all.right + all.wrong),
        recall: ratio(all.right, all.right + all.missed),
        lower_bound_95: bootstrap::lower_bound(&drawn),
        interval_95: bootstrap::interval(&drawn),
        pictures: pictures.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::infer::model::{ChannelOrder, Fit};

    fn input() -> InputSpec {
        let (mean, std) = ([0.0; 3], [1.0; 3]);
        InputSpec {
            width: 64,
            height: 32,
            pad_value: 0,
            scale: 1.0,
            order: ChannelOrder::Rgb,
            fit: Fit::Letterbox,
            mean,
            std,
        }
    }

    #[test]
    fn a_pixel_of_the_picture_marks_the_cell_of_the_input_it_falls_into() {
        // 256×64 comes to 64×16, eight rows below the top.
        let letterbox = Letterbox::new(256, 64, &input()).unwrap();
        let mut damaged = vec![false; 256 * 64];
        damaged[0] = true;
        damaged[63 * 256 + 255] = true;
        damaged[40 * 256 + 100] = true;
        let cells = truth_cells(&damaged, 256, &letterbox, &input());
        let marked: Vec<usize> = (0..cells.len()).filter(|cell| cells[*cell]).collect();
        // Input (0, 8), (25, 18) and (63, 23), in rows of eight cells.
        assert_eq!(marked, [8, 2 * 8 + 3, 2 * 8 + 7]);
    }

    #[test]
    fn a_worked_example() {
        let tally = Tally::of(&[true, true, false, false], &[true, false, true, false]);
        assert_eq!(tally, Tally { right: 1, wrong: 1, missed: 1 });
        assert_eq!(tally.f1(), 0.5);
        let perfect = Tally { right: 4, wrong: 0, missed: 0 };
        let quality = quality(&[(0, tally), (1, perfect), (0, Tally::default())], 2);
        assert!((quality.cell_f1 - 10.0 / 12.0).abs() < 1e-12);
        assert!((quality.precision - 5.0 / 6.0).abs() < 1e-12);
        // Drawing two of two units: both of one are among the outcomes.
        assert_eq!((quality.lower_bound_95, quality.interval_95), (Some(0.5), Some(Interval(0.5, 1.0))));
        assert_eq!(quality.pictures, 3);
    }

    #[test]
    fn nothing_to_see_is_no_success() {
        assert_eq!(Tally::of(&[false; 4], &[false; 4]).f1(), 0.0);
    }
}
