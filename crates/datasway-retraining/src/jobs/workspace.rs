//! The state of an experiment on disk, read only.

use std::path::PathBuf;

use burn::tensor::{Tensor, TensorData};
use datasway_attribution::AttributionTarget;
use datasway_diffusion::checkpoint::Checkpoint;
use datasway_fs::arrays::Array;
use datasway_fs::claim::{Claim, ClaimOwner};

use super::job::{JobId, Task};
use super::plan::Plan;
use super::store::{CANNOT_BE_USED, Store, read_array};
use crate::RetrainError;
use crate::prepared::PreparedExperiment;

/// An experiment with its plan and its results.
#[derive(Clone, Copy)]
pub struct Workspace<'a> {
    /// The experiment with its images.
    pub experiment: &'a PreparedExperiment,
    /// The jobs of the experiment.
    pub plan: &'a Plan,
    /// The folders of the jobs.
    pub store: &'a Store,
}

/// State of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobStatus {
    /// The result exists.
    Done,
    /// A runner holds the job; the step is that of its last checkpoint, if there is one.
    Running {
        /// The process that holds the job.
        holder: ClaimOwner,
        /// Training steps of the last checkpoint.
        step: Option<u64>,
    },
    /// No runner holds the job, and training can continue from a checkpoint.
    Stopped {
        /// Training steps of the checkpoint.
        step: u64,
    },
    /// The job has not begun.
    Open,
}

impl Workspace<'_> {
    /// True if the result of a job exists.
    pub fn is_done(&self, job: JobId) -> bool {
        self.result(job).exists()
    }

    /// The state of a job.
    pub fn status(&self, job: JobId) -> JobStatus {
        if self.is_done(job) {
            return JobStatus::Done;
        }
        match (Claim::holder(self.store.folder(job)), self.step(job)) {
            (Some(holder), step) => JobStatus::Running { holder, step },
            (None, Some(step)) => JobStatus::Stopped { step },
            (None, None) => JobStatus::Open,
        }
    }

    /// Steps in the checkpoint of a job, if there is one.
    fn step(&self, job: JobId) -> Option<u64> {
        let path = self.store.checkpoint(job);
        match &self.experiment.given {
            Some(given) => Some(given.state(&path).ok()?.header.step),
            None => Some(Checkpoint::load(&path).ok()?.header.step),
        }
    }

    /// The result file of a job.
    pub fn result(&self, job: JobId) -> PathBuf {
        self.store.result(job, &self.plan.job(job).task)
    }

    /// The samples of a sampling job, `[n, d]`.
    ///
    /// # Errors
    /// If the result cannot be read or is not of this experiment.
    pub fn samples(&self, job: JobId) -> Result<Tensor<2>, RetrainError> {
        let Array { shape, values } = self.array(job, "samples")?;
        let data = TensorData::new(values, shape);
        Ok(Tensor::from_data(data, &self.experiment.device))
    }

    /// An array of the result of a job.
    ///
    /// The shape is `[n, d]` for samples, `[2, points]` for losses, `[directions, n]` for `max_log_ratio` and
    /// `[directions, n, d]` for `delta`.
    ///
    /// # Errors
    /// If the result has no array of this name and shape, or samples are not finite.
    pub fn array(&self, job: JobId, name: &str) -> Result<Array, RetrainError> {
        let path = self.result(job);
        let array = self.array_of_shape(job, name, &self.shape(job, name))?;
        if name == "samples" && !array.values.iter().all(|value| value.is_finite()) {
            let reason = "its samples are not finite";
            return Err(RetrainError::file(&path, CANNOT_BE_USED)(reason));
        }
        Ok(array)
    }

    /// An array of the result of a job, of a given shape.
    ///
    /// # Errors
    /// If the result has no array of this name and shape.
    pub(crate) fn array_of_shape(
        &self,
        job: JobId,
        name: &str,
        shape: &[usize],
    ) -> Result<Array, RetrainError> {
        read_array(&self.result(job), name, shape)
    }

    /// The shape of an array of the result of a job.
    fn shape(&self, job: JobId, name: &str) -> Vec<usize> {
        let experiment = self.experiment;
        let n = experiment.spec.samples.count;
        let d = experiment.images.shape.dim();
        let directions = experiment.directions.len();
        let held_out = experiment
            .benchmark
            .as_ref()
            .map_or(0, |b| b.held_out.len());
        match &self.plan.job(job).task {
            Task::Sample { .. } => vec![n, d],
            Task::Losses { .. } if name == AttributionTarget::HeldOutLoss.name() => {
                vec![2, held_out]
            }
            Task::Losses { .. } => vec![2, n],
            _ if name == "max_log_ratio" => vec![directions, n],
            _ => vec![directions, n, d],
        }
    }
}
