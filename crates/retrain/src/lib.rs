//! Proof by retraining: how well predicted sensitivities agree with what samples do when the model is
//! really trained again, or fine-tuned, on the changed data.

pub mod attribution;
pub mod baseline;
pub mod comparison;
mod cost;
mod error;
pub mod evaluation;
pub mod execute;
pub mod experiment;
pub mod jobs;
pub mod probe;
mod range;
pub mod runner;
pub mod setup;
pub mod statistics;
pub mod store;
pub mod table;
pub mod traits;

pub use error::RetrainError;
