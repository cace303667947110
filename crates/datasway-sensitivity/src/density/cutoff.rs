//! A comparison that stops counting at a noise level.

use burn::tensor::Tensor;
use datasway_diffusion::DiffusionError;
use datasway_diffusion::sampler::{Stage, Step};

use super::{LogDensity, LogDensityTracker, ReferenceDensity};

/// Another density, of which only what it says at noise levels of at least `sigma` moves samples: the change
/// of a denoiser is best known where many images still take part in it.
#[derive(Debug, Clone, Copy)]
pub struct Cutoff<D> {
    /// The density.
    pub density: D,
    /// The lowest noise level that counts; 0 for all.
    pub sigma: f64,
}

impl<D: LogDensity> LogDensity for Cutoff<D> {
    fn check(&self, steps: &[Step]) -> Result<(), DiffusionError> {
        if !(self.sigma.is_finite() && self.sigma >= 0.0) {
            return Err(DiffusionError::Invalid(format!(
                "the noise level of the cut-off must be a number of at least 0, not {}",
                self.sigma
            )));
        }
        self.density.check(steps)
    }

    fn begin(
        &self,
        x: &Tensor<2>,
        sigma: f64,
    ) -> Result<Box<dyn LogDensityTracker + '_>, DiffusionError> {
        Ok(Box::new(Above {
            path: self.density.begin(x, sigma)?,
            sigma: self.sigma,
        }))
    }
}

struct Above<'a> {
    path: Box<dyn LogDensityTracker + 'a>,
    sigma: f64,
}

impl LogDensityTracker for Above<'_> {
    fn probes(&mut self, x: &Tensor<2>, k: usize) -> Option<Tensor<3>> {
        self.path.probes(x, k)
    }

    fn at(&mut self, x: &Tensor<2>, sigma: f64) -> Result<ReferenceDensity, DiffusionError> {
        let reference = self.path.at(x, sigma)?;
        Ok(ReferenceDensity {
            weight: match sigma >= self.sigma {
                true => reference.weight,
                false => 0.0,
            },
            ..reference
        })
    }

    fn advance(&mut self, stage: &Stage, products: Option<Tensor<3>>, last: bool) {
        self.path.advance(stage, products, last);
    }

    fn variance(&self) -> Option<Tensor<1>> {
        self.path.variance()
    }
}
