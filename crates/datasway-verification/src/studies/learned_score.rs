//! Score models trained on a Gaussian mixture, whose score is known.

use burn::module::Module;
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::{DType, Device, Tensor};
use datasway_diffusion::config::UNetConfig;
use datasway_diffusion::denoiser::Denoiser;
use datasway_diffusion::loss::{NoiseDistribution, denoising_loss};
use datasway_diffusion::network::NetworkDenoiser;
use datasway_diffusion::precondition::Precondition;
use datasway_diffusion::random::{RandomStream, generator, normal};
use datasway_diffusion::unet::UNet;
use datasway_diffusion::{DiffusionError, ema, weights};
use datasway_sensitivity::jacobian_trace::Trace;

use super::mlp::Mlp;
use crate::problems::random_mixture::RandomMixture;

/// A score model that learned a mixture.
pub struct LearnedScore {
    /// The mixture's case.
    pub case: ScoreCase,
    /// The mixture.
    pub mixture: RandomMixture,
    /// Number of rows and of columns, if the points are images.
    pub side: Option<usize>,
    /// The model, in f32.
    pub network: Box<dyn Denoiser>,
    /// Estimate of the trace for its density.
    pub trace: Trace,
}

/// The mixtures that score models are trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScoreCase {
    /// Overlapping components in the plane.
    Plane,
    /// Overlapping components in 10 dimensions.
    TenDimensions,
    /// Separated components in the plane.
    Separated,
    /// Images of 8×8 pixels.
    Images,
}

impl ScoreCase {
    /// Name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plane => "d = 2",
            Self::TenDimensions => "d = 10",
            Self::Separated => "d = 2, modes apart",
            Self::Images => "pictures 8×8",
        }
    }
}

/// Options of a training run.
#[derive(Debug, Clone, Copy)]
pub struct TrainingOptions {
    /// Optimiser steps.
    pub steps: u64,
    /// Points in each step; no point is used twice.
    pub batch: usize,
    /// Initial learning rate of Adam, which falls to 0 along half a cosine.
    pub learning_rate: f64,
    /// Seed of weights, points and noise.
    pub seed: u64,
}

/// Noise levels of training: `ln σ ~ N(−0.6, 1.8²)`.
/// They are wider than for images because δ is propagated over all of them.
const NOISE: NoiseDistribution = NoiseDistribution {
    mean: -0.6,
    std: 1.8,
};
/// Decay of the moving average of the weights.
const EMA: f64 = 0.998;

/// Trains an [`Mlp`] with `width` hidden units on a mixture.
///
/// # Errors
/// If the loss is not finite.
pub fn train_mlp(
    mixture: &RandomMixture,
    width: usize,
    options: &TrainingOptions,
) -> Result<NetworkDenoiser<Mlp>, DiffusionError> {
    let device = Device::flex();
    let precondition = precondition(mixture);
    let network = weights::draw(options.seed, &device, || {
        Ok(Mlp::new(mixture.dim(), width, &device))
    })?;
    let network = train(
        network,
        mixture,
        options,
        |network, clean, noise, sigmas| network.loss(&precondition, clean, noise, sigmas),
    )?;
    Ok(network.denoiser(mixture.dim(), precondition))
}

/// Trains a U-Net on a mixture of grey images of `side`² pixels.
///
/// # Errors
/// If the loss is not finite, or the side is odd.
pub fn train_unet(
    mixture: &RandomMixture,
    side: usize,
    channels: usize,
    options: &TrainingOptions,
) -> Result<NetworkDenoiser, DiffusionError> {
    let device = Device::flex();
    let precondition = precondition(mixture);
    let config = UNetConfig {
        image_channels: 1,
        image_size: side,
        channels,
        multipliers: vec![1, 2],
        blocks: 1,
        attention: vec![],
        head_channels: channels,
        groups: None,
    };
    let network = weights::draw(options.seed, &device, || UNet::new(&config, &device))?;
    let image = |x: Tensor<2>| {
        let n = x.dims()[0];
        x.reshape([n, 1, side, side])
    };
    let network = train(
        network,
        mixture,
        options,
        |network, clean, noise, sigmas| {
            denoising_loss(network, &precondition, image(clean), image(noise), sigmas)
        },
    )?;
    Ok(NetworkDenoiser::new(network, config, precondition))
}

/// Preconditioning for the standard deviation of the points of a mixture.
fn precondition(mixture: &RandomMixture) -> Precondition {
    let points = mixture.draw(4096, 0, &Device::flex(), DType::F64);
    let centred = points.clone() - points.mean_dim(0);
    Precondition {
        sigma_data: centred.powi_scalar(2).mean().sqrt().into_scalar::<f64>(),
    }
}

/// Minimises a loss of (network, clean points `[n, d]`, noise `[n, d]`, σ) and returns the network with averaged weights.
fn train<M: Module>(
    network: M,
    mixture: &RandomMixture,
    options: &TrainingOptions,
    loss: impl Fn(&M, Tensor<2>, Tensor<2>, &[f64]) -> Tensor<1>,
) -> Result<M, DiffusionError> {
    let device = Device::flex().autodiff();
    let mut average = network;
    let mut network = average
        .clone()
        .to_device(&device)
        .set_require_grad(true)
        .train();
    let mut optimizer = AdamConfig::new().init();
    let shape = [options.batch, mixture.dim()];
    for step in 0..options.steps {
        let mut rng = generator(options.seed, RandomStream::TrainingNoise, [step]);
        let sigmas = NOISE.sample(&mut rng, options.batch);
        let noise = normal(&mut rng, shape, &device);
        let seed = options.seed.wrapping_mul(1 << 20).wrapping_add(step);
        let clean = mixture.draw(options.batch, seed, &device, DType::F32);
        let value = loss(&network, clean, noise, &sigmas);
        let loss_value: f32 = value.clone().into_scalar();
        if !loss_value.is_finite() {
            return Err(DiffusionError::NotFinite(format!(
                "the loss became {loss_value} at step {step} of a validation network"
            )));
        }
        let gradients = GradientsParams::from_grads(value.backward(), &network);
        let progress = step as f64 / options.steps as f64;
        let rate = 0.5 * options.learning_rate * (1.0 + (std::f64::consts::PI * progress).cos());
        network = optimizer.step(rate, network, gradients);
        average = ema::update(average, &network, ema::warm_decay(EMA, step));
    }
    Ok(average)
}
