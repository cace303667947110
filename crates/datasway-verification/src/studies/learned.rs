//! Score models trained on a mixture whose score is known.

use burn::module::Module;
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::{DType, Device, Tensor};
use datasway_diffusion::config::UNetConfig;
use datasway_diffusion::loss::{NoiseDistribution, denoising_loss};
use datasway_diffusion::network::NetworkDenoiser;
use datasway_diffusion::precondition::Precondition;
use datasway_diffusion::random::{RandomStream, generator, normal};
use datasway_diffusion::unet::UNet;
use datasway_diffusion::{DiffusionError, ema};

use super::mlp::Mlp;
use crate::problems::random_mixture::RandomMixture;

/// How a network is trained.
#[derive(Debug, Clone, Copy)]
pub struct Training {
    /// Optimiser steps.
    pub steps: u64,
    /// Points a step, all of them new.
    pub batch: usize,
    /// Peak learning rate of Adam, falling to 0 along half a cosine.
    pub learning_rate: f64,
    /// Seed of weights, points and noise.
    pub seed: u64,
}

/// Training noise levels: `ln σ ~ N(−0.6, 1.8²)`, wider than for images because δ is followed over all of them.
const NOISE: NoiseDistribution = NoiseDistribution {
    mean: -0.6,
    std: 1.8,
};
/// Decay of the averaged weights.
const EMA: f64 = 0.998;

/// An [`Mlp`] of a mixture.
///
/// # Errors
/// If the loss is not finite.
pub fn mlp(
    mixture: &RandomMixture,
    width: usize,
    training: &Training,
) -> Result<NetworkDenoiser<Mlp>, DiffusionError> {
    let device = Device::flex();
    device.seed(training.seed);
    let precondition = precondition(mixture)?;
    let network = Mlp::new(mixture.dim(), width, &device);
    let network = train(
        network,
        mixture,
        training,
        |network, clean, noise, sigmas| network.loss(&precondition, clean, noise, sigmas),
    )?;
    Ok(network.denoiser(mixture.dim(), precondition))
}

/// A U-Net of a mixture of grey pictures of `side`² pixels.
///
/// # Errors
/// If the loss is not finite, or the side is odd.
pub fn unet(
    mixture: &RandomMixture,
    side: usize,
    channels: usize,
    training: &Training,
) -> Result<NetworkDenoiser, DiffusionError> {
    let device = Device::flex();
    device.seed(training.seed);
    let precondition = precondition(mixture)?;
    let config = UNetConfig {
        image_channels: 1,
        image_size: side,
        channels,
        multipliers: vec![1, 2],
        blocks: 1,
        attention: vec![],
        head_channels: channels,
    };
    let network = UNet::new(&config, &device)?;
    let picture = |x: Tensor<2>| {
        let n = x.dims()[0];
        x.reshape([n, 1, side, side])
    };
    let network = train(
        network,
        mixture,
        training,
        |network, clean, noise, sigmas| {
            denoising_loss(
                network,
                &precondition,
                picture(clean),
                picture(noise),
                sigmas,
            )
        },
    )?;
    Ok(NetworkDenoiser::new(network, config, precondition))
}

fn precondition(mixture: &RandomMixture) -> Result<Precondition, DiffusionError> {
    let points = mixture.draw(4096, 0, &Device::flex(), DType::F64);
    let centred = points.clone() - points.mean_dim(0);
    Ok(Precondition {
        sigma_data: centred.powi_scalar(2).mean().sqrt().into_scalar::<f64>(),
    })
}

/// Minimises a loss of (network, clean `[n, d]`, noise `[n, d]`, σ); the averaged weights.
fn train<M: Module>(
    network: M,
    mixture: &RandomMixture,
    training: &Training,
    loss: impl Fn(&M, Tensor<2>, Tensor<2>, &[f64]) -> Tensor<1>,
) -> Result<M, DiffusionError> {
    let plain = Device::flex();
    let device = plain.clone().autodiff();
    let mut average = network;
    let mut network = average
        .clone()
        .to_device(&device)
        .set_require_grad(true)
        .train();
    let mut optimizer = AdamConfig::new().init();
    let shape = [training.batch, mixture.dim()];
    for step in 0..training.steps {
        let mut rng = generator(training.seed, RandomStream::TrainingNoise, [step]);
        let sigmas = NOISE.sample(&mut rng, training.batch);
        let noise = normal(&mut rng, shape, &device);
        let seed = training.seed.wrapping_mul(1 << 20).wrapping_add(step);
        let clean = mixture.draw(training.batch, seed, &device, DType::F32);
        let value = loss(&network, clean, noise, &sigmas);
        let number: f32 = value.clone().into_scalar();
        if !number.is_finite() {
            return Err(DiffusionError::NotFinite(format!(
                "the loss became {number} at step {step} of a validation network"
            )));
        }
        let gradients = GradientsParams::from_grads(value.backward(), &network);
        let progress = step as f64 / training.steps as f64;
        let rate = 0.5 * training.learning_rate * (1.0 + (std::f64::consts::PI * progress).cos());
        network = optimizer.step(rate, network, gradients);
        average = ema::update(average, &network, ema::warm_decay(EMA, step));
    }
    Ok(average)
}
