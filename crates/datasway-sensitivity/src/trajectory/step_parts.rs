//! The part of each step of the sampler in the size of δ.
//!
//! δ is a sum over the evaluations p of the path, `δ = Σ_p L_p·F_p`, of the changes `F_p = ∂_ηD(x_p)` of the denoiser, each
//! carried to the sample by the linearised steps after it. Step s has the part
//!
//! `c_s = Σ_{p in s} ⟨L_p·F_p, δ/‖δ‖⟩ = Σ_{p in s} ⟨F_p, G_p⟩`, with `G_p = L_pᵀ·δ/‖δ‖` by [`Trajectory::pull_back`],
//!
//! and the parts add up: `Σ_s c_s = ‖δ‖`. A negative part is that of a step which the others outweigh.

use burn::tensor::{DType, Tensor};
use datasway_diffusion::DiffusionError;
use datasway_diffusion::denoiser::Denoiser;

use super::Trajectory;
use crate::tensors::widest;

impl Trajectory {
    /// `c_s` of every step, `[K, S, n]`, of δ, `[K, n, d]`, which the changes `forcings` of the denoiser make, `[K, n, d]` for
    /// each evaluation.
    ///
    /// # Errors
    /// If shapes differ, or the model fails.
    pub fn step_parts(
        &self,
        model: &dyn Denoiser,
        forcings: &[Tensor<3>],
        delta: Tensor<3>,
    ) -> Result<Tensor<3>, DiffusionError> {
        if forcings.len() != self.points.len() {
            return Err(DiffusionError::Invalid(format!(
                "{} changes of the denoiser for a path of {} evaluations",
                forcings.len(),
                self.points.len()
            )));
        }
        let pulled = self.pull_back(model, unit(delta))?;
        let mut products = forcings.iter().zip(pulled).map(|(forcing, pulled)| {
            // [K, n]
            (widest(forcing.clone()) * widest(pulled))
                .sum_dim(2)
                .squeeze_dim::<2>(2)
        });
        let mut parts = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            let of_step = products.by_ref().take(step.stages.len());
            parts.extend(of_step.reduce(|sum, product| sum + product));
        }
        Ok(Tensor::stack(parts, 1))
    }

    /// Number of evaluations of each step, S numbers.
    pub fn evaluations_by_step(&self) -> Vec<usize> {
        self.steps.iter().map(|step| step.stages.len()).collect()
    }
}

/// Every row divided by its length; zero rows stay zero.
fn unit(delta: Tensor<3>) -> Tensor<3> {
    let dtype = delta.dtype();
    let wide = widest(delta);
    let smallest = match wide.dtype() {
        DType::F64 => f64::MIN_POSITIVE,
        _ => f64::from(f32::MIN_POSITIVE),
    };
    let length = wide.clone().powi_scalar(2).sum_dim(2).sqrt();
    (wide / length.clamp_min(smallest)).cast(dtype)
}
