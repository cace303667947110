//! A network of flow matching.

use super::Parameterization;

/// A network `v(x_s, t)` that predicts the velocity `n − y` of the straight path `x_s = (1−s)·y + s·n`.
///
/// The path at `s = σ/(1+σ)` is the noisy image, scaled: `x_s = x/(1+σ)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FlowMatching {
    /// The network's time `t` at `s = 1`: 1000 in diffusers, 1 in most papers.
    pub times: f64,
}

/// `D = x_s − s·v(x_s, t)`, `t = times·s`.
impl Parameterization for FlowMatching {
    fn c_skip(&self, sigma: f64) -> f64 {
        1.0 / (1.0 + sigma)
    }

    fn c_out(&self, sigma: f64) -> f64 {
        -sigma / (1.0 + sigma)
    }

    fn c_in(&self, sigma: f64) -> f64 {
        1.0 / (1.0 + sigma)
    }

    fn c_noise(&self, sigma: f64) -> f64 {
        self.times * (sigma / (1.0 + sigma))
    }
}
