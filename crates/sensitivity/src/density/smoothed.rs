//! ρ and ν compared as if both were smoother than they are.

use burn::tensor::Tensor;
use diffusion::DiffusionError;
use diffusion::denoiser::check_points;
use diffusion::sampler::{Stage, Step};

use super::{Density, DensityPath, Reference};
use crate::measure::Measure;

/// The training set compared with ν at the noise level `√(σ² + h²)` instead of σ, which also gives the D^ρ of the
/// comparison in the model's place: `∂_ηD = r_h·(D_h^ν − D_h^ρ)`, all three smoothed alike.
///
/// A trained network is smoother than the ideal denoiser of its training set; adding h² to σ² in the
/// responsibilities is the smoothing of *Closed-Form Diffusion Models* (arXiv 2310.12395).
/// h = 0 is the closed form without any network in the comparison.
#[derive(Debug, Clone, Copy)]
pub struct Smoothed<M> {
    /// ρ in closed form.
    pub data: M,
    /// h, in the unit of σ: pixels of `[-1, 1]`.
    pub bandwidth: f64,
}

impl<M: Measure> Density for Smoothed<M> {
    fn check(&self, _: &[Step]) -> Result<(), DiffusionError> {
        match self.bandwidth {
            h if h.is_finite() && h >= 0.0 => Ok(()),
            h => Err(DiffusionError::Config(format!(
                "the bandwidth must be a number of at least 0, not {h}"
            ))),
        }
    }

    fn begin(&self, x: &Tensor<2>, _: f64) -> Result<Box<dyn DensityPath + '_>, DiffusionError> {
        check_points(x, self.data.dim())?;
        Ok(Box::new(Pointwise(self)))
    }
}

struct Pointwise<'a, M>(&'a Smoothed<M>);

impl<M: Measure> DensityPath for Pointwise<'_, M> {
    fn probes(&mut self, _: &Tensor<2>, _: usize) -> Option<Tensor<3>> {
        None
    }

    fn at(&mut self, x: &Tensor<2>, sigma: f64) -> Result<Reference, DiffusionError> {
        let sigma = sigma.hypot(self.0.bandwidth);
        let (log_density, denoised) = self.0.data.evaluate(x.clone(), sigma)?;
        Ok(Reference {
            sigma,
            log_density,
            denoised: Some(denoised),
            counts: true,
        })
    }

    fn advance(&mut self, _: &Stage, _: Option<Tensor<3>>, _: bool) {}

    fn variance(&self) -> Option<Tensor<1>> {
        None
    }
}
