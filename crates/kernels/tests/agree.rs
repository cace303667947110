//! Every kernel agrees with Burn's own operations: values, gradients, odd sizes, views, precisions.

use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{DType, Device, Tensor, TensorData, activation};
use kernels::{conv3x3, silu};

/// Numbers that look random, the same everywhere.
fn numbers<const D: usize>(shape: [usize; D], seed: u32, device: &Device) -> Tensor<D> {
    let mut state = seed.wrapping_mul(2_654_435_761).max(1);
    let next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        f64::from(state) / f64::from(u32::MAX) * 4.0 - 2.0
    };
    let values: Vec<f64> = std::iter::repeat_with(next)
        .take(shape.iter().product())
        .collect();
    Tensor::from_data(TensorData::new(values, shape), (device, DType::F32))
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

#[track_caller]
fn close<const D: usize>(what: &str, ours: Tensor<D>, theirs: Tensor<D>) {
    assert_eq!(ours.dims(), theirs.dims(), "{what}");
    let (ours, theirs) = (values(ours), values(theirs));
    let size = theirs.iter().fold(1e-30_f32, |m, v| m.max(v.abs()));
    let error = ours
        .iter()
        .zip(&theirs)
        .fold(0.0_f32, |m, (a, b)| m.max((a - b).abs()));
    assert!(error < 1e-5 * size, "{what}: {error} of {size}");
}

fn burns_conv(x: Tensor<4>, weight: Tensor<4>, bias: Tensor<1>) -> Tensor<4> {
    conv2d(
        x,
        weight,
        Some(bias),
        ConvOptions::new([1, 1], [1, 1], [1, 1], 1),
    )
}

/// n, i, o, h, w: fewer and more than a vector, a tile, a group; odd and even.
const SIZES: [[usize; 5]; 12] = [
    [1, 1, 1, 1, 1],
    [1, 1, 1, 8, 8],
    [2, 3, 5, 7, 5],
    [3, 4, 4, 3, 9],
    [1, 2, 3, 1, 17],
    [9, 5, 7, 8, 8],
    [17, 3, 32, 16, 16],
    [2, 32, 3, 16, 16],
    [5, 6, 9, 28, 28],
    [8, 16, 16, 4, 4],
    [2, 8, 8, 13, 24],
    [16, 2, 2, 2, 3],
];

#[test]
fn convolutions_agree_over_odd_sizes() {
    let device = Device::flex().autodiff();
    for [n, i, o, h, w] in SIZES {
        let what = format!("{n} images, {i} to {o} channels, {h}×{w}");
        let x = numbers([n, i, h, w], 1, &device).require_grad();
        let weight = numbers([o, i, 3, 3], 2, &device).require_grad();
        let bias = numbers([o], 3, &device).require_grad();
        let pull = numbers([n, o, h, w], 4, &device);
        let ours = conv3x3(x.clone(), weight.clone(), bias.clone());
        let theirs = burns_conv(x.clone(), weight.clone(), bias.clone());
        close(&what, ours.clone().inner(), theirs.clone().inner());
        let (a, b) = (
            (ours * pull.clone()).sum().backward(),
            (theirs * pull).sum().backward(),
        );
        let of = |g: &_| {
            (
                x.grad(g).unwrap(),
                weight.grad(g).unwrap(),
                bias.grad(g).unwrap(),
            )
        };
        let ((ax, aw, ab), (bx, bw, bb)) = (of(&a), of(&b));
        close(&format!("{what}, in x"), ax, bx);
        close(&format!("{what}, in the weight"), aw, bw);
        close(&format!("{what}, in the bias"), ab, bb);
    }
}

#[test]
fn silu_agrees_over_odd_sizes() {
    let device = Device::flex().autodiff();
    for n in [1, 7, 8, 9, 16_383, 16_384, 40_000] {
        let x = (numbers([n], 5, &device) * 6.0).detach().require_grad();
        let pull = numbers([n], 6, &device);
        let (ours, theirs) = (silu(x.clone()), activation::silu(x.clone()));
        close("silu", ours.clone().inner(), theirs.clone().inner());
        let (a, b) = (
            (ours * pull.clone()).sum().backward(),
            (theirs * pull).sum().backward(),
        );
        close("silu'", x.grad(&a).unwrap(), x.grad(&b).unwrap());
    }
}

#[test]
fn views_are_read_in_their_own_order() {
    let device = Device::flex();
    let x = numbers([6, 5, 4, 3], 7, &device);
    for view in [
        x.clone().permute([2, 3, 0, 1]),
        x.clone().slice([1..3, 0..5, 1..4, 0..2]),
        x.clone().flip([2, 3]),
        x.clone()
            .slice([0..1, 0..5, 0..4, 0..3])
            .expand([3, 5, 4, 3]),
    ] {
        let [_, i, ..] = view.dims();
        let copy = Tensor::from_data(view.to_data(), &device);
        let weight = numbers([3, 3, 2, i], 8, &device).permute([2, 3, 0, 1]);
        let bias = numbers([4], 9, &device).slice_dim(0, 1..3);
        close("silu", silu(view.clone()), activation::silu(copy.clone()));
        let theirs = burns_conv(copy, weight.clone(), bias.clone());
        close("conv3x3", conv3x3(view, weight, bias), theirs);
    }
}

#[test]
fn other_precisions_are_burns_own() {
    let device = Device::flex();
    let x = numbers([2, 3, 5, 5], 1, &device).cast(DType::F64);
    let weight = numbers([2, 3, 3, 3], 2, &device).cast(DType::F64);
    let bias = numbers([2], 3, &device).cast(DType::F64);
    let ours = conv3x3(x.clone(), weight.clone(), bias.clone());
    assert_eq!(
        ours.into_data(),
        burns_conv(x.clone(), weight, bias).into_data()
    );
    let exact = |x: f64| x / (1.0 + (-x).exp());
    let truth: Vec<f64> = x.to_data().iter::<f64>().map(exact).collect();
    let ours: Vec<f64> = silu(x).into_data().iter::<f64>().collect();
    assert!(ours.iter().zip(&truth).all(|(a, b)| (a - b).abs() < 1e-6));
}
