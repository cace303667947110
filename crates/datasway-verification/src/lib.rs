//! Studies of the prediction on problems where ρ, ν and so `ρ_η ∝ ρ + ην` are known in closed form.
//!
//! The truth is always the same discrete sampler run with the exact denoiser of ρ_η and the same noise, never a
//! derivative of ours.

pub mod problems;
pub mod studies;
