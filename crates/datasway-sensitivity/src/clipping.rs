//! The difference that clamped denoised images would make to samples.
//!
//! The samplers of diffusers clamp every denoised image to [-r, r] where a scheduler says `clip_sample`. Ours does not: a clamped
//! denoiser is no conditional mean, and its derivative is 0 where it clamps. So the samples differ, and this says by how much.

use burn::tensor::{Device, Tensor};
use datasway_diffusion::DiffusionError;
use datasway_diffusion::denoiser::Denoiser;
use datasway_diffusion::sampler::{FrozenNoise, sample_by};
use datasway_fs::plural;
use datasway_stats::root_mean_square;
use serde::Serialize;

use crate::config::SensitivityConfig;
use crate::pictures::GREY_LEVELS;
use crate::tensors::values;

/// Samples that are drawn again with clamped denoised images.
pub const CLIPPED_SAMPLES: usize = 8;

/// The difference between samples and those from the same noise with clamped denoised images.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ClipDifference {
    /// The magnitude r to which denoised images are clamped.
    pub range: f64,
    /// Samples that were compared, the first of the run.
    pub samples: usize,
    /// Root mean square of the difference of a pixel, in grey levels of 256.
    pub root_mean_square: f64,
    /// Largest difference of a pixel, in grey levels of 256.
    pub largest: f64,
}

impl ClipDifference {
    /// The difference of the first [`CLIPPED_SAMPLES`] of the `samples`, `[n, d]`, of a run with these options.
    ///
    /// # Errors
    /// If there is no whole sample, or the model fails.
    pub fn measure(
        model: &dyn Denoiser,
        range: f64,
        samples: &[f32],
        config: &SensitivityConfig,
        device: &Device,
    ) -> Result<Self, DiffusionError> {
        let d = model.dim();
        let count = (samples.len() / d).min(CLIPPED_SAMPLES);
        if count == 0 {
            return Err(DiffusionError::Invalid(format!(
                "{} numbers are no sample of {d} entries",
                samples.len()
            )));
        }
        let noise = FrozenNoise::new(config.seed);
        let start = config.start.rows(&noise, [count, d], device)?;
        let denoise = |x: Tensor<2>, sigma: f64| Ok(model.denoise(x, sigma)?.clamp(-range, range));
        let clipped = sample_by(denoise, &config.sampler, &config.sigmas, start, &noise)?;
        let pairs = samples.iter().zip(values(clipped)?);
        let gaps = pairs.map(|(a, b)| GREY_LEVELS * (f64::from(*a) - f64::from(b)).abs());
        let gaps: Vec<f64> = gaps.collect();
        Ok(Self {
            range,
            samples: count,
            root_mean_square: root_mean_square(&gaps),
            largest: gaps.into_iter().fold(0.0, f64::max),
        })
    }

    /// The difference in one line.
    pub fn text(&self) -> String {
        let compared = match self.samples {
            1 => "first sample".to_owned(),
            count => format!("first {}", plural(count, "sample")),
        };
        format!(
            "denoised images clamped to [-{range}, {range}], as the scheduler's clip_sample says and is not done here, would change the \
             {compared} by {:.2} grey levels in the root mean square, and by {:.1} at most",
            self.root_mean_square,
            self.largest,
            range = self.range
        )
    }
}
