//! A MeanFlow model (Geng et al. 2025, arXiv 2505.13447), which makes a picture in one step of the network.

#[path = "mean_flow/faces.rs"]
mod faces;
#[path = "mean_flow/network.rs"]
mod network;
#[path = "mean_flow/picture.rs"]
mod picture;

use burn::module::Module;
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::activation::sigmoid;
use burn::tensor::{Device, Distribution, Tensor};
use burn_jvp::{DynTensor, Jvp};
use network::Network;
use std::error::Error;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Pictures in a step of training.
const BATCH: usize = 128;
/// Those of them with r ≠ t, a quarter.
const APART: usize = BATCH / 4;

fn times(n: usize, apart: usize, device: &Device) -> [Tensor<1>; 2] {
    let [a, b] = [(); 2].map(|()| {
        if std::env::var("UNI").is_ok() {
            Tensor::<1>::random([n], Distribution::Uniform(0.0, 1.0), device)
        } else {
            sigmoid(Tensor::<1>::random(
                [n],
                Distribution::Normal(-0.4, 1.0),
                device,
            ))
        }
    });
    let t = a.clone().max_pair(b.clone());
    let r = a.min_pair(b);
    let r = Tensor::cat(
        vec![r.slice_dim(0, 0..apart), t.clone().slice_dim(0, apart..n)],
        0,
    );
    [r, t]
}

fn sample(network: &Network, noise: Tensor<2>, steps: usize) -> Tensor<2> {
    let [n, _] = noise.dims();
    let device = noise.device();
    let time = |k: usize| Tensor::<1>::full([n], k as f64 / steps as f64, &device);
    (0..steps).rev().fold(noise, |z, k| {
        let u = network.forward(z.clone(), time(k), time(k + 1));
        z - u / steps as f64
    })
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().collect();
    let steps: usize = args[1].parse()?;
    let path = PathBuf::from(&args[2]);
    let width: usize = args[3].parse()?;
    let depth: usize = args[4].parse()?;
    let rate: f64 = args[5].parse()?;
    let device = Device::flex();
    device.seed(1);
    let autodiff = device.clone().autodiff();
    let mut network = Network::new(faces::SIDE * faces::SIDE, width, depth, &autodiff)
        .set_require_grad(true)
        .train();
    let jvp = Jvp::new(|m: &Network, i: &[DynTensor]| {
        m.forward(i[0].get(), i[1].get(), i[2].get()).into()
    });
    let mut optimizer = AdamConfig::new().with_beta_2(0.95).init();
    let start = Instant::now();
    let mut in_jvp = Duration::ZERO;
    let mut sum = 0.0;
    for step in 0..steps {
        let x = faces::draw(BATCH, &device);
        let e = Tensor::<2>::random(x.dims(), Distribution::Normal(0.0, 1.0), &device);
        let [r, t] = times(BATCH, APART, &device);
        let z = x.clone() + (e.clone() - x.clone()) * t.clone().unsqueeze_dim(1);
        let v = e - x;
        let j = Instant::now();
        let head = |t: Tensor<1>| t.slice_dim(0, 0..APART);
        let ahead = |t: &Tensor<2>| t.clone().slice_dim(0, 0..APART);
        let one = Tensor::<2>::ones([1, APART], &device);
        let (_, du) = jvp.call(
            &network.valid(),
            &[
                ahead(&z).into(),
                head(r.clone()).into(),
                head(t.clone()).into(),
            ],
            &[
                Some(ahead(&v).unsqueeze::<3>().into()),
                None,
                Some(one.into()),
            ],
        )?;
        let du = du.expect("").get::<3>().squeeze_dim::<2>(0);
        in_jvp += j.elapsed();
        let gap = head(t.clone() - r.clone()).unsqueeze_dim(1);
        let target = Tensor::cat(vec![ahead(&v) - gap * du, v.slice_dim(0, APART..BATCH)], 0);
        let u = network.forward(z.autodiff(), r.autodiff(), t.autodiff());
        let error = (u - target.autodiff()).powi_scalar(2).sum_dim(1);
        let weight = (error.clone().inner() + 1e-3).recip();
        if step % 50 == 0 {
            sum = 0.0;
        }
        sum += error.clone().inner().mean().into_scalar::<f32>() / 256.0;
        let loss = (error * weight.autodiff()).mean();
        let gradients = GradientsParams::from_grads(loss.backward(), &network);
        let warm = ((step + 1) as f64 / 100.0).min(1.0);
        let lr =
            rate * warm * 0.5 * (1.0 + (std::f64::consts::PI * step as f64 / steps as f64).cos());
        network = optimizer.step(lr, network, gradients);
        if (step + 1) % 50 == 0 && (step + 1) % 250 == 0 {
            println!(
                "{} {:.4} {:.1} s, jvp {:.0} %",
                step + 1,
                sum / 50.0,
                start.elapsed().as_secs_f64(),
                100.0 * in_jvp.as_secs_f64() / start.elapsed().as_secs_f64()
            );
        }
    }
    let network = network.valid();
    let noise = Tensor::<2>::random([48, 256], Distribution::Normal(0.0, 1.0), &device);
    picture::write(
        &path,
        &[
            faces::draw(48, &device),
            sample(&network, noise.clone(), 1),
            sample(&network, noise, 8),
        ],
        16,
    )?;
    Ok(())
}
