//! The gradients of functionals of samples in the weights.

use std::ops::Range;

use burn::tensor::Tensor;
use burn_jvp::ParameterTangents;
use datasway_diffusion::DiffusionError;
use datasway_diffusion::learned_denoiser::LearnedDenoiser;

use crate::trajectory::Trajectory;

/// `g = ∂f/∂θ = Σ_p J_θ(x_p)ᵀ·G_p` of K functionals of each of some samples, a stack of K for each: all functionals of the
/// first of these samples, then those of the second, and so on.
///
/// `pulled` are the `G_p` of the functionals' gradients ([`Trajectory::pull_back`]), `[K, n, d]` each. One sample is
/// evaluated at a time, because each has a gradient of its own.
///
/// # Errors
/// If shapes differ, or the model fails.
pub fn weight_gradients(
    model: &dyn LearnedDenoiser,
    trajectory: &Trajectory,
    pulled: &[Tensor<3>],
    samples: Range<usize>,
) -> Result<ParameterTangents, DiffusionError> {
    let mut gradients = Vec::with_capacity(samples.len());
    for i in samples {
        let mut gradient = ParameterTangents::new();
        for (point, pulled) in trajectory.points.iter().zip(pulled) {
            let x = point.x.clone().slice_dim(0, i..i + 1);
            let cotangents = pulled.clone().slice_dim(1, i..i + 1);
            let term = model.vjp_in_weights(x, &[point.sigma], cotangents)?;
            gradient = gradient.add(&term);
        }
        gradients.push(gradient);
    }
    Ok(ParameterTangents::concat(&gradients))
}
