//! The linearisation of a sampling path, forwards and transposed.
//!
//! A small change `F_p` of the denoiser at each evaluation p moves the sample by a linear map of all the `F_p`:
//! `δ = Σ_p L_p·F_p`.
//!
//! - [`Trajectory::push_forward`] computes δ from the `F_p`. With `F_p = ∂_ηD(x_p)` it is the sensitivity of
//!   [`sample_with_tangents`](crate::trajectory::tangent::sample_with_tangents).
//! - [`Trajectory::pull_back`] computes the `G_p = L_pᵀ·g` of a gradient `g = ∂f/∂x₀`, so that `⟨g, δ⟩ = Σ_p ⟨G_p, F_p⟩`
//!   for all `F_p`. One backward pass serves every change of the data.
//!
//! The backward pass evaluates the network again at each point. It holds one evaluation of the network, the points of the
//! path and the `G_p`, which are of the size of the samples each.

use burn::tensor::Tensor;
use datasway_diffusion::DiffusionError;
use datasway_diffusion::denoiser::{Denoiser, check_tangents};
use datasway_diffusion::sampler::StageBuffer;

use super::Trajectory;

impl Trajectory {
    /// `δ = Σ_p L_p·F_p`, `[K, n, d]`, of changes `F_p` of the denoiser, each `[K, n, d]`. At every stage δ moves by the
    /// sampler's coefficients with `J·δ + F` in D's place, from δ = 0.
    ///
    /// # Errors
    /// If there is not one F for each point, shapes differ, or the model fails.
    pub fn push_forward(
        &self,
        model: &dyn Denoiser,
        forcings: &[Tensor<3>],
    ) -> Result<Tensor<3>, DiffusionError> {
        if forcings.len() != self.points.len() {
            return Err(DiffusionError::Invalid(format!(
                "{} changes of the denoiser for a path of {} evaluations",
                forcings.len(),
                self.points.len()
            )));
        }
        let mut evaluations = self.points.iter().zip(forcings);
        let mut delta = forcings[0].zeros_like();
        for step in &self.steps {
            let mut buffer = StageBuffer::default();
            for (stage, (point, forcing)) in step.stages.iter().zip(&mut evaluations) {
                let (_, j_delta) = model.jvp(point.x.clone(), point.sigma, delta.clone())?;
                delta = buffer.advance(stage, delta, j_delta + forcing.clone());
            }
        }
        Ok(delta)
    }

    /// `G_p = L_pᵀ·g` at every point, each `[K, n, d]`, of gradients g, `[K, n, d]`: the transposed coefficients of the
    /// sampler, from the last stage to the first.
    ///
    /// # Errors
    /// If shapes differ, or the model fails.
    pub fn pull_back(
        &self,
        model: &dyn Denoiser,
        gradients: Tensor<3>,
    ) -> Result<Vec<Tensor<3>>, DiffusionError> {
        check_tangents(&self.samples, &gradients)?;
        let mut pulled = Vec::with_capacity(self.points.len());
        let mut points = self.points.iter().rev();
        let mut on_result = gradients;
        for step in self.steps.iter().rev() {
            let zero = on_result.zeros_like();
            let mut on_points = vec![zero.clone(); step.stages.len()];
            let mut on_denoised = vec![zero; step.stages.len()];
            for ((j, stage), point) in step.stages.iter().enumerate().rev().zip(&mut points) {
                // The result of stage j is the point of stage j + 1, or the step's result.
                let on_next = on_points.get(j + 1).unwrap_or(&on_result).clone();
                for i in 0..=j {
                    on_points[i] = on_points[i].clone() + on_next.clone() * stage.points[i];
                    on_denoised[i] = on_denoised[i].clone() + on_next.clone() * stage.denoised[i];
                }
                // No stage before j uses D_j, so G is complete.
                let gradient = on_denoised[j].clone();
                let (_, product) = model.vjp(point.x.clone(), point.sigma, gradient.clone())?;
                on_points[j] = on_points[j].clone() + product;
                pulled.push(gradient);
            }
            on_result = on_points.swap_remove(0);
        }
        pulled.reverse();
        Ok(pulled)
    }
}
