//! How the training data of a diffusion model sway its samples, without retraining.
//!
//! For a change `ρ + ην` of the training distribution ρ, the *sensitivity* `δ = dx₀/dη` of a sample x₀ is the derivative
//! of the sampler with respect to the mass η, with the starting noise held fixed. The predicted change of the sample is
//! `ηδ`.
//!
//! ```no_run
//! use datasway::{Direction, SensitivityConfig, TrainedModel};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let model = TrainedModel::load("runs/train/checkpoint.safetensors")?;
//! let glasses = Direction::add(model.select("attr:Eyeglasses")?);
//! let result = model.sensitivities(&[glasses], &SensitivityConfig::default())?;
//! for sample in result.ranking(0).iter().take(5) {
//!     println!("{} moves by {:.2} per unit of mass", sample.index, sample.score);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! | task | items | example |
//! | --- | --- | --- |
//! | rank samples by ‖δ‖ | [`TrainedModel::sensitivities`], [`Direction`] | `examples/rank.rs` |
//! | take the derivative through the weights | [`TrainedModel::weight_sensitivities`], [`learner`] | its documentation |
//! | predict the samples for a finite mass | [`Direction::with_mass`], [`TrainedModel::weight_sensitivities`] | its documentation |
//! | find the training images behind a sample | [`TrainedModel::influences`], [`influence`] | `examples/influence.rs` |
//! | start from given pictures in the place of samples | [`pictures::EncodedPictures`], [`StartingNoise`] | its documentation |
//! | change the data by a measure of your own | [`measure::Measure`], [`Direction::of_measure`] | `examples/custom_measure.rs` |
//! | use your own Burn module as the score model | [`diffusion::network::NetworkDenoiser::flat`], [`sensitivities::compute`] | `examples/custom_model.rs` |
//! | use a module with a custom operation of its own | [`jvp::CustomRule`], [`jvp::check::check_jvp`] | `examples/custom_operation.rs` |
//! | use a network that predicts noise, velocity, image or score | [`diffusion::parameterization`] | `examples/prediction_types.rs` |
//! | add an attribution method | [`attribution::Attributor`] | its documentation |
//! | train a score model | [`training`] | `crates/train` |
//! | differentiate any Burn module forwards | [`jvp::Jvp`] | its documentation |
//!
//! Tensors are those of Burn 0.22.1: a program that names them depends on `burn = "=0.22.1"`. The crates behind this one may change in
//! every version; what is re-exported here changes with notice.

pub use datasway_sensitivity::{
    Change, Direction, ModelOptions, RankedDirection, RankedSample, RankedSensitivities,
    ResolvedConfig, SelectedImages, Sensitivities, SensitivityConfig, SensitivityError,
    StartingNoise, TrainedModel,
};

pub use datasway_sensitivity::{
    density, influence, learner, measure, pictures, ranking, sensitivities, trajectory,
};

pub use burn_jvp as jvp;
pub use datasway_attribution as attribution;
pub use datasway_data as data;
pub use datasway_diffusion as diffusion;
pub use datasway_training as training;

/// The code of the README, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
