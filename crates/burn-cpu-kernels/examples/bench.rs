//! Benchmark of each kernel against Burn's own operation on Flex. Both run in turn on the same inputs, and the median of
//! the rounds' ratios is printed.
//!
//! ```sh
//! cargo run -p burn-cpu-kernels --example bench [raw.csv]
//! ```

use std::time::Instant;

use burn::module::Param;
use burn::nn::GroupNormConfig;
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Distribution, Tensor, activation};
use burn_cpu_kernels::{GroupNormOptions, Stride};

const ROUNDS: usize = 15;

fn main() -> std::io::Result<()> {
    let mut raw = String::from("operation,round,burn_ms,kernel_ms\n");
    println!("| operation, batch 64 | Burn, ms | kernel, ms | ratio | GFLOP/s |");
    println!("| --- | --- | --- | --- | --- |");
    for (inputs, outputs, side) in [
        (32, 32, 16),
        (64, 32, 16),
        (64, 64, 8),
        (128, 64, 8),
        (32, 32, 28),
    ] {
        convolution(inputs, outputs, side, Stride::One, &mut raw);
    }
    for (channels, side) in [(32, 32), (64, 16), (128, 16)] {
        convolution(channels, channels, side, Stride::Two, &mut raw);
    }
    silu(&mut raw);
    group_norm(&mut raw);
    pointwise(&mut raw);
    attention(&mut raw);
    match std::env::args().nth(1) {
        Some(path) => std::fs::write(path, raw),
        None => Ok(()),
    }
}

fn random<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), device)
}

/// Value, and value with all gradients, of a convolution.
fn convolution(inputs: usize, outputs: usize, side: usize, stride: Stride, raw: &mut String) {
    let n = 64;
    let (step, of_stride) = match stride {
        Stride::One => (1, ""),
        Stride::Two | Stride::TwoFromCorner => (2, ", stride 2"),
    };
    let name = format!("conv {inputs} to {outputs}, {side}×{side}{of_stride}");
    let giga = (2 * 9 * n * inputs * outputs * (side / step).pow(2)) as f64 / 1e9;
    let options = || ConvOptions::new([step, step], [1, 1], [1, 1], 1);
    let burns = |x, w, b| conv2d(x, w, Some(b), options());
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
    let ours = || {
        drop(burn_cpu_kernels::conv3x3(
            x.clone(),
            w.clone(),
            row.clone(),
            stride,
        ))
    };
    compare(
        &name,
        giga,
        || drop(burns(x.clone(), w.clone(), b.clone())),
        ours,
        raw,
    );

    let (x, w, b) = tensors(&Device::flex().autodiff());
    let (x, w, b) = (x.require_grad(), w.require_grad(), b.require_grad());
    compare(
        &format!("{name}, with gradients"),
        3.0 * giga,
        || drop(burns(x.clone(), w.clone(), b.clone()).sum().backward()),
        || {
            drop(
                burn_cpu_kernels::conv3x3(x.clone(), w.clone(), b.clone().unsqueeze(), stride)
                    .sum()
                    .backward(),
            )
        },
        raw,
    );
}

fn silu(raw: &mut String) {
    let x = random([64, 32, 16, 16], &Device::flex());
    let none = 0.0;
    compare(
        "SiLU, 32 channels, 16×16",
        none,
        || drop(activation::silu(x.clone())),
        || drop(burn_cpu_kernels::silu(x.clone())),
        raw,
    );
    let x = random([64, 32, 16, 16], &Device::flex().autodiff()).require_grad();
    compare(
        "SiLU, 32 channels, 16×16, with gradient",
        none,
        || drop(activation::silu(x.clone()).sum().backward()),
        || drop(burn_cpu_kernels::silu(x.clone()).sum().backward()),
        raw,
    );
}

/// Value, and value with all gradients, of a function of an input and weights.
fn layer<const W: usize>(
    name: &str,
    inputs: ([usize; 4], [usize; W], usize),
    burns: impl Fn(Tensor<4>, Tensor<W>, Tensor<1>) -> Tensor<4>,
    ours: impl Fn(Tensor<4>, Tensor<W>, Tensor<1>) -> Tensor<4>,
    raw: &mut String,
) {
    let tensors = |device: &Device| {
        let (x, weight, bias) = inputs;
        (
            random(x, device),
            random(weight, device),
            random([bias], device),
        )
    };
    let (x, w, b) = tensors(&Device::flex());
    let none = 0.0;
    compare(
        name,
        none,
        || drop(burns(x.clone(), w.clone(), b.clone())),
        || drop(ours(x.clone(), w.clone(), b.clone())),
        raw,
    );
    let (x, w, b) = tensors(&Device::flex().autodiff());
    let (x, w, b) = (x.require_grad(), w.require_grad(), b.require_grad());
    compare(
        &format!("{name}, with gradients"),
        none,
        || drop(burns(x.clone(), w.clone(), b.clone()).sum().backward()),
        || drop(ours(x.clone(), w.clone(), b.clone()).sum().backward()),
        raw,
    );
}

fn group_norm(raw: &mut String) {
    let options = GroupNormOptions {
        groups: 8,
        epsilon: 1e-5,
        silu: true,
    };
    let burns = |x: Tensor<4>, gamma: Tensor<1>, beta: Tensor<1>| {
        let mut layer = GroupNormConfig::new(8, 32).init(&x.device());
        layer.gamma = Some(Param::from_tensor(gamma));
        layer.beta = Some(Param::from_tensor(beta));
        activation::silu(layer.forward(x))
    };
    let ours = |x, gamma, beta| burn_cpu_kernels::group_norm(x, gamma, beta, options);
    let name = "GroupNorm and SiLU, 32 channels, 16×16";
    layer(name, ([64, 32, 16, 16], [32], 32), burns, ours, raw);
}

fn pointwise(raw: &mut String) {
    let burns = |x: Tensor<4>, weight: Tensor<2>, bias: Tensor<1>| {
        let y = weight
            .transpose()
            .unsqueeze::<3>()
            .matmul(x.flatten::<3>(2, 3));
        (y + bias.reshape([1, -1, 1])).reshape([64, 32, 16, 16])
    };
    let name = "1×1 map, 96 to 32, 16×16";
    let inputs = ([64, 96, 16, 16], [96, 32], 32);
    layer(name, inputs, burns, burn_cpu_kernels::pointwise, raw);
}

fn attention(raw: &mut String) {
    let burns = |qkv: Tensor<4>, _: Tensor<1>, _: Tensor<1>| {
        let qkv = qkv.reshape([64, 6, 32, 64]);
        let third = |i: usize| qkv.clone().narrow(1, 2 * i, 2);
        let scores = third(0).transpose().matmul(third(1)) / 32_f64.sqrt();
        let weights = activation::softmax(scores, 3);
        third(2).matmul(weights.transpose()).reshape([64, 64, 8, 8])
    };
    let ours = |qkv, _: Tensor<1>, _: Tensor<1>| burn_cpu_kernels::attention(qkv, 2);
    let name = "attention, 2 heads of 32 channels, 8×8";
    layer(name, ([64, 192, 8, 8], [1], 1), burns, ours, raw);
}

fn compare(name: &str, giga: f64, burns: impl Fn(), ours: impl Fn(), raw: &mut String) {
    let time = |work: &dyn Fn()| {
        let started = Instant::now();
        work();
        started.elapsed().as_secs_f64() * 1e3
    };
    burns();
    ours();
    let rounds: Vec<(f64, f64)> = (0..ROUNDS).map(|_| (time(&burns), time(&ours))).collect();
    for (round, (burns, ours)) in rounds.iter().enumerate() {
        raw.push_str(&format!("\"{name}\",{round},{burns:.4},{ours:.4}\n"));
    }
    let median = |f: &dyn Fn(&(f64, f64)) -> f64| {
        let mut values: Vec<f64> = rounds.iter().map(f).collect();
        values.sort_by(f64::total_cmp);
        values[ROUNDS / 2]
    };
    let rate = if giga > 0.0 {
        format!("{:.0}", median(&|(_, ours)| giga / ours * 1e3))
    } else {
        String::new()
    };
    println!(
        "| {name} | {:.2} | {:.2} | {:.2} | {rate} |",
        median(&|(burns, _)| *burns),
        median(&|(_, ours)| *ours),
        median(&|(burns, ours)| ours / burns),
    );
}
