//! Proof by retraining: how well predicted sensitivities agree with what samples do when the model is
//! really trained again, or fine-tuned, on the changed data.

pub mod baseline;
pub mod claim;
mod error;
pub mod execute;
pub mod experiment;
pub mod jobs;
pub mod runner;
pub mod setup;
pub mod statistics;
pub mod store;

pub use error::RetrainError;
