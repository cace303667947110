//! Loops of a linear map of the channels at every pixel, one small matrix product for each image.
//!
//! Images are `[n, channels, pixels]`. Results do not depend on the number of threads: every image is
//! computed alone, and the weight gradients of fixed parts of the batch are added in their order.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use crate::matrix::{Matrix, correlate, multiply};
use crate::simd::{Machine, multiversion, sum};

/// Largest number of parts of a batch whose weight gradients are summed apart.
const PARTS: usize = 16;

/// Shape of a map of the channels: images `[n, i, pixels]` to `[n, o, pixels]`.
#[derive(Debug, Clone, Copy)]
pub struct PointwiseShape {
    /// Number of images.
    pub images: usize,
    /// Number of channels in.
    pub inputs: usize,
    /// Number of channels out.
    pub outputs: usize,
    /// Number of values of a channel.
    pub pixels: usize,
}

/// `out[o] = Σ_i weight[i, o]·x[i] + bias[o]`: `weight` is `[i, o]`. All of `out` is written.
pub fn forward(
    shape: PointwiseShape,
    x: &[f32],
    weight: &[f32],
    bias: &[f32],
    out: &mut [MaybeUninit<f32>],
) {
    let images = out.par_chunks_mut(shape.outputs * shape.pixels);
    let images = images.zip(x.par_chunks(shape.inputs * shape.pixels));
    images.for_each(|(out, x)| {
        let by_output = Matrix::columns(weight, shape.outputs);
        let dims = (shape.outputs, shape.inputs, shape.pixels);
        product(dims, by_output, x, Some(bias), out);
    });
}

/// The gradient of x from that of the result. All of `out` is written.
pub fn input_gradient(
    shape: PointwiseShape,
    grad: &[f32],
    weight: &[f32],
    out: &mut [MaybeUninit<f32>],
) {
    let images = out.par_chunks_mut(shape.inputs * shape.pixels);
    let images = images.zip(grad.par_chunks(shape.outputs * shape.pixels));
    images.for_each(|(out, grad)| {
        let by_input = Matrix::rows(weight, shape.outputs);
        product(
            (shape.inputs, shape.outputs, shape.pixels),
            by_input,
            grad,
            None,
            out,
        );
    });
}

/// The gradient of the weight, `[i, o]`.
pub fn weight_gradient(shape: PointwiseShape, x: &[f32], grad: &[f32], out: &mut [f32]) {
    let dims = (shape.inputs, shape.pixels, shape.outputs);
    let lengths = [shape.inputs * shape.pixels, shape.outputs * shape.pixels];
    added_parts(shape.images, lengths, x, grad, out, |x, grad, sum| {
        outer(dims, x, grad, sum);
    });
}

/// `out = Σ f(x, grad)` over the images, whose entries in x and in the gradient have these lengths; `f` adds to its last argument.
pub(crate) fn added_parts(
    images: usize,
    [length, grad_length]: [usize; 2],
    x: &[f32],
    grad: &[f32],
    out: &mut [f32],
    f: impl Fn(&[f32], &[f32], &mut [f32]) + Sync,
) {
    let images = images.div_ceil(PARTS);
    let parts = x
        .par_chunks(images * length)
        .zip(grad.par_chunks(images * grad_length));
    let partial: Vec<Vec<f32>> = parts
        .map(|(x, grad)| {
            let mut sum = vec![0.0; out.len()];
            let images = x.chunks_exact(length).zip(grad.chunks_exact(grad_length));
            images.for_each(|(x, grad)| f(x, grad, &mut sum));
            sum
        })
        .collect();
    out.fill(0.0);
    for partial in partial {
        out.iter_mut()
            .zip(partial)
            .for_each(|(sum, value)| *sum += value);
    }
}

multiversion! {
    /// [`multiply`].
    pub(crate) fn product(
        dims: (usize, usize, usize),
        a: Matrix<'_>,
        b: &[f32],
        start: Option<&[f32]>,
        out: &mut [MaybeUninit<f32>],
    ) = multiply
}

multiversion! {
    /// [`correlate`].
    pub(crate) fn outer(dims: (usize, usize, usize), a: &[f32], b: &[f32], out: &mut [f32]) = correlate
}

/// The sum of each channel of each image: `[n, channels]`.
pub fn channel_sums(pixels: usize, x: &[f32], out: &mut [f32]) {
    let channels = out
        .par_iter_mut()
        .with_min_len(64)
        .zip(x.par_chunks(pixels));
    channels.for_each(|(out, x)| channel_sum(x, out));
}

multiversion! {
    fn channel_sum(x: &[f32], out: &mut f32) = channel_sum_body
}

#[inline(always)]
fn channel_sum_body<M: Machine>(x: &[f32], out: &mut f32) {
    *out = sum(x, x, |x, _| x);
}
