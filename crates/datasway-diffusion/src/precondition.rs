//! Preconditioning of the network (Karras et al. 2022, Table 1, column "Ours").
//!
//! `D(x, σ) = c_skip(σ)·x + c_out(σ)·F(c_in(σ)·x, c_noise(σ))`, so that inputs and targets
//! of the network `F` have unit variance at every noise level.

use crate::parameterization::Parameterization;
use crate::{DiffusionError, range};

/// The four coefficients for data of standard deviation `sigma_data`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Precondition {
    /// Standard deviation of the data about their mean, in pixels of `[-1, 1]`.
    pub sigma_data: f64,
}

impl Precondition {
    /// The preconditioning for data of this standard deviation.
    ///
    /// # Errors
    /// If it is not a positive number that pixels of `[-1, 1]` can have.
    pub fn new(sigma_data: f64) -> Result<Self, DiffusionError> {
        let name = "sigma_data, the standard deviation of all pixels,";
        range::check(name, sigma_data, 1e-6..=1e2)?;
        Ok(Self { sigma_data })
    }
}

impl Parameterization for Precondition {
    /// `c_skip = σ_data² / (σ² + σ_data²)`, the weight of the noisy image in the output.
    fn c_skip(&self, sigma: f64) -> f64 {
        self.sigma_data.powi(2) / (sigma.powi(2) + self.sigma_data.powi(2))
    }

    /// `c_out = σ·σ_data / √(σ² + σ_data²)`, the scale of the network's output.
    fn c_out(&self, sigma: f64) -> f64 {
        sigma * self.sigma_data / (sigma.powi(2) + self.sigma_data.powi(2)).sqrt()
    }

    /// `c_in = 1 / √(σ² + σ_data²)`, which scales the noisy image to unit variance.
    fn c_in(&self, sigma: f64) -> f64 {
        1.0 / (sigma.powi(2) + self.sigma_data.powi(2)).sqrt()
    }

    /// `c_noise = ln(σ) / 4`, the network's input for the noise level.
    fn c_noise(&self, sigma: f64) -> f64 {
        sigma.ln() / 4.0
    }

    /// `λ = (σ² + σ_data²) / (σ·σ_data)²`, the loss weight; `λ·c_out² = 1`.
    fn loss_weight(&self, sigma: f64) -> f64 {
        (sigma.powi(2) + self.sigma_data.powi(2)) / (sigma * self.sigma_data).powi(2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_sees_unit_variance_inputs_and_targets() {
        let p = Precondition { sigma_data: 0.37 };
        for sigma in [0.002, 0.1, 0.37, 1.0, 80.0] {
            let input = p.c_in(sigma).powi(2) * (p.sigma_data.powi(2) + sigma.powi(2));
            assert!((input - 1.0).abs() < 1e-12);
            // Target (y − c_skip·x)/c_out, with var y = σ_data² and var n = 1.
            let signal = (1.0 - p.c_skip(sigma)).powi(2) * p.sigma_data.powi(2);
            let noise = (p.c_skip(sigma) * sigma).powi(2);
            let target = (signal + noise) / p.c_out(sigma).powi(2);
            assert!((target - 1.0).abs() < 1e-9, "σ = {sigma}: {target}");
            assert!((p.loss_weight(sigma) * p.c_out(sigma).powi(2) - 1.0).abs() < 1e-9);
        }
    }
}
