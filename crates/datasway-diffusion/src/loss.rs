//! The denoising loss (Karras et al. 2022, Eq. 8 and Table 1).

use burn::tensor::{Tensor, TensorData};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

use crate::DiffusionError;
use crate::image_network::ImageNetwork;
use crate::parameterization::Parameterization;

/// The distribution of training noise levels: `ln σ ~ N(mean, std²)`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoiseDistribution {
    /// Mean of `ln σ` (`P_mean`).
    pub mean: f64,
    /// Standard deviation of `ln σ` (`P_std`).
    pub std: f64,
}

impl NoiseDistribution {
    /// EDM's distribution (Karras et al. 2022, Table 1).
    pub const EDM: Self = Self {
        mean: -1.2,
        std: 1.2,
    };

    /// Draws `n` noise levels.
    pub fn sample(&self, rng: &mut ChaCha8Rng, n: usize) -> Vec<f64> {
        let draws = StandardNormal.sample_iter(rng).take(n);
        draws
            .map(|z: f64| (self.mean + self.std * z).exp())
            .collect()
    }
}

/// `D(x, σ)` with a noise level for each image: `x` is `[n, c, h, w]`, `sigmas` holds `n` values.
pub fn denoise_each(
    network: &impl ImageNetwork,
    p: &dyn Parameterization,
    x: Tensor<4>,
    sigmas: &[f64],
) -> Tensor<4> {
    let n = sigmas.len();
    let c_in = per_image(&x, sigmas, |sigma| p.c_in(sigma));
    let c_out = per_image(&x, sigmas, |sigma| p.c_out(sigma));
    let c_skip = per_image(&x, sigmas, |sigma| p.c_skip(sigma));
    let c_noise = per_image(&x, sigmas, |sigma| p.c_noise(sigma)).reshape([n]);
    let raw = network.forward(x.clone() * c_in, c_noise);
    x * c_skip + raw * c_out
}

/// `f(σ)` for each image, `[n, 1, 1, 1]`, on the device and in the precision of `like`.
fn per_image(like: &Tensor<4>, sigmas: &[f64], f: impl Fn(f64) -> f64) -> Tensor<4> {
    let values: Vec<f64> = sigmas.iter().map(|sigma| f(*sigma)).collect();
    Tensor::from_data(
        TensorData::new(values, [sigmas.len(), 1, 1, 1]),
        (&like.device(), like.dtype()),
    )
}

/// `mean of λ(σ)·(D(y + σn, σ) − y)²` over images, channels and pixels, a scalar tensor `[1]`, with the weight λ of the
/// parameterisation.
///
/// `clean` and `noise` are `[n, c, h, w]`.
pub fn denoising_loss(
    network: &impl ImageNetwork,
    p: &dyn Parameterization,
    clean: Tensor<4>,
    noise: Tensor<4>,
    sigmas: &[f64],
) -> Tensor<1> {
    let noisy = clean.clone() + noise * per_image(&clean, sigmas, |sigma| sigma);
    let weight = per_image(&clean, sigmas, |sigma| p.loss_weight(sigma));
    let error = denoise_each(network, p, noisy, sigmas) - clean;
    (error.powi_scalar(2) * weight).mean()
}

/// The value of a loss `[1]` at a step.
///
/// # Errors
/// If it is not finite.
pub fn finite(loss: &Tensor<1>, step: u64) -> Result<f32, DiffusionError> {
    let value: f32 = loss.clone().into_scalar();
    if value.is_finite() {
        return Ok(value);
    }
    Err(DiffusionError::NotFinite(format!(
        "the loss became {value} at step {step}: the model has diverged; what was saved before is kept; try a lower learning rate"
    )))
}
