//! A MeanFlow model (Geng et al. 2025, arXiv 2505.13447), which draws a face in one evaluation of its network.
//!
//! Data x at the time 0 and noise ε at the time 1 are joined by `z_t = (1 − t)·x + t·ε` with the velocity `v = ε − x`.
//! The network learns the mean velocity between two times, `u(z_t, r, t) = (z_t − z_r)/(t − r)`. Its derivative along the
//! path gives an identity that needs no integral, `u = v − (t − r)·du/dt` with `du/dt = v·∂u/∂z + ∂u/∂t`: a
//! Jacobian-vector product in the direction (v, 0, 1) of (z, r, t), inside of every step of training.
//!
//! Two choices differ from the paper's, both for a training of minutes. The times are uniform, because logit-normal ones
//! seldom come near (0, 1), where a sample is drawn. The network is a perceptron whose last layer gives a picture.
//! The run prints its time.
//!
//! ```sh
//! cargo run --example mean_flow -- [--steps N] [PICTURE.png]
//! ```

#![expect(clippy::disallowed_methods, reason = "no other thread draws meanwhile")]

#[path = "mean_flow/faces.rs"]
mod faces;
#[path = "mean_flow/network.rs"]
mod network;
#[path = "mean_flow/picture.rs"]
mod picture;

use burn::module::Module;
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::{Device, Distribution, Tensor};
use burn_jvp::{DynTensor, Jvp, JvpError};
use network::Network;
use std::error::Error;
use std::f64::consts::PI;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Faces in a step of training.
const BATCH: usize = 128;
/// Those of them with r ≠ t, a quarter as in the paper.
const APART: usize = BATCH / 4;
/// The largest learning rate.
const LEARNING_RATE: f64 = 2e-3;
/// The constant c of the weight 1/(‖Δ‖² + c) of an error Δ.
const WEIGHT_OFFSET: f64 = 1e-3;
/// Faces in a row of the picture, and in each of its three groups.
const COLUMNS: usize = 16;
const SAMPLES: usize = 3 * COLUMNS;

/// A point of the path of each face, `z = (1 − t)·x + t·ε`, with its velocity and its times.
struct Paths {
    /// z, `[BATCH, pixels]`.
    z: Tensor<2>,
    /// v = ε − x, `[BATCH, pixels]`.
    v: Tensor<2>,
    /// Earlier times, `[BATCH]`, equal to the later after the first `APART`.
    r: Tensor<1>,
    /// Later times, `[BATCH]`.
    t: Tensor<1>,
}

impl Paths {
    fn draw(device: &Device) -> Self {
        let uniform = || Tensor::<1>::random([BATCH], Distribution::Uniform(0.0, 1.0), device);
        let (a, b) = (uniform(), uniform());
        let t = a.clone().max_pair(b.clone());
        let apart = a.min_pair(b).slice_dim(0, 0..APART);
        let r = Tensor::cat(vec![apart, t.clone().slice_dim(0, APART..BATCH)], 0);
        let x = faces::draw(BATCH, device);
        let v = noise(BATCH, device) - x.clone();
        let z = x + v.clone() * t.clone().unsqueeze_dim(1);
        Self { z, v, r, t }
    }

    /// The target `v − (t − r)·du/dt`, `[BATCH, pixels]`. It is v where r = t, so the derivative is taken of the others.
    fn target(
        &self,
        mean_velocity: &Jvp<Network, impl Fn(&Network, &[DynTensor]) -> DynTensor>,
        network: &Network,
    ) -> Result<Tensor<2>, JvpError> {
        let [z, v] = [&self.z, &self.v].map(|x| x.clone().slice_dim(0, 0..APART));
        let [r, t] = [&self.r, &self.t].map(|x| x.clone().slice_dim(0, 0..APART));
        // z' = v, r' = 0, t' = 1.
        let tangents = [
            Some(v.clone().unsqueeze::<3>().into()),
            None,
            Some(Tensor::<2>::ones([1, APART], &v.device()).into()),
        ];
        let inputs = [z.into(), r.clone().into(), t.clone().into()];
        let (_, du) = mean_velocity.call(network, &inputs, &tangents)?;
        let du = du.expect("the network depends on its inputs").get::<3>();
        let moved = v - du.squeeze_dim::<2>(0) * (t - r).unsqueeze_dim(1);
        let others = self.v.clone().slice_dim(0, APART..BATCH);
        Ok(Tensor::cat(vec![moved, others], 0))
    }
}

/// Standard normal pictures, `[n, pixels]`.
fn noise(n: usize, device: &Device) -> Tensor<2> {
    let pixels = faces::SIDE * faces::SIDE;
    Tensor::random([n, pixels], Distribution::Normal(0.0, 1.0), device)
}

/// A trained network and the course of its training.
pub struct Training {
    /// The network, without autodiff.
    network: Network,
    /// Mean square errors of a pixel in u, each the mean of a twentieth of the steps.
    pub errors: Vec<f64>,
    /// The time of all steps.
    pub time: Duration,
    /// The time of the targets, that is of the Jacobian-vector products.
    pub time_of_targets: Duration,
}

/// Trains a network by `steps` steps of Adam, and prints a line after each twentieth of them.
pub fn train(steps: usize, device: &Device) -> Result<Training, JvpError> {
    let mut network = Network::new(&device.clone().autodiff()).train();
    let mut optimizer = AdamConfig::new().with_beta_2(0.95).init();
    let mean_velocity = Jvp::new(|network: &Network, inputs: &[DynTensor]| {
        let [z, r, t] = inputs else {
            panic!("three inputs")
        };
        network.forward(z.get(), r.get(), t.get()).into()
    });
    let (start, mut time_of_targets) = (Instant::now(), Duration::ZERO);
    let (mut errors, mut sum, mut summed) = (Vec::new(), 0.0, 0);
    for step in 1..=steps {
        let paths = Paths::draw(device);
        // On the module without autodiff: no gradient flows through the target.
        let before = Instant::now();
        let target = paths.target(&mean_velocity, &network.valid())?;
        time_of_targets += before.elapsed();

        let [z, target] = [paths.z, target].map(Tensor::autodiff);
        let [r, t] = [paths.r, paths.t].map(Tensor::autodiff);
        let square = (network.forward(z, r, t) - target).powi_scalar(2);
        let error = square.clone().sum_dim(1);
        let weight = (error.clone().inner() + WEIGHT_OFFSET).recip();
        let loss = (error * weight.autodiff()).mean();
        let gradients = GradientsParams::from_grads(loss.backward(), &network);
        let rate = LEARNING_RATE * (1.0 + (PI * step as f64 / steps as f64).cos()) / 2.0;
        network = optimizer.step(rate, network, gradients);

        sum += square.inner().mean().into_scalar::<f64>();
        summed += 1;
        if step * 20 / steps > (step - 1) * 20 / steps {
            let left = start.elapsed() * (steps - step) as u32 / step as u32;
            println!(
                "step {step:5} of {steps}: error {:.4}, {:.0} s left",
                sum / summed as f64,
                left.as_secs_f64()
            );
            errors.push(sum / summed as f64);
            (sum, summed) = (0.0, 0);
        }
    }
    Ok(Training {
        network: network.valid(),
        errors,
        time: start.elapsed(),
        time_of_targets,
    })
}

/// Faces from noise by equal steps from the time 1 to 0, `z_r = z_t − (t − r)·u(z_t, r, t)`. One step is enough.
fn sample(network: &Network, noise: Tensor<2>, steps: usize) -> Tensor<2> {
    let time = |k: usize| Tensor::full([noise.dims()[0]], k as f64 / steps as f64, &noise.device());
    (0..steps).rev().fold(noise.clone(), |z, k| {
        let u = network.forward(z.clone(), time(k), time(k + 1));
        z - u / steps as f64
    })
}

/// Trains, and writes a picture of drawn faces, of samples in one step, and of samples in eight steps from the same noise.
pub fn run(steps: usize, path: &Path) -> Result<Training, Box<dyn Error>> {
    let device = Device::flex();
    device.seed(1);
    let training = train(steps, &device)?;
    let noise = noise(SAMPLES, &device);
    let [one, eight] = [1, 8].map(|steps| sample(&training.network, noise.clone(), steps));
    picture::write(path, &[faces::draw(SAMPLES, &device), one, eight], COLUMNS)?;
    Ok(training)
}

fn main() -> Result<(), Box<dyn Error>> {
    let (mut steps, mut path) = (4000, PathBuf::from("mean_flow.png"));
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--steps" {
            let number = arguments.next().ok_or("--steps needs a number")?;
            steps = number
                .parse()
                .map_err(|_| format!("--steps needs a number, not {number}"))?;
        } else {
            path = argument.into();
        }
    }
    let training = run(steps, &path)?;
    let [all, targets] = [training.time, training.time_of_targets].map(|time| time.as_secs_f64());
    println!(
        "{steps} steps in {all:.0} s, {:.0} % of it for Jacobian-vector products",
        100.0 * targets / all
    );
    println!(
        "{}: drawn faces, samples in one step, samples in eight steps",
        path.display()
    );
    Ok(())
}
