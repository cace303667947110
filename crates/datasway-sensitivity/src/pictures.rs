//! Given pictures in the place of samples: encoded to starting noise, and sampled back.
//!
//! A sensitivity is that of a sample: of a point together with its noise. A picture that was never sampled gets its noise
//! from the sampler run backwards ([`Encoder`]). From there on it is a sample like any other, as far as the sampler draws the
//! picture again from that noise: the error of this round trip says how far.

use burn::tensor::{DType, Device, Tensor, TensorData};
use datasway_diffusion::DiffusionError;
use datasway_diffusion::denoiser::Denoiser;
use datasway_diffusion::encoding::{CORRECTIONS, Encoder};
use datasway_diffusion::sampler::{FrozenNoise, sample};
use datasway_stats::root_mean_square;

use crate::config::SensitivityConfig;
use crate::tensors::values;

/// Grey levels of an 8-bit picture in one unit of a pixel, which lies in [-1, 1].
pub const GREY_LEVELS: f64 = 127.5;

/// Pictures with the noise from which a model draws them.
#[derive(Debug, Clone, PartialEq)]
pub struct EncodedPictures {
    /// Entries of one picture, d.
    pub dim: usize,
    /// The given pictures, `[n, d]`.
    pub pictures: Vec<f32>,
    /// Their starting noise, `[n, d]`.
    pub noise: Vec<f32>,
    /// The samples from that noise, `[n, d]`.
    pub reconstructions: Vec<f32>,
}

impl EncodedPictures {
    /// Encodes pictures, `[n, d]`, by the sampler of a configuration, and samples them back. `progress` receives the number of
    /// pictures that each batch adds.
    ///
    /// # Errors
    /// If the sampler adds fresh noise, the numbers are not those of whole pictures, the batch is 0, or the model fails. A
    /// picture that the model does not draw again is no error.
    pub fn encode(
        model: &dyn Denoiser,
        pictures: Vec<f32>,
        config: &SensitivityConfig,
        device: &Device,
        mut progress: impl FnMut(usize),
    ) -> Result<Self, DiffusionError> {
        let dim = model.dim();
        if pictures.is_empty() || config.batch == 0 || !pictures.len().is_multiple_of(dim) {
            return Err(DiffusionError::Invalid(format!(
                "pictures of {dim} entries need at least one picture and one in a batch, but there are {} numbers",
                pictures.len()
            )));
        }
        let encoder = Encoder {
            denoiser: model,
            sampler: &config.sampler,
            sigmas: &config.sigmas,
            corrections: CORRECTIONS,
        };
        let (mut noise, mut reconstructions) = (Vec::new(), Vec::new());
        for rows in pictures.chunks(config.batch * dim) {
            let count = rows.len() / dim;
            let data = TensorData::new(rows.to_vec(), [count, dim]);
            let batch = Tensor::<2>::from_data(data, (device, DType::F32));
            let start = encoder.encode(batch)?;
            let frozen = FrozenNoise::new(config.seed);
            let again = sample(
                model,
                &config.sampler,
                &config.sigmas,
                start.clone(),
                &frozen,
            )?;
            noise.extend(values(start)?);
            reconstructions.extend(values(again)?);
            progress(count);
        }
        Ok(Self {
            dim,
            pictures,
            noise,
            reconstructions,
        })
    }

    /// Number of pictures, n.
    pub fn count(&self) -> usize {
        self.pictures.len() / self.dim
    }

    /// The error of each picture's round trip, root mean square in grey levels of 256.
    pub fn errors(&self) -> Vec<f64> {
        let pictures = self.pictures.chunks_exact(self.dim);
        let pairs = pictures.zip(self.reconstructions.chunks_exact(self.dim));
        let error = |(picture, again): (&[f32], &[f32])| {
            let gaps = picture
                .iter()
                .zip(again)
                .map(|(a, b)| f64::from(*a) - f64::from(*b));
            GREY_LEVELS * root_mean_square(&gaps.collect::<Vec<f64>>())
        };
        pairs.map(error).collect()
    }

    /// Root mean square of each picture's noise. It is near 1 for a picture that is as likely as a sample, because noise is
    /// standard normal.
    pub fn noise_sizes(&self) -> Vec<f64> {
        let rows = self.noise.chunks_exact(self.dim);
        let wide = |row: &[f32]| row.iter().map(|v| f64::from(*v)).collect::<Vec<f64>>();
        rows.map(|row| root_mean_square(&wide(row))).collect()
    }
}
