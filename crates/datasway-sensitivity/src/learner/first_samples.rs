//! δ of the first samples of a run, which says if the derivative of the weights is known well enough for δ.

use burn::tensor::{DType, Device, Tensor};
use burn_jvp::ParameterTangents;
use datasway_diffusion::DiffusionError;
use datasway_diffusion::learned_denoiser::LearnedDenoiser;
use datasway_diffusion::sampler::FrozenNoise;

use super::stopping::Effect;
use super::tangent::sample_with_weight_tangents;
use crate::config::SensitivityConfig;

/// Samples whose δ is compared.
const COUNT: usize = 8;

/// The first samples of a run, with their δ as the effect of a change of the weights.
pub(super) struct FirstSamples<'a> {
    model: &'a dyn LearnedDenoiser,
    config: &'a SensitivityConfig,
    noise: FrozenNoise,
    /// Starting noise, `[n, d]`.
    start: Tensor<2>,
}

impl<'a> FirstSamples<'a> {
    /// The first samples of a run of `config`.
    ///
    /// # Errors
    /// If the starting noise does not fit the model.
    pub fn new(
        model: &'a dyn LearnedDenoiser,
        config: &'a SensitivityConfig,
        device: &Device,
    ) -> Result<Self, DiffusionError> {
        let noise = FrozenNoise::new(config.seed);
        let shape = [COUNT.min(config.samples), model.dim()];
        let start = config.start.rows(&noise, shape, device)?;
        Ok(Self {
            model,
            config,
            noise,
            start,
        })
    }
}

impl Effect for FirstSamples<'_> {
    fn relative(
        &self,
        changes: &ParameterTangents,
        solutions: &ParameterTangents,
    ) -> Result<Vec<f64>, DiffusionError> {
        let (_, delta) = sample_with_weight_tangents(
            self.model,
            &ParameterTangents::concat(&[changes.clone(), solutions.clone()]),
            &self.config.sampler,
            &self.config.sigmas,
            self.start.clone(),
            &self.noise,
        )?;
        let [k, ..] = delta.dims();
        // ‖δ‖² over all samples, [2K].
        let squares = delta.cast(DType::F64).powi_scalar(2);
        let squares = squares.reshape([k as i32, -1]).sum_dim(1).into_data();
        let squares: Vec<f64> = squares.iter().collect();
        if !squares.iter().all(|square| square.is_finite()) {
            return Err(DiffusionError::NotFinite(
                "δ of the first samples is not finite: the solution for the weights has diverged, and more damping may help"
                    .to_owned(),
            ));
        }
        let (changes, solutions) = squares.split_at(k / 2);
        let ratios = changes.iter().zip(solutions).map(|(change, solution)| {
            if *change > 0.0 {
                (change / solution).sqrt()
            } else {
                0.0
            }
        });
        Ok(ratios.collect())
    }
}
