//! Random gradients whose covariance is the Gauss–Newton matrix.
//!
//! With standard normal `r_i` the gradient `g = b^{−½}·Σ_i J_iᵀ·(2w_i/d)^{½}·r_i` over b draws of the loss has the mean zero and the
//! covariance `E[g·gᵀ] = (1/b)·Σ_i J_iᵀ·(2w_i/d)·J_i = G`. It costs one VJP in the weights of each draw.

use burn::tensor::{Tensor, TensorData};
use burn_jvp::ParameterTangents;
use datasway_diffusion::DiffusionError;
use datasway_diffusion::learned_denoiser::LearnedDenoiser;
use datasway_diffusion::random::{RandomStream, generator, normal};
use datasway_sensitivity::learner::LossDraws;

/// A list of random gradients.
pub struct SampledGradients<'a> {
    /// The model.
    pub model: &'a dyn LearnedDenoiser,
    /// The draws of the loss.
    pub draws: LossDraws<'a>,
    /// Draws of one gradient, b.
    pub batch: usize,
    /// Seed of the cotangents.
    pub seed: u64,
}

impl SampledGradients<'_> {
    /// Calls `read` with the gradients of a range of the list, each a stack of one.
    ///
    /// # Errors
    /// If the model fails.
    pub fn read(
        &self,
        range: std::ops::Range<usize>,
        read: &mut dyn FnMut(&ParameterTangents),
    ) -> Result<(), DiffusionError> {
        for number in range {
            let first = number * self.batch;
            let drawn = self.draws.read(first..first + self.batch);
            let x = drawn.noisy;
            let [b, d] = x.dims();
            let scales = drawn.sigmas.iter().map(|sigma| {
                let curvature = 2.0 * self.model.loss_weight(*sigma) / d as f64;
                (curvature / b as f64).sqrt()
            });
            let scales = TensorData::new(scales.collect::<Vec<f64>>(), [b, 1]);
            let scales = Tensor::<2>::from_data(scales, (&x.device(), x.dtype()));
            let mut rng = generator(self.seed, RandomStream::Probe, [number as u64]);
            let cotangents = normal(&mut rng, [b, d], &x.device()).cast(x.dtype()) * scales;
            let pulled = cotangents.unsqueeze_dim::<3>(0);
            read(&self.model.vjp_in_weights(x, &drawn.sigmas, pulled)?);
        }
        Ok(())
    }
}
