//! Options of the derivative of the weights as experiment files describe them.

use datasway_sensitivity::Through;
use datasway_sensitivity::learner::{
    Damping, DampingSpec, FiniteTraining, LearnerConfig, PreconditionerKind,
};
use serde::{Deserialize, Serialize};

use crate::RetrainError;

/// Options of the derivative of the weights ([`datasway_sensitivity::learner`]).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightsSpec {
    /// Name in tables; made of the iterations and the solver if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    /// Tells this kind from an estimator of the density.
    pub(super) through: Through,
    /// Draws of the Gauss–Newton matrix.
    #[serde(default = "default_draws")]
    draws: usize,
    /// Draws of each gradient of the loss.
    #[serde(default = "default_gradient_draws")]
    gradient_draws: usize,
    /// The regularisation in directions of little curvature.
    #[serde(default)]
    damping: DampingSpec,
    /// The preconditioner of the solver with a damping by a number.
    #[serde(default, skip_serializing_if = "PreconditionerKind::is_none")]
    preconditioner: PreconditionerKind,
    /// Iterations of the solver, all of which are done.
    #[serde(default = "default_iterations")]
    iterations: usize,
    /// The data whose curvature limits the change.
    #[serde(default, skip_serializing_if = "CurvatureData::is_unchanged")]
    curvature: CurvatureData,
    /// Times that the loss is taken as quadratic on the way of the weights, with the curvature of the changed data.
    #[serde(default = "once", skip_serializing_if = "is_once")]
    linearizations: usize,
    /// Steps of the base model's training whose weights stand for the steps around them, as the final weights do for the last ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checkpoints: Vec<u64>,
    /// The way from the change of the weights to that of the samples.
    #[serde(default, skip_serializing_if = "Propagation::is_tangent")]
    propagation: Propagation,
    /// Compares the real changes of the weights with their derivative.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub alignment: bool,
}

/// The data whose curvature limits the change of the weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum CurvatureData {
    /// The training data: the derivative at mass 0.
    #[default]
    Unchanged,
    /// The training data with the mass of the direction: its change, relative to the mass.
    Changed,
}

impl CurvatureData {
    fn is_unchanged(&self) -> bool {
        *self == Self::Unchanged
    }
}

/// The way from the change of the weights to that of the samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Propagation {
    /// The tangent of the sampler: the derivative of the samples.
    #[default]
    Tangent,
    /// The samples of the model whose weights are moved by the mass of the direction: their change, relative to the mass.
    MovedWeights,
}

impl Propagation {
    fn is_tangent(&self) -> bool {
        *self == Self::Tangent
    }
}

fn default_draws() -> usize {
    LearnerConfig::default().curvature_draws
}

fn default_gradient_draws() -> usize {
    LearnerConfig::default().gradient_draws
}

fn default_iterations() -> usize {
    24
}

fn once() -> usize {
    1
}

fn is_once(times: &usize) -> bool {
    *times == 1
}

impl WeightsSpec {
    /// True if each direction is predicted with the curvature of its own changed data.
    pub fn has_changed_curvature(&self) -> bool {
        !self.curvature.is_unchanged()
    }

    /// True if each direction is predicted by the samples of a model with moved weights.
    pub fn moves_weights(&self) -> bool {
        !self.propagation.is_tangent()
    }

    /// The regularisation for a variant with this training.
    pub fn damping(&self, training: FiniteTraining) -> Damping {
        self.damping.resolve(training)
    }

    /// The options, with a regularisation, the number of draws that are computed together and the seed of the draws.
    pub fn learner(&self, damping: Damping, batch: usize, seed: u64) -> LearnerConfig {
        LearnerConfig {
            curvature_draws: self.draws,
            gradient_draws: self.gradient_draws,
            damping,
            preconditioner: self.preconditioner,
            // The number of iterations alone decides, so that results of different numbers can be compared.
            tolerance: 0.0,
            iterations: self.iterations,
            linearizations: self.linearizations,
            batch,
            seed,
            ..LearnerConfig::default()
        }
    }

    /// Checks that every number is in its range and that the options go together; `field` names one for people.
    ///
    /// # Errors
    /// If one is not.
    pub(super) fn check(&self, field: &dyn Fn(&str) -> String) -> Result<(), RetrainError> {
        // The training of a variant is checked with it.
        let learner = self.learner(self.damping.without_training(), 1, 0).check();
        let preconditioner = self.damping.check_preconditioner(self.preconditioner);
        let times = self.damping.check_linearizations(self.linearizations);
        let passed = (self.damping).check_checkpoints(&self.checkpoints, self.linearizations);
        let checked = learner.and(preconditioner).and(times).and(passed);
        checked.map_err(|error| RetrainError::experiment(field(&error.to_string())))?;
        if !is_once(&self.linearizations) && !self.has_changed_curvature() {
            return Err(RetrainError::experiment(format!(
                "{} are of a change by a finite mass: add curvature = \"changed\", or leave them out",
                field("linearizations")
            )));
        }
        if !self.checkpoints.is_empty() && self.alignment {
            return Err(RetrainError::experiment(format!(
                "{} compares the derivative at the final weights: leave it out, or checkpoints",
                field("alignment")
            )));
        }
        Ok(())
    }

    /// The options without the name and what is evaluated beside them, for the keys of results.
    pub(super) fn unnamed(self) -> Self {
        Self {
            name: None,
            alignment: false,
            ..self
        }
    }

    /// The options in a few characters.
    pub(super) fn label(&self) -> String {
        let label = self.damping.label(self.preconditioner, self.iterations);
        let curvature = match self.curvature {
            CurvatureData::Unchanged => String::new(),
            CurvatureData::Changed if is_once(&self.linearizations) => "-changed".to_owned(),
            CurvatureData::Changed => format!("-changed{}", self.linearizations),
        };
        let passed = match &self.checkpoints[..] {
            [] => String::new(),
            steps => {
                let steps: Vec<String> = steps.iter().map(u64::to_string).collect();
                format!("-passing-{}", steps.join("-"))
            }
        };
        let propagation = match self.propagation {
            Propagation::Tangent => "",
            Propagation::MovedWeights => "-moved",
        };
        format!("{label}{curvature}{passed}{propagation}")
    }

    /// True if the length of a variant's training decides the result.
    pub(super) fn depends_on_training(&self) -> bool {
        self.damping.depends_on_training()
    }
}
