//! Studies of the prediction on problems where ρ, ν and so `ρ_η ∝ ρ + ην` are known in closed form.
//!
//! The true samples come from the same discrete sampler with the exact denoiser of `ρ_η` and the same noise, never from a
//! derivative of this project.
//!
//! - [`problems`]: Gaussian mixtures and clouds of points, with a change of each.
//! - [`studies`]: one study a file, and beside it the section of the report (`*_report.rs`).
//! - [`verify`]: all studies in turn.

mod error;
pub mod problems;
mod run;
mod scale;
pub mod studies;

pub use error::StudyError;
pub use run::verify;
pub use scale::StudyScale;
