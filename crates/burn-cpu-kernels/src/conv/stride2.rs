//! The 3×3 convolution with stride 2 as one matrix product for each image: the weights `[o, 9·i]` times the patches of the image,
//! `[9·i, outputs]`. A row of the patches has what one entry of the kernel sees of one channel at all outputs.
//!
//! The gradient of the input adds up `Wᵀ·ȳ` at the pixels that the patches came from. Results do not depend on the number of
//! threads: every entry is one sum in order, and the weight gradients of fixed parts of the batch are added in their order.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use super::buffers::{BUFFERS, at_least};
use super::shape::ConvShape;
use crate::matrix::Matrix;
use crate::pointwise::{added_parts, outer, product};
use crate::stride::Stride;
use crate::uninit::{assume_written, overwritten};

/// Entries of a kernel.
const TAPS: usize = 9;

/// Shape of a convolution with stride 2.
#[derive(Debug, Clone, Copy)]
pub struct Stride2Shape {
    /// Numbers of images and channels, and rows and columns of an image.
    pub conv: ConvShape,
    /// Not [`Stride::One`].
    pub stride: Stride,
}

impl Stride2Shape {
    /// Rows and columns of the result.
    pub fn result(&self) -> [usize; 2] {
        [self.conv.height, self.conv.width].map(|pixels| self.stride.outputs(pixels))
    }

    fn pixels_out(&self) -> usize {
        self.result().iter().product()
    }

    /// Channels of an image that one task has, of so many: all, but where the threads outnumber the images.
    fn channels_of_task(&self, channels: usize) -> usize {
        channels.div_ceil(rayon::current_num_threads().div_ceil(self.conv.images))
    }
}

/// `y = W·patches(x) + b`: weight `[o, i, 3, 3]`, bias `[1, o]` or `[n, o]`. All of `out`, `[n, o, …]`, is written.
pub fn forward(
    shape: Stride2Shape,
    x: &[f32],
    weight: &[f32],
    bias: &[f32],
    out: &mut [MaybeUninit<f32>],
) {
    let (pixels, taps) = (shape.pixels_out(), TAPS * shape.conv.inputs);
    let (rows, of_image) = (
        shape.channels_of_task(shape.conv.outputs),
        shape.conv.outputs * pixels,
    );
    let images = x.par_chunks(shape.conv.inputs * shape.conv.pixels());
    let images = images.zip(out.par_chunks_mut(of_image)).enumerate();
    images.for_each(|(image, (x, out))| {
        let bias = match bias.len() / shape.conv.outputs {
            1 => bias,
            _ => &bias[image * shape.conv.outputs..][..shape.conv.outputs],
        };
        let parts = out.par_chunks_mut(rows * pixels).zip(bias.par_chunks(rows));
        let parts = parts.zip(weight.par_chunks(rows * taps));
        parts.for_each(|((out, bias), weight)| {
            let mut buffers = BUFFERS.take();
            let patches = at_least(&mut buffers.transformed, taps * pixels);
            extract(shape, x, patches);
            let by_output = Matrix::rows(weight, taps);
            product(
                (bias.len(), taps, pixels),
                by_output,
                patches,
                Some(bias),
                out,
            );
            BUFFERS.set(buffers);
        });
    });
}

/// The gradient of x from that of the result. All of `out` is written.
pub fn input_gradient(
    shape: Stride2Shape,
    grad: &[f32],
    weight: &[f32],
    out: &mut [MaybeUninit<f32>],
) {
    let (pixels, taps) = (shape.pixels_out(), TAPS * shape.conv.inputs);
    let channels = shape.channels_of_task(shape.conv.inputs);
    let images = out.par_chunks_mut(shape.conv.inputs * shape.conv.pixels());
    let images = images.zip(grad.par_chunks(shape.conv.outputs * pixels));
    images.for_each(|(out, grad)| {
        let parts = out
            .par_chunks_mut(channels * shape.conv.pixels())
            .enumerate();
        parts.for_each(|(part, out)| {
            let mut buffers = BUFFERS.take();
            let rows = TAPS * (out.len() / shape.conv.pixels());
            let patches = at_least(&mut buffers.transformed, rows * pixels);
            let by_tap = Matrix::columns(&weight[part * TAPS * channels..], taps);
            let dims = (rows, shape.conv.outputs, pixels);
            product(dims, by_tap, grad, None, overwritten(patches));
            out.fill(MaybeUninit::new(0.0));
            // SAFETY: every entry was written in the line above.
            add_back(shape, patches, unsafe { assume_written(out) });
            BUFFERS.set(buffers);
        });
    });
}

/// The gradient of the weight, `[o, i, 3, 3]`.
pub fn weight_gradient(shape: Stride2Shape, x: &[f32], grad: &[f32], out: &mut [f32]) {
    let (pixels, taps) = (shape.pixels_out(), TAPS * shape.conv.inputs);
    let lengths = [
        shape.conv.inputs * shape.conv.pixels(),
        shape.conv.outputs * pixels,
    ];
    added_parts(shape.conv.images, lengths, x, grad, out, |x, grad, sum| {
        let mut buffers = BUFFERS.take();
        let patches = at_least(&mut buffers.transformed, taps * pixels);
        extract(shape, x, patches);
        outer((shape.conv.outputs, pixels, taps), grad, patches, sum);
        BUFFERS.set(buffers);
    });
}

/// The patches of an image, `[9·i, outputs]`.
fn extract(shape: Stride2Shape, x: &[f32], patches: &mut [f32]) {
    let before = shape.stride.zeros_before();
    let [_, columns] = shape.result();
    let channels = patches.chunks_exact_mut(TAPS * shape.pixels_out());
    for (x, patches) in x.chunks_exact(shape.conv.pixels()).zip(channels) {
        for (tap, patch) in patches.chunks_exact_mut(shape.pixels_out()).enumerate() {
            for (i, out) in patch.chunks_exact_mut(columns).enumerate() {
                // One more than the row of the image.
                let row = 2 * i + tap / 3 + 1 - before;
                if (1..=shape.conv.height).contains(&row) {
                    let row = &x[(row - 1) * shape.conv.width..][..shape.conv.width];
                    every_second(row, (tap % 3, before), out);
                } else {
                    out.fill(0.0);
                }
            }
        }
    }
}

/// Adds patches at the pixels of the image that they came from: the transpose of [`extract`].
fn add_back(shape: Stride2Shape, patches: &[f32], x: &mut [f32]) {
    let before = shape.stride.zeros_before();
    let [_, columns] = shape.result();
    let channels = patches.chunks_exact(TAPS * shape.pixels_out());
    for (x, patches) in x.chunks_exact_mut(shape.conv.pixels()).zip(channels) {
        for (tap, patch) in patches.chunks_exact(shape.pixels_out()).enumerate() {
            for (i, values) in patch.chunks_exact(columns).enumerate() {
                let row = 2 * i + tap / 3 + 1 - before;
                if (1..=shape.conv.height).contains(&row) {
                    let row = &mut x[(row - 1) * shape.conv.width..][..shape.conv.width];
                    add_to_every_second(values, (tap % 3, before), row);
                }
            }
        }
    }
}

/// `out[j] = row[2·j + tap − before]`, and 0 beyond the row.
fn every_second(row: &[f32], (tap, before): (usize, usize), out: &mut [f32]) {
    // The first output of a pixel, and that pixel.
    let first = before.saturating_sub(tap);
    let from = 2 * first + tap - before;
    let inside = row
        .len()
        .saturating_sub(from)
        .div_ceil(2)
        .min(out.len() - first);
    out[..first].fill(0.0);
    out[first + inside..].fill(0.0);
    let pixels = &row[from.min(row.len())..];
    let (pairs, rest) = pixels.as_chunks::<2>();
    let out = &mut out[first..first + inside];
    for (out, [pixel, _]) in out.iter_mut().zip(pairs) {
        *out = *pixel;
    }
    if let Some(out) = out.get_mut(pairs.len()) {
        *out = rest[0];
    }
}

/// `row[2·j + tap − before] += values[j]`, for the pixels of the row.
fn add_to_every_second(values: &[f32], (tap, before): (usize, usize), row: &mut [f32]) {
    let first = before.saturating_sub(tap);
    let from = (2 * first + tap - before).min(row.len());
    let (pairs, rest) = row[from..].as_chunks_mut::<2>();
    let values = &values[first..];
    for ([pixel, _], value) in pairs.iter_mut().zip(values) {
        *pixel += value;
    }
    if let (Some(pixel), Some(value)) = (rest.first_mut(), values.get(pairs.len())) {
        *pixel += value;
    }
}
