//! Samples of a model whose weights are moved.

use burn::tensor::Tensor;
use burn_jvp::ParameterTangents;
use datasway_diffusion::DiffusionError;
use datasway_diffusion::learned_denoiser::LearnedDenoiser;
use datasway_diffusion::sampler::{FrozenNoise, sample};

use super::solve::Learner;
use crate::config::SensitivityConfig;
use crate::tensors::{finite_samples, values};

/// Samples that are drawn together.
pub(super) struct SampleBatch<'a> {
    /// The options of samples and sampler.
    pub config: &'a SensitivityConfig,
    /// The noise, from the first sample of the batch on.
    pub noise: FrozenNoise,
    /// The starting noise, `[n, d]`.
    pub start: Tensor<2>,
}

impl SampleBatch<'_> {
    fn draw(&self, model: &dyn LearnedDenoiser) -> Result<Tensor<2>, DiffusionError> {
        let SensitivityConfig {
            sampler, sigmas, ..
        } = self.config;
        sample(model, sampler, sigmas, self.start.clone(), &self.noise)
    }
}

impl Learner<'_> {
    /// The samples x(θ) of a batch, `[n·d]`, and `(x(θ + η·θ'_k) − x(θ))/η` with the same noise for each change `θ'_k` of the weights
    /// and its mass η, `[K][n·d]`.
    pub(super) fn differences(
        &self,
        (changes, masses): (&ParameterTangents, &[f64]),
        batch: &SampleBatch<'_>,
    ) -> Result<(Vec<f32>, Vec<Vec<f32>>), DiffusionError> {
        let before = finite_samples(batch.draw(self.model)?, batch.noise.first as usize)?;
        let differences = masses.iter().enumerate().map(|(k, mass)| {
            let moved = self.model.displaced(changes, k, *mass);
            let after = values(batch.draw(moved.as_ref())?)?;
            let pairs = after.iter().zip(&before);
            Ok(pairs
                .map(|(after, before)| (after - before) / *mass as f32)
                .collect())
        });
        let differences = differences.collect::<Result<_, DiffusionError>>()?;
        Ok((before, differences))
    }
}
