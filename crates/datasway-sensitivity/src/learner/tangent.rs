//! Samples with their tangents along changes of the weights.

use burn::tensor::Tensor;
use burn_jvp::ParameterTangents;
use datasway_diffusion::denoiser::check_points;
use datasway_diffusion::learned_denoiser::LearnedDenoiser;
use datasway_diffusion::sampler::{FrozenNoise, Sampler, StageBuffer, add_noise};
use datasway_diffusion::{DiffusionError, schedule};

/// Samples a model from the standard normal `start`, `[n, d]`, and propagates K tangents of its weights: the samples,
/// `[n, d]`, and `δ = dx₀/dη`, `[K, n, d]`.
///
/// A step of the sampler is linear in x and D, so its coefficients move δ with `J_x·δ + J_θ·dθ/dη` in D's place. Each
/// evaluation is one forward-mode product in the point and the weights.
///
/// # Errors
/// If shapes or noise levels do not fit, or the model fails.
pub fn sample_with_weight_tangents(
    model: &dyn LearnedDenoiser,
    weights: &ParameterTangents,
    sampler: &Sampler,
    sigmas: &[f64],
    start: Tensor<2>,
    noise: &FrozenNoise,
) -> Result<(Tensor<2>, Tensor<3>), DiffusionError> {
    schedule::check(sigmas)?;
    check_points(&start, model.dim())?;
    let [n, d] = start.dims();
    let mut x = start * sigmas[0];
    let mut delta = Tensor::<3>::zeros([weights.k(), n, d], (&x.device(), x.dtype()));
    for (k, step) in sampler.steps(sigmas).iter().enumerate() {
        x = add_noise(x, step, k, noise);
        let mut points = StageBuffer::default();
        let mut tangents = StageBuffer::default();
        for stage in &step.stages {
            let levels = vec![stage.sigma; n];
            let (denoised, change) =
                model.jvp_with_weights(x.clone(), &levels, Some(delta.clone()), weights)?;
            x = points.advance(stage, x, denoised);
            delta = tangents.advance(stage, delta, change);
        }
    }
    Ok((x, delta))
}
