//! ρ and ν compared as if both were blurred.

use burn::tensor::Tensor;
use datasway_diffusion::DiffusionError;
use datasway_diffusion::denoiser::check_points;
use datasway_diffusion::sampler::{Stage, Step};

use super::{LogDensity, LogDensityTracker, ReferenceDensity};
use crate::measure::Measure;

/// The comparison that a smooth learner makes: the derivative of the ideal denoiser of data *blurred* by `N(0, h²)`.
///
/// Blurred data at noise level σ have the density of the data at `σ_h = √(σ² + h²)`, and the denoiser that belongs to that density
/// is, by Tweedie's formula,
///
/// `D(x) = x + σ²·∇log p_{σ_h}(x) = x + w·(D_h(x) − x)`, `w = σ²/(σ² + h²)`,
///
/// with `D_h` the data's own denoiser at `σ_h`. So `∂_ηD = w·r_h·(D_h^ν − D_h^ρ)`: ρ and ν smoothed alike, no network in the
/// comparison, and a weight that fades where σ falls below h, because a blurred set knows no details. That is the smoothed score of
/// *Closed-Form Diffusion Models* (arXiv 2310.12395). h = 0 is the closed form of the training set as it is.
#[derive(Debug, Clone, Copy)]
pub struct Smoothed<M> {
    /// ρ in closed form.
    pub data: M,
    /// h, in the unit of σ: pixels of `[-1, 1]`.
    pub bandwidth: f64,
}

impl<M: Measure> LogDensity for Smoothed<M> {
    fn check(&self, _: &[Step]) -> Result<(), DiffusionError> {
        match self.bandwidth {
            h if h.is_finite() && h >= 0.0 => Ok(()),
            h => Err(DiffusionError::Invalid(format!(
                "the bandwidth must be a number of at least 0, not {h}"
            ))),
        }
    }

    fn begin(
        &self,
        x: &Tensor<2>,
        _: f64,
    ) -> Result<Box<dyn LogDensityTracker + '_>, DiffusionError> {
        check_points(x, self.data.dim())?;
        Ok(Box::new(Pointwise(self)))
    }
}

struct Pointwise<'a, M>(&'a Smoothed<M>);

impl<M: Measure> LogDensityTracker for Pointwise<'_, M> {
    fn probes(&mut self, _: &Tensor<2>, _: usize) -> Option<Tensor<3>> {
        None
    }

    fn at(&mut self, x: &Tensor<2>, sigma: f64) -> Result<ReferenceDensity, DiffusionError> {
        let blurred = sigma.hypot(self.0.bandwidth);
        let (log_density, denoised) = self.0.data.evaluate(x.clone(), blurred)?;
        Ok(ReferenceDensity {
            sigma: blurred,
            log_density,
            denoised: Some(denoised),
            weight: (sigma / blurred).powi(2),
        })
    }

    fn advance(&mut self, _: &Stage, _: Option<Tensor<3>>, _: bool) {}

    fn variance(&self) -> Option<Tensor<1>> {
        None
    }
}
