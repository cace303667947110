//! A small image classifier.
//!
//! The log-odds of a label are a differentiable function of a sample, so their change can be attributed to training images.

pub mod config;
pub mod evaluation;
pub mod file;
pub mod labels;
pub mod network;
pub mod trainer;

pub use config::ClassifierConfig;
pub use file::ClassifierCheckpoint;
pub use labels::Labels;
pub use network::Classifier;
pub use trainer::ClassifierTrainer;
