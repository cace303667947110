//! Validity range: the mass up to which a prediction holds, and its predictors.

use datasway_diffusion::DiffusionError;
use datasway_sensitivity::density::ClosedForm;
use datasway_sensitivity::trajectory::second_order::TOLERANCE;
use datasway_stats::{median, norm};

use super::agreement::{difference, relative_errors, times};
use crate::problems::problem::{Problem, log_ratio_rows, rows, sensitivity_rows, trust_radii};

/// A predictor of the validity radius of each sample that needs no true samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RadiusPredictor {
    /// [Trust radius](datasway_sensitivity::trajectory::second_order::trust_radius): the mass at which the term of second order is a
    /// tenth of the first.
    Curvature,
    /// `TOLERANCE/max r`: the mass at which `ηr` is no longer small on the trajectory.
    /// It is compared with the true radius by rank only.
    DensityRatio,
    /// `1/‖δ‖`: the mass at which the prediction itself is large.
    /// It is compared with the true radius by rank only.
    Length,
}

impl RadiusPredictor {
    /// All predictors.
    pub const ALL: [Self; 3] = [Self::Curvature, Self::DensityRatio, Self::Length];

    /// Name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Curvature => "curvature",
            Self::DensityRatio => "largest r",
            Self::Length => "size of δ",
        }
    }
}

/// Validity radius of each sample by each predictor.
#[derive(Debug, Clone, PartialEq)]
pub struct PredictedRadii {
    curvature: Vec<f64>,
    density_ratio: Vec<f64>,
    length: Vec<f64>,
}

impl PredictedRadii {
    /// The radii by one predictor.
    pub fn by(&self, predictor: RadiusPredictor) -> &[f64] {
        match predictor {
            RadiusPredictor::Curvature => &self.curvature,
            RadiusPredictor::DensityRatio => &self.density_ratio,
            RadiusPredictor::Length => &self.length,
        }
    }
}

/// Errors of the predictions of one problem over the masses, with the predicted validity radii.
#[derive(Debug, Clone, PartialEq)]
pub struct Validity {
    /// Masses |η|, ascending.
    pub masses: Vec<f64>,
    /// `‖ηδ − (x_η − x)‖/‖x_η − x‖` of each sample, for each mass.
    pub errors: Vec<Vec<f64>>,
    /// Predicted validity radii.
    pub predicted: PredictedRadii,
}

impl Validity {
    /// Compares predictions with true samples at `η = sign·|η|` for each mass.
    ///
    /// # Errors
    /// As [`Problem::second_order_tangents`] and [`Problem::perturbed_samples`].
    pub fn measure(
        problem: &Problem<'_>,
        sign: f64,
        masses: &[f64],
    ) -> Result<Self, DiffusionError> {
        let density = ClosedForm(problem.data);
        let exact = problem.second_order_tangents(&problem.data, &density)?;
        let (samples, deltas) = (rows(&exact.samples)?, sensitivity_rows(&exact)?);
        let mut errors = Vec::new();
        for mass in masses {
            let perturbed = rows(&problem.perturbed_samples(sign * mass)?)?;
            let changes = difference(&perturbed, &samples);
            errors.push(relative_errors(&times(&deltas, sign * mass), &changes));
        }
        let max_ratios = max_ratios(&log_ratio_rows(&exact)?);
        Ok(Self {
            masses: masses.to_vec(),
            errors,
            predicted: PredictedRadii {
                curvature: trust_radii(&exact)?,
                density_ratio: max_ratios.iter().map(|r| TOLERANCE / r).collect(),
                length: deltas.iter().map(|delta| 1.0 / norm(delta)).collect(),
            },
        })
    }

    /// Validity radius: the largest mass at which the median error stays below [`TOLERANCE`].
    pub fn radius(&self) -> Censored {
        let medians: Vec<f64> = self.errors.iter().map(|errors| median(errors)).collect();
        crossing(&self.masses, &medians)
    }

    /// Validity radius of each sample.
    pub fn sample_radii(&self) -> Vec<Censored> {
        let samples = self.errors.first().map_or(0, Vec::len);
        let radius = |sample: usize| {
            let errors: Vec<f64> = self.errors.iter().map(|errors| errors[sample]).collect();
            crossing(&self.masses, &errors)
        };
        (0..samples).map(radius).collect()
    }
}

/// Largest r of each sample, from `log r` with one row a step and one column a sample.
fn max_ratios(log_ratio: &[Vec<f64>]) -> Vec<f64> {
    let samples = log_ratio.first().map_or(0, Vec::len);
    let largest = |sample: usize| {
        let steps = log_ratio.iter().map(|row| row[sample]);
        steps.fold(f64::NEG_INFINITY, f64::max).exp()
    };
    (0..samples).map(largest).collect()
}

/// A quantity that is observed exactly, or only known to lie beyond the range of the observations.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Censored {
    /// Below the smallest mass.
    Below(f64),
    /// Between two masses, interpolated.
    Exact(f64),
    /// Above the largest mass.
    Above(f64),
}

impl Censored {
    /// The value, or the end of the range.
    pub fn value(self) -> f64 {
        match self {
            Self::Below(mass) | Self::Exact(mass) | Self::Above(mass) => mass,
        }
    }
}

impl std::fmt::Display for Censored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Below(mass) => write!(f, "< {mass:.3}"),
            Self::Exact(mass) => write!(f, "{mass:.3}"),
            Self::Above(mass) => write!(f, "> {mass:.3}"),
        }
    }
}

/// The mass at which errors first exceed [`TOLERANCE`], by linear interpolation of logarithms.
fn crossing(masses: &[f64], errors: &[f64]) -> Censored {
    let is_valid = |error: &f64| *error <= TOLERANCE;
    match errors.iter().position(|error| !is_valid(error)) {
        None => Censored::Above(masses[masses.len() - 1]),
        Some(0) => Censored::Below(masses[0]),
        Some(i) => {
            let logarithms = |i: usize| (masses[i].ln(), errors[i].ln());
            let ((x0, y0), (x1, y1)) = (logarithms(i - 1), logarithms(i));
            let position = (TOLERANCE.ln() - y0) / (y1 - y0);
            if position.is_finite() {
                Censored::Exact((x0 + position * (x1 - x0)).exp())
            } else {
                Censored::Exact(masses[i - 1])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_lies_where_the_error_crosses_a_tenth() {
        let masses = [0.01, 0.1, 1.0];
        // An error of η itself crosses at 0.1; one of 2η half-way in the logarithm between.
        let Censored::Exact(radius) = crossing(&masses, &[0.02, 0.2, 2.0]) else {
            panic!("between two masses");
        };
        assert!((radius - 0.05).abs() < 1e-12, "{radius}");
        assert_eq!(crossing(&masses, &[0.2, 0.3, 0.4]), Censored::Below(0.01));
        assert_eq!(crossing(&masses, &[0.0, 0.01, 0.1]), Censored::Above(1.0));
        assert_eq!(
            crossing(&masses, &[0.01, f64::NAN, 0.1]),
            Censored::Exact(0.01),
            "what is not a number is no good prediction"
        );
    }
}
