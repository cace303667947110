//! Proof by retraining: how well predicted sensitivities agree with what samples do when the model is
//! really trained again, or fine-tuned, on the changed data.

pub mod attribution;
pub mod baselines;
pub mod comparison;
mod cost;
mod error;
pub mod evaluation;
pub mod execute;
pub mod experiment;
pub mod jobs;
pub mod prepared;
pub mod probe;
mod progress;
mod range;
pub mod runner;
pub mod store;
pub mod table;
pub mod traits;

pub use error::RetrainError;
