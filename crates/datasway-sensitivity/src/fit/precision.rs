//! The effect of single precision on one sampling path.

use burn::tensor::{DType, Device};
use datasway_diffusion::DiffusionError;
use datasway_diffusion::denoiser::Denoiser;
use datasway_diffusion::sampler::{FrozenNoise, sample};
use datasway_stats::root_mean_square;
use serde::Serialize;

use crate::config::SensitivityConfig;
use crate::pictures::GREY_LEVELS;

/// The difference between a sample in single precision and the same one in double precision.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PathPrecision {
    /// Root mean square of the difference of a pixel, in grey levels of 256.
    pub root_mean_square: f64,
    /// Largest difference of a pixel, in grey levels of 256.
    pub largest: f64,
}

impl PathPrecision {
    /// The difference at the end of the first path of a run with these options, from the same noise.
    ///
    /// # Errors
    /// If a model fails, or a sample is not finite.
    pub fn measure(
        single: &dyn Denoiser,
        double: &dyn Denoiser,
        config: &SensitivityConfig,
        device: &Device,
    ) -> Result<Self, DiffusionError> {
        let noise = FrozenNoise::new(config.seed);
        let start = config.start.rows(&noise, [1, single.dim()], device)?;
        let end = |model: &dyn Denoiser, dtype: DType| -> Result<Vec<f64>, DiffusionError> {
            let start = start.clone().cast(dtype);
            let end = sample(model, &config.sampler, &config.sigmas, start, &noise)?;
            Ok(end.into_data_dtype(DType::F64).iter::<f64>().collect())
        };
        let pairs = end(single, DType::F32)?
            .into_iter()
            .zip(end(double, DType::F64)?);
        let gaps: Vec<f64> = pairs.map(|(a, b)| GREY_LEVELS * (a - b).abs()).collect();
        Ok(Self {
            root_mean_square: root_mean_square(&gaps),
            largest: gaps.into_iter().fold(0.0, f64::max),
        })
    }

    /// The difference in one line.
    pub fn text(&self) -> String {
        format!(
            "single precision changes the first sample by {:.5} grey levels in the root mean square, and by {:.5} at most",
            self.root_mean_square, self.largest
        )
    }
}
