//! A small classifier of images. What it says of a sample is a number with a gradient, and so something that can be asked of a
//! diffusion model: which training images gave this face its glasses?

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
