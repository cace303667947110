//! The part of each step of the sampler in a sensitivity through the weights.
//!
//! At an evaluation p of the path the change of the weights changes the denoiser by `F_p = J_θ(x_p)·dθ/dη`. δ is the sum of all
//! these, each carried to the sample, so it splits by steps as that of the data does
//! ([`Trajectory::step_parts`]).

use burn::tensor::Tensor;
use burn_jvp::ParameterTangents;
use datasway_diffusion::DiffusionError;
use datasway_diffusion::learned_denoiser::LearnedDenoiser;
use datasway_diffusion::sampler::{FrozenNoise, Sampler};

use crate::density::NoDensity;
use crate::trajectory::Trajectory;

/// `c_s` of every step, `[K, S, n]`, which add up to `‖δ_k‖`, of `delta`, `[K, n, d]`, as
/// [`sample_with_weight_tangents`](super::sample_with_weight_tangents) has it for the same arguments.
///
/// # Errors
/// If shapes or noise levels do not fit, or the model fails.
pub fn weight_step_parts(
    model: &dyn LearnedDenoiser,
    weights: &ParameterTangents,
    sampler: &Sampler,
    sigmas: &[f64],
    start: Tensor<2>,
    noise: &FrozenNoise,
    delta: Tensor<3>,
) -> Result<Tensor<3>, DiffusionError> {
    let n = start.dims()[0];
    let trajectory = Trajectory::sample(model, &NoDensity, sampler, sigmas, start, noise)?;
    let mut forcings = Vec::with_capacity(trajectory.points.len());
    for point in &trajectory.points {
        let levels = vec![point.sigma; n];
        let (_, forcing) = model.jvp_with_weights(point.x.clone(), &levels, None, weights)?;
        forcings.push(forcing);
    }
    trajectory.step_parts(model, &forcings, delta)
}
