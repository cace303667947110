//! A job: one result that is computed once.

use std::fmt;

use serde_json::Value;

use datasway_sensitivity::learner::FiniteTraining;

use crate::spec::TrainingConfig;

/// Index of a job in [`Plan::jobs`](super::Plan::jobs).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub(super) usize);

impl JobId {
    /// The index.
    pub fn index(self) -> usize {
        self.0
    }
}

/// A job.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Kind, the first word of the name of its folder.
    pub kind: JobKind,
    /// Description, for people.
    pub label: String,
    /// Hexadecimal SHA-256 of everything that decides the result.
    pub key: String,
    /// The settings behind the key.
    pub settings: Value,
    /// Jobs whose results it reads.
    pub inputs: Vec<JobId>,
    /// The computation.
    pub task: Task,
}

/// Kind of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobKind {
    /// Training of a base model, or a given one.
    Base,
    /// Training from scratch on changed data.
    Retrain,
    /// Fine-tuning of a base model.
    FineTune,
    /// Training on a random subset.
    Subset,
    /// Training on all images but a group.
    Without,
    /// Training without the images that a method holds responsible for a sample, or without random ones.
    Counterfactual,
    /// Samples of a model.
    Samples,
    /// Prediction by an estimator of sensitivities.
    Sensitivity,
    /// Prediction by a baseline.
    Baseline,
    /// Losses of a model.
    Losses,
    /// Scores of an attribution method.
    Attribution,
    /// Comparison of real changes of the weights with their derivative.
    WeightAlignment,
}

impl JobKind {
    /// Name in keys, folders and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Retrain => "retrain",
            Self::FineTune => "fine-tune",
            Self::Subset => "subset",
            Self::Without => "without",
            Self::Counterfactual => "counterfactual",
            Self::Samples => "samples",
            Self::Sensitivity => "sensitivity",
            Self::Baseline => "baseline",
            Self::Losses => "losses",
            Self::Attribution => "attribution",
            Self::WeightAlignment => "weight-alignment",
        }
    }
}

impl fmt::Display for JobKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The computation of a job.
/// Estimators, baselines, methods and directions are indices in the lists of the experiment.
#[derive(Debug, Clone, PartialEq)]
pub enum Task {
    /// Keeps the base model that a folder gives.
    Given,
    /// Trains a model.
    Train {
        /// Training configuration with its seed.
        config: Box<TrainingConfig>,
        /// The training job of the model to start from; random weights if none.
        start: Option<JobId>,
        /// The training data.
        data: TrainingData,
        /// Steps after which it ends, those of the configuration or fewer.
        steps: u64,
    },
    /// Draws the samples of a model.
    Sample {
        /// The training job.
        model: JobId,
    },
    /// Predicts the change of every sample in every direction by an estimator of sensitivities.
    Sensitivity {
        /// The training job.
        model: JobId,
        /// The training jobs of weights that the model passed, in the order of their steps.
        passed: Vec<JobId>,
        /// The estimator.
        estimator: usize,
        /// The training of the changed models.
        training: FiniteTraining,
    },
    /// Adds two predictions of every sample in every direction.
    Combination {
        /// The jobs of the predictions.
        predictions: [JobId; 2],
        /// The part of the second.
        share: f64,
    },
    /// Averages predictions of every sample in every direction.
    Average {
        /// The jobs of the predictions.
        predictions: Vec<JobId>,
    },
    /// Predicts the change of every sample in every direction by a baseline.
    Baseline {
        /// The sampling job.
        samples: JobId,
        /// The baseline.
        baseline: usize,
    },
    /// Evaluates the loss of a model at the samples of the base model and at held-out images.
    Losses {
        /// The training job.
        model: JobId,
        /// The sampling job of the base model.
        samples: JobId,
    },
    /// Scores every training image by an attribution method.
    Attribution {
        /// The training job of the base model.
        model: JobId,
        /// The sampling job of the base model.
        samples: JobId,
        /// The method.
        method: usize,
    },
    /// Compares the real changes of the weights in every direction with their derivative.
    WeightAlignment {
        /// The training job of the base model.
        model: JobId,
        /// The training job of the model without a change.
        before: JobId,
        /// The training job of each direction.
        after: Vec<JobId>,
        /// The estimator.
        estimator: usize,
        /// The training of the changed models.
        training: FiniteTraining,
    },
}

/// The images that a model is trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrainingData {
    /// All training images.
    All,
    /// All training images after the change of a direction.
    Perturbed(usize),
    /// A random subset of the attribution benchmark.
    Subset(usize),
    /// All training images but a group of the attribution benchmark.
    WithoutGroup(usize),
    /// All training images but those that a method holds most responsible for a sample.
    WithoutResponsible {
        /// The sample.
        sample: usize,
        /// The form of the scores, as an index in the removals of the benchmark.
        removal: usize,
        /// The job of the scores.
        scores: JobId,
    },
    /// All training images but random ones, as many as for the same sample by a method.
    WithoutRandom {
        /// The sample.
        sample: usize,
    },
}
