//! No density, for a path on which none is compared.

use burn::tensor::Tensor;
use datasway_diffusion::DiffusionError;
use datasway_diffusion::sampler::{Stage, Step};

use super::{LogDensity, LogDensityTracker, ReferenceDensity};

/// A density that costs nothing and says nothing: `q = 0` everywhere.
pub(crate) struct NoDensity;

impl LogDensity for NoDensity {
    fn check(&self, _: &[Step]) -> Result<(), DiffusionError> {
        Ok(())
    }

    fn begin(
        &self,
        _: &Tensor<2>,
        _: f64,
    ) -> Result<Box<dyn LogDensityTracker + '_>, DiffusionError> {
        Ok(Box::new(Self))
    }
}

impl LogDensityTracker for NoDensity {
    fn probes(&mut self, _: &Tensor<2>, _: usize) -> Option<Tensor<3>> {
        None
    }

    fn at(&mut self, x: &Tensor<2>, sigma: f64) -> Result<ReferenceDensity, DiffusionError> {
        let zeros = Tensor::zeros([x.dims()[0]], (&x.device(), x.dtype()));
        Ok(ReferenceDensity::plain(sigma, zeros))
    }

    fn advance(&mut self, _: &Stage, _: Option<Tensor<3>>, _: bool) {}

    fn variance(&self) -> Option<Tensor<1>> {
        None
    }
}
