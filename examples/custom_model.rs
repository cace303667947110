//! A score model of one's own: any Burn module `F(x, c_noise)`, here two layers on points in the plane.
//!
//! Points on a ring are learned; then more of those at its right are added. Derivatives of the module are taken by `burn-jvp`, which
//! records its forward pass: the module needs no change.
//!
//! ```sh
//! cargo run -p datasway --example custom_model
//! ```

#![expect(clippy::disallowed_methods, reason = "no other thread draws meanwhile")]

use std::error::Error;
use std::f64::consts::TAU;

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::activation::silu;
use burn::tensor::{Device, Distribution, Tensor};
use datasway::density::{DensityEstimator, Smoothed};
use datasway::diffusion::network::NetworkDenoiser;
use datasway::diffusion::precondition::Precondition;
use datasway::diffusion::sampler::Sampler;
use datasway::diffusion::schedule;
use datasway::measure::Empirical;
use datasway::sensitivities::{Sensitivities, compute};
use datasway::{ResolvedConfig, StartingNoise};

/// Points of the ring.
const POINTS: usize = 512;

/// The raw network of the preconditioning of EDM (Karras et al. 2022).
#[derive(Module, Debug)]
struct Mlp {
    input: Linear,
    hidden: Linear,
    output: Linear,
}

impl Mlp {
    fn new(width: usize, device: &Device) -> Self {
        Self {
            input: LinearConfig::new(3, width).init(device),
            hidden: LinearConfig::new(width, width).init(device),
            output: LinearConfig::new(width, 2).init(device),
        }
    }

    /// F for points `[n, 2]` and noise levels `[n]`, `[n, 2]`.
    fn forward(&self, x: Tensor<2>, c_noise: Tensor<1>) -> Tensor<2> {
        let x = Tensor::cat(vec![x, c_noise.unsqueeze_dim(1)], 1);
        let x = silu(self.input.forward(x));
        let x = silu(self.hidden.forward(x));
        self.output.forward(x)
    }
}

/// Points of the unit circle, `[POINTS, 2]`, from the right round to the right.
fn ring(device: &Device) -> Tensor<2> {
    let angle = |i: usize| TAU * i as f64 / POINTS as f64;
    let points: Vec<[f32; 2]> = (0..POINTS)
        .map(|i| [angle(i).cos() as f32, angle(i).sin() as f32])
        .collect();
    Tensor::<1>::from_floats(points.concat().as_slice(), device).reshape([POINTS, 2])
}

/// The network after some steps of Adam on the denoising loss: F should give `(y − c_skip·x)/c_out` at `x = y + σ·n`.
fn train(points: Tensor<2>, precondition: Precondition, device: &Device) -> Mlp {
    let autodiff = device.clone().autodiff();
    let mut network = Mlp::new(64, &autodiff).set_require_grad(true).train();
    let mut optimizer = AdamConfig::new().init();
    for _ in 0..400 {
        let random = |shape| Tensor::<2>::random(shape, Distribution::Normal(0.0, 1.0), device);
        // ln σ ~ N(−1.2, 1.2²).
        let sigma = (random([POINTS, 1]) * 1.2 - 1.2).exp();
        let total = (sigma.clone().powi_scalar(2) + precondition.sigma_data.powi(2)).sqrt();
        let x = points.clone() + sigma.clone() * random([POINTS, 2]);
        let skipped = x.clone() * (total.clone().recip() * precondition.sigma_data).powi_scalar(2);
        let target =
            (points.clone() - skipped) * total.clone() / (sigma.clone() * precondition.sigma_data);
        let level = (sigma.log() / 4.0).squeeze_dim::<1>(1);
        let raw = network.forward((x / total).autodiff(), level.autodiff());
        let loss = (raw - target.autodiff()).powi_scalar(2).mean();
        let gradients = GradientsParams::from_grads(loss.backward(), &network);
        network = optimizer.step(5e-3, network, gradients);
    }
    network.valid()
}

/// Samples of the learned ring, and their sensitivities to its right quarter.
pub fn sensitivities() -> Result<Sensitivities, Box<dyn Error>> {
    let device = Device::flex();
    device.seed(1);
    let points = ring(&device);
    // The entries of points of the unit circle have the variance 1/2.
    let precondition = Precondition::new(0.5f64.sqrt())?;
    let network = train(points.clone(), precondition, &device);
    let model = NetworkDenoiser::flat(network, 2, precondition, Mlp::forward);

    let eighth = POINTS / 8;
    let ends = vec![
        points.clone().slice_dim(0, 0..eighth),
        points.clone().slice_dim(0, POINTS - eighth..POINTS),
    ];
    let right = Empirical::new(Tensor::cat(ends, 0))?;
    let data = Empirical::new(points)?;
    let config = ResolvedConfig {
        first: 0,
        samples: 64,
        batch: 64,
        sampler: Sampler::Heun,
        sigmas: schedule::edm(18),
        density: DensityEstimator::Smoothed(Smoothed {
            data,
            bandwidth: 0.3,
        }),
        cutoff: 0.0,
        seed: 0,
        start: StartingNoise::Drawn,
        curvature: false,
        by_step: false,
        zero_check: None,
    };
    Ok(compute(&model, &[&right], &config, &device, |_| ())?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let result = sensitivities()?;
    for sample in 0..8 {
        let (x, delta) = (result.sample(sample), result.delta(0, sample));
        println!(
            "a sample at ({:5.2}, {:5.2}) moves by ({:5.2}, {:5.2}) per unit of mass",
            x[0], x[1], delta[0], delta[1]
        );
    }
    Ok(())
}
