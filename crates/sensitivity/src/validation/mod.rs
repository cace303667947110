//! The prediction held against the truth, where ρ, ν and so `ρ_η ∝ ρ + ην` are known in closed form.
//!
//! The truth is always the same discrete sampler run with the exact denoiser of ρ_η and the same noise, never a
//! derivative of ours.

pub mod agreement;
pub mod complexity;
pub mod field;
pub mod learned;
pub mod mixtures;
pub mod mlp;
pub mod order;
pub mod problem;
pub mod robustness;
pub mod shapes;
pub mod statistics;
pub mod traces;
pub mod validity;
