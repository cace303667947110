//! Order of convergence: the rate at which the residual `‖x_η − x − ηδ‖` vanishes with η, and the floor by rounding.

use burn::tensor::{DType, Device};
use datasway_diffusion::DiffusionError;
use datasway_diffusion::sampler::{FrozenNoise, Sampler};
use datasway_diffusion::schedule::karras;
use datasway_stats::{Line, fit, median, norm};

use super::agreement::{difference, times};
use crate::problems::problem::{Problem, rows, sensitivity_rows};
use crate::problems::random_mixture::{Perturbation, RandomMixture};

/// Ratio of a residual to the rounding floor above which rounding does not show in the slope.
const ABOVE_FLOOR: f64 = 10.0;
/// Ratio of a residual to the prediction `|η|·‖δ‖` below which terms of third order in η do not show in the slope.
const BELOW_PREDICTION: f64 = 0.05;
/// Smallest number of masses that a slope is fitted to.
pub const MIN_FIT_POINTS: usize = 4;
/// Lowest noise level above 0.
const SIGMA_MIN: f64 = 0.02;
/// Highest noise level.
const SIGMA_MAX: f64 = 40.0;

/// The masses |η| from 1e-8 to 1, evenly spaced in the logarithm.
pub fn masses(per_decade: u32) -> Vec<f64> {
    let step = f64::from(per_decade);
    (0..=8 * per_decade)
        .map(|i| 10f64.powf(f64::from(i) / step - 8.0))
        .collect()
}

/// Settings of the samples.
#[derive(Debug, Clone, Copy)]
pub struct OrderConfig {
    /// The sampler.
    pub sampler: Sampler,
    /// Number of its steps.
    pub steps: usize,
    /// Number of samples.
    pub samples: usize,
    /// Seed of their noise.
    pub seed: u64,
    /// Number of masses in each decade.
    pub per_decade: u32,
    /// Precision of all tensors.
    pub dtype: DType,
}

/// Residuals of all samples of a problem over the masses.
#[derive(Debug, Clone, PartialEq)]
pub struct SampleResiduals {
    /// Masses |η|, ascending, as far as the measure stays positive.
    pub masses: Vec<f64>,
    /// `‖x_η − x − ηδ‖` of each sample, for each mass.
    pub residuals: Vec<Vec<f64>>,
    /// `‖x_η − x‖` of each sample, for each mass.
    pub displacements: Vec<Vec<f64>>,
    /// `‖δ‖` of each sample.
    pub sensitivities: Vec<f64>,
    /// Machine epsilon of the tensors.
    pub epsilon: f64,
}

impl SampleResiduals {
    /// Median over the samples.
    pub fn median(&self) -> ResidualCurve {
        let medians = self.residuals.iter().map(|residuals| median(residuals));
        self.curve(medians.collect(), median(&self.sensitivities))
    }

    /// Residuals of one sample.
    pub fn sample(&self, sample: usize) -> ResidualCurve {
        let residuals = self.residuals.iter().map(|residuals| residuals[sample]);
        self.curve(residuals.collect(), self.sensitivities[sample])
    }

    fn curve(&self, residuals: Vec<f64>, sensitivity: f64) -> ResidualCurve {
        ResidualCurve {
            masses: self.masses.clone(),
            residuals,
            sensitivity,
            epsilon: self.epsilon,
        }
    }
}

/// One residual for each mass.
#[derive(Debug, Clone, PartialEq)]
pub struct ResidualCurve {
    /// Masses |η|, ascending.
    pub masses: Vec<f64>,
    /// `‖x_η − x − ηδ‖`.
    pub residuals: Vec<f64>,
    /// `‖δ‖`.
    pub sensitivity: f64,
    /// Machine epsilon of the tensors.
    pub epsilon: f64,
}

impl ResidualCurve {
    /// Rounding floor: the largest residual among the masses whose square is far below the machine epsilon, or the one at the
    /// smallest mass.
    pub fn floor(&self) -> f64 {
        let unresolved = self.epsilon.sqrt() / 4.0;
        let pairs = self.masses.iter().zip(&self.residuals);
        let small = pairs.take_while(|(mass, _)| **mass <= unresolved);
        small.fold(self.residuals[0], |floor, (_, residual)| {
            floor.max(*residual)
        })
    }

    /// Pairs (|η|, residual) that are free of rounding and of terms of third order.
    pub fn asymptotic(&self) -> Vec<(f64, f64)> {
        let floor = self.floor();
        let pairs = self.masses.iter().zip(&self.residuals);
        let is_asymptotic = |mass: f64, residual: f64| {
            residual > ABOVE_FLOOR * floor && residual < BELOW_PREDICTION * mass * self.sensitivity
        };
        pairs
            .map(|(mass, residual)| (*mass, *residual))
            .filter(|(mass, residual)| is_asymptotic(*mass, *residual))
            .collect()
    }

    /// Line through `log₁₀ residual` against `log₁₀ |η|` over the asymptotic range.
    /// None if the range has fewer than [`MIN_FIT_POINTS`] masses.
    pub fn line(&self) -> Option<Line> {
        let range = self.asymptotic();
        if range.len() < MIN_FIT_POINTS {
            return None;
        }
        let logarithms: Vec<(f64, f64)> = range
            .iter()
            .map(|(mass, residual)| (mass.log10(), residual.log10()))
            .collect();
        fit(&logarithms)
    }
}

/// Residuals of one mixture, change, sampler and precision.
///
/// # Errors
/// As [`Problem::exact_tangents`].
pub fn residuals(
    mixture: &RandomMixture,
    change: Perturbation,
    config: &OrderConfig,
    device: &Device,
) -> Result<SampleResiduals, DiffusionError> {
    let data = mixture.data(device, config.dtype)?;
    let direction = mixture.direction(change, device, config.dtype)?;
    let noise = FrozenNoise::new(config.seed);
    let problem = Problem {
        data: &data,
        direction: &direction,
        sampler: config.sampler,
        sigmas: karras(config.steps, SIGMA_MIN, SIGMA_MAX, 7.0),
        start: noise.start([config.samples, mixture.dim()], device, config.dtype),
        noise,
    };
    let prediction = problem.exact_tangents()?;
    let (samples, deltas) = (rows(&prediction.samples)?, sensitivity_rows(&prediction)?);
    let norms = |rows: &[Vec<f64>]| rows.iter().map(|row| norm(row)).collect::<Vec<f64>>();
    let mut results = SampleResiduals {
        masses: Vec::new(),
        residuals: Vec::new(),
        displacements: Vec::new(),
        sensitivities: norms(&deltas),
        epsilon: match config.dtype {
            DType::F64 => f64::EPSILON,
            _ => f64::from(f32::EPSILON),
        },
    };
    for mass in masses(config.per_decade) {
        if mass >= change.max_mass() {
            break;
        }
        let eta = change.sign() * mass;
        let displacements = difference(&rows(&problem.perturbed_samples(eta)?)?, &samples);
        // x_η − x − ηδ
        let remainders = difference(&displacements, &times(&deltas, eta));
        results.masses.push(mass);
        results.residuals.push(norms(&remainders));
        results.displacements.push(norms(&displacements));
    }
    Ok(results)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(residual: impl Fn(f64) -> f64) -> ResidualCurve {
        let masses = masses(4);
        ResidualCurve {
            residuals: masses.iter().map(|mass| residual(*mass)).collect(),
            masses,
            sensitivity: 2.0,
            epsilon: f64::from(f32::EPSILON),
        }
    }

    #[test]
    fn a_right_derivative_has_slope_two_between_rounding_and_third_order() {
        let right = curve(|mass| 1e-7 + 0.5 * mass.powi(2) + mass.powi(3));
        let range = right.asymptotic();
        assert!(
            range[0].0 > 1e-3 && range[range.len() - 1].0 < 0.2,
            "{range:?}"
        );
        let slope = right.line().expect("a range").slope;
        assert!((slope - 2.0).abs() < 0.1, "{slope}");
    }

    #[test]
    fn a_derivative_wrong_by_one_per_cent_has_slope_one() {
        let wrong = curve(|mass| 1e-10 + 0.02 * mass + 0.5 * mass.powi(2));
        let slope = wrong.line().expect("a range").slope;
        assert!(slope < 1.3, "{slope}");
    }

    #[test]
    fn without_a_range_there_is_no_fit() {
        assert!(curve(|_| 1e-7).line().is_none());
    }
}
