//! Least squares after Levenberg and Marquardt, with slopes by differences.
//!
//! Source: Press et al., *Numerical Recipes*, 3rd edition, 15.5. The covariance is that of the residuals' own scatter:
//! sum of squares ÷ (residuals − parameters) × (JᵀJ)⁻¹.

use nalgebra::{DMatrix, DVector};

const MAX_STEPS: usize = 60;
const MAX_DAMPING: f64 = 1e12;
/// Slopes by differences are exact to about 1e-8, their squares no better than this.
const MIN_EIGENVALUE: f64 = 1e-11;

#[derive(Debug, Clone)]
pub struct Fit {
    pub parameters: DVector<f64>,
    /// Root of the mean squared residual.
    pub rms: f64,
    covariance: DMatrix<f64>,
}

impl Fit {
    /// One standard deviation of a parameter.
    #[must_use]
    pub fn sigma(&self, parameter: usize) -> f64 {
        self.covariance[(parameter, parameter)].max(0.0).sqrt()
    }
}

/// The parameters with the least sum of squares near `start`. `None` where residuals are not finite or too few, or
/// where they do not determine the parameters.
#[must_use]
pub fn minimise(residuals: &dyn Fn(&DVector<f64>) -> DVector<f64>, start: DVector<f64>) -> Option<Fit> {
    let mut parameters = start;
    let mut current = residuals(&parameters);
    let mut cost = current.norm_squared();
    let (count, unknowns) = (current.len(), parameters.len());
    if count < unknowns || !cost.is_finite() {
        return None;
    }
    let mut damping = 1e-3;
    for _ in 0..MAX_STEPS {
        let slopes = slopes(residuals, &parameters, &current);
        let transposed = slopes.transpose();
        let normal = &transposed * &slopes;
        let downhill = -(&transposed * &current);
        let mut gain = 0.0;
        while damping < MAX_DAMPING {
            let mut damped = normal.clone();
            for k in 0..unknowns {
                damped[(k, k)] += damping * normal[(k, k)].max(1e-12);
            }
            let Some(step) = damped.cholesky().map(|c| c.solve(&downhill)) else {
                damping *= 10.0;
                continue;
            };
            let tried = &parameters + step;
            let after = residuals(&tried);
            let cost_after = after.norm_squared();
            if cost_after.is_finite() && cost_after <= cost {
                gain = cost - cost_after;
                (parameters, current, cost) = (tried, after, cost_after);
                damping = (damping * 0.1).max(1e-12);
                break;
            }
            damping *= 10.0;
        }
        if gain <= 1e-10 * cost {
            break;
        }
    }
    let slopes = slopes(residuals, &parameters, &current);
    let variance = cost / (count - unknowns).max(1) as f64;
    let normal = slopes.transpose() * &slopes;
    if !determines(&normal) {
        return None;
    }
    let covariance = normal.cholesky()?.inverse() * variance;
    covariance.iter().all(|v| v.is_finite()).then(|| Fit { parameters, rms: (cost / count as f64).sqrt(), covariance })
}

/// Whether no combination of the parameters, each in its own scale, leaves the residuals as they are.
fn determines(normal: &DMatrix<f64>) -> bool {
    let scale = normal.diagonal().map(|d| d.sqrt().recip());
    let scaled = DMatrix::from_fn(normal.nrows(), normal.ncols(), |r, c| normal[(r, c)] * scale[r] * scale[c]);
    scaled.iter().all(|v| v.is_finite()) && scaled.symmetric_eigenvalues().min() > MIN_EIGENVALUE
}

fn slopes(
    residuals: &dyn Fn(&DVector<f64>) -> DVector<f64>,
    at: &DVector<f64>,
    current: &DVector<f64>,
) -> DMatrix<f64> {
    let mut slopes = DMatrix::zeros(current.len(), at.len());
    for k in 0..at.len() {
        let step = 1e-6 * at[k].abs().max(1e-2);
        let mut moved = at.clone();
        moved[k] += step;
        slopes.set_column(k, &((residuals(&moved) - current) / step));
    }
    slopes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_is_found_again_and_its_sigmas_follow_the_noise() {
        let truth = |x: f64| 3.0 * (-0.7 * x).exp();
        // Noise of sigma 0.01 that is the same each time.
        let noise = |k: usize| 0.01 * (2.0f64).sqrt() * (12.9898 * k as f64).sin();
        let residuals = |p: &DVector<f64>| {
            DVector::from_fn(200, |k, _| {
                let x = k as f64 * 0.02;
                p[0] * (p[1] * x).exp() - truth(x) - noise(k)
            })
        };
        let fit = minimise(&residuals, DVector::from_vec(vec![1.0, 0.0])).unwrap();
        assert!((fit.parameters[0] - 3.0).abs() < 5.0 * fit.sigma(0), "{fit:?}");
        assert!((fit.parameters[1] + 0.7).abs() < 5.0 * fit.sigma(1), "{fit:?}");
        assert!((fit.rms - 0.01).abs() < 0.001, "{}", fit.rms);
        assert!(fit.sigma(0) < 0.01 && fit.sigma(0) > 0.0005, "{}", fit.sigma(0));
    }

    #[test]
    fn what_is_not_determined_gives_nothing() {
        let only_the_sum = |p: &DVector<f64>| DVector::from_fn(5, |_, _| p[0] + p[1] - 1.0);
        assert!(minimise(&only_the_sum, DVector::from_vec(vec![0.0, 0.0])).is_none());
        assert!(minimise(&|_| DVector::zeros(1), DVector::zeros(2)).is_none());
    }
}
