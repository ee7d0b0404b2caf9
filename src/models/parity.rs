//! Do two backends say the same? Largest difference on one input.
//!
//! The input is the model's golden picture, where it has one. A box that scores less than the shipped threshold is not compared
//! where the layout tells which it is (`yolo`): nothing on the device looks at it, and it is the mean of a distribution without a
//! peak, so that the last bits of the network's sums, which differ between backends, move it most.

use crate::edge::golden::{Golden, GoldenError};
use crate::edge::infer::Tensor;
use crate::edge::infer::model::{Layout, Model, ModelSpec};
use crate::edge::preprocess::Preprocessor;

/// In the units of the output: pixels for boxes, 0..1 for scores.
pub const TOLERANCE: f32 = 1e-3;

/// What the backends are compared on.
pub fn input_of(model: &Model) -> Result<Tensor, GoldenError> {
    let Some(name) = &model.spec.golden else { return Ok(test_input(&model.spec)) };
    let picture = Golden::read(&model.folder.join(name))?.open(&model.folder)?;
    Ok(Preprocessor::new(model.spec.input.clone()).prepare(&picture)?.0.clone())
}

/// Picture-like: soft shades with grain.
#[must_use]
pub fn test_input(spec: &ModelSpec) -> Tensor {
    let mut input = Tensor::filled(&spec.input_shape(), 0.0);
    let (width, plane) = (spec.input.width, spec.input.width * spec.input.height);
    let normalisation = spec.input.normalisation();
    let mut grain = 0x2545_f491_u32;
    for (index, value) in input.data.iter_mut().enumerate() {
        let (x, y) = ((index % width) as f32, (index / width) as f32);
        grain = grain.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let shade = 110.0 + 60.0 * (x / 37.0).sin() * (y / 23.0).cos();
        let (factor, summand) = normalisation[index / plane];
        *value = (shade + (grain >> 27) as f32) * factor + summand;
    }
    input
}

/// `None` where the shapes differ or a value is not finite.
#[must_use]
pub fn worst_difference(spec: &ModelSpec, a: &[Tensor], b: &[Tensor]) -> Option<f32> {
    if a.len() != b.len() || a.iter().zip(b).any(|(a, b)| a.shape != b.shape) {
        return None;
    }
    let mut worst = 0.0f32;
    for (output, (a, b)) in a.iter().zip(b).enumerate() {
        let reported = if output == 0 && spec.layout == Layout::Yolo { reported(spec, a, b) } else { Vec::new() };
        for (index, (x, y)) in a.data.iter().zip(&b.data).enumerate() {
            let difference = (x - y).abs();
            if !difference.is_finite() {
                return None;
            }
            let is_of_a_box = index < 4 * reported.len();
            if !is_of_a_box || reported[index % reported.len()] {
                worst = worst.max(difference);
            }
        }
    }
    Some(worst)
}

/// Per candidate of the `yolo` layout, where each quantity of all candidates stands in a row, boxes first: would either backend
/// report it? Where neither reports any, all count, so that a comparison is never one of nothing.
fn reported(spec: &ModelSpec, a: &Tensor, b: &Tensor) -> Vec<bool> {
    let count = a.data.len() / (4 + spec.classes.len());
    let mut reported = vec![false; count];
    for scores in [a, b].iter().flat_map(|output| output.data[4 * count..].chunks_exact(count)) {
        for (reported, score) in reported.iter_mut().zip(scores) {
            *reported |= *score >= spec.score_threshold;
        }
    }
    if reported.contains(&true) { reported } else { vec![true; count] }
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use super::*;
    use crate::edge::infer::model::Manifest;

    fn spec(layout: &str) -> ModelSpec {
        let folder = tempfile::tempdir().unwrap();
        let more = if layout == "yolo" { "" } else { "scores = \"sigmoid\"\n" };
        let text = format!(
            "[[model]]\nname = \"m\"\ntask = \"road\"\nversion = \"1\"\nfile = \"m.onnx\"\nsha256 = \"{:064}\"\ncard = \"m.md\"\n\
             licence = \"CC0\"\nlayout = \"{layout}\"\n{more}classes = [\"D00\", \"D40\"]\nscore_threshold = 0.3\nnms_iou = 0.5\n\
             [model.input]\nwidth = 64\nheight = 64\npad_value = 0\nscale = 1.0\n",
            0
        );
        std::fs::write(folder.path().join("manifest.toml"), text).unwrap();
        Manifest::read(folder.path()).unwrap().models.remove(0)
    }

    #[test]
    fn the_worst_counts_and_nonsense_is_no_difference() {
        let ones = Tensor::filled(&[1, 4], 1.0);
        let mut other = ones.clone();
        other.data[2] = 1.25;
        let worst = |a: &Tensor, b: &Tensor| worst_difference(&spec("detr"), from_ref(a), from_ref(b));
        assert_eq!(worst(&ones, &other), Some(0.25));
        other.data[0] = f32::NAN;
        assert_eq!(worst(&ones, &other), None);
        assert_eq!(worst(&ones, &Tensor::filled(&[4, 1], 1.0)), None);
    }

    #[test]
    fn a_box_counts_when_either_backend_would_report_it() {
        // Three candidates: four sides and two classes.
        let a = Tensor::filled(&[1, 6, 3], 0.0);
        let mut b = a.clone();
        b.data[4] = 0.5; // the second side of the middle candidate
        let worst = |a: &Tensor, b: &Tensor| worst_difference(&spec("yolo"), from_ref(a), from_ref(b));
        assert_eq!(worst(&a, &b), Some(0.5), "where nothing is reported, every box counts");
        b.data[5 * 3 + 2] = 0.3;
        assert_eq!(worst(&a, &b), Some(0.3), "another candidate is reported, this box is not");
        b.data[5 * 3 + 1] = 0.4;
        assert_eq!(worst(&a, &b), Some(0.5));
        b.data[4] = f32::NAN;
        assert_eq!(worst(&a, &b), None);
    }
}
