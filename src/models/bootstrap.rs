//! How far a number could have come out otherwise: the percentile bootstrap over units drawn whole.
//!
//! A unit is a group of pictures that show the same place, or a picture where no groups are known; neighbouring pictures show the
//! same damage, so drawing single pictures would promise too much. The interval holds the middle 95 % of the values of
//! [`DRAWS`] samples, each of as many units as there are, drawn with replacement (Efron and Tibshirani, An Introduction to the
//! Bootstrap, 1993, chapter 13). Always the same draws for the same number of units.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

pub const DRAWS: usize = 1000;
const SEED: u64 = 1;

/// Bounds of the middle 95 %.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval(pub f64, pub f64);

/// How often each unit counts, sample by sample.
pub fn samples(units: usize) -> impl Iterator<Item = Vec<usize>> {
    let mut dice = ChaCha8Rng::seed_from_u64(SEED);
    (0..DRAWS).map(move |_| {
        let mut weights = vec![0; units];
        for _ in 0..units {
            weights[dice.random_range(0..units)] += 1;
        }
        weights
    })
}

/// The middle 95 % of the values; `None` where there is none.
#[must_use]
pub fn interval(values: &[f64]) -> Option<Interval> {
    Some(Interval(quantile(values, 0.025)?, quantile(values, 0.975)?))
}

/// What 95 % of the values reach.
#[must_use]
pub fn lower_bound(values: &[f64]) -> Option<f64> {
    quantile(values, 0.05)
}

/// Nearest rank.
fn quantile(values: &[f64], part: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = ((part * sorted.len() as f64).ceil() as usize).max(1);
    sorted.get(rank - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_draws_as_many_units_as_there_are_and_always_the_same_ones() {
        let all: Vec<Vec<usize>> = samples(7).collect();
        assert_eq!(all.len(), DRAWS);
        assert!(all.iter().all(|weights| weights.iter().sum::<usize>() == 7));
        assert_eq!(all, samples(7).collect::<Vec<_>>());
        // Each unit comes once on average.
        let first: usize = all.iter().map(|weights| weights[0]).sum();
        assert!((900..1100).contains(&first), "{first}");
    }

    #[test]
    fn the_interval_of_a_mean_is_as_wide_as_theory_says() {
        // 100 units, half of them 1: standard error 0.05, so the middle 95 % is 0.5 ± 0.098.
        let means: Vec<f64> = samples(100).map(|w| w.iter().take(50).sum::<usize>() as f64 / 100.0).collect();
        let Interval(low, high) = interval(&means).unwrap();
        assert!((low - 0.402).abs() < 0.02 && (high - 0.598).abs() < 0.02, "{low} {high}");
        assert!(lower_bound(&means).unwrap() > low);
        assert_eq!(interval(&[]), None);
    }
}
