//! Every kernel agrees with Burn's own operations: values, gradients, odd sizes, views, precisions.

use burn::backend::Dispatch;
use burn::module::{Param, ParamId};
use burn::nn::GroupNormConfig;
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{DType, Device, Tensor, TensorData, activation};
use burn_cpu_kernels::{
    GroupNormOptions, KernelBackend, NormDirections, NormGradientDirections, Stride, attention,
    conv3x3, group_norm, pointwise, silu,
};

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

fn burns_conv(x: Tensor<4>, weight: Tensor<4>, bias: Tensor<2>, stride: Stride) -> Tensor<4> {
    let [n, c, h, w] = x.dims();
    let zeros = |shape| Tensor::<4>::zeros(shape, (&x.device(), x.dtype()));
    let (x, options) = match stride {
        Stride::One => (x, ConvOptions::new([1, 1], [1, 1], [1, 1], 1)),
        Stride::Two => (x, ConvOptions::new([2, 2], [1, 1], [1, 1], 1)),
        Stride::TwoFromCorner => {
            let wide = Tensor::cat(vec![x.clone(), zeros([n, c, h, 1])], 3);
            let whole = Tensor::cat(vec![wide, zeros([n, c, 1, w + 1])], 2);
            (whole, ConvOptions::new([2, 2], [0, 0], [1, 1], 1))
        }
    };
    conv2d(x, weight, None, options) + bias.unsqueeze_dims(&[2, 3])
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
    let strides = [Stride::One, Stride::Two, Stride::TwoFromCorner];
    let cases = SIZES.into_iter().flat_map(|s| [(s, false), (s, true)]);
    let cases = cases.flat_map(|(s, per_image)| strides.map(|stride| (s, per_image, stride)));
    for ([n, i, o, h, w], per_image, stride) in cases {
        if stride == Stride::TwoFromCorner && h.min(w) < 2 {
            continue;
        }
        let what = format!(
            "{n} images, {i} to {o} channels, {h}×{w}, bias of each {per_image}, {stride:?}"
        );
        let x = numbers([n, i, h, w], 1, &device).require_grad();
        let weight = numbers([o, i, 3, 3], 2, &device).require_grad();
        let bias = numbers([if per_image { n } else { 1 }, o], 3, &device).require_grad();
        let ours = conv3x3(x.clone(), weight.clone(), bias.clone(), stride);
        let theirs = burns_conv(x.clone(), weight.clone(), bias.clone(), stride);
        let pull = numbers(theirs.dims(), 4, &device);
        close(&what, ours.clone().inner(), theirs.clone().inner());
        let (a, b) = (
            (ours * pull.clone()).sum().backward(),
            (theirs * pull).sum().backward(),
        );
        let gradients = |g: &_| {
            (
                x.grad(g).unwrap(),
                weight.grad(g).unwrap(),
                bias.grad(g).unwrap(),
            )
        };
        let ((ax, aw, ab), (bx, bw, bb)) = (gradients(&a), gradients(&b));
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
        let bias = numbers([1, 4], 9, &device).slice_dim(1, 1..3);
        close("silu", silu(view.clone()), activation::silu(copy.clone()));
        let (gamma, beta) = (numbers([2, i], 10, &device), numbers([i, 1], 11, &device));
        let (gamma, beta) = (gamma.slice_dim(0, 1..2).reshape([i]), beta.reshape([i]));
        let options = GroupNormOptions {
            groups: 1,
            epsilon: 1e-3,
            silu: true,
        };
        let ours = group_norm(view.clone(), gamma.clone(), beta.clone(), options);
        let theirs = burns_norm(copy.clone(), gamma, beta, options);
        close("group norm", ours, theirs);
        for stride in [Stride::One, Stride::Two] {
            let (weight, bias) = (weight.clone(), bias.clone());
            let theirs = burns_conv(copy.clone(), weight.clone(), bias.clone(), stride);
            close(
                "conv3x3",
                conv3x3(view.clone(), weight, bias, stride),
                theirs,
            );
        }
        let map = numbers([6, i], 12, &device).transpose();
        let none = Tensor::zeros([6], &device);
        let (a, b) = (
            pointwise(view, map.clone(), none.clone()),
            pointwise(copy, map, none),
        );
        close("attention", attention(a, 1), attention(b, 1));
    }
}

#[test]
fn other_precisions_are_burns_own() {
    let device = Device::flex();
    let x = numbers([2, 3, 5, 5], 1, &device).cast(DType::F64);
    let weight = numbers([2, 3, 3, 3], 2, &device).cast(DType::F64);
    let bias = numbers([1, 2], 3, &device).cast(DType::F64);
    for stride in [Stride::One, Stride::Two, Stride::TwoFromCorner] {
        let (weight, bias) = (weight.clone(), bias.clone());
        let ours = conv3x3(x.clone(), weight.clone(), bias.clone(), stride);
        let theirs = burns_conv(x.clone(), weight, bias, stride);
        assert_eq!(ours.into_data(), theirs.into_data());
    }
    let exact = |x: f64| x / (1.0 + (-x).exp());
    let truth: Vec<f64> = x.to_data().iter::<f64>().map(exact).collect();
    let ours: Vec<f64> = silu(x).into_data().iter::<f64>().collect();
    assert!(ours.iter().zip(&truth).all(|(a, b)| (a - b).abs() < 1e-6));
}

/// Burn's own group normalisation and SiLU.
fn burns_norm(
    x: Tensor<4>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    options: GroupNormOptions,
) -> Tensor<4> {
    let [_, c, ..] = x.dims();
    let mut layer = GroupNormConfig::new(options.groups, c).init(&x.device());
    layer.gamma = Some(Param::initialized(ParamId::new(), gamma));
    layer.beta = Some(Param::initialized(ParamId::new(), beta));
    layer.epsilon = options.epsilon;
    let y = layer.forward(x);
    if options.silu { activation::silu(y) } else { y }
}

/// n, groups, channels of a group, h, w.
const GROUPS: [[usize; 5]; 6] = [
    [1, 1, 3, 1, 1],
    [2, 3, 4, 5, 7],
    [3, 8, 4, 16, 16],
    [2, 1, 5, 3, 3],
    [5, 16, 4, 8, 8],
    [1, 2, 6, 1, 33],
];

#[test]
fn group_norm_agrees_over_odd_sizes() {
    let device = Device::flex().autodiff();
    for ([n, groups, group_channels, h, w], silu) in
        GROUPS.into_iter().flat_map(|g| [(g, false), (g, true)])
    {
        let what = format!(
            "{n} images, {groups} groups of {group_channels} channels, {h}×{w}, silu {silu}"
        );
        let options = GroupNormOptions {
            groups,
            epsilon: 1e-5,
            silu,
        };
        let c = groups * group_channels;
        let x = (numbers([n, c, h, w], 1, &device) + 3.0)
            .detach()
            .require_grad();
        let gamma = numbers([c], 2, &device).require_grad();
        let beta = numbers([c], 3, &device).require_grad();
        let pull = numbers([n, c, h, w], 4, &device);
        let ours = group_norm(x.clone(), gamma.clone(), beta.clone(), options);
        let theirs = burns_norm(x.clone(), gamma.clone(), beta.clone(), options);
        close(&what, ours.clone().inner(), theirs.clone().inner());
        let (a, b) = (
            (ours * pull.clone()).sum().backward(),
            (theirs * pull.clone()).sum().backward(),
        );
        close(
            &format!("{what}, in x"),
            x.grad(&a).unwrap(),
            x.grad(&b).unwrap(),
        );
        for (name, weight) in [("γ", &gamma), ("β", &beta)] {
            let (a, b) = (weight.grad(&a).unwrap(), weight.grad(&b).unwrap());
            close(&format!("{what}, in {name}"), a, b);
        }

        let (x_plain, gamma, beta) = (x.clone().inner(), gamma.inner(), beta.inner());
        let tangents = numbers([2, n, c, h, w], 5, &x_plain.device());
        let of_weights = [7, 8].map(|seed| numbers::<2>([2, c], seed, &x_plain.device()));
        let data = |dtype| tangents.clone().cast(dtype).into_dispatch();
        let weights = |dtype| {
            let directions = of_weights.clone();
            directions.map(|t| t.cast(dtype).into_dispatch())
        };
        let tangent = |directions, dtype| {
            Tensor::<5>::from_dispatch(Dispatch::group_norm_tangent(
                x_plain.clone().cast(dtype).into_dispatch(),
                gamma.clone().cast(dtype).into_dispatch(),
                beta.clone().cast(dtype).into_dispatch(),
                directions,
                options,
            ))
        };
        let both = |directions: &dyn Fn(DType) -> NormDirections<Dispatch>| {
            let exact = tangent(directions(DType::F64), DType::F64).cast(DType::F32);
            let moved = tangent(directions(DType::F32), DType::F32);
            close(&format!("{what}, tangents"), moved.clone(), exact);
            moved
        };
        both(&|dtype| {
            let [gamma, beta] = weights(dtype);
            NormDirections::Weights { gamma, beta }
        });
        both(&|dtype| {
            let ([gamma, beta], x) = (weights(dtype), data(dtype));
            NormDirections::All { x, gamma, beta }
        });
        let moved = both(&|dtype| NormDirections::Data(data(dtype)));
        same_jacobian(&what, moved, tangents, pull.inner(), x.grad(&b).unwrap());
    }
}

#[test]
fn tangents_of_the_gradients_of_group_norm_agree_over_odd_sizes() {
    let device = Device::flex();
    for ([n, groups, group_channels, h, w], silu) in
        GROUPS.into_iter().flat_map(|g| [(g, false), (g, true)])
    {
        let options = GroupNormOptions {
            groups,
            epsilon: 1e-2,
            silu,
        };
        let c = groups * group_channels;
        let [x, grad] = [1, 2].map(|seed| numbers([n, c, h, w], seed, &device));
        let [gamma, beta] = [3, 4].map(|seed| numbers([c], seed, &device));
        let [along_x, along_grad] = [5, 6].map(|seed| numbers([3, n, c, h, w], seed, &device));
        let [along_gamma, along_beta] = [7, 8].map(|seed| numbers([3, c], seed, &device));
        let moved = |dtype| {
            let directions = NormGradientDirections {
                x: along_x.clone().cast(dtype).into_dispatch(),
                gamma: along_gamma.clone().cast(dtype).into_dispatch(),
                beta: along_beta.clone().cast(dtype).into_dispatch(),
                grad: along_grad.clone().cast(dtype).into_dispatch(),
            };
            let (on_x, on_gamma, on_beta) = Dispatch::group_norm_gradient_tangent(
                x.clone().cast(dtype).into_dispatch(),
                gamma.clone().cast(dtype).into_dispatch(),
                beta.clone().cast(dtype).into_dispatch(),
                grad.clone().cast(dtype).into_dispatch(),
                directions,
                options,
            );
            (
                Tensor::<5>::from_dispatch(on_x).cast(DType::F32),
                Tensor::<2>::from_dispatch(on_gamma).cast(DType::F32),
                Tensor::<2>::from_dispatch(on_beta).cast(DType::F32),
            )
        };
        let (ours, exact) = (moved(DType::F32), moved(DType::F64));
        let what = format!("{n} images, {groups} groups of {group_channels}, {h}×{w}, silu {silu}");
        close(&format!("{what}, of x"), ours.0, exact.0);
        close(&format!("{what}, of γ"), ours.1, exact.1);
        close(&format!("{what}, of β"), ours.2, exact.2);
    }
}

/// A gradient and a tangent see the same Jacobian: ⟨pull, J·t⟩ = ⟨Jᵀ·pull, t⟩ for each tangent t.
fn same_jacobian(
    what: &str,
    moved: Tensor<5>,
    tangents: Tensor<5>,
    pull: Tensor<4>,
    pulled: Tensor<4>,
) {
    let products = |a: Tensor<5>, b: &Tensor<4>| {
        let products = a * b.clone().unsqueeze::<5>();
        let sizes = products.clone().abs().flatten::<2>(1, 4).sum_dim(1);
        (
            values(products.flatten::<2>(1, 4).sum_dim(1)),
            values(sizes),
        )
    };
    let ((left, sizes), (right, others)) = (products(moved, &pull), products(tangents, &pulled));
    for k in 0..left.len() {
        let error = (left[k] - right[k]).abs();
        let size = sizes[k].max(others[k]);
        assert!(error < 1e-5 * size, "{what}: {} and {}", left[k], right[k]);
    }
}

#[test]
fn pointwise_maps_agree_over_odd_sizes() {
    let device = Device::flex().autodiff();
    for [n, i, o, h, w] in SIZES {
        let what = format!("{n} images, {i} to {o} channels, {h}×{w}");
        let x = numbers([n, i, h, w], 1, &device).require_grad();
        let weight = numbers([i, o], 2, &device).require_grad();
        let bias = numbers([o], 3, &device).require_grad();
        let pull = numbers([n, o, h, w], 4, &device);
        let ours = pointwise(x.clone(), weight.clone(), bias.clone());
        let theirs = x.clone().flatten::<3>(2, 3).swap_dims(1, 2);
        let theirs = theirs.matmul(weight.clone().unsqueeze()).swap_dims(1, 2);
        let theirs = theirs.reshape([n, o, h, w]) + bias.clone().reshape([1, o, 1, 1]);
        close(&what, ours.clone().inner(), theirs.clone().inner());
        let (a, b) = (
            (ours * pull.clone()).sum().backward(),
            (theirs * pull).sum().backward(),
        );
        let pairs = (x.grad(&a).unwrap(), x.grad(&b).unwrap());
        close(&format!("{what}, in x"), pairs.0, pairs.1);
        let pairs = (weight.grad(&a).unwrap(), weight.grad(&b).unwrap());
        close(&format!("{what}, in the weight"), pairs.0, pairs.1);
        let pairs = (bias.grad(&a).unwrap(), bias.grad(&b).unwrap());
        close(&format!("{what}, in the bias"), pairs.0, pairs.1);
    }
}

#[test]
fn attention_agrees_over_odd_sizes() {
    let device = Device::flex().autodiff();
    for [n, heads, c, h, w] in [
        [1, 1, 1, 1, 1],
        [2, 3, 5, 3, 5],
        [3, 1, 64, 8, 8],
        [2, 2, 32, 8, 8],
        [2, 2, 3, 1, 9],
        [1, 4, 8, 7, 7],
    ] {
        let what = format!("{n} images, {heads} heads of {c} channels, {h}×{w}");
        let qkv = numbers([n, 3 * heads * c, h, w], 1, &device).require_grad();
        let pull = numbers([n, heads * c, h, w], 2, &device);
        let ours = attention(qkv.clone(), heads);
        let thirds = qkv.clone().reshape([n, 3 * heads, c, h * w]);
        let third = |i: usize| thirds.clone().narrow(1, i * heads, heads);
        let scores = third(0).transpose().matmul(third(1)) / (c as f64).sqrt();
        let theirs = third(2).matmul(activation::softmax(scores, 3).transpose());
        let theirs = theirs.reshape([n, heads * c, h, w]);
        close(&what, ours.clone().inner(), theirs.clone().inner());
        let (a, b) = (
            (ours * pull.clone()).sum().backward(),
            (theirs * pull.clone()).sum().backward(),
        );
        let pulled = qkv.grad(&b).unwrap();
        close(
            &format!("{what}, in qkv"),
            qkv.grad(&a).unwrap(),
            pulled.clone(),
        );

        let plain = qkv.inner();
        let tangents = numbers([2, n, 3 * heads * c, h, w], 3, &plain.device());
        let tangent = |dtype| {
            Tensor::<5>::from_dispatch(Dispatch::self_attention_tangent(
                plain.clone().cast(dtype).into_dispatch(),
                tangents.clone().cast(dtype).into_dispatch(),
                heads,
            ))
        };
        let (moved, exact) = (tangent(DType::F32), tangent(DType::F64).cast(DType::F32));
        close(&format!("{what}, tangents"), moved.clone(), exact);
        same_jacobian(&what, moved, tangents, pull.inner(), pulled);
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let compute = || {
        let device = Device::flex().autodiff();
        let mut results = Vec::new();
        for n in [1, 2, 37] {
            let x = numbers([n, 12, 9, 10], 1, &device).require_grad();
            let weight = numbers([8, 12, 3, 3], 2, &device).require_grad();
            let half = numbers([8, 8, 3, 3], 9, &device).require_grad();
            let map = numbers([8, 24], 7, &device).require_grad();
            let (gamma, beta) = (numbers([12], 3, &device), numbers([12], 4, &device));
            let (gamma, beta) = (gamma.require_grad(), beta.require_grad());
            let options = GroupNormOptions {
                groups: 3,
                epsilon: 1e-5,
                silu: true,
            };
            let y = group_norm(x.clone(), gamma.clone(), beta.clone(), options);
            let y = conv3x3(y, weight.clone(), numbers([1, 8], 5, &device), Stride::One);
            let y = conv3x3(y, half.clone(), numbers([n, 8], 8, &device), Stride::Two);
            let y = attention(pointwise(y, map.clone(), numbers([24], 6, &device)), 2);
            let gradients = silu(y.clone()).sum().backward();
            results.push(values(y.inner()));
            results.push(values(x.grad(&gradients).unwrap()));
            results.push(values(weight.grad(&gradients).unwrap()));
            results.push(values(half.grad(&gradients).unwrap()));
            results.push(values(map.grad(&gradients).unwrap()));
            results.push(values(gamma.grad(&gradients).unwrap()));
        }
        results
    };
    let results_on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        pool.unwrap().install(compute)
    };
    let one_thread = results_on(1);
    assert_eq!(one_thread, results_on(2));
    assert_eq!(one_thread, results_on(5));
}
