//! Comparison of ρ and ν after smoothing both with a Gaussian kernel.

use burn::tensor::Tensor;
use datasway_diffusion::DiffusionError;
use datasway_diffusion::denoiser::check_points;
use datasway_diffusion::sampler::{Stage, Step};

use super::{LogDensity, LogDensityTracker, MeasureComparison, ReferenceDensity};
use crate::measure::Measure;

/// The log-density and the denoiser of data smoothed with `N(0, h²)`, a model of a learner that smooths.
///
/// Smoothed data at noise level σ have the density of the data at `σ_h = √(σ² + h²)`. The denoiser of that density is, by
/// Tweedie's formula,
///
/// `D(x) = x + σ²·∇log p_{σ_h}(x) = x + w·(D_h(x) − x)`, `w = σ²/(σ² + h²)`,
///
/// with `D_h` the denoiser of the data at `σ_h`. So `∂_ηD = w·r_h·(D_h^ν − D_h^ρ)`: ρ and ν are smoothed alike, and the
/// network has no part in the comparison. The weight vanishes where σ is far below h, because smoothed data have no details.
/// This is the smoothed score of *Closed-Form Diffusion Models* (arXiv 2310.12395). h = 0 is the closed form of the training
/// set.
#[derive(Debug, Clone, Copy)]
pub struct Smoothed<M> {
    /// ρ.
    pub data: M,
    /// h, in the unit of σ: pixels of `[-1, 1]`.
    pub bandwidth: f64,
}

impl<M: Measure> Smoothed<M> {
    /// The denoiser of the smoothed data, `D(x) = x + w·(D_h(x) − x)`.
    ///
    /// # Errors
    /// If `x` does not have the dimension of the data.
    pub fn denoise(&self, x: Tensor<2>, sigma: f64) -> Result<Tensor<2>, DiffusionError> {
        let smoothed_sigma = sigma.hypot(self.bandwidth);
        let step = self.data.denoise(x.clone(), smoothed_sigma)? - x.clone();
        Ok(x + step * (sigma / smoothed_sigma).powi(2))
    }
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
        Ok(Box::new(SmoothedTracker(self)))
    }

    fn comparison(&self) -> Option<MeasureComparison<'_>> {
        Some(MeasureComparison {
            measure: &self.data,
            bandwidth: Some(self.bandwidth),
            cutoff: 0.0,
        })
    }
}

struct SmoothedTracker<'a, M>(&'a Smoothed<M>);

impl<M: Measure> LogDensityTracker for SmoothedTracker<'_, M> {
    fn probes(&mut self, _: &Tensor<2>, _: usize) -> Option<Tensor<3>> {
        None
    }

    fn at(&mut self, x: &Tensor<2>, sigma: f64) -> Result<ReferenceDensity, DiffusionError> {
        let smoothed_sigma = sigma.hypot(self.0.bandwidth);
        let (log_density, denoised) = self.0.data.evaluate(x.clone(), smoothed_sigma)?;
        Ok(ReferenceDensity {
            sigma: smoothed_sigma,
            log_density,
            denoised: Some(denoised),
            weight: (sigma / smoothed_sigma).powi(2),
        })
    }

    fn advance(&mut self, _: &Stage, _: Option<Tensor<3>>, _: bool) {}

    fn variance(&self) -> Option<Tensor<1>> {
        None
    }
}
