//! A network that predicts the noise.

use super::{Parameterization, TimeTable, preserving};

/// A network `ε(x, t)` that predicts the noise, of DDPM and its descendants.
#[derive(Debug, Clone, PartialEq)]
pub struct EpsilonPrediction {
    /// The time step of a noise level.
    pub times: TimeTable,
}

/// `D = x − σ·ε(c·x, t(σ))`.
impl Parameterization for EpsilonPrediction {
    fn c_skip(&self, _: f64) -> f64 {
        1.0
    }

    fn c_out(&self, sigma: f64) -> f64 {
        -sigma
    }

    fn c_in(&self, sigma: f64) -> f64 {
        preserving(sigma)
    }

    fn c_noise(&self, sigma: f64) -> f64 {
        self.times.time(sigma)
    }
}
