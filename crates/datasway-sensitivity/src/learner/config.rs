//! Options of sensitivities through the weights.

use datasway_diffusion::{DiffusionError, range};
use serde::{Deserialize, Serialize};

use super::finite_training::FiniteTraining;

/// Largest number of draws.
const MAX_DRAWS: usize = 1 << 24;
/// Largest number of iterations.
const MAX_ITERATIONS: usize = 10_000;
/// Largest number of linearisations: that of the steps of a short training.
const MAX_LINEARIZATIONS: usize = 100;

/// The regularisation of the change of the weights in directions of little curvature.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Damping {
    /// A multiple λ of the identity is added to the Gauss–Newton matrix, relative to its largest eigenvalue.
    Fraction(f64),
    /// The weights move for as long as a training does, in its metric.
    Training(FiniteTraining),
}

/// The preconditioner of the solver with a damping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PreconditionerKind {
    /// Plain conjugate gradients.
    #[default]
    None,
    /// The damped inverse of the curvature's [Kronecker factors](super::KroneckerFactors).
    Kronecker,
}

impl PreconditionerKind {
    /// True for plain conjugate gradients.
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }
}

/// Options of the derivative of the weights.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LearnerConfig {
    /// Draws of the Gauss–Newton matrix.
    pub curvature_draws: usize,
    /// Draws of each gradient of the loss.
    pub gradient_draws: usize,
    /// Draws of each image, for influences.
    pub image_draws: usize,
    /// The regularisation.
    pub damping: Damping,
    /// The preconditioner with a damping. A finite training has none: its solver works in the metric of Adam.
    pub preconditioner: PreconditionerKind,
    /// The estimated relative error in the norm of `G + λ`, or of G with a finite training, at which the solver stops. Where δ is
    /// computed, the last iterations must not change it by more either.
    pub tolerance: f64,
    /// Largest number of the solver's iterations.
    pub iterations: usize,
    /// Times that the loss is taken as quadratic on the way of the weights by a finite mass: once at the unmoved weights, and then
    /// at those that are reached. A derivative has one.
    pub linearizations: usize,
    /// Measures the noise of the draws in δ, by two solutions with half of the draws each.
    pub draw_noise: bool,
    /// Draws evaluated together; results depend on it by rounding only.
    pub batch: usize,
    /// Seed of the draws.
    pub seed: u64,
}

impl Default for LearnerConfig {
    fn default() -> Self {
        Self {
            curvature_draws: 1_536,
            gradient_draws: 32_768,
            image_draws: 64,
            damping: Damping::Fraction(1e-3),
            preconditioner: PreconditionerKind::Kronecker,
            tolerance: 0.1,
            iterations: 32,
            linearizations: 1,
            draw_noise: false,
            batch: 64,
            seed: 0,
        }
    }
}

impl LearnerConfig {
    /// Checks that every number is in its range.
    ///
    /// # Errors
    /// A sentence that names the number.
    pub fn check(&self) -> Result<(), DiffusionError> {
        for (name, draws) in [
            ("the number of draws of the curvature", self.curvature_draws),
            ("the number of draws of a gradient", self.gradient_draws),
            ("the number of draws of an image", self.image_draws),
            ("the batch of draws", self.batch),
        ] {
            range::check(name, draws, 1..=MAX_DRAWS)?;
        }
        match self.damping {
            Damping::Fraction(fraction) => {
                range::check("the relative damping", fraction, 0.0..=1e6)?
            }
            Damping::Training(training) => training.check()?,
        }
        range::check("the solver's tolerance", self.tolerance, 0.0..=1.0)?;
        let name = "the number of the solver's iterations";
        range::check(name, self.iterations, 1..=MAX_ITERATIONS)?;
        let name = "the number of linearizations";
        range::check(name, self.linearizations, 1..=MAX_LINEARIZATIONS)
    }

    /// Checks that the regularisation can have these linearisations.
    ///
    /// # Errors
    /// As [`check_linearizations`].
    pub(super) fn check_linearizations(&self) -> Result<(), DiffusionError> {
        let divides_training = matches!(self.damping, Damping::Training(_));
        check_linearizations(self.linearizations, divides_training)
    }
}

/// Checks a number of linearisations, which divide the length of a training.
///
/// # Errors
/// If there are several, and the regularisation is not the length of a training.
pub(super) fn check_linearizations(
    linearizations: usize,
    divides_training: bool,
) -> Result<(), DiffusionError> {
    if linearizations <= 1 || divides_training {
        return Ok(());
    }
    let message = "several linearizations divide the length of a training: give that in place of a damping by a number";
    Err(DiffusionError::Invalid(message.to_owned()))
}
