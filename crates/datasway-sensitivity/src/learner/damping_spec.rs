//! The regularisation of the derivative of the weights as experiment files describe it.

use datasway_diffusion::DiffusionError;
use serde::{Deserialize, Serialize};

use super::checkpoints::check_checkpoints;
use super::config::{Damping, LearnerConfig, PreconditionerKind, check_linearizations};
use super::finite_training::FiniteTraining;

/// The damping if the file names none.
const DEFAULT_FRACTION: f64 = 1e-3;

/// The regularisation of the derivative of the weights: a number, or `"training"`.
///
/// The serialised form is part of the keys of stored results.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "damping must be a number or \"training\", the length of the training"
)]
pub enum DampingSpec {
    /// The damping λ, relative to the largest eigenvalue.
    Fraction(f64),
    /// The length of the training of the models that are predicted.
    Training(TrainingLength),
}

/// Tells the length of a training from a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrainingLength {
    /// `"training"`.
    Training,
}

impl Default for DampingSpec {
    fn default() -> Self {
        Self::Fraction(DEFAULT_FRACTION)
    }
}

impl DampingSpec {
    /// True if the length of a training decides the result.
    pub fn depends_on_training(self) -> bool {
        matches!(self, Self::Training(_))
    }

    /// The regularisation for models with this training.
    pub fn resolve(self, training: FiniteTraining) -> Damping {
        match self {
            Self::Fraction(fraction) => Damping::Fraction(fraction),
            Self::Training(_) => Damping::Training(training),
        }
    }

    /// The damping λ, or the default one where a training is not known yet.
    pub fn without_training(self) -> Damping {
        match self {
            Self::Fraction(fraction) => Damping::Fraction(fraction),
            Self::Training(_) => LearnerConfig::default().damping,
        }
    }

    /// Checks that the solver with this regularisation can have a preconditioner.
    ///
    /// # Errors
    /// If the length of a training decides: its solver works in the metric of Adam.
    pub fn check_preconditioner(
        self,
        preconditioner: PreconditionerKind,
    ) -> Result<(), DiffusionError> {
        if self.depends_on_training() && !preconditioner.is_none() {
            return Err(DiffusionError::Invalid(
                "a preconditioner is for a damping by a number: leave out preconditioner, or give the number".to_owned(),
            ));
        }
        Ok(())
    }

    /// Checks that the change of the weights with this regularisation can have so many linearisations.
    ///
    /// # Errors
    /// If there are several with a damping by a number: they divide the length of a training.
    pub fn check_linearizations(self, linearizations: usize) -> Result<(), DiffusionError> {
        check_linearizations(linearizations, self.depends_on_training())
    }

    /// Checks that the change of the weights with this regularisation can have these checkpoints of the training.
    ///
    /// # Errors
    /// As [`Learner::change_along`](super::Learner::change_along), but for the number of steps of the training.
    pub fn check_checkpoints(
        self,
        steps: &[u64],
        linearizations: usize,
    ) -> Result<(), DiffusionError> {
        if steps.is_empty() {
            return Ok(());
        }
        check_checkpoints(steps, self.depends_on_training(), linearizations)
    }

    /// Name in tables of the derivative of the weights with so many iterations of the solver.
    pub fn label(self, preconditioner: PreconditionerKind, iterations: usize) -> String {
        let suffix = match (self, preconditioner) {
            (Self::Training(_), _) => "-training",
            (Self::Fraction(_), PreconditionerKind::None) => "",
            (Self::Fraction(_), PreconditionerKind::Kronecker) => "-kronecker",
        };
        format!("weights-{iterations}{suffix}")
    }
}
