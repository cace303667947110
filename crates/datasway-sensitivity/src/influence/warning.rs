//! Reasons not to trust the influences on a sample.

use std::fmt;

use super::batched::{FunctionalInfluences, Influences};

/// The largest factor between the density of the training images and the estimate they are compared with that is trusted.
/// Influences that rest on the density are wrong by that factor.
pub const MAX_IMBALANCE: f32 = std::f32::consts::E;

/// The smallest ratio of the mean absolute influence of an image to the zero check, the mean over all images, that is
/// trusted.
pub const CLEAR_OF_RESIDUAL: f64 = 2.0;

/// A reason not to trust the influences on a functional of a sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum InfluenceWarning {
    /// An influence is not finite.
    NotFinite,
    /// The mean absolute influence is not [`CLEAR_OF_RESIDUAL`] of the zero check.
    WithinModelError {
        /// The zero check: the mean influence of all images.
        residual: f64,
        /// The mean absolute influence of an image.
        size: f64,
    },
    /// The density that the images are compared with is not theirs within [`MAX_IMBALANCE`], at the evaluation that
    /// contributes most.
    Imbalance {
        /// The mean of `r_j` over the training images, which should be 1.
        balance: f32,
    },
}

impl fmt::Display for InfluenceWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFinite => {
                f.write_str("Some are not finite: the density ratio or the derivative of the model overflowed on this path")
            }
            Self::WithinModelError { residual, size } => write!(
                f,
                "More of all training images alike, which changes nothing, seems to change this by {residual:.2e} per unit of mass, where \
                 a typical image does by {size:.2e}: the model's own error is in every number here"
            ),
            Self::Imbalance { balance } => write!(
                f,
                "Where they are strongest, the training images are {balance:.1e} times as likely as the density they are compared with \
                 says"
            ),
        }
    }
}

impl Influences {
    /// Reasons not to trust the influences on a functional of a sample; empty if there are none.
    pub fn warnings(
        &self,
        functional: &FunctionalInfluences,
        sample: usize,
    ) -> Vec<InfluenceWarning> {
        let row = self.row(functional, sample);
        if row.iter().any(|a| !a.is_finite()) {
            return vec![InfluenceWarning::NotFinite];
        }
        let size = row.iter().map(|a| f64::from(a.abs())).sum::<f64>() / row.len() as f64;
        let residual = f64::from(functional.residuals[sample]);
        let within = residual.abs() * CLEAR_OF_RESIDUAL > size;
        let balance = self.balance_at_strongest(functional, sample);
        let balanced = (MAX_IMBALANCE.recip()..=MAX_IMBALANCE).contains(&balance);
        let warnings = [
            within.then_some(InfluenceWarning::WithinModelError { residual, size }),
            (!balanced).then_some(InfluenceWarning::Imbalance { balance }),
        ];
        warnings.into_iter().flatten().collect()
    }

    /// The balance at the evaluation that contributes most.
    fn balance_at_strongest(&self, functional: &FunctionalInfluences, sample: usize) -> f32 {
        let evaluations = self.sigmas.len();
        let range = sample * evaluations..(sample + 1) * evaluations;
        let strength = &functional.strength[range.clone()];
        let strongest = (0..evaluations).max_by(|&a, &b| strength[a].total_cmp(&strength[b]));
        strongest.map_or(1.0, |p| self.balance[range][p])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One sample, two images and two evaluations.
    fn influences(influence: [f32; 2], balance: [f32; 2]) -> Influences {
        let residual = (influence[0] + influence[1]) / 2.0;
        Influences {
            dim: 1,
            images: 2,
            samples: vec![0.0],
            sigmas: vec![80.0, 1.0],
            step_sigmas: Vec::new(),
            candidates: 0,
            balance: balance.to_vec(),
            functionals: vec![FunctionalInfluences {
                influence: influence.to_vec(),
                strength: vec![0.1, 0.9],
                residuals: vec![residual],
                ..FunctionalInfluences::default()
            }],
            seconds: 0.0,
        }
    }

    #[test]
    fn influences_are_trusted_if_they_exceed_their_mean_and_the_density_fits() {
        let warnings = |influence, balance| {
            let influences = influences(influence, balance);
            influences.warnings(&influences.functionals[0], 0)
        };
        assert!(warnings([1.0, -1.0], [9.0, 1.0]).is_empty());
        assert!(matches!(
            warnings([1.0, 0.9], [1.0, 1.0])[..],
            [InfluenceWarning::WithinModelError { .. }]
        ));
        assert_eq!(
            warnings([1.0, -1.0], [1.0, 9.0]),
            [InfluenceWarning::Imbalance { balance: 9.0 }]
        );
        assert_eq!(
            warnings([f32::NAN, 1.0], [1.0, 1.0]),
            [InfluenceWarning::NotFinite]
        );
    }
}
