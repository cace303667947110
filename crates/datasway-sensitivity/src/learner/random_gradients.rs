//! Random gradients whose covariance is the Gauss–Newton matrix.
//!
//! With standard normal `n_i` the gradient `g = b^{−½}·Σ_i J_iᵀ·(2w_i/d)^{½}·n_i` over b draws of the loss has the mean zero and the
//! covariance `E[g·gᵀ] = (1/b)·Σ_i J_iᵀ·(2w_i/d)·J_i`, which is G of these draws. It costs one VJP in the weights of each draw.

use burn_jvp::ParameterTangents;
use datasway_diffusion::DiffusionError;
use datasway_diffusion::learned_denoiser::LearnedDenoiser;

use super::draws::LossDraws;
use super::loss::metric;

/// Calls `read` with a random gradient of every `batch` draws, each a stack of one.
///
/// `progress` receives the number of draws that each gradient adds.
///
/// # Errors
/// If shapes do not fit, or the model fails.
pub fn read_random_gradients(
    model: &dyn LearnedDenoiser,
    draws: &LossDraws<'_>,
    batch: usize,
    progress: &mut dyn FnMut(usize),
    read: &mut dyn FnMut(&ParameterTangents),
) -> Result<(), DiffusionError> {
    for range in draws.batches(batch) {
        let count = range.len();
        let drawn = draws.read(range.clone());
        let x = drawn.noisy;
        let cotangents = draws.cotangents(range, &x);
        let weights = metric(model, &x, &drawn.sigmas) / count as f64;
        let pulled = (cotangents * weights.sqrt()).unsqueeze_dim::<3>(0);
        read(&model.vjp_in_weights(x, &drawn.sigmas, pulled)?);
        progress(count);
    }
    Ok(())
}
