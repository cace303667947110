//! The samples of an experiment.

use burn::tensor::Device;
use datasway_data::{Dataset, PixelMoments};
use datasway_diffusion::DiffusionError;
use datasway_diffusion::sampler::Sampler;
use datasway_diffusion::schedule;
use serde::{Deserialize, Serialize};

use crate::config::{ResolvedConfig, SensitivityConfig};
use crate::density::EstimatorSpec;
use crate::starting_noise::StartingNoise;

/// Samples drawn by Heun's method on the noise levels of EDM, from noise that all models share.
///
/// The serialised form is part of the keys of stored results.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SampleSpec {
    /// Number of samples.
    pub count: usize,
    /// Seed of their noise and of the probes of a density estimator.
    pub seed: u64,
    /// Steps of the sampler.
    pub steps: usize,
    /// Samples computed together; results do not depend on it beyond rounding.
    pub batch: usize,
}

impl Default for SampleSpec {
    fn default() -> Self {
        Self {
            count: 256,
            seed: 0,
            steps: 18,
            batch: 64,
        }
    }
}

impl SampleSpec {
    /// Configuration of the sensitivities of these samples under an estimator of the log-density.
    /// The estimator needs the `moments` of the data and the training `images`, mirrored or not.
    ///
    /// # Errors
    /// If the estimator's options do not go together, or the images or their moments make no measure.
    pub fn sensitivity_config(
        &self,
        estimator: &EstimatorSpec,
        moments: &PixelMoments,
        images: &Dataset,
        mirrored: bool,
        device: &Device,
    ) -> Result<ResolvedConfig, DiffusionError> {
        let config = SensitivityConfig {
            samples: self.count,
            batch: self.batch,
            sampler: Sampler::Heun,
            sigmas: schedule::edm(self.steps),
            density: estimator.config(self.seed),
            cutoff: estimator.sigma_cut,
            seed: self.seed,
            start: StartingNoise::Drawn,
            curvature: false,
            by_step: false,
            zero_check: false,
        };
        config.resolve(moments, images, mirrored, device)
    }
}
