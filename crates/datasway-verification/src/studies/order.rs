//! Order of convergence: how fast `‖x_η − x − ηδ‖` vanishes with η, and where rounding stops it.

use burn::tensor::{DType, Device};
use datasway_diffusion::DiffusionError;
use datasway_diffusion::sampler::{FrozenNoise, Sampler};
use datasway_diffusion::schedule::karras;

use crate::problems::problem::{Problem, rows, sensitivity_rows};
use crate::problems::random_mixture::{Perturbation, RandomMixture};
use datasway_stats::{Line, fit, median, norm};

/// Residuals this many times the rounding floor are free of it.
const ABOVE_FLOOR: f64 = 10.0;
/// While the residual is below this part of the prediction `|η|·‖δ‖`, terms of third order in η do not
/// show in the slope.
const BELOW: f64 = 0.05;
/// Fewer masses than this make no fit.
pub const MIN_FIT_POINTS: usize = 4;

/// The masses that are tried, from 1e-8 to 1.
pub fn masses(per_decade: u32) -> Vec<f64> {
    let step = f64::from(per_decade);
    (0..=8 * per_decade)
        .map(|i| 10f64.powf(f64::from(i) / step - 8.0))
        .collect()
}

/// Lowest noise level above 0.
const SIGMA_MIN: f64 = 0.02;
/// Highest noise level.
const SIGMA_MAX: f64 = 40.0;

/// What is sampled, and in which precision.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// The sampler.
    pub sampler: Sampler,
    /// Its steps.
    pub steps: usize,
    /// Samples.
    pub samples: usize,
    /// Seed of their noise.
    pub seed: u64,
    /// Masses in each decade.
    pub per_decade: u32,
    /// Precision of every tensor.
    pub dtype: DType,
}

/// The residuals of one problem over all masses, sample by sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    /// `|η|`, increasing, as far as the measure stays positive.
    pub masses: Vec<f64>,
    /// `‖x_η − x − ηδ‖` of each sample, for each mass.
    pub residuals: Vec<Vec<f64>>,
    /// `‖x_η − x‖` of each sample, for each mass.
    pub displacements: Vec<Vec<f64>>,
    /// `‖δ‖` of each sample.
    pub sensitivities: Vec<f64>,
    /// The distance of 1 to the next number in the precision of the tensors.
    pub precision: f64,
}

impl Order {
    /// The residuals that the median sample has.
    pub fn typical(&self) -> Residuals {
        let medians = self.residuals.iter().map(|each| median(each));
        self.residuals_of(medians.collect(), median(&self.sensitivities))
    }

    /// The residuals of one sample.
    pub fn of_sample(&self, sample: usize) -> Residuals {
        let own = self.residuals.iter().map(|each| each[sample]);
        self.residuals_of(own.collect(), self.sensitivities[sample])
    }

    fn residuals_of(&self, residuals: Vec<f64>, sensitivity: f64) -> Residuals {
        Residuals {
            masses: self.masses.clone(),
            residuals,
            sensitivity,
            precision: self.precision,
        }
    }
}

/// One residual for each mass.
#[derive(Debug, Clone, PartialEq)]
pub struct Residuals {
    /// `|η|`, increasing.
    pub masses: Vec<f64>,
    /// `‖x_η − x − ηδ‖`.
    pub residuals: Vec<f64>,
    /// `‖δ‖`.
    pub sensitivity: f64,
    /// The distance of 1 to the next number.
    pub precision: f64,
}

impl Residuals {
    /// What rounding leaves: the largest residual among the masses whose square is far below the precision, or the
    /// one at the smallest mass.
    pub fn floor(&self) -> f64 {
        let unresolved = self.precision.sqrt() / 4.0;
        let all = self.masses.iter().zip(&self.residuals);
        let small = all.take_while(|(mass, _)| **mass <= unresolved);
        small.fold(self.residuals[0], |floor, (_, residual)| {
            floor.max(*residual)
        })
    }

    /// (η, residual) between rounding and the terms of third order.
    pub fn asymptotic(&self) -> Vec<(f64, f64)> {
        let all = self
            .masses
            .iter()
            .copied()
            .zip(self.residuals.iter().copied());
        all.filter(|(mass, residual)| {
            *residual > ABOVE_FLOOR * self.floor() && *residual < BELOW * mass * self.sensitivity
        })
        .collect()
    }

    /// `log₁₀ residual` against `log₁₀ η` over the asymptotic range; none where fewer than [`MIN_FIT_POINTS`] masses are in it.
    pub fn fitted(&self) -> Option<Line> {
        let range = self.asymptotic();
        let logs: Vec<(f64, f64)> = range
            .iter()
            .map(|(mass, residual)| (mass.log10(), residual.log10()))
            .collect();
        if logs.len() < MIN_FIT_POINTS {
            None
        } else {
            fit(&logs)
        }
    }
}

/// The residuals of one mixture, change, sampler and precision.
///
/// # Errors
/// As [`sample_with_tangents`](datasway_sensitivity::trajectory::tangent::sample_with_tangents).
pub fn order(
    mixture: &RandomMixture,
    change: Perturbation,
    setting: &Setting,
    device: &Device,
) -> Result<Order, DiffusionError> {
    let data = mixture.data(device, setting.dtype)?;
    let direction = mixture.direction(change, device, setting.dtype)?;
    let noise = FrozenNoise::new(setting.seed);
    let problem = Problem {
        data: &data,
        direction: &direction,
        sampler: setting.sampler,
        sigmas: karras(setting.steps, SIGMA_MIN, SIGMA_MAX, 7.0),
        start: noise.start([setting.samples, mixture.dim()], device, setting.dtype),
        noise,
    };
    let prediction = problem.exact()?;
    let (samples, delta) = (rows(&prediction.samples)?, sensitivity_rows(&prediction)?);
    let mut order = Order {
        masses: Vec::new(),
        residuals: Vec::new(),
        displacements: Vec::new(),
        sensitivities: delta.iter().map(|row| norm(row)).collect(),
        precision: match setting.dtype {
            DType::F64 => f64::EPSILON,
            _ => f64::from(f32::EPSILON),
        },
    };
    for mass in masses(setting.per_decade) {
        if mass >= change.limit() {
            break;
        }
        let eta = change.sign() * mass;
        let moved = rows(&problem.moved(eta)?)?;
        let (mut residuals, mut displacements) = (Vec::new(), Vec::new());
        for ((moved, x), delta) in moved.iter().zip(&samples).zip(&delta) {
            let change: Vec<f64> = moved.iter().zip(x).map(|(moved, x)| moved - x).collect();
            let rest = change
                .iter()
                .zip(delta)
                .map(|(change, delta)| change - eta * delta);
            residuals.push(norm(&rest.collect::<Vec<f64>>()));
            displacements.push(norm(&change));
        }
        order.masses.push(mass);
        order.residuals.push(residuals);
        order.displacements.push(displacements);
    }
    Ok(order)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn residuals(of: impl Fn(f64) -> f64) -> Residuals {
        let masses = masses(4);
        Residuals {
            residuals: masses.iter().map(|mass| of(*mass)).collect(),
            masses,
            sensitivity: 2.0,
            precision: f64::from(f32::EPSILON),
        }
    }

    #[test]
    fn a_right_derivative_has_slope_two_between_rounding_and_third_order() {
        let right = residuals(|mass| 1e-7 + 0.5 * mass.powi(2) + mass.powi(3));
        let range = right.asymptotic();
        assert!(
            range[0].0 > 1e-3 && range[range.len() - 1].0 < 0.2,
            "{range:?}"
        );
        let slope = right.fitted().expect("a range").slope;
        assert!((slope - 2.0).abs() < 0.1, "{slope}");
    }

    #[test]
    fn a_derivative_wrong_by_one_per_cent_has_slope_one() {
        let wrong = residuals(|mass| 1e-10 + 0.02 * mass + 0.5 * mass.powi(2));
        let slope = wrong.fitted().expect("a range").slope;
        assert!(slope < 1.3, "{slope}");
    }

    #[test]
    fn without_a_range_there_is_no_fit() {
        assert!(residuals(|_| 1e-7).fitted().is_none());
    }
}
