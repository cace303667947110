//! The network of EDM, with the sign that a scheduler gives it.

use datasway_diffusion::parameterization::Parameterization;
use datasway_diffusion::precondition::Precondition;

/// EDM's preconditioning, with the negative of the network for `v_prediction`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EdmPrediction {
    /// The preconditioning.
    pub edm: Precondition,
    /// True if the network predicts the negative.
    pub is_negative: bool,
}

impl Parameterization for EdmPrediction {
    fn c_skip(&self, sigma: f64) -> f64 {
        self.edm.c_skip(sigma)
    }

    /// `±σ·σ_data/√(σ² + σ_data²)`.
    fn c_out(&self, sigma: f64) -> f64 {
        let c_out = self.edm.c_out(sigma);
        if self.is_negative { -c_out } else { c_out }
    }

    fn c_in(&self, sigma: f64) -> f64 {
        self.edm.c_in(sigma)
    }

    fn c_noise(&self, sigma: f64) -> f64 {
        self.edm.c_noise(sigma)
    }
}
