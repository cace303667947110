//! The metric in which Adam moves the weights.

use burn::tensor::Tensor;
use burn_jvp::ParameterTangents;
use datasway_diffusion::DiffusionError;
use datasway_diffusion::learned_denoiser::LearnedDenoiser;

use super::draws::LossDraws;
use super::loss::part_of_gradient;

/// Batches whose gradients are squared.
const BATCHES: usize = 64;
/// The ε of Adam.
const EPSILON: f64 = 1e-8;

/// The square root of the metric, `P^½ = (√v + ε)^{−½}`, a stack of one: v is the mean square of the gradients of batches.
///
/// `draws` are read in batches of the training, 64 at most. `progress` receives the number of draws that each batch adds.
///
/// # Errors
/// If there are no draws, or the model fails.
pub(super) fn metric_root(
    model: &dyn LearnedDenoiser,
    draws: &LossDraws<'_>,
    batch: usize,
    progress: &mut dyn FnMut(usize),
) -> Result<ParameterTangents, DiffusionError> {
    let mut squares = ParameterTangents::new();
    let mut count = 0;
    for range in draws.batches(batch).take(BATCHES) {
        let size = range.len();
        let gradient = part_of_gradient(model, draws.read(range), size, None)?;
        squares = squares.add(&gradient.multiply(&gradient));
        count += 1;
        progress(size);
    }
    let root = |sum: Tensor<2>| ((sum / f64::from(count)).sqrt() + EPSILON).sqrt().recip();
    Ok(squares.map_entries(root))
}

/// Draws that [`metric_root`] reads.
pub(super) fn metric_draws(batch: usize) -> usize {
    BATCHES * batch
}
