//! The 3×3 convolution with stride 1 that keeps the resolution, directly: no matrix of patches.
//!
//! Images are NCHW. Each image gets a border of zeros and rows rounded up to whole vectors; then
//! `y[o] = Σ_{i, ky, kx} w[o, i, ky, kx]·x[i, · + ky, · + kx]` runs over tiles of [`OUTPUTS`] output channels
//! by [`VECTORS`] vectors of pixels, whose sums stay in registers while the inputs pass by. The gradient
//! of the input is the same convolution with the kernel transposed and turned round; the gradient of
//! the weights sums products of the two images in the same registers.
//!
//! Results do not depend on the number of threads: every image is computed alone, and the weight
//! gradients of fixed groups of images are added in their order.

use rayon::prelude::*;

use crate::isa::{LANES, Vector, multiversion};

/// Output channels of a tile.
const OUTPUTS: usize = 4;
/// Images whose weight gradients are summed before they leave the registers.
const GROUP: usize = 8;

/// Batch, channels and resolution of a convolution's input and output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Images.
    pub images: usize,
    /// Channels in.
    pub inputs: usize,
    /// Channels out.
    pub outputs: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl Size {
    fn pixels(&self) -> usize {
        self.height * self.width
    }

    /// Columns rounded up to whole vectors.
    fn columns(&self) -> usize {
        self.width.next_multiple_of(LANES)
    }

    /// Length of a row with its border.
    fn pitch(&self) -> usize {
        self.columns() + 2
    }

    /// Entries of one channel with its border.
    fn plane(&self) -> usize {
        (self.height + 2) * self.pitch()
    }

    /// Where each vector of pixels begins in a channel with its border.
    fn vectors(&self) -> Vec<usize> {
        let rows = 0..self.height;
        rows.flat_map(|y| (0..self.columns()).step_by(LANES).map(move |x| (y, x)))
            .map(|(y, x)| y * self.pitch() + x)
            .collect()
    }
}

/// `out = conv(x, weights) + bias`: `x` is `[n, i, h, w]`, `weights` `[o, i, 3, 3]`, `bias` `[o]`, `out`
/// `[n, o, h, w]`.
pub fn forward(size: Size, x: &[f32], weights: &[f32], bias: Option<&[f32]>, out: &mut [f32]) {
    let weight = |o: usize, i: usize, tap: usize| weights[(o * size.inputs + i) * 9 + tap];
    run(size, x, &pack(size.outputs, size.inputs, weight), bias, out);
}

/// The gradient of the input, `[n, i, h, w]`, from that of the output, `[n, o, h, w]`.
pub fn input_gradient(size: Size, grad: &[f32], weights: &[f32], out: &mut [f32]) {
    let weight = |i: usize, o: usize, tap: usize| weights[(o * size.inputs + i) * 9 + 8 - tap];
    let turned = Size {
        inputs: size.outputs,
        outputs: size.inputs,
        ..size
    };
    run(
        turned,
        grad,
        &pack(size.inputs, size.outputs, weight),
        None,
        out,
    );
}

/// The gradient of the weights, `[o, i, 3, 3]`, from the input and the gradient of the output.
pub fn weight_gradient(size: Size, x: &[f32], grad: &[f32], out: &mut [f32]) {
    let x_image = size.inputs * size.pixels();
    let grad_image = size.outputs * size.pixels();
    let x_groups = x.par_chunks(GROUP * x_image);
    let partial: Vec<Vec<f32>> = x_groups
        .zip(grad.par_chunks(GROUP * grad_image))
        .map(|(x, grad)| {
            let images = x.len() / x_image;
            let bordered = border(size, size.inputs * images, x);
            let rounded = round_rows(size, size.outputs.next_multiple_of(OUTPUTS), images, grad);
            let mut sum = vec![0.0; size.outputs * size.inputs * 9];
            weight_group(size, images, &bordered, &rounded, &mut sum);
            sum
        })
        .collect();
    out.fill(0.0);
    for sum in partial {
        out.iter_mut().zip(sum).for_each(|(out, sum)| *out += sum);
    }
}

/// Weights in the order in which a tile reads them: `[outputs / 4, inputs, 9, 4]`, zeros beyond the last.
fn pack(outputs: usize, inputs: usize, weight: impl Fn(usize, usize, usize) -> f32) -> Vec<f32> {
    let mut packed = Vec::with_capacity(outputs.next_multiple_of(OUTPUTS) * inputs * 9);
    for block in (0..outputs).step_by(OUTPUTS) {
        for i in 0..inputs {
            for tap in 0..9 {
                for o in block..block + OUTPUTS {
                    packed.push(if o < outputs { weight(o, i, tap) } else { 0.0 });
                }
            }
        }
    }
    packed
}

fn run(size: Size, x: &[f32], packed: &[f32], bias: Option<&[f32]>, out: &mut [f32]) {
    let vectors = size.vectors();
    let images = out
        .par_chunks_mut(size.outputs * size.pixels())
        .zip(x.par_chunks(size.inputs * size.pixels()));
    images.for_each(|(out, x)| {
        let bordered = border(size, size.inputs, x);
        image(size, &vectors, &bordered, packed, bias, out);
    });
}

/// Channels with a border of zeros: `[channels, h + 2, pitch]`.
fn border(size: Size, channels: usize, x: &[f32]) -> Vec<f32> {
    let (pitch, plane) = (size.pitch(), size.plane());
    // Room for the last vector of the last row to read past its end.
    let mut bordered = vec![0.0; channels * plane + LANES];
    for (channel, x) in x.chunks_exact(size.pixels()).enumerate() {
        for (y, row) in x.chunks_exact(size.width).enumerate() {
            let start = channel * plane + (y + 1) * pitch + 1;
            bordered[start..start + size.width].copy_from_slice(row);
        }
    }
    bordered
}

/// Rows rounded up with zeros and channels rounded up to `channels`: `[images, channels, h, columns]`.
fn round_rows(size: Size, channels: usize, images: usize, grad: &[f32]) -> Vec<f32> {
    let plane = size.height * size.columns();
    let mut rounded = vec![0.0; images * channels * plane];
    for (image, grad) in grad.chunks_exact(size.outputs * size.pixels()).enumerate() {
        for (channel, grad) in grad.chunks_exact(size.pixels()).enumerate() {
            for (y, row) in grad.chunks_exact(size.width).enumerate() {
                let start = (image * channels + channel) * plane + y * size.columns();
                rounded[start..start + size.width].copy_from_slice(row);
            }
        }
    }
    rounded
}

multiversion! {
    fn image(
        size: Size,
        vectors: &[usize],
        x: &[f32],
        packed: &[f32],
        bias: Option<&[f32]>,
        out: &mut [f32],
    ) = image_body
}

#[inline(always)]
fn image_body<V: Vector, const WIDE: bool>(
    size: Size,
    vectors: &[usize],
    x: &[f32],
    packed: &[f32],
    bias: Option<&[f32]>,
    out: &mut [f32],
) {
    let block = size.inputs * 9 * OUTPUTS;
    // With four channels each, the sums fill 16 or 32 registers but for the operands.
    let most = if WIDE { 6 } else { 3 };
    let mut tile = 0;
    while tile < vectors.len() {
        let left = vectors.len() - tile;
        let width = match left {
            _ if left >= most => most,
            3.. => 3,
            _ => 1,
        };
        for (b, packed) in packed.chunks_exact(block).enumerate() {
            let first = b * OUTPUTS;
            let mut start = [V::splat(0.0); OUTPUTS];
            if let Some(bias) = bias {
                for (lanes, bias) in start.iter_mut().zip(&bias[first..]) {
                    *lanes = V::splat(*bias);
                }
            }
            let at = (size, tile, first, OUTPUTS.min(size.outputs - first));
            let starts = &vectors[tile..];
            match width {
                6 => tile_body::<V, 6>(at, starts, x, packed, start, out),
                3 => tile_body::<V, 3>(at, starts, x, packed, start, out),
                _ => tile_body::<V, 1>(at, starts, x, packed, start, out),
            }
        }
        tile += width;
    }
}

/// One tile: `N` vectors of pixels by [`OUTPUTS`] channels.
#[inline(always)]
fn tile_body<V: Vector, const N: usize>(
    (size, tile, first, count): (Size, usize, usize, usize),
    starts: &[usize],
    x: &[f32],
    packed: &[f32],
    start: [V; OUTPUTS],
    out: &mut [f32],
) {
    let (pitch, plane) = (size.pitch(), size.plane());
    let last = (size.inputs - 1) * plane + 2 * pitch + 2 + LANES;
    let starts: [usize; N] = std::array::from_fn(|v| starts[v]);
    assert!(starts.iter().all(|start| start + last <= x.len()));
    let mut sums = [start; N];
    for (channel, weights) in packed.chunks_exact(9 * OUTPUTS).enumerate() {
        let (rows, _) = weights.as_chunks::<{ 3 * OUTPUTS }>();
        for (ky, weights) in rows.iter().enumerate() {
            let offset = channel * plane + ky * pitch;
            // SAFETY: offset is at most `last - 2 - LANES`, and was checked with every start.
            let at = starts.map(|start| unsafe { x.as_ptr().add(offset + start) });
            for kx in 0..3 {
                // SAFETY: as above; kx is at most 2.
                let pixels = at.map(|at| unsafe { V::load(at.add(kx)) });
                for o in 0..OUTPUTS {
                    let weight = V::splat(weights[kx * OUTPUTS + o]);
                    for v in 0..N {
                        sums[v][o] = weight.fused(pixels[v], sums[v][o]);
                    }
                }
            }
        }
    }
    let columns = size.columns();
    for (v, sums) in sums.iter().enumerate() {
        let pixel = (tile + v) * LANES;
        let (row, column) = (pixel / columns, pixel % columns);
        let valid = LANES.min(size.width - column);
        for o in 0..count {
            let to = (first + o) * size.pixels() + row * size.width + column;
            out[to..to + valid].copy_from_slice(&sums[o].lanes()[..valid]);
        }
    }
}

multiversion! {
    fn weight_group(size: Size, images: usize, x: &[f32], grad: &[f32], out: &mut [f32]) = weight_body
}

#[inline(always)]
fn weight_body<V: Vector, const WIDE: bool>(
    size: Size,
    images: usize,
    x: &[f32],
    grad: &[f32],
    out: &mut [f32],
) {
    let (pitch, plane, columns) = (size.pitch(), size.plane(), size.columns());
    let grad_plane = size.height * columns;
    let channels = size.outputs.next_multiple_of(OUTPUTS);
    assert!(x.len() >= images * size.inputs * plane + LANES);
    assert!(grad.len() >= images * channels * grad_plane);
    for first in (0..size.outputs).step_by(OUTPUTS) {
        for input in 0..size.inputs {
            for ky in 0..3 {
                let mut sums = [[V::splat(0.0); 3]; OUTPUTS];
                for image in 0..images {
                    let mut from = (image * size.inputs + input) * plane + ky * pitch;
                    let mut to = (image * channels + first) * grad_plane;
                    for _ in 0..size.height {
                        for column in (0..columns).step_by(LANES) {
                            // SAFETY: `from` is a row of a channel of `x`, columns + 2 long, and 8 values
                            // from any of its columns end within the channel's border or the room that
                            // `border` leaves at the end; `to` and the three channels after it are rows of
                            // `grad`. The lengths were checked above.
                            sums = unsafe {
                                let x = x.as_ptr().add(from + column);
                                outer(x, grad.as_ptr().add(to + column), grad_plane, sums)
                            };
                        }
                        from += pitch;
                        to += columns;
                    }
                }
                for o in 0..OUTPUTS.min(size.outputs - first) {
                    let to = ((first + o) * size.inputs + input) * 9 + ky * 3;
                    for kx in 0..3 {
                        out[to + kx] = sums[o][kx].lanes().iter().sum();
                    }
                }
            }
        }
    }
}

/// Adds the products of one vector of [`OUTPUTS`] channels of `grad`, `plane` apart, with the three
/// vectors of x that begin at `x`, one to the right and two to the right.
///
/// # Safety
/// `x` points to ten readable values, and `grad` and each of the channels after it to eight.
#[inline(always)]
unsafe fn outer<V: Vector>(
    x: *const f32,
    grad: *const f32,
    plane: usize,
    mut sums: [[V; 3]; OUTPUTS],
) -> [[V; 3]; OUTPUTS] {
    // SAFETY: as the caller promises.
    let pixels = [0, 1, 2].map(|kx| unsafe { V::load(x.add(kx)) });
    for (o, sums) in sums.iter_mut().enumerate() {
        // SAFETY: as the caller promises.
        let grad = unsafe { V::load(grad.add(o * plane)) };
        for kx in 0..3 {
            sums[kx] = grad.fused(pixels[kx], sums[kx]);
        }
    }
    sums
}
