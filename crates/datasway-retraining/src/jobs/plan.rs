//! The plan of an experiment: its jobs, and the results that are compared with each other.

use super::job::{Job, JobId};

/// All jobs of an experiment, each after its inputs, and the roles of their results.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The jobs.
    pub jobs: Vec<Job>,
    /// One replicate for each variant and seed.
    pub replicates: Vec<Replicate>,
    /// The jobs of the attribution benchmark, if there is one.
    pub attribution: Option<AttributionJobs>,
}

impl Plan {
    /// A job.
    pub fn job(&self, id: JobId) -> &Job {
        &self.jobs[id.0]
    }

    /// The ids of all jobs, in order.
    pub fn ids(&self) -> impl DoubleEndedIterator<Item = JobId> + Clone + use<> {
        (0..self.jobs.len()).map(JobId)
    }
}

/// The results of one variant with one seed.
#[derive(Debug, Clone, PartialEq)]
pub struct Replicate {
    /// The variant, as an index in the experiment.
    pub variant: usize,
    /// The seed.
    pub seed: u64,
    /// Samples of the base model, from which predictions are made.
    pub base: JobId,
    /// Samples before the change: of the base model, or of the base model fine-tuned on unchanged data.
    pub before: JobId,
    /// Samples after the change of each direction.
    pub after: Vec<JobId>,
    /// Predictions of each estimator.
    pub sensitivities: Vec<JobId>,
    /// Predictions of each baseline.
    pub baselines: Vec<JobId>,
    /// Comparisons of the changes of the weights, with the estimator of each.
    pub weight_alignments: Vec<(usize, JobId)>,
}

impl Replicate {
    /// The jobs of all results.
    pub fn jobs(&self) -> impl Iterator<Item = JobId> {
        let samples = [self.base, self.before]
            .into_iter()
            .chain(self.after.clone());
        let predictions = self.sensitivities.iter().chain(&self.baselines);
        samples.chain(predictions.copied())
    }
}

/// The results of an attribution benchmark.
#[derive(Debug, Clone, PartialEq)]
pub struct AttributionJobs {
    /// Samples of the model that is attributed: the base model of the first seed.
    pub samples: JobId,
    /// For each seed and each subset, the outputs of the model of the subset.
    pub subsets: Vec<Vec<ModelOutputs>>,
    /// For each seed and each group, the outputs of the model of all other images.
    pub groups: Vec<Vec<ModelOutputs>>,
    /// The scores of each method for the model that is attributed.
    pub methods: Vec<JobId>,
    /// Samples of counterfactual models of the first seed, if there are any.
    pub removal: Option<RemovalJobs>,
}

/// Samples and losses of one model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelOutputs {
    /// The sampling job.
    pub samples: JobId,
    /// The job of the losses.
    pub losses: JobId,
}

/// Samples of counterfactual models.
#[derive(Debug, Clone, PartialEq)]
pub struct RemovalJobs {
    /// Samples of the model of all images, trained in the same way.
    pub before: JobId,
    /// Samples without random images, for each sample of the counterfactual.
    pub random: Vec<JobId>,
    /// Samples without the responsible images, for each form and each sample of the counterfactual.
    pub responsible: Vec<Vec<JobId>>,
}
