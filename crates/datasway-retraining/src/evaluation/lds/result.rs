//! Results of the evaluation of an attribution benchmark.

use datasway_attribution::AttributionTarget;
use serde::Serialize;

use super::ceiling::Ceiling;
use super::values::Values;
use crate::evaluation::SeedScope;
use crate::jobs::JobId;

/// The parts of the training data on which models are trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SubsetDesign {
    /// Random subsets.
    Subsets,
    /// All images but one group, for every group.
    Groups,
}

impl SubsetDesign {
    /// The beginning of the names of its files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Subsets => "attribution",
            Self::Groups => "groups",
        }
    }
}

/// The evaluation of an attribution benchmark.
#[derive(Debug, Clone, PartialEq)]
pub struct LdsEvaluation {
    /// The parts.
    pub design: SubsetDesign,
    /// Scores of the methods.
    pub rows: Vec<LdsRow>,
    /// Limits of the scores.
    pub ceilings: Vec<Ceiling>,
    /// The score for each single functional.
    pub target_scores: Vec<TargetScore>,
    /// The real values behind all scores.
    pub real: Vec<RealValues>,
    /// Seeds that are left out because their models are not done.
    pub missing_seeds: Vec<u64>,
    /// Jobs of methods that are left out because they are not done.
    pub missing_methods: Vec<JobId>,
}

/// Score of one method for one target.
#[derive(Debug, Clone, PartialEq)]
pub struct LdsRow {
    /// The target.
    pub target: AttributionTarget,
    /// The form of the method.
    pub method: String,
    /// The seed of the models of the parts, or the mean over seeds.
    pub seeds: SeedScope,
    /// Spearman's correlation of predicted and real values over the parts, averaged over functionals.
    pub lds: f64,
    /// Bootstrap 95 % interval over points, which are samples or held-out images with all their functionals.
    pub interval: [f64; 2],
    /// Jackknife standard error over the parts.
    pub error: f64,
    /// Wall time of the method for all targets, in seconds.
    pub seconds: f64,
    /// Peak memory of the process meanwhile, in MiB.
    pub peak: Option<f64>,
}

/// Score of one method for one functional, against the mean of the seeds.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetScore {
    /// The target.
    pub target: AttributionTarget,
    /// The sample or held-out image.
    pub point: usize,
    /// Index among the functionals of the point.
    pub index: usize,
    /// The form of the method.
    pub method: String,
    /// The score.
    pub lds: f64,
}

/// Real values of one target.
#[derive(Debug, Clone, PartialEq)]
pub struct RealValues {
    /// The target.
    pub target: AttributionTarget,
    /// The seed, or the mean over seeds.
    pub seeds: SeedScope,
    /// The values.
    pub values: Values,
}
