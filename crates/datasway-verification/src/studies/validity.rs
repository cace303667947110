//! Up to which mass a prediction holds, and what could be known of that beforehand.

use datasway_diffusion::DiffusionError;

use super::agreement::{difference, relative_errors, times};
use crate::problems::problem::{Problem, limits, rows, sensitivity_rows};
use datasway_sensitivity::density::ClosedForm;
use datasway_sensitivity::trajectory::second_order::TOLERANCE;
use datasway_sensitivity::trajectory::tangent::TangentSolution;
use datasway_stats::{median, norm};

/// Errors of one problem's predictions over growing masses, and the limits announced for each sample before any of
/// them was tried.
#[derive(Debug, Clone, PartialEq)]
pub struct Validity {
    /// `|η|`, increasing.
    pub masses: Vec<f64>,
    /// `‖ηδ − (x_η − x)‖/‖x_η − x‖` of each sample, for each mass.
    pub errors: Vec<Vec<f64>>,
    /// What was announced.
    pub announced: Announced,
}

/// Ways to announce the limit of each sample without the truth. Only the curvature is a number of the same size
/// as the limit; the others are to be compared by rank.
#[derive(Debug, Clone, PartialEq)]
pub struct Announced {
    /// Where the term of second order is a tenth of the first ([`limit`](datasway_sensitivity::trajectory::second_order::trust_radius)).
    pub curvature: Vec<f64>,
    /// `TOLERANCE/max r`: where `ηr` stops being small on the path.
    pub ratio: Vec<f64>,
    /// `1/‖δ‖`: where the prediction itself is large.
    pub size: Vec<f64>,
}

/// The errors of a problem at `sign·|η|` for each mass.
///
/// # Errors
/// As [`Problem::exact`] and [`Problem::moved`].
pub fn validity(
    problem: &Problem<'_>,
    sign: f64,
    masses: &[f64],
) -> Result<Validity, DiffusionError> {
    let exact = problem.curved(&problem.data, &ClosedForm(problem.data))?;
    let (samples, delta) = (rows(&exact.samples)?, sensitivity_rows(&exact)?);
    let mut errors = Vec::new();
    for mass in masses {
        let change = difference(&rows(&problem.moved(sign * mass)?)?, &samples);
        errors.push(relative_errors(&times(&delta, sign * mass), &change));
    }
    Ok(Validity {
        masses: masses.to_vec(),
        errors,
        announced: Announced {
            curvature: limits(&exact)?,
            ratio: peaks(&exact)?.iter().map(|r| TOLERANCE / r).collect(),
            size: delta.iter().map(|delta| 1.0 / norm(delta)).collect(),
        },
    })
}

/// The largest r on the path of each sample.
fn peaks(path: &TangentSolution) -> Result<Vec<f64>, DiffusionError> {
    let first = path.log_ratio.clone().slice_dim(0, 0..1);
    let ratios = rows(&first.squeeze_dim::<2>(0).transpose())?;
    let peak = |own: &Vec<f64>| own.iter().copied().fold(f64::NEG_INFINITY, f64::max).exp();
    Ok(ratios.iter().map(peak).collect())
}

/// A limit that is known, or known to lie beyond the masses tried.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Censored {
    /// Below the least mass tried.
    Below(f64),
    /// Between two masses tried, interpolated.
    At(f64),
    /// Above the largest mass tried.
    Above(f64),
}

impl Censored {
    /// The number.
    pub fn value(self) -> f64 {
        match self {
            Self::Below(mass) | Self::At(mass) | Self::Above(mass) => mass,
        }
    }
}

impl std::fmt::Display for Censored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Below(mass) => write!(f, "< {mass:.3}"),
            Self::At(mass) => write!(f, "{mass:.3}"),
            Self::Above(mass) => write!(f, "> {mass:.3}"),
        }
    }
}

impl Validity {
    /// The largest mass at which the median error stays below [`TOLERANCE`].
    pub fn limit(&self) -> Censored {
        let medians: Vec<f64> = self.errors.iter().map(|each| median(each)).collect();
        crossing(&self.masses, &medians)
    }

    /// The same for each sample by itself.
    pub fn limits(&self) -> Vec<Censored> {
        let samples = self.errors.first().map_or(0, Vec::len);
        let limit = |sample: usize| {
            let own: Vec<f64> = self.errors.iter().map(|each| each[sample]).collect();
            crossing(&self.masses, &own)
        };
        (0..samples).map(limit).collect()
    }
}

/// Where errors first exceed [`TOLERANCE`], on a straight line between logarithms.
fn crossing(masses: &[f64], errors: &[f64]) -> Censored {
    let within = |error: &f64| *error <= TOLERANCE;
    match errors.iter().position(|error| !within(error)) {
        None => Censored::Above(masses[masses.len() - 1]),
        Some(0) => Censored::Below(masses[0]),
        Some(i) => {
            let logs = |i: usize| (masses[i].ln(), errors[i].ln());
            let ((x0, y0), (x1, y1)) = (logs(i - 1), logs(i));
            let part = (TOLERANCE.ln() - y0) / (y1 - y0);
            match part.is_finite() {
                true => Censored::At((x0 + part * (x1 - x0)).exp()),
                false => Censored::At(masses[i - 1]),
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
        let Censored::At(found) = crossing(&masses, &[0.02, 0.2, 2.0]) else {
            panic!("between two masses");
        };
        assert!((found - 0.05).abs() < 1e-12, "{found}");
        assert_eq!(crossing(&masses, &[0.2, 0.3, 0.4]), Censored::Below(0.01));
        assert_eq!(crossing(&masses, &[0.0, 0.01, 0.1]), Censored::Above(1.0));
        assert_eq!(
            crossing(&masses, &[0.01, f64::NAN, 0.1]),
            Censored::At(0.01),
            "what is not a number is no good prediction"
        );
    }
}
