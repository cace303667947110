//! The log-density of a measure in closed form.

use burn::tensor::Tensor;
use datasway_diffusion::DiffusionError;
use datasway_diffusion::denoiser::check_points;
use datasway_diffusion::sampler::{Stage, Step};

use super::{LogDensity, LogDensityTracker, MeasureComparison, ReferenceDensity};
use crate::measure::Measure;

/// The log-density of a [`Measure`]. Over the training set ([`Empirical`](crate::measure::Empirical)) this is the estimator
/// `empirical`, which needs no product with the Jacobian, but the data.
#[derive(Debug, Clone, Copy)]
pub struct ClosedForm<M>(pub M);

impl<M: Measure> LogDensity for ClosedForm<M> {
    fn check(&self, _: &[Step]) -> Result<(), DiffusionError> {
        Ok(())
    }

    fn begin(
        &self,
        x: &Tensor<2>,
        _: f64,
    ) -> Result<Box<dyn LogDensityTracker + '_>, DiffusionError> {
        check_points(x, self.0.dim())?;
        Ok(Box::new(ClosedFormTracker(&self.0)))
    }

    fn comparison(&self) -> Option<MeasureComparison<'_>> {
        Some(MeasureComparison {
            measure: &self.0,
            bandwidth: None,
            cutoff: 0.0,
        })
    }
}

struct ClosedFormTracker<'a, M>(&'a M);

impl<M: Measure> LogDensityTracker for ClosedFormTracker<'_, M> {
    fn probes(&mut self, _: &Tensor<2>, _: usize) -> Option<Tensor<3>> {
        None
    }

    fn at(&mut self, x: &Tensor<2>, sigma: f64) -> Result<ReferenceDensity, DiffusionError> {
        let log_density = self.0.log_density(x.clone(), sigma)?;
        Ok(ReferenceDensity::plain(sigma, log_density))
    }

    fn advance(&mut self, _: &Stage, _: Option<Tensor<3>>, _: bool) {}

    fn variance(&self) -> Option<Tensor<1>> {
        None
    }
}
