//! The same linear map of the channels at every pixel, as one small matrix product for each image.
//!
//! Images are `[n, channels, pixels]`. Results do not depend on the number of threads: every image is
//! computed alone, and the weight gradients of fixed parts of the batch are added in their order.

use rayon::prelude::*;

use crate::isa::{Vector, multiversion, sum};
use crate::matrix::{Matrix, correlate, multiply};

/// Parts of a batch whose weight gradients are summed apart, at most.
const PARTS: usize = 16;

/// Batch and channels in and out.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Images.
    pub images: usize,
    /// Channels in.
    pub inputs: usize,
    /// Channels out.
    pub outputs: usize,
    /// Values of a channel.
    pub pixels: usize,
}

/// `out[o] = Σ_i weight[i, o]·x[i] + bias[o]`: `weight` is `[i, o]`.
pub fn forward(size: Size, x: &[f32], weight: &[f32], bias: &[f32], out: &mut [f32]) {
    let images = out.par_chunks_mut(size.outputs * size.pixels);
    let images = images.zip(x.par_chunks(size.inputs * size.pixels));
    images.for_each(|(out, x)| {
        let by_output = Matrix::columns(weight, size.outputs);
        let shape = (size.outputs, size.inputs, size.pixels);
        product(shape, by_output, x, Some(bias), out);
    });
}

/// The gradient of x from that of the result.
pub fn input_gradient(size: Size, grad: &[f32], weight: &[f32], out: &mut [f32]) {
    let images = out.par_chunks_mut(size.inputs * size.pixels);
    let images = images.zip(grad.par_chunks(size.outputs * size.pixels));
    images.for_each(|(out, grad)| {
        let by_input = Matrix::rows(weight, size.outputs);
        product(
            (size.inputs, size.outputs, size.pixels),
            by_input,
            grad,
            None,
            out,
        );
    });
}

/// The gradient of the weight, `[i, o]`.
pub fn weight_gradient(size: Size, x: &[f32], grad: &[f32], out: &mut [f32]) {
    let images = size.images.div_ceil(PARTS);
    let parts = x
        .par_chunks(images * size.inputs * size.pixels)
        .zip(grad.par_chunks(images * size.outputs * size.pixels));
    let partial: Vec<Vec<f32>> = parts
        .map(|(x, grad)| {
            let mut sum = vec![0.0; out.len()];
            let images = x.chunks_exact(size.inputs * size.pixels);
            for (x, grad) in images.zip(grad.chunks_exact(size.outputs * size.pixels)) {
                outer((size.inputs, size.pixels, size.outputs), x, grad, &mut sum);
            }
            sum
        })
        .collect();
    out.fill(0.0);
    for partial in partial {
        out.iter_mut()
            .zip(partial)
            .for_each(|(sum, one)| *sum += one);
    }
}

multiversion! {
    fn product(
        shape: (usize, usize, usize),
        a: Matrix<'_>,
        b: &[f32],
        start: Option<&[f32]>,
        out: &mut [f32],
    ) = multiply
}

multiversion! {
    fn outer(shape: (usize, usize, usize), a: &[f32], b: &[f32], out: &mut [f32]) = correlate
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
fn channel_sum_body<V: Vector, const WIDE: bool>(x: &[f32], out: &mut f32) {
    *out = sum(x, x, |x, _| x);
}
