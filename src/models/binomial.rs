//! How sure a share is that was counted: the one-sided Clopper–Pearson bound.
//!
//! C. J. Clopper and E. S. Pearson, The use of confidence or fiducial limits illustrated in the case of the binomial, Biometrika 26
//! (1934), 404–413: the lowest share at which so many hits would still have a chance of 5 %. It never promises more than it
//! keeps, which Wilson's interval does near a share of one. It takes the trials as independent of each other.

const CHANCE: f64 = 0.05;
/// Halvings of the interval 0..1: far below what four printed digits show.
const STEPS: usize = 60;

/// The share that is at least there with 95 % confidence, when `hits` of `trials` were counted; 0 without trials.
#[must_use]
pub fn lower_bound_95(hits: usize, trials: usize) -> f64 {
    if hits == 0 || trials == 0 {
        return 0.0;
    }
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..STEPS {
        let middle = 0.5 * (low + high);
        if chance_of_at_least(hits, trials, middle) < CHANCE {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

/// P(X ≥ hits) for X ~ Binomial(trials, share), 0 < share < 1.
fn chance_of_at_least(hits: usize, trials: usize, share: f64) -> f64 {
    let odds = (share / (1.0 - share)).ln();
    // ln P(X = k), from k = 0 upwards: P(k + 1) = P(k) · (n - k) / (k + 1) · odds.
    let mut ln_chance = trials as f64 * (-share).ln_1p();
    let mut sum = 0.0;
    for k in 0..=trials {
        if k >= hits {
            sum += ln_chance.exp();
        }
        ln_chance += ((trials - k) as f64 / (k + 1) as f64).ln() + odds;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_bounds() {
        // All of n: the bound is 0.05^(1/n). The rule of three follows from it.
        for trials in [1usize, 10, 59, 1000] {
            let exact = 0.05f64.powf(1.0 / trials as f64);
            assert!((lower_bound_95(trials, trials) - exact).abs() < 1e-9, "{trials}");
        }
        // By halving with exact fractions.
        for (hits, trials, bound) in [(9, 10, 0.605_836_7), (95, 100, 0.897_746_6), (1, 20, 0.002_561_4)] {
            let found = lower_bound_95(hits, trials);
            assert!((found - bound).abs() < 1e-5, "{hits} of {trials}: {found}");
        }
        assert_eq!((lower_bound_95(0, 50), lower_bound_95(0, 0)), (0.0, 0.0));
    }

    #[test]
    fn more_hits_never_lower_it_and_it_stays_below_the_share() {
        let mut before = 0.0;
        for hits in 1..=300 {
            let bound = lower_bound_95(hits, 300);
            assert!(bound > before && bound < hits as f64 / 300.0, "{hits}");
            before = bound;
        }
    }
}
