//! Do two backends say the same? Largest difference on an input that is the same on every machine.

use crate::edge::infer::Tensor;
use crate::edge::infer::model::ModelSpec;

/// In the units of the output: pixels for boxes, 0..1 for scores.
pub const TOLERANCE: f32 = 1e-3;

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
pub fn worst_difference(a: &[Tensor], b: &[Tensor]) -> Option<f32> {
    if a.len() != b.len() || a.iter().zip(b).any(|(a, b)| a.shape != b.shape) {
        return None;
    }
    let pairs = a.iter().zip(b).flat_map(|(a, b)| a.data.iter().zip(&b.data));
    let mut worst = 0.0f32;
    for (a, b) in pairs {
        let difference = (a - b).abs();
        if !difference.is_finite() {
            return None;
        }
        worst = worst.max(difference);
    }
    Some(worst)
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use super::*;

    #[test]
    fn the_worst_counts_and_nonsense_is_no_difference() {
        let ones = Tensor::filled(&[1, 4], 1.0);
        let mut other = ones.clone();
        other.data[2] = 1.25;
        assert_eq!(worst_difference(from_ref(&ones), from_ref(&other)), Some(0.25));
        other.data[0] = f32::NAN;
        assert_eq!(worst_difference(from_ref(&ones), &[other]), None);
        assert_eq!(worst_difference(&[ones], &[Tensor::filled(&[4, 1], 1.0)]), None);
    }
}
