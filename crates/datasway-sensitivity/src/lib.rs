//! How a diffusion model's samples move when its training data change a little.
//!
//! A model of the data ρ is sampled; [`trajectory::tangent`] carries along each sample's path the derivative δ of
//! the sample with respect to the mass η of another measure ν in `ρ_η ∝ ρ + ην`, and [`trajectory::second_order`] tells how far it can be
//! trusted. [`measure`] holds the kinds of ν
//! (and of ρ, where it is known in closed form), [`density`] the estimators of log p^ρ on the path.
//! [`sensitivities`] runs all of it batch by batch, [`ranking`] orders the samples.

pub mod density;
pub mod influence;
pub mod jacobian_trace;
pub mod measure;
pub mod ranking;
pub mod sample_spec;
pub mod sensitivities;
pub mod trajectory;

pub use datasway_diffusion::DiffusionError;
