//! The jobs of an experiment: planned by content, stored in one folder each, and executed once.

mod benchmark_planner;
mod builder;
mod cost_estimate;
mod data_settings;
mod executor;
mod job;
mod key;
mod plan;
mod planner;
mod progress;
mod removal;
mod replicate_planner;
mod runner;
mod store;
mod trainer;
mod training;
pub(crate) mod weight_alignment;
mod weight_changes;
mod workspace;

pub use cost_estimate::estimate_seconds;
pub use executor::Executor;
pub use job::{Job, JobId, JobKind, Task, TrainingData};
pub use plan::{AttributionJobs, ModelOutputs, Plan, RemovalJobs, Replicate};
pub use planner::plan;
pub use progress::Progress;
pub use runner::{RunStatus, run};
pub use store::Store;
pub(crate) use store::{CANNOT_BE_USED, read_arrays};
pub use workspace::{JobStatus, Workspace};
