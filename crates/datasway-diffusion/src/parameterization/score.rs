//! A network that predicts the score of a variance-exploding path.

use super::Parameterization;

/// A network `s(x, σ) = ∇log p_σ(x)` (Song et al. 2021, arXiv 2011.13456: NCSN++ with the variance-exploding path).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScorePrediction;

/// `D = x + σ²·s(x, σ)`.
impl Parameterization for ScorePrediction {
    fn c_skip(&self, _: f64) -> f64 {
        1.0
    }

    fn c_out(&self, sigma: f64) -> f64 {
        sigma.powi(2)
    }

    fn c_in(&self, _: f64) -> f64 {
        1.0
    }

    fn c_noise(&self, sigma: f64) -> f64 {
        sigma
    }

    /// `1/σ²`: the loss is `‖σ·s + n‖²`.
    fn loss_weight(&self, sigma: f64) -> f64 {
        sigma.powi(-2)
    }
}
