//! A foreign network of any prediction type: one module, trained once to predict the noise of a cosine schedule and once the
//! velocity of flow matching, on the ring of `custom_model`.
//!
//! A [`Parameterization`] turns what a network predicts into the denoiser `D(x, σ) = c_skip·x + c_out·F(c_in·x, t(σ))`; everything
//! else is the same. A module with custom operations of its own gives their derivative rules to `NetworkDenoiser::with_rules`.
//!
//! ```sh
//! cargo run -p datasway --example prediction_types
//! ```

#![expect(clippy::disallowed_methods, reason = "no other thread draws meanwhile")]

use std::error::Error;
use std::f64::consts::{FRAC_PI_2, TAU};

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::activation::silu;
use burn::tensor::{Device, Distribution, Tensor, TensorData};
use datasway::density::{DensityEstimator, Smoothed};
use datasway::diffusion::network::NetworkDenoiser;
use datasway::diffusion::parameterization::{
    EpsilonPrediction, FlowMatching, Parameterization, TimeTable,
};
use datasway::diffusion::sampler::Sampler;
use datasway::diffusion::schedule;
use datasway::measure::Empirical;
use datasway::sensitivities::{Sensitivities, compute};
use datasway::{ResolvedConfig, StartingNoise};

/// Points of the ring.
const POINTS: usize = 512;
/// Time steps of both models.
const STEPS: usize = 1000;
/// Noise levels that both models are trained on and sampled from.
const RANGE: [f64; 2] = [0.02, 20.0];

/// A network of points in the plane and a time step.
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

    /// The prediction for points `[n, 2]` and time steps `[n]`, `[n, 2]`.
    fn forward(&self, x: Tensor<2>, time: Tensor<1>) -> Tensor<2> {
        let time = time.unsqueeze_dim(1) / STEPS as f64;
        let x = silu(self.input.forward(Tensor::cat(vec![x, time], 1)));
        self.output.forward(silu(self.hidden.forward(x)))
    }
}

/// The noise of the cosine schedule (Nichol and Dhariwal 2021): `√ᾱ_t = cos(π/2·t/T)` but for a small offset, so `σ_t = tan(π/2·t/T)`.
pub fn epsilon_of_cosine_schedule() -> Result<EpsilonPrediction, Box<dyn Error>> {
    let sigmas: Vec<f64> = (1..STEPS)
        .map(|t| (FRAC_PI_2 * t as f64 / STEPS as f64).tan())
        .collect();
    let times = TimeTable::new(&sigmas)?;
    Ok(EpsilonPrediction { times })
}

/// The velocity of the straight path from image to noise.
pub fn flow_matching() -> FlowMatching {
    FlowMatching {
        times: STEPS as f64,
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

/// The network after some steps of Adam. At `x = y + σ·n` it should give `(y − c_skip·x)/c_out`: the noise, or the velocity.
fn train(points: Tensor<2>, target: &dyn Parameterization, device: &Device) -> Mlp {
    let mut network = Mlp::new(64, &device.clone().autodiff());
    let mut optimizer = AdamConfig::new().init();
    // Levels at equal distances of their logarithms, one for each point.
    let ratio = (RANGE[1] / RANGE[0]).ln();
    let sigmas: Vec<f64> = (0..POINTS)
        .map(|i| RANGE[0] * (ratio * (i as f64 + 0.5) / POINTS as f64).exp())
        .collect();
    let column = |f: &dyn Fn(f64) -> f64| -> Tensor<2> {
        let values: Vec<f64> = sigmas.iter().map(|sigma| f(*sigma)).collect();
        Tensor::from_data(TensorData::new(values, [POINTS, 1]), device)
    };
    let [sigma, skip, out, scale, time] = [
        column(&|sigma| sigma),
        column(&|sigma| target.c_skip(sigma)),
        column(&|sigma| target.c_out(sigma)),
        column(&|sigma| target.c_in(sigma)),
        column(&|sigma| target.c_noise(sigma)),
    ];
    let time = time.squeeze_dim::<1>(1);
    for _ in 0..800 {
        let random = |shape, distribution| Tensor::<2>::random(shape, distribution, device);
        // Another point of the ring for each level.
        let order = random([POINTS, 1], Distribution::Default).argsort(0);
        let y = points.clone().select(0, order.squeeze_dim::<1>(1));
        let noise = random([POINTS, 2], Distribution::Normal(0.0, 1.0));
        let x = y.clone() + sigma.clone() * noise;
        let predicted = network.forward(
            (x.clone() * scale.clone()).autodiff(),
            time.clone().autodiff(),
        );
        let wanted = (y - x * skip.clone()) / out.clone();
        let loss = (predicted - wanted.autodiff()).powi_scalar(2).mean();
        let gradients = GradientsParams::from_grads(loss.backward(), &network);
        network = optimizer.step(5e-3, network, gradients);
    }
    network.valid()
}

/// Samples of the ring by a model of this prediction type, and their sensitivities to its right quarter.
pub fn sensitivities(
    prediction: impl Parameterization + Clone + 'static,
) -> Result<Sensitivities, Box<dyn Error>> {
    let device = Device::flex();
    device.seed(1);
    let points = ring(&device);
    let network = train(points.clone(), &prediction, &device);
    let model = NetworkDenoiser::flat(network, 2, prediction, Mlp::forward);

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
        sigmas: schedule::checked(18, RANGE[0], RANGE[1], schedule::RHO)?,
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
    let results = [
        ("noise", sensitivities(epsilon_of_cosine_schedule()?)?),
        ("velocity", sensitivities(flow_matching())?),
    ];
    for (prediction, result) in results {
        let (x, delta) = (result.sample(0), result.delta(0, 0));
        println!(
            "{prediction}: a sample at ({:5.2}, {:5.2}) moves by ({:5.2}, {:5.2}) per unit of mass",
            x[0], x[1], delta[0], delta[1]
        );
    }
    Ok(())
}
