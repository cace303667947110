//! The gradient of the weights: `Gᵀ[Σ (A g Aᵀ) ⊙ (Bᵀ d B)]G`.

use rayon::prelude::*;

use super::buffers::{BUFFERS, Buffers, at_least};
use super::shape::{ConvShape, ENTRIES};
use super::tiles::{Blocks, apart, border, transform_gradient, transform_input};
use super::weights::kernel_gradient;
use crate::simd::{Machine, PART, Vector, multiversion};

/// Number of channels of a matrix tile.
const CHANNELS: usize = 4;
/// Largest number of values of a channel whose products are summed in registers.
const SUMMED: usize = 24 * PART;
/// Number of matrix tiles side by side that stay in the first cache.
const STRIP: usize = 4;
/// Largest number of parts of a batch whose weight gradients are summed apart.
const SHARES: usize = 16;

/// Channels rounded up to whole matrix tiles.
fn round(channels: usize) -> usize {
    channels.next_multiple_of(CHANNELS)
}

/// The gradient of the weights, `[o, i, 3, 3]`, from the input and the gradient of the output.
pub fn weight_gradient(shape: ConvShape, x: &[f32], grad: &[f32], out: &mut [f32]) {
    // As many parts as keep the registers busy: a power of two, so that threads get equal parts.
    let values = shape.images * shape.quads() / 2 * PART;
    let parts = (values / SUMMED).clamp(1, SHARES).ilog2();
    let images = shape.images.div_ceil(1 << parts);
    let shares = x
        .par_chunks(images * shape.inputs * shape.pixels())
        .zip(grad.par_chunks(images * shape.outputs * shape.pixels()));
    let partial: Vec<Vec<f32>> = shares
        .map(|(x, grad)| {
            let images = x.len() / (shape.inputs * shape.pixels());
            let mut sum = vec![0.0; ENTRIES * round(shape.outputs) * round(shape.inputs)];
            let mut buffers = BUFFERS.take();
            let shape = ConvShape { images, ..shape };
            weight_share(shape, x, grad, &mut buffers, &mut sum);
            BUFFERS.set(buffers);
            sum
        })
        .collect();
    let mut partial = partial.into_iter();
    let mut sum = partial.next().expect("a batch has an image");
    for partial in partial {
        sum.iter_mut()
            .zip(partial)
            .for_each(|(sum, share)| *sum += share);
    }
    let (block, row) = (
        round(shape.outputs) * round(shape.inputs),
        round(shape.inputs),
    );
    for (o, out) in out.chunks_exact_mut(shape.inputs * 9).enumerate() {
        for (i, out) in out.as_chunks_mut::<9>().0.iter_mut().enumerate() {
            *out = kernel_gradient(std::array::from_fn(|e| sum[e * block + o * row + i]));
        }
    }
}

multiversion! {
    fn weight_share(
        shape: ConvShape,
        x: &[f32],
        grad: &[f32],
        buffers: &mut Buffers,
        sums: &mut [f32],
    ) = weight_body
}

/// Adds `Σ (A g Aᵀ) ⊙ (Bᵀ d B)` over the tiles of these images to `sums`, `[16, outputs, inputs]`, channels rounded up.
#[inline(always)]
fn weight_body<M: Machine>(
    shape: ConvShape,
    x: &[f32],
    grad: &[f32],
    buffers: &mut Buffers,
    sums: &mut [f32],
) {
    let (inputs, outputs) = (round(shape.inputs), round(shape.outputs));
    let plane = shape.images * shape.plane();
    let bordered_x = at_least(&mut buffers.bordered, inputs * plane);
    let bordered_grad = at_least(&mut buffers.bordered_grad, outputs * plane);
    border(shape, (shape.inputs, inputs), x, bordered_x);
    border(shape, (shape.outputs, outputs), grad, bordered_grad);
    let lanes = M::Vector::LANES;
    // One row of four entries at a time, so that many tiles fit in the cache and are summed in registers.
    let blocks = Blocks::new::<M::Vector>(shape, SUMMED / lanes);
    let from_length = 4 * apart(inputs, blocks.vectors * lanes);
    let from = at_least(&mut buffers.transformed, from_length);
    let to_length = 4 * apart(outputs, blocks.vectors * lanes);
    let to = at_least(&mut buffers.products, to_length);
    for first in (0..blocks.count).step_by(blocks.vectors) {
        let vectors = blocks.vectors.min(blocks.count - first);
        let (length, block) = (vectors * lanes, blocks.block(first, vectors));
        for row in 0..4 {
            match row {
                0 => transform_input::<M::Vector, 0>(
                    shape,
                    (0..inputs, inputs),
                    &block,
                    bordered_x,
                    from,
                ),
                1 => transform_input::<M::Vector, 1>(
                    shape,
                    (0..inputs, inputs),
                    &block,
                    bordered_x,
                    from,
                ),
                2 => transform_input::<M::Vector, 2>(
                    shape,
                    (0..inputs, inputs),
                    &block,
                    bordered_x,
                    from,
                ),
                _ => transform_input::<M::Vector, 3>(
                    shape,
                    (0..inputs, inputs),
                    &block,
                    bordered_x,
                    from,
                ),
            }
            transform_gradient::<M::Vector>(shape, outputs, &block, bordered_grad, row, to);
            for entry in 0..4 {
                let from = &from[entry * apart(inputs, length)..][..inputs * length];
                let to = &to[entry * apart(outputs, length)..][..outputs * length];
                let sums = &mut sums[(4 * row + entry) * outputs * inputs..][..outputs * inputs];
                // Strips of the inputs stay in the first cache while the outputs pass by.
                for (strip, from) in from.chunks(STRIP * CHANNELS * length).enumerate() {
                    for (o, to) in to.chunks_exact(CHANNELS * length).enumerate() {
                        let row = o * CHANNELS * inputs + strip * STRIP * CHANNELS;
                        for (i, from) in from.chunks_exact(CHANNELS * length).enumerate() {
                            let sums = &mut sums[row + i * CHANNELS..];
                            correlate::<M>(to, from, inputs, sums);
                        }
                    }
                }
            }
        }
    }
}

/// Adds the inner products of four rows of `a` with four rows of `b` to four rows of `sums`, `pitch` apart.
#[inline(always)]
fn correlate<M: Machine>(a: &[f32], b: &[f32], pitch: usize, sums: &mut [f32]) {
    if M::ROWS == 8 {
        correlate_rows::<M::Vector, CHANNELS>(a, b, pitch, sums);
    } else {
        let (upper, lower) = a.split_at(a.len() / 2);
        correlate_rows::<M::Vector, 2>(upper, b, pitch, sums);
        correlate_rows::<M::Vector, 2>(lower, b, pitch, &mut sums[2 * pitch..]);
    }
}

/// The same for `N` rows of `a`.
#[inline(always)]
fn correlate_rows<V: Vector, const N: usize>(a: &[f32], b: &[f32], pitch: usize, sums: &mut [f32]) {
    let length = b.len() / CHANNELS;
    assert!(a.len() == N * length && b.len() == CHANNELS * length);
    let mut products = [[V::splat(0.0); CHANNELS]; N];
    for offset in (0..length / V::LANES).map(|vector| vector * V::LANES) {
        let mut y = [V::splat(0.0); CHANNELS];
        for i in 0..CHANNELS {
            // SAFETY: rows of `length` values each, as checked.
            y[i] = unsafe { V::load(b.as_ptr().add(i * length + offset)) };
        }
        for o in 0..N {
            // SAFETY: as above.
            let x = unsafe { V::load(a.as_ptr().add(o * length + offset)) };
            for i in 0..CHANNELS {
                products[o][i] = x.fused(y[i], products[o][i]);
            }
        }
    }
    for (o, products) in products.into_iter().enumerate() {
        let row = &mut sums[o * pitch..o * pitch + CHANNELS];
        let totals = V::totals(products);
        row.iter_mut()
            .zip(totals)
            .for_each(|(sum, total)| *sum += total);
    }
}
