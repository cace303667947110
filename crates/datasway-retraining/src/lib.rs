//! Ground-truth experiments: predicted sensitivities against the real changes of samples after retraining and fine-tuning.
//!
//! - [`spec`]: the experiment file.
//! - [`prepared`]: the experiment with its images, of which [`resolved`] has the parts, and [`given`] a base model of a folder.
//! - [`solver_memory`]: the memory that its estimators and attribution methods through the weights need.
//! - [`jobs`]: the plan of its trainings, samples and predictions, their results on disk, and their execution.
//! - [`baselines`]: simple predictions for comparison.
//! - [`evaluation`]: agreement of predicted and real changes, scores of attribution methods, counterfactuals.
//! - [`report`]: the result files.

pub mod baselines;
mod cost;
mod error;
pub mod evaluation;
pub mod given;
pub mod jobs;
pub mod prepared;
pub mod report;
pub mod resolved;
pub mod solver_memory;
pub mod spec;

pub use error::RetrainError;
