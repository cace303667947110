//! How a diffusion model's samples move when its training data change a little.
//!
//! A model of the data ρ is sampled; [`tangent`] carries along each sample's path the derivative δ of
//! the sample with respect to the mass η of another measure ν in `ρ_η ∝ ρ + ην`, and [`curvature`] tells how far it can be
//! trusted. [`measure`] holds the kinds of ν
//! (and of ρ, where it is known in closed form), [`density`] the estimators of log p^ρ on the path.
//! [`experiment`] runs all of it batch by batch, [`ranking`] orders the samples, [`output`] writes the folder.

pub mod curvature;
pub mod density;
pub mod experiment;
pub mod influence;
pub mod measure;
pub mod output;
pub mod path;
pub mod ranking;
pub mod tangent;
pub mod trace;
pub mod validation;

pub use diffusion::DiffusionError;
