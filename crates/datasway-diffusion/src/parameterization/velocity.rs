//! A network that predicts the velocity of a variance-preserving path.

use super::{Parameterization, TimeTable, preserving};

/// A network `v(x, t)` that predicts `v = √ᾱ·n − √(1−ᾱ)·y` (Salimans and Ho 2022, arXiv 2202.00512).
///
/// With `√ᾱ = c` and `√(1−ᾱ) = σ·c`, the target is `c·(n − σ·y)`.
#[derive(Debug, Clone, PartialEq)]
pub struct VelocityPrediction {
    /// The time step of a noise level.
    pub times: TimeTable,
}

/// `D = c²·x − σ·c·v(c·x, t(σ))`.
impl Parameterization for VelocityPrediction {
    fn c_skip(&self, sigma: f64) -> f64 {
        preserving(sigma).powi(2)
    }

    fn c_out(&self, sigma: f64) -> f64 {
        -sigma * preserving(sigma)
    }

    fn c_in(&self, sigma: f64) -> f64 {
        preserving(sigma)
    }

    fn c_noise(&self, sigma: f64) -> f64 {
        self.times.time(sigma)
    }
}
