//! Time of each kernel against Burn's own operation on Flex, as a ratio: both run in turn on the same
//! inputs, and the median of the rounds' ratios is printed.
//!
//! ```sh
//! cargo run -p kernels --example bench
//! ```

use std::time::Instant;

use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Distribution, Tensor, activation};

const ROUNDS: usize = 15;

fn main() {
    println!("| operation, batch 64 | Burn, ms | ours, ms | ratio | ours, GFLOP/s |");
    println!("| --- | --- | --- | --- | --- |");
    for (inputs, outputs, side) in [
        (32, 32, 16),
        (64, 32, 16),
        (64, 64, 8),
        (128, 64, 8),
        (32, 32, 28),
    ] {
        convolution(inputs, outputs, side);
    }
    silu();
}

fn random<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), device)
}

/// Value, and value with all gradients, of a convolution.
fn convolution(inputs: usize, outputs: usize, side: usize) {
    let n = 64;
    let name = format!("conv {inputs} to {outputs}, {side}×{side}");
    let giga = (2 * 9 * n * inputs * outputs * side * side) as f64 / 1e9;
    let burns = |x, w, b| conv2d(x, w, Some(b), ConvOptions::new([1, 1], [1, 1], [1, 1], 1));
    let tensors = |device: &Device| {
        let x = random([n, inputs, side, side], device);
        (
            x,
            random([outputs, inputs, 3, 3], device),
            random([outputs], device),
        )
    };
    let (x, w, b) = tensors(&Device::flex());
    let row = b.clone().unsqueeze::<2>();
    let ours = || drop(kernels::conv3x3(x.clone(), w.clone(), row.clone()));
    compare(
        &name,
        giga,
        || drop(burns(x.clone(), w.clone(), b.clone())),
        ours,
    );

    let (x, w, b) = tensors(&Device::flex().autodiff());
    let (x, w, b) = (x.require_grad(), w.require_grad(), b.require_grad());
    compare(
        &format!("{name}, with gradients"),
        3.0 * giga,
        || drop(burns(x.clone(), w.clone(), b.clone()).sum().backward()),
        || {
            drop(
                kernels::conv3x3(x.clone(), w.clone(), b.clone().unsqueeze())
                    .sum()
                    .backward(),
            )
        },
    );
}

fn silu() {
    let x = random([64, 32, 16, 16], &Device::flex());
    let none = 0.0;
    compare(
        "SiLU, 32 channels, 16×16",
        none,
        || drop(activation::silu(x.clone())),
        || drop(kernels::silu(x.clone())),
    );
    let x = random([64, 32, 16, 16], &Device::flex().autodiff()).require_grad();
    compare(
        "SiLU, 32 channels, 16×16, with gradient",
        none,
        || drop(activation::silu(x.clone()).sum().backward()),
        || drop(kernels::silu(x.clone()).sum().backward()),
    );
}

fn compare(name: &str, giga: f64, burns: impl Fn(), ours: impl Fn()) {
    let time = |work: &dyn Fn()| {
        let started = Instant::now();
        work();
        started.elapsed().as_secs_f64() * 1e3
    };
    burns();
    ours();
    let rounds: Vec<(f64, f64)> = (0..ROUNDS).map(|_| (time(&burns), time(&ours))).collect();
    let median = |f: &dyn Fn(&(f64, f64)) -> f64| {
        let mut values: Vec<f64> = rounds.iter().map(f).collect();
        values.sort_by(f64::total_cmp);
        values[ROUNDS / 2]
    };
    let rate = match giga > 0.0 {
        true => format!("{:.0}", median(&|(_, ours)| giga / ours * 1e3)),
        false => String::new(),
    };
    println!(
        "| {name} | {:.2} | {:.2} | {:.2} | {rate} |",
        median(&|(burns, _)| *burns),
        median(&|(_, ours)| *ours),
        median(&|(burns, ours)| ours / burns),
    );
}
