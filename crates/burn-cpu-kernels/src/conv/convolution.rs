//! The convolution with transformed weights: blocks of tiles, transformed, multiplied and transformed back.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use super::buffers::{BUFFERS, Buffers, at_least};
use super::shape::{ConvShape, ENTRIES};
use super::tiles::{Blocks, Target, apart, border, transform_input, transform_output};
use super::weights::{CHANNELS, PackedWeights, round};
use crate::simd::{Machine, Vector, multiversion};

/// Largest number of vectors of a block, which has whole tiles of the products only.
const MAX_VECTORS: usize = 4;
/// Largest number of input channels of a block. The products of more are added in their order.
const MAX_INPUTS: usize = 128;
/// Number of quads that fill a block of any machine.
const BLOCK_QUADS: usize = 12;
/// Number of blocks of a task that make its start and its uneven end small.
const BLOCKS: usize = 4;
/// Number of tasks for each thread that balance the threads.
const BALANCED: usize = 4;

/// `out = conv(x, weights) + bias`: `x` is `[n, i, h, w]`, `bias` `[o]` or `[n, o]`, `out` `[n, o, h, w]`, all of which is
/// written.
pub fn forward(
    shape: ConvShape,
    x: &[f32],
    weights: &PackedWeights,
    bias: Option<&[f32]>,
    out: &mut [MaybeUninit<f32>],
) {
    assert_eq!(weights.channels(), (shape.outputs, shape.inputs));
    run(shape, x, weights.values(), bias, out);
}

/// The gradient of the input, `[n, i, h, w]`, from that of the output, `[n, o, h, w]`, with weights that were packed for it.
/// All of `out` is written.
pub fn input_gradient(
    shape: ConvShape,
    grad: &[f32],
    turned: &PackedWeights,
    out: &mut [MaybeUninit<f32>],
) {
    let shape = ConvShape {
        inputs: shape.outputs,
        outputs: shape.inputs,
        ..shape
    };
    forward(shape, grad, turned, None, out);
}

/// Number of images of a task, and number of parts into which the channels of each are divided.
fn division(shape: ConvShape, threads: usize) -> (usize, usize) {
    let quads = shape.quads();
    let fewest = BLOCK_QUADS.div_ceil(quads);
    let enough = (BLOCKS * BLOCK_QUADS).div_ceil(quads);
    let balanced = shape.images.div_ceil(BALANCED * threads);
    let images = enough.min(balanced).max(fewest);
    let groups = shape.images.div_ceil(images);
    // Equal groups, but for a remainder.
    let images = shape.images.div_ceil(groups);
    let groups = shape.images.div_ceil(images);
    let parts = if groups >= BALANCED * threads || groups.is_multiple_of(threads) {
        1
    } else {
        threads
    };
    (images, parts)
}

/// The convolution with transformed weights, in parallel tasks. A task is a group of images or, where the threads
/// outnumber the groups, some channels of one.
fn run(
    shape: ConvShape,
    x: &[f32],
    packed: &[f32],
    bias: Option<&[f32]>,
    out: &mut [MaybeUninit<f32>],
) {
    let (images, parts) = division(shape, rayon::current_num_threads());
    let groups = shape.images.div_ceil(images);
    let channels = round(shape.outputs.div_ceil(parts));
    let parts = shape.outputs.div_ceil(channels);
    let mut tasks: Vec<Vec<Target>> = Vec::new();
    tasks.resize_with(groups * parts, Vec::new);
    let outs = out.chunks_exact_mut(shape.outputs * shape.pixels());
    for (image, out) in outs.enumerate() {
        let bias = match bias {
            Some(bias) if bias.len() > shape.outputs => Some(&bias[image * shape.outputs..]),
            bias => bias,
        };
        for (part, out) in out.chunks_mut(channels * shape.pixels()).enumerate() {
            let first = part * channels;
            let bias = bias.map(|bias| &bias[first..first + out.len() / shape.pixels()]);
            tasks[image / images * parts + part].push(Target { out, bias });
        }
    }
    let image = shape.inputs * shape.pixels();
    let block = ENTRIES * shape.inputs * CHANNELS;
    tasks.par_iter_mut().enumerate().for_each(|(task, to)| {
        let (group, part) = (task / parts, task % parts);
        let shape = ConvShape {
            images: to.len(),
            outputs: to[0].out.len() / shape.pixels(),
            ..shape
        };
        let x = &x[group * images * image..][..shape.images * image];
        let first = part * channels / CHANNELS;
        let packed = &packed[first * block..][..shape.outputs.div_ceil(CHANNELS) * block];
        let mut buffers = BUFFERS.take();
        convolve(shape, x, packed, &mut buffers, to);
        BUFFERS.set(buffers);
    });
}

multiversion! {
    fn convolve(
        shape: ConvShape,
        x: &[f32],
        packed: &[f32],
        buffers: &mut Buffers,
        to: &mut [Target<'_>],
    ) = convolve_body
}

#[inline(always)]
fn convolve_body<M: Machine>(
    shape: ConvShape,
    x: &[f32],
    packed: &[f32],
    buffers: &mut Buffers,
    to: &mut [Target<'_>],
) {
    let bordered = at_least(
        &mut buffers.bordered,
        shape.images * shape.inputs * shape.plane(),
    );
    border(shape, (shape.inputs, shape.inputs), x, bordered);
    let most = MAX_VECTORS / M::VECTORS * M::VECTORS;
    let blocks = Blocks::new::<M::Vector>(shape, most);
    let (lanes, outputs) = (M::Vector::LANES, round(shape.outputs));
    let entry = apart(shape.inputs.min(MAX_INPUTS), blocks.vectors * lanes);
    let transformed = at_least(&mut buffers.transformed, ENTRIES * entry);
    let entry = apart(outputs, blocks.vectors * lanes);
    let products = at_least(&mut buffers.products, ENTRIES * entry);
    for first in (0..blocks.count).step_by(blocks.vectors) {
        let vectors = blocks.vectors.min(blocks.count - first);
        let block = blocks.block(first, vectors);
        for start in (0..shape.inputs).step_by(MAX_INPUTS) {
            let inputs = start..shape.inputs.min(start + MAX_INPUTS);
            let (channels, length) = (inputs.len(), vectors * lanes);
            let range = (inputs.clone(), shape.inputs);
            transform_input::<M::Vector>(shape, range, &block, bordered, transformed);
            for e in 0..ENTRIES {
                let input = &transformed[e * apart(channels, length)..][..channels * length];
                let product = &mut products[e * apart(outputs, length)..][..outputs * length];
                let weights = packed.chunks_exact(ENTRIES * shape.inputs * CHANNELS);
                let weights = (0..).step_by(CHANNELS).zip(weights);
                for ((o, weights), out) in weights.zip(product.chunks_exact_mut(CHANNELS * length))
                {
                    let weights = &weights[(e * shape.inputs + start) * CHANNELS..];
                    let product = Product {
                        weights: &weights[..channels * CHANNELS],
                        input,
                        rows: shape.outputs - o,
                        add: start > 0,
                    };
                    match vectors {
                        1 => multiply::<M, 1>(product, out),
                        2 => multiply::<M, 2>(product, out),
                        3 => multiply::<M, 3>(product, out),
                        _ => multiply::<M, 4>(product, out),
                    }
                }
            }
        }
        for o in 0..shape.outputs {
            transform_output::<M::Vector>(shape, &block, products, (o, outputs), to);
        }
    }
}

/// A product of the transformed weights of eight outputs with the transformed inputs of a block.
#[derive(Clone, Copy)]
struct Product<'a> {
    /// `[inputs, 8]`.
    weights: &'a [f32],
    /// `[inputs, vectors, lanes]`.
    input: &'a [f32],
    /// Number of rows of which a result is used. Those beyond may be left out.
    rows: usize,
    /// True if the product is added to what is there.
    add: bool,
}

/// `out = weights·input`, `[8, B, lanes]`: a product with `B` vectors, in tiles.
#[inline(always)]
fn multiply<M: Machine, const B: usize>(product: Product, out: &mut [f32]) {
    let mut vector = 0;
    while vector < B {
        let width = (B - vector).min(M::VECTORS);
        match width {
            1 => multiply_vectors::<M, B, 1>(product, vector, out),
            2 => multiply_vectors::<M, B, 2>(product, vector, out),
            _ => multiply_vectors::<M, B, 3>(product, vector, out),
        }
        vector += width;
    }
}

/// `N` vectors of a product, from one on.
#[inline(always)]
fn multiply_vectors<M: Machine, const B: usize, const N: usize>(
    product: Product,
    vector: usize,
    out: &mut [f32],
) {
    if M::ROWS == CHANNELS {
        multiply_tile::<M::Vector, CHANNELS, B, N>(product, (0, vector), out);
    } else {
        for row in (0..product.rows.min(CHANNELS)).step_by(4) {
            multiply_tile::<M::Vector, 4, B, N>(product, (row, vector), out);
        }
    }
}

/// `R` rows of `N` vectors of a product, from a row and a vector on.
#[inline(always)]
fn multiply_tile<V: Vector, const R: usize, const B: usize, const N: usize>(
    product: Product,
    (row, vector): (usize, usize),
    out: &mut [f32],
) {
    let Product {
        weights,
        input,
        add,
        ..
    } = product;
    assert!(row + R <= CHANNELS && vector + N <= B);
    assert!(input.len() * CHANNELS == weights.len() * B * V::LANES);
    assert!(out.len() == CHANNELS * B * V::LANES);
    let place = |row: usize, v: usize| (row * B + vector + v) * V::LANES;
    let mut sums = [[V::splat(0.0); N]; R];
    if add {
        for o in 0..R {
            for v in 0..N {
                // SAFETY: `out` holds the rows and vectors of the tile, as checked.
                sums[o][v] = unsafe { V::load(out.as_ptr().add(place(row + o, v))) };
            }
        }
    }
    let (weights, _) = weights.as_chunks::<CHANNELS>();
    for (i, weights) in weights.iter().enumerate() {
        let mut x = [V::splat(0.0); N];
        for v in 0..N {
            // SAFETY: `input` holds B vectors for each of the eight weights, as checked.
            x[v] = unsafe { V::load(input.as_ptr().add(place(i, v))) };
        }
        for o in 0..R {
            let weight = V::splat(weights[row + o]);
            for v in 0..N {
                sums[o][v] = weight.fused(x[v], sums[o][v]);
            }
        }
    }
    for o in 0..R {
        for v in 0..N {
            // SAFETY: `out` holds the rows and vectors of the tile, as checked.
            unsafe { sums[o][v].store(out.as_mut_ptr().add(place(row + o, v))) };
        }
    }
}
