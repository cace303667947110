//! Sensitivities of a diffusion model's samples to its training distribution.
//!
//! A model of the data ρ is sampled. For another measure ν and its mass η in `ρ_η ∝ ρ + ην`,
//! [`trajectory::tangent`] computes the derivative δ of each sample in η, and [`trajectory::second_order`] the largest |η|
//! for which it is a prediction. [`trajectory::adjoint`] is its transpose, on which the influence of single images rests
//! ([`influence`]).
//!
//! [`learner`] has the other derivative: that of the trained weights, and of the samples through them.
//!
//! [`pictures`] puts given pictures in the place of samples.
//!
//! [`measure`] has the kinds of ν, and of ρ where it has a closed form. [`density`] has the estimators of log p^ρ on the
//! path. [`sensitivities`] computes batch by batch, and [`ranking`] orders the samples. [`TrainedModel`] puts all of it
//! together for a checkpoint.

mod clipping;
pub mod config;
pub mod density;
pub mod direction;
mod error;
pub mod fit;
pub mod influence;
pub mod jacobian_trace;
pub mod learner;
pub mod measure;
mod model;
pub mod pictures;
mod pretrained_model;
pub mod ranking;
pub mod sample_spec;
pub mod sensitivities;
mod starting_noise;
mod tensors;
mod through;
pub mod trajectory;

pub use clipping::{CLIPPED_SAMPLES, ClipDifference};
pub use config::{ResolvedConfig, SensitivityConfig};
pub use datasway_diffusion::DiffusionError;
pub use datasway_training::sidecar::{OwnTraining, SIDECAR, Sidecar};
pub use direction::{Change, Direction, SelectedImages, changed_groups};
pub use error::SensitivityError;
pub use model::{ModelOptions, TrainedModel, TrainingRecord};
pub use pictures::EncodedPictures;
pub use pretrained_model::PretrainedData;
pub use ranking::{RankedDirection, RankedSample, RankedSensitivities};
pub use sensitivities::Sensitivities;
pub use starting_noise::StartingNoise;
pub use through::Through;
