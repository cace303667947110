//! The data of another trained model, known through its denoiser only.

use burn::tensor::Tensor;
use datasway_diffusion::denoiser::{Denoiser, check_points};
use datasway_diffusion::sampler::{self, StageBuffer};
use datasway_diffusion::{DiffusionError, schedule};

use super::{Gaussian, Measure};
use crate::jacobian_trace::{Trace, terms};
use crate::tensors::widest;

/// The measure that a denoiser was trained on.
///
/// The log-density at (x, σ) is integrated along the denoiser's own probability-flow ODE from x up to the highest noise
/// level, where the noised data are nearly Gaussian: `q(x, σ) = q_max − ∫ tr J/σ dσ`, with Heun's quadrature on a grid. Each
/// point needs a path of its own, which costs about as much as sampling once more at each evaluation.
#[derive(Debug, Clone)]
pub struct ModelMeasure<D> {
    denoiser: D,
    start: Gaussian,
    trace: Trace,
    /// Noise levels above 0, ascending.
    levels: Vec<f64>,
}

impl<D: Denoiser> ModelMeasure<D> {
    /// A measure from its denoiser, the Gaussian that matches the moments of its data, the estimate of the trace, and the
    /// noise levels of the integral, descending to 0.
    ///
    /// # Errors
    /// If there are no probes, the noise levels are no grid, or the dimensions differ.
    pub fn new(
        denoiser: D,
        start: Gaussian,
        trace: Trace,
        sigmas: &[f64],
    ) -> Result<Self, DiffusionError> {
        schedule::check(sigmas)?;
        trace.check()?;
        if start.dim() != denoiser.dim() {
            return Err(DiffusionError::Invalid(format!(
                "the Gaussian has {} entries, the denoiser {}",
                start.dim(),
                denoiser.dim()
            )));
        }
        let levels = sigmas.iter().rev().copied().filter(|sigma| *sigma > 0.0);
        Ok(Self {
            denoiser,
            start,
            trace,
            levels: levels.collect(),
        })
    }
}

impl<D: Denoiser> Denoiser for ModelMeasure<D> {
    fn dim(&self) -> usize {
        self.denoiser.dim()
    }

    fn denoise(&self, x: Tensor<2>, sigma: f64) -> Result<Tensor<2>, DiffusionError> {
        self.denoiser.denoise(x, sigma)
    }

    fn jvp(
        &self,
        x: Tensor<2>,
        sigma: f64,
        tangents: Tensor<3>,
    ) -> Result<(Tensor<2>, Tensor<3>), DiffusionError> {
        self.denoiser.jvp(x, sigma, tangents)
    }

    fn vjp(
        &self,
        x: Tensor<2>,
        sigma: f64,
        cotangents: Tensor<3>,
    ) -> Result<(Tensor<2>, Tensor<3>), DiffusionError> {
        self.denoiser.vjp(x, sigma, cotangents)
    }
}

impl<D: Denoiser> Measure for ModelMeasure<D> {
    fn log_density(&self, x: Tensor<2>, sigma: f64) -> Result<Tensor<1>, DiffusionError> {
        check_points(&x, self.dim())?;
        let above: Vec<f64> = self.levels.iter().copied().filter(|s| *s > sigma).collect();
        let ([n, d], mut x, mut from) = (x.dims(), x, sigma);
        let mut increments: Option<Tensor<2>> = None;
        for (k, to) in above.into_iter().enumerate() {
            // The same probes for every point, so that a value does not depend on its batch.
            let first = x.clone().slice_dim(0, 0..1);
            let tangents = self.trace.tangents(&first, k);
            let count = tangents.dims()[0];
            let tangents = tangents.expand([count, n, d]);
            let (mut buffer, mut traces) = (StageBuffer::default(), Vec::new());
            for stage in sampler::heun(from, to) {
                let (denoised, products) =
                    self.denoiser
                        .jvp(x.clone(), stage.sigma, tangents.clone())?;
                traces.push(terms(&tangents, products));
                x = buffer.advance(&stage, x, denoised);
                if traces.len() == 2 {
                    // As in a sampler's step, q moves by minus the coefficients of D.
                    for (coefficient, trace) in stage.denoised.iter().zip(&traces) {
                        let increment = widest(trace.clone()) * -coefficient;
                        increments = Some(match increments {
                            Some(sum) => sum + increment,
                            None => increment,
                        });
                    }
                }
            }
            from = to;
        }
        let q = widest(self.start.log_density(x, from)?);
        Ok(match increments {
            Some(increments) => q - self.trace.combine(increments),
            None => q,
        })
    }
}
