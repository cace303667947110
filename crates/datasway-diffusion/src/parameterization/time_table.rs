//! The time step of a noise level.

use crate::DiffusionError;

/// The time step `t(σ)` of a model that was trained on the noise levels of a list, `σ_t` at `t = 0, 1, …`.
///
/// Between two of them, `t` is interpolated linearly in `ln σ`, as in k-diffusion. Below the first and above the last it is
/// clamped.
#[derive(Debug, Clone, PartialEq)]
pub struct TimeTable {
    /// `ln σ_t`, increasing.
    logs: Vec<f64>,
    rounded: bool,
}

impl TimeTable {
    /// The table of these noise levels.
    ///
    /// # Errors
    /// If there are fewer than two, or they are not positive, finite and increasing.
    pub fn new(sigmas: &[f64]) -> Result<Self, DiffusionError> {
        let invalid = |message: String| Err(DiffusionError::Invalid(message));
        if sigmas.len() < 2 {
            return invalid("a table of time steps needs at least two noise levels".to_owned());
        }
        if let Some(sigma) = sigmas.iter().find(|s| !(s.is_finite() && **s > 0.0)) {
            return invalid(format!(
                "the noise levels of a table of time steps must be positive and finite, not {sigma}"
            ));
        }
        if let Some(t) = (1..sigmas.len()).find(|t| sigmas[*t] <= sigmas[t - 1]) {
            return invalid(format!(
                "the noise levels of a table of time steps must increase, but that of step {t} is not above its predecessor's"
            ));
        }
        Ok(Self {
            logs: sigmas.iter().map(|sigma| sigma.ln()).collect(),
            rounded: false,
        })
    }

    /// Rounds to the nearest time step in `ln σ`, for a network that takes whole numbers only.
    pub fn rounded(mut self) -> Self {
        self.rounded = true;
        self
    }

    /// The first and the last noise level.
    pub fn range(&self) -> [f64; 2] {
        [self.logs[0].exp(), self.logs[self.logs.len() - 1].exp()]
    }

    /// `t(σ)`.
    pub fn time(&self, sigma: f64) -> f64 {
        let log = sigma.ln();
        let upper = self.logs.partition_point(|entry| *entry <= log);
        let low = upper.clamp(1, self.logs.len() - 1) - 1;
        let [a, b] = [self.logs[low], self.logs[low + 1]];
        let weight = ((log - a) / (b - a)).clamp(0.0, 1.0);
        let weight = if self.rounded { weight.round() } else { weight };
        low as f64 + weight
    }
}
