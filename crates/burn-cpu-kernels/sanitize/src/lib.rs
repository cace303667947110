//! Tests of the loops against textbook sums, for a run under a sanitizer, with every instruction set that the processor has.
//! Every slice has the shortest length that is allowed, so that a read or a write beyond its end is detected, and results
//! are no numbers before they are written, so that an entry that was left out is seen.
#![cfg(test)]
#![allow(dead_code, reason = "the functions for Burn are left out")]
#![allow(
    clippy::needless_range_loop,
    reason = "loops over registers and taps read best with their indices"
)]

/// The kernels' own files, with their submodules.
#[path = "../../src"]
mod kernels {
    pub mod attention;
    pub mod conv;
    pub mod matrix;
    pub mod norm;
    pub mod panels;
    pub mod pointwise;
    pub mod silu;
    pub mod simd;
    pub mod stride;
    pub mod uninit;
}

use kernels::simd::limit;
use kernels::stride::Stride;
use kernels::uninit::overwritten;
use kernels::{attention, conv, matrix, norm, pointwise, silu, simd, stride, uninit};

/// Numbers that look random, the same everywhere.
fn numbers(count: usize, seed: u32) -> Box<[f32]> {
    let mut state = seed.wrapping_mul(2_654_435_761).max(1);
    let next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as f32 / u32::MAX as f32 * 4.0 - 2.0
    };
    std::iter::repeat_with(next).take(count).collect()
}

fn zeros(count: usize) -> Box<[f32]> {
    vec![0.0; count].into_boxed_slice()
}

/// Memory for results, no numbers until they are written.
fn unwritten(count: usize) -> Box<[f32]> {
    vec![f32::NAN; count].into_boxed_slice()
}

#[track_caller]
fn close(ours: &[f32], truth: &[f64]) {
    assert_eq!(ours.len(), truth.len());
    let size = truth.iter().fold(1e-30_f64, |m, v| m.max(v.abs()));
    for (ours, truth) in ours.iter().zip(truth) {
        assert!(
            (f64::from(*ours) - truth).abs() < 1e-5 * size,
            "{ours} for {truth}"
        );
    }
}

/// n, i, o, h, w.
const SIZES: [[usize; 5]; 10] = [
    [1, 1, 1, 1, 1],
    [2, 3, 5, 7, 5],
    [3, 4, 4, 3, 9],
    [1, 2, 3, 1, 17],
    [9, 5, 7, 8, 8],
    [17, 3, 6, 16, 16],
    [2, 6, 9, 14, 28],
    [40, 4, 4, 4, 4],
    [5, 2, 2, 2, 3],
    // More input channels than a block has.
    [2, 131, 9, 4, 9],
];

/// Runs a check with every instruction set, on one thread and on four, whose results are the same.
fn everywhere(check: impl Fn() -> [Vec<f32>; 3] + Copy + Send) {
    limit::each(|_| {
        let with_threads = [1, 4].map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
            pool.build().unwrap().install(check)
        });
        assert_eq!(with_threads[0], with_threads[1]);
    });
}

/// Every product of a convolution: positions of output, input and weight.
fn products([n, i, o, h, w]: [usize; 5]) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..n * o * h * w).flat_map(move |y| {
        let (image, out, row, column) = (y / w / h / o, y / w / h % o, y / w % h, y % w);
        (0..i * 9).filter_map(move |tap| {
            let (from, ky, kx) = (tap / 9, tap / 3 % 3, tap % 3);
            let (r, c) = ((row + ky).checked_sub(1)?, (column + kx).checked_sub(1)?);
            let inside = r < h && c < w;
            inside.then_some((y, ((image * i + from) * h + r) * w + c, out * i * 9 + tap))
        })
    })
}

#[test]
fn convolutions() {
    for shape @ [images, inputs, outputs, height, width] in SIZES {
        let pixels = height * width;
        let x = numbers(images * inputs * pixels, 1);
        let grad = numbers(images * outputs * pixels, 2);
        let weights = numbers(outputs * inputs * 9, 3);
        let mut truth = [grad.len(), x.len(), weights.len()].map(|count| vec![0.0; count]);
        for (y, from, tap) in products(shape) {
            let [x, grad, weight] = [x[from], grad[y], weights[tap]].map(f64::from);
            truth[0][y] += weight * x;
            truth[1][from] += weight * grad;
            truth[2][tap] += x * grad;
        }
        let shape = conv::ConvShape {
            images,
            inputs,
            outputs,
            height,
            width,
        };
        let packed = conv::PackedWeights::new(outputs, inputs, &weights);
        let turned = conv::PackedWeights::turned(outputs, inputs, &weights);
        let bias = numbers(images * outputs, 4);
        let pairs = truth[0]
            .iter()
            .zip(bias.iter().flat_map(|b| vec![*b; pixels]));
        let biased: Vec<f64> = pairs.map(|(y, b)| y + f64::from(b)).collect();
        let check = || {
            let lengths = [grad.len(), x.len(), weights.len()];
            let mut out = lengths.map(unwritten);
            conv::forward(shape, &x, &packed, None, overwritten(&mut out[0]));
            conv::input_gradient(shape, &grad, &turned, overwritten(&mut out[1]));
            conv::weight_gradient(shape, &x, &grad, &mut out[2]);
            out.iter()
                .zip(&truth)
                .for_each(|(out, truth)| close(out, truth));
            conv::forward(shape, &x, &packed, Some(&bias), overwritten(&mut out[0]));
            close(&out[0], &biased);
            out.map(|out| out.into_vec())
        };
        everywhere(check);
    }
}

/// Places of outputs, inputs and weights of a convolution with stride 2, of the products that are summed, and rows and columns of
/// its result.
fn products_of_stride_2(
    [n, i, o, h, w]: [usize; 5],
    stride: Stride,
) -> (Vec<[usize; 3]>, [usize; 2]) {
    let before = if stride == Stride::Two { 1 } else { 0 };
    let result = [h, w].map(|pixels| (pixels + before - 2) / 2 + 1);
    let mut places = Vec::new();
    for (image, y, x) in all([n, result[0], result[1]]) {
        for (to, from, tap) in all([o, i, 9]) {
            let (row, column) = (2 * y + tap / 3, 2 * x + tap % 3);
            let inside = |place: usize, pixels| (before..pixels + before).contains(&place);
            if inside(row, h) && inside(column, w) {
                let output = ((image * o + to) * result[0] + y) * result[1] + x;
                let input = ((image * i + from) * h + row - before) * w + column - before;
                places.push([output, input, (to * i + from) * 9 + tap]);
            }
        }
    }
    (places, result)
}

/// All triples below the given numbers.
fn all([a, b, c]: [usize; 3]) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..a * b * c).map(move |place| (place / (b * c), place / c % b, place % c))
}

#[test]
fn convolutions_of_stride_2() {
    let cases = SIZES
        .into_iter()
        .flat_map(|size| [Stride::Two, Stride::TwoFromCorner].map(|stride| (size, stride)));
    for (shape @ [images, inputs, outputs, height, width], stride) in cases {
        if stride == Stride::TwoFromCorner && height.min(width) < 2 {
            continue;
        }
        let (places, result) = products_of_stride_2(shape, stride);
        let x = numbers(images * inputs * height * width, 1);
        let grad = numbers(images * outputs * result[0] * result[1], 2);
        let weights = numbers(outputs * inputs * 9, 3);
        let bias = numbers(images * outputs, 4);
        let mut truth = [grad.len(), x.len(), weights.len()].map(|count| vec![0.0; count]);
        for (place, y) in truth[0].iter_mut().enumerate() {
            *y = f64::from(bias[place / (result[0] * result[1])]);
        }
        for [y, from, tap] in places {
            let [x, grad, weight] = [x[from], grad[y], weights[tap]].map(f64::from);
            truth[0][y] += weight * x;
            truth[1][from] += weight * grad;
            truth[2][tap] += x * grad;
        }
        let conv = conv::ConvShape {
            images,
            inputs,
            outputs,
            height,
            width,
        };
        let shape = conv::Stride2Shape { conv, stride };
        assert_eq!(shape.result(), result);
        let check = || {
            let mut out = [grad.len(), x.len(), weights.len()].map(unwritten);
            conv::forward_stride2(shape, &x, &weights, &bias, overwritten(&mut out[0]));
            conv::input_gradient_stride2(shape, &grad, &weights, overwritten(&mut out[1]));
            conv::weight_gradient_stride2(shape, &x, &grad, &mut out[2]);
            let results = out.iter().zip(&truth);
            results.for_each(|(out, truth)| close(out, truth));
            out.map(|out| out.into_vec())
        };
        everywhere(check);
    }
}

#[test]
fn pointwise_maps() {
    for [images, inputs, outputs, height, width] in SIZES {
        let pixels = height * width;
        let x = numbers(images * inputs * pixels, 1);
        let grad = numbers(images * outputs * pixels, 2);
        let weight = numbers(inputs * outputs, 3);
        let mut truth = [grad.len(), x.len(), weight.len()].map(|count| vec![0.0; count]);
        for (image, i) in (0..images).flat_map(|n| (0..inputs).map(move |i| (n, i))) {
            for (o, p) in (0..outputs).flat_map(|o| (0..pixels).map(move |p| (o, p))) {
                let from = (image * inputs + i) * pixels + p;
                let to = (image * outputs + o) * pixels + p;
                let entry = i * outputs + o;
                let [x, grad, weight] = [x[from], grad[to], weight[entry]].map(f64::from);
                truth[0][to] += weight * x;
                truth[1][from] += weight * grad;
                truth[2][entry] += x * grad;
            }
        }
        let shape = pointwise::PointwiseShape {
            images,
            inputs,
            outputs,
            pixels,
        };
        limit::each(|_| {
            let mut out = [grad.len(), x.len(), weight.len()].map(unwritten);
            let bias = zeros(outputs);
            pointwise::forward(shape, &x, &weight, &bias, overwritten(&mut out[0]));
            pointwise::input_gradient(shape, &grad, &weight, overwritten(&mut out[1]));
            pointwise::weight_gradient(shape, &x, &grad, &mut out[2]);
            out.iter()
                .zip(&truth)
                .for_each(|(out, truth)| close(out, truth));
            let mut sums = zeros(images * outputs);
            pointwise::channel_sums(pixels, &grad, &mut sums);
            let total = |channel: &[f32]| channel.iter().copied().map(f64::from).sum();
            close(&sums, &grad.chunks(pixels).map(total).collect::<Vec<f64>>());
        });
    }
}

/// Gradient and tangent see one Jacobian, which central differences of the value confirm.
fn same_jacobian(
    value: impl Fn(&[f32]) -> Box<[f32]>,
    x: &[f32],
    (tangent, moved): (&[f32], &[f32]),
    (grad, pulled): (&[f32], &[f32]),
) {
    let inner = |a: &[f32], b: &[f32]| {
        let products = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b));
        products.sum::<f64>()
    };
    let size = moved
        .iter()
        .zip(grad)
        .map(|(a, b)| f64::from((a * b).abs()))
        .sum::<f64>();
    assert!((inner(moved, grad) - inner(pulled, tangent)).abs() < 1e-5 * size);
    let step = 1e-2;
    let product = |sign: f32| {
        let x: Vec<f32> = x
            .iter()
            .zip(tangent)
            .map(|(x, t)| x + sign * step * t)
            .collect();
        inner(&value(&x), grad)
    };
    let difference = (product(1.0) - product(-1.0)) / (2.0 * f64::from(step));
    assert!((difference - inner(moved, grad)).abs() < 3e-3 * size);
}

#[test]
fn group_norms() {
    for (groups, group_channels, pixels, silu) in
        [(1, 3, 1, true), (3, 4, 35, true), (2, 5, 9, false)]
    {
        let options = norm::GroupNormOptions {
            groups,
            epsilon: 1e-5,
            silu,
        };
        let (images, channels) = (3, groups * group_channels);
        let shape = norm::NormShape {
            images,
            channels,
            pixels,
        };
        let count = images * channels * pixels;
        let (x_values, tangent, grad) = (numbers(count, 1), numbers(count, 2), numbers(count, 3));
        let (gamma, beta) = (numbers(channels, 4), numbers(channels, 5));
        let value = |x: &[f32]| {
            let mut out = unwritten(count);
            norm::forward(shape, options, x, &gamma, &beta, overwritten(&mut out));
            out
        };
        let affine = (&*gamma, &*beta);
        limit::each(|_| {
            let tangent_along = |x, affine_moved| {
                let directions = norm::Directions {
                    x,
                    affine: affine_moved,
                };
                let mut moved = unwritten(count);
                let out = overwritten(&mut moved);
                norm::tangent(shape, options, &x_values, affine, directions, out);
                moved
            };
            let mut pulled = unwritten(count);
            let out = overwritten(&mut pulled);
            norm::gradient(shape, options, &x_values, affine, &grad, out);
            let moved = tangent_along(Some(&*tangent), None);
            same_jacobian(value, &x_values, (&tangent, &moved), (&grad, &pulled));
            // Directions of data and weights add up.
            let weights = (&*numbers(channels, 6), &*numbers(channels, 7));
            let along_weights = tangent_along(None, Some(weights));
            let along_all = tangent_along(Some(&*tangent), Some(weights));
            let sum = moved.iter().zip(&along_weights);
            let sum: Vec<f64> = sum.map(|(a, b)| f64::from(a + b)).collect();
            close(&along_all, &sum);
        });
    }
}

/// The tangent of the gradients is their central difference in x, γ, β and the gradient of the result together.
#[test]
fn group_norm_gradients() {
    for (groups, group_channels, pixels, silu) in
        [(1, 3, 2, true), (3, 4, 35, true), (2, 5, 9, false)]
    {
        let options = norm::GroupNormOptions {
            groups,
            epsilon: 1e-5,
            silu,
        };
        let (images, channels, k) = (3, groups * group_channels, 2);
        let shape = norm::NormShape {
            images,
            channels,
            pixels,
        };
        let count = images * channels * pixels;
        let (x, grad) = (numbers(count, 1), numbers(count, 2));
        let (gamma, beta) = (numbers(channels, 3), numbers(channels, 4));
        let (x_moved, grad_moved) = (numbers(k * count, 5), numbers(k * count, 6));
        let (gamma_moved, beta_moved) = (numbers(k * channels, 7), numbers(k * channels, 8));
        let mut moved = zeros(k * count);
        let directions = norm::GradientDirections {
            x: &x_moved,
            affine: (&gamma_moved, &beta_moved),
            grad: &grad_moved,
        };
        let (affine, results) = ((&*gamma, &*beta), (&*x, &*grad));
        let (on_gamma, on_beta) =
            norm::gradient_tangent(shape, options, results, affine, directions, &mut moved);

        let step = 1e-2;
        for direction in 0..k {
            let along = |values: &[f32], moved: &[f32], sign: f32| -> Vec<f32> {
                let moved = &moved[direction * values.len()..][..values.len()];
                values
                    .iter()
                    .zip(moved)
                    .map(|(v, t)| v + sign * step * t)
                    .collect()
            };
            let gradients = |sign: f32| {
                let (x, grad) = (along(&x, &x_moved, sign), along(&grad, &grad_moved, sign));
                let gamma = along(&gamma, &gamma_moved, sign);
                let beta = along(&beta, &beta_moved, sign);
                let mut on_x = unwritten(count);
                let out = overwritten(&mut on_x);
                let (on_gamma, on_beta) =
                    norm::gradient(shape, options, &x, (&gamma, &beta), &grad, out);
                [on_x.into_vec(), on_gamma, on_beta]
            };
            let [ahead, behind] = [gradients(1.0), gradients(-1.0)];
            let ours = [&*moved, &on_gamma, &on_beta];
            for ((ahead, behind), ours) in ahead.iter().zip(&behind).zip(ours) {
                let ours = &ours[direction * ahead.len()..][..ahead.len()];
                let size = ours.iter().fold(1e-30_f32, |m, v| m.max(v.abs()));
                for ((ahead, behind), ours) in ahead.iter().zip(behind).zip(ours) {
                    let difference = (ahead - behind) / (2.0 * step);
                    assert!(
                        (difference - ours).abs() < 1e-2 * size,
                        "{ours} for {difference}"
                    );
                }
            }
        }
    }
}

#[test]
fn attentions() {
    for (heads, channels, pixels) in [(1, 1, 1), (2, 5, 15), (1, 8, 64), (3, 3, 9), (1, 4, 49)] {
        let shape = attention::AttentionShape {
            heads,
            channels,
            pixels,
        };
        let count = 2 * heads * channels * pixels;
        let (x, tangent) = (numbers(3 * count, 1), numbers(3 * count, 2));
        let grad = numbers(count, 3);
        let value = |x: &[f32]| {
            let mut out = zeros(count);
            attention::forward(shape, x, &mut out);
            out
        };
        limit::each(|_| {
            let (mut moved, mut pulled) = (zeros(count), zeros(3 * count));
            attention::tangent(shape, &x, &tangent, &mut moved);
            attention::gradient(shape, &x, &grad, &mut pulled);
            same_jacobian(value, &x, (&tangent, &moved), (&grad, &pulled));
        });
    }
}
