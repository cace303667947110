//! A network that predicts the image.

use super::{Parameterization, TimeTable, preserving};

/// A network `m(x, t)` that predicts the image itself.
#[derive(Debug, Clone, PartialEq)]
pub struct SamplePrediction {
    /// The time step of a noise level.
    pub times: TimeTable,
}

/// `D = m(c·x, t(σ))`.
impl Parameterization for SamplePrediction {
    fn c_skip(&self, _: f64) -> f64 {
        0.0
    }

    fn c_out(&self, _: f64) -> f64 {
        1.0
    }

    fn c_in(&self, sigma: f64) -> f64 {
        preserving(sigma)
    }

    fn c_noise(&self, sigma: f64) -> f64 {
        self.times.time(sigma)
    }
}
