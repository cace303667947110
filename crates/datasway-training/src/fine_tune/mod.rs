//! Further training of a model of another library.
//!
//! The loss is that of the model's denoiser, `λ(σ)·(D(y + σn, σ) − y)²`, with the weight λ of its own training: the mean squared
//! error of what its network predicts. Dropout of the network is off.

mod config;
mod state;
mod tuner;

pub use config::{FineTuneConfig, NoiseLevels};
pub use state::{FineTuneHeader, FineTuneState};
pub use tuner::{FineTuneBase, FineTuneData, FineTuner};
