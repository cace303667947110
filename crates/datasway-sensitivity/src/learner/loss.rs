//! The gradient of the training loss, and the derivative of the loss of each image.
//!
//! The loss of one draw is `ℓ = (w(σ)/d)·‖D_θ(y + σn, σ) − y‖²`, as in training.

use burn::tensor::{DType, Tensor, TensorData};
use burn_jvp::ParameterTangents;
use datasway_diffusion::DiffusionError;
use datasway_diffusion::learned_denoiser::LearnedDenoiser;

use super::draws::{DrawBatch, LossDraws};

/// `2·w(σ)/d` of each draw, `[b, 1]`: the second derivative of its loss in D.
pub(super) fn metric(model: &dyn LearnedDenoiser, like: &Tensor<2>, sigmas: &[f64]) -> Tensor<2> {
    let d = like.dims()[1] as f64;
    let weights = sigmas.iter().map(|s| 2.0 * model.loss_weight(*s) / d);
    let data = TensorData::new(weights.collect::<Vec<f64>>(), [sigmas.len(), 1]);
    Tensor::from_data(data, (&like.device(), like.dtype()))
}

/// `∇L`, the mean over the draws of `J_θᵀ·(2w/d)·(D − y)`: a stack of one.
///
/// `progress` receives the number of draws that each batch adds.
///
/// # Errors
/// If there are no draws, shapes do not fit, or the model fails.
pub fn loss_gradient(
    model: &dyn LearnedDenoiser,
    draws: &LossDraws<'_>,
    batch: usize,
    progress: &mut dyn FnMut(usize),
) -> Result<ParameterTangents, DiffusionError> {
    let mut gradient = ParameterTangents::new();
    for range in draws.batches(batch) {
        let count = range.len();
        gradient = gradient.add(&part_of_gradient(
            model,
            draws.read(range),
            draws.count(),
            None,
        )?);
        progress(count);
    }
    if gradient.is_empty() {
        return Err(DiffusionError::Invalid(
            "the gradient of the training loss needs at least one draw, and a model with weights"
                .to_owned(),
        ));
    }
    Ok(gradient)
}

/// The part of some of `count` draws in the gradient of the mean of the losses of all: a stack of one. Weights of these draws in
/// the mean are 1 if none are given.
///
/// # Errors
/// If shapes do not fit, or the model fails.
pub(super) fn part_of_gradient(
    model: &dyn LearnedDenoiser,
    drawn: DrawBatch,
    count: usize,
    draw_weights: Option<&[f64]>,
) -> Result<ParameterTangents, DiffusionError> {
    let residual = model.denoise_each(drawn.noisy.clone(), &drawn.sigmas)? - drawn.clean;
    let mut weights = metric(model, &drawn.noisy, &drawn.sigmas) / count as f64;
    if let Some(draw_weights) = draw_weights {
        let data = TensorData::new(draw_weights.to_vec(), [draw_weights.len(), 1]);
        weights = weights.clone() * Tensor::from_data(data, (&weights.device(), weights.dtype()));
    }
    let pulled = (residual * weights).unsqueeze_dim::<3>(0);
    model.vjp_in_weights(drawn.noisy, &drawn.sigmas, pulled)
}

/// `⟨∇ℓ_j, u_k⟩` of every point j along K directions u of the weights, `[K][m]`: the mean over the draws of the point of
/// `(2w/d)·⟨D − y, J_θ·u⟩`. The draws are those of [`LossDraws::every_point`].
///
/// `progress` receives the number of draws that each batch adds, times K.
///
/// # Errors
/// If shapes do not fit, or the model fails.
pub fn loss_derivatives(
    model: &dyn LearnedDenoiser,
    draws: &LossDraws<'_>,
    directions: &ParameterTangents,
    batch: usize,
    progress: &mut dyn FnMut(usize),
) -> Result<Vec<Vec<f64>>, DiffusionError> {
    let (k, m) = (directions.k(), draws.points());
    let mut sums = vec![vec![0.0; m]; k];
    let share = m as f64 / draws.count() as f64;
    for range in draws.batches(batch) {
        let drawn = draws.read(range.clone());
        let x = drawn.noisy;
        let weights = metric(model, &x, &drawn.sigmas);
        let (denoised, moved) = model.jvp_with_weights(x, &drawn.sigmas, None, directions)?;
        let residual = ((denoised - drawn.clean) * weights).unsqueeze_dim::<3>(0);
        let products = (moved * residual).sum_dim(2).into_data_dtype(DType::F64);
        let mut products = products.iter::<f64>();
        for row in &mut sums {
            for draw in range.clone() {
                let product = products.next().unwrap_or(f64::NAN);
                row[draw % m] += product * share;
            }
        }
        progress(range.len() * k);
    }
    Ok(sums)
}
