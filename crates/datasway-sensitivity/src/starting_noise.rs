//! Starting noise of samples: drawn from a seed, or given.

use std::sync::Arc;

use burn::tensor::{DType, Device, Tensor, TensorData};
use datasway_diffusion::DiffusionError;
use datasway_diffusion::sampler::FrozenNoise;

/// Starting noise of the samples of a run, in units of the highest noise level.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum StartingNoise {
    /// Standard normal, a function of the seed and the index of a sample.
    #[default]
    Drawn,
    /// Given numbers, `[n, d]`, such as the noise of [encoded pictures](crate::pictures).
    Given(Arc<[f32]>),
}

impl StartingNoise {
    /// The noise of `count` samples of d entries from the first one of `noise`, `[count, d]`.
    ///
    /// # Errors
    /// If the given numbers are those of fewer samples.
    pub fn rows(
        &self,
        noise: &FrozenNoise,
        [count, d]: [usize; 2],
        device: &Device,
    ) -> Result<Tensor<2>, DiffusionError> {
        let given = match self {
            Self::Drawn => return Ok(noise.start([count, d], device, DType::F32)),
            Self::Given(given) => given,
        };
        let first = noise.first as usize;
        let Some(rows) = given.get(first * d..(first + count) * d) else {
            return Err(DiffusionError::Invalid(format!(
                "the starting noise has {} numbers, which is not that of {} samples of {d} entries",
                given.len(),
                first + count
            )));
        };
        let rows = TensorData::new(rows.to_vec(), [count, d]);
        Ok(Tensor::from_data(rows, (device, DType::F32)))
    }
}
