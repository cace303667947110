//! Progress of a run, for its caller.

use super::job::Job;

/// An event of a run.
#[derive(Debug, Clone, Copy)]
pub enum Progress<'a> {
    /// A job begins.
    Started {
        /// The job.
        job: &'a Job,
        /// Position of the job in the plan, from 1.
        position: usize,
        /// Number of jobs of the plan.
        total: usize,
    },
    /// The job that was started last is done.
    Done {
        /// Wall time of the job.
        seconds: f64,
    },
    /// A training job has saved a checkpoint.
    Checkpoint {
        /// Training steps so far.
        step: u64,
        /// Training steps of the job.
        steps: u64,
        /// Estimate of the time to the end of the job.
        minutes_left: f64,
    },
    /// All jobs that are left are held by other runners or depend on jobs that are.
    Waiting,
}
