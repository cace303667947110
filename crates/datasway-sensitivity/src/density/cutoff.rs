//! A cut-off of the comparison at a noise level.

use burn::tensor::Tensor;
use datasway_diffusion::DiffusionError;
use datasway_diffusion::sampler::{Stage, Step};

use super::{LogDensity, LogDensityTracker, MeasureComparison, ReferenceDensity};

/// A density that changes the denoiser only at noise levels of at least `sigma`. The change of the denoiser is most reliable
/// there, where many images contribute to it.
#[derive(Debug, Clone, Copy)]
pub struct Cutoff<D> {
    /// The density.
    pub density: D,
    /// The lowest noise level at which directions change the denoiser; 0 for all.
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
        Ok(Box::new(CutoffTracker {
            density: self.density.begin(x, sigma)?,
            sigma: self.sigma,
        }))
    }

    fn comparison(&self) -> Option<MeasureComparison<'_>> {
        let comparison = self.density.comparison()?;
        Some(MeasureComparison {
            cutoff: comparison.cutoff.max(self.sigma),
            ..comparison
        })
    }
}

struct CutoffTracker<'a> {
    density: Box<dyn LogDensityTracker + 'a>,
    sigma: f64,
}

impl LogDensityTracker for CutoffTracker<'_> {
    fn probes(&mut self, x: &Tensor<2>, k: usize) -> Option<Tensor<3>> {
        self.density.probes(x, k)
    }

    fn at(&mut self, x: &Tensor<2>, sigma: f64) -> Result<ReferenceDensity, DiffusionError> {
        let reference = self.density.at(x, sigma)?;
        Ok(ReferenceDensity {
            weight: if sigma >= self.sigma {
                reference.weight
            } else {
                0.0
            },
            ..reference
        })
    }

    fn advance(&mut self, stage: &Stage, products: Option<Tensor<3>>, last: bool) {
        self.density.advance(stage, products, last);
    }

    fn variance(&self) -> Option<Tensor<1>> {
        self.density.variance()
    }
}
