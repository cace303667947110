//! The gradient of the weights: `Gᵀ[Σ (A g Aᵀ) ⊙ (Bᵀ d B)]G`.

use rayon::prelude::*;

use super::buffers::{BUFFERS, Buffers, at_least};
use super::pixels::Pixels;
use super::shape::{ConvShape, ENTRIES};
use super::tile_rows::{Transformed, transform_gradient, transform_input};
use super::tiles::apart;
use super::weights::kernel_gradient;
use crate::simd::{Machine, Vector, multiversion};

/// Smallest number of tiles of a share of a batch.
const SHARE: usize = 256;
/// Largest number of shares of a batch, whose weight gradients are summed apart.
const SHARES: usize = 16;
/// Number of values of an entry of a block of transformed tiles: 16 entries stay in the second cache.
const BLOCK: usize = 4096;

/// The gradient of the weights, `[o, i, 3, 3]`, from the input and the gradient of the output.
pub fn weight_gradient(shape: ConvShape, x: &[f32], grad: &[f32], out: &mut [f32]) {
    // A power of two, so that threads get equal parts.
    let tiles = shape.images * shape.height.div_ceil(2) * shape.width.div_ceil(2);
    let parts = (tiles / SHARE).clamp(1, SHARES).ilog2();
    let images = shape.images.div_ceil(1 << parts);
    let shares = x
        .par_chunks(images * shape.inputs * shape.pixels())
        .zip(grad.par_chunks(images * shape.outputs * shape.pixels()));
    let gradients: Vec<Vec<f32>> = shares
        .map(|(x, grad)| {
            let mut gradient = vec![0.0; shape.outputs * shape.inputs * 9];
            let mut buffers = BUFFERS.take();
            weight_share(shape, x, grad, &mut buffers, &mut gradient);
            BUFFERS.set(buffers);
            gradient
        })
        .collect();
    out.fill(0.0);
    for gradient in gradients {
        for (sum, share) in out.iter_mut().zip(gradient) {
            *sum += share;
        }
    }
}

multiversion! {
    fn weight_share(
        shape: ConvShape,
        x: &[f32],
        grad: &[f32],
        buffers: &mut Buffers,
        gradient: &mut [f32],
    ) = weight_body
}

/// One side of the products: the input or the gradient of the output.
struct Side<'a> {
    layout: Pixels,
    /// The image at hand.
    pixels: &'a mut [f32],
    /// The tiles of the block, `[16, tiles, channels]`.
    transformed: &'a mut [f32],
    /// Distance of two entries of `transformed`.
    apart: usize,
}

impl<'a> Side<'a> {
    /// Memory for an image and a block of so many tiles.
    fn new(
        layout: Pixels,
        tiles: usize,
        pixels: &'a mut Vec<f32>,
        transformed: &'a mut Vec<f32>,
    ) -> Self {
        let apart = apart(layout.rounded, tiles);
        Self {
            layout,
            pixels: at_least(pixels, layout.len()),
            transformed: at_least(transformed, ENTRIES * apart),
            apart,
        }
    }

    /// Rows of the image from a pixel on, and the places of tiles from a first one on.
    #[inline(always)]
    fn rows<const N: usize>(
        &mut self,
        (row, pixel): (usize, usize),
        tile: usize,
    ) -> ([&[f32]; N], Transformed<'_>) {
        let mut rows = [&*self.pixels; N];
        for y in 0..N {
            let row = &self.pixels[(row + y) * self.layout.row..][..self.layout.row];
            rows[y] = &row[pixel * self.layout.rounded..];
        }
        let to = Transformed {
            values: &mut self.transformed[tile * self.layout.rounded..],
            apart: self.apart,
            channels: self.layout.rounded,
        };
        (rows, to)
    }

    /// An entry of the first tiles of the block, as a factor.
    fn entry(&self, entry: usize, tiles: usize) -> Factor<'_> {
        let pitch = self.layout.rounded;
        Factor {
            values: &self.transformed[entry * self.apart..][..tiles * pitch],
            pitch,
        }
    }
}

/// The gradient of the weights from the images of a share.
#[inline(always)]
fn weight_body<M: Machine>(
    shape: ConvShape,
    x: &[f32],
    grad: &[f32],
    buffers: &mut Buffers,
    gradient: &mut [f32],
) {
    let layout = Pixels::new::<M::Vector>(shape, shape.inputs);
    let grad_layout = Pixels::new::<M::Vector>(shape, shape.outputs);
    // Blocks of whole rows of tiles.
    let (down, across) = (shape.height.div_ceil(2), shape.width.div_ceil(2));
    let row = (layout.rounded + grad_layout.rounded) * across;
    let most = (BLOCK / row).max(1) * across;
    let mut input = Side::new(
        layout,
        most,
        &mut buffers.bordered,
        &mut buffers.transformed,
    );
    let mut output = Side::new(
        grad_layout,
        most,
        &mut buffers.bordered_grad,
        &mut buffers.products,
    );
    // The lanes are channels of the side that has more, so that fewest are empty.
    let wide = shape.inputs > shape.outputs;
    let (rows, columns) = if wide {
        (shape.outputs, layout.rounded)
    } else {
        (shape.inputs, grad_layout.rounded)
    };
    let entry = rows.next_multiple_of(M::ROWS) * columns;
    let sums = at_least(&mut buffers.sums, ENTRIES * entry);
    sums.fill(0.0);
    let images = x
        .chunks_exact(shape.inputs * shape.pixels())
        .zip(grad.chunks_exact(shape.outputs * shape.pixels()));
    let last = images.len() * down - 1;
    let mut tiles = 0;
    for (image, (x, grad)) in images.enumerate() {
        layout.write::<M::Vector>(shape, x, input.pixels);
        grad_layout.write::<M::Vector>(shape, grad, output.pixels);
        for strip in 0..down {
            let (d, to) = input.rows::<4>((2 * strip, 0), tiles);
            transform_input::<M::Vector>(d, across, to);
            // The outputs of a tile lie in the middle of its inputs.
            let (g, to) = output.rows::<2>((2 * strip + 1, 1), tiles);
            transform_gradient::<M::Vector>(g, across, to);
            tiles += across;
            if tiles < most && image * down + strip < last {
                continue;
            }
            for (e, sums) in sums.chunks_exact_mut(entry).enumerate() {
                let (x, g) = (input.entry(e, tiles), output.entry(e, tiles));
                let (a, b) = if wide { (g, x) } else { (x, g) };
                add_products::<M>(tiles, a, b, sums);
            }
            tiles = 0;
        }
    }
    for (o, gradient) in gradient.chunks_exact_mut(shape.inputs * 9).enumerate() {
        for (i, gradient) in gradient.as_chunks_mut::<9>().0.iter_mut().enumerate() {
            let (row, column) = if wide { (o, i) } else { (i, o) };
            let mut entries = [0.0; ENTRIES];
            for e in 0..ENTRIES {
                entries[e] = sums[e * entry + row * columns + column];
            }
            *gradient = kernel_gradient(entries);
        }
    }
}

/// A factor of a product, `[terms, channels]` with rows `pitch` apart.
#[derive(Clone, Copy)]
struct Factor<'a> {
    values: &'a [f32],
    pitch: usize,
}

impl Factor<'_> {
    /// The factor from a channel on.
    fn from(self, channel: usize) -> Self {
        Self {
            values: &self.values[channel..],
            ..self
        }
    }
}

/// `sums += aᵀ·b` over `terms` rows of both. `sums` has the columns of `b`, and no more rows than `a` has columns.
#[inline(always)]
fn add_products<M: Machine>(terms: usize, a: Factor, b: Factor, sums: &mut [f32]) {
    let lanes = M::Vector::LANES;
    let (rows, vectors) = (sums.len() / b.pitch, b.pitch / lanes);
    // As many sums as leave registers for the factors: of 16, or of 32.
    let (highest, widest) = if M::ROWS == 8 { (8, 3) } else { (6, 2) };
    let mut first = 0;
    while first < vectors {
        let width = equal(vectors - first, widest);
        let b = b.from(first * lanes);
        let mut row = 0;
        while row < rows {
            let height = equal(rows - row, highest);
            let a = a.from(row);
            let sums = &mut sums[row * b.pitch + first * lanes..];
            if M::ROWS == 8 {
                match width {
                    1 => add_tile::<M::Vector, 8, 1>(terms, a, b, sums),
                    2 => add_tile::<M::Vector, 8, 2>(terms, a, b, sums),
                    _ => add_tile::<M::Vector, 8, 3>(terms, a, b, sums),
                }
            } else {
                match (height, width) {
                    (4, 1) => add_tile::<M::Vector, 4, 1>(terms, a, b, sums),
                    (5, 1) => add_tile::<M::Vector, 5, 1>(terms, a, b, sums),
                    (_, 1) => add_tile::<M::Vector, 6, 1>(terms, a, b, sums),
                    (4, _) => add_tile::<M::Vector, 4, 2>(terms, a, b, sums),
                    (5, _) => add_tile::<M::Vector, 5, 2>(terms, a, b, sums),
                    (_, _) => add_tile::<M::Vector, 6, 2>(terms, a, b, sums),
                }
            }
            row += height;
        }
        first += width;
    }
}

/// The first of the fewest parts of `count` that are at most `most` and as equal as can be.
fn equal(count: usize, most: usize) -> usize {
    count.div_ceil(count.div_ceil(most))
}

/// Adds a tile of `R` rows and `N` vectors of the products.
#[inline(always)]
fn add_tile<V: Vector, const R: usize, const N: usize>(
    terms: usize,
    a: Factor,
    b: Factor,
    out: &mut [f32],
) {
    assert!(a.values.len() >= (terms - 1) * a.pitch + R);
    assert!(b.values.len() >= (terms - 1) * b.pitch + N * V::LANES);
    assert!(out.len() >= (R - 1) * b.pitch + N * V::LANES);
    let mut sums = [[V::splat(0.0); N]; R];
    let (mut left, mut right) = (a.values.as_ptr(), b.values.as_ptr());
    for _ in 0..terms {
        let mut y = [V::splat(0.0); N];
        for v in 0..N {
            // SAFETY: each term has N vectors, as checked.
            y[v] = unsafe { V::load(right.add(v * V::LANES)) };
        }
        for r in 0..R {
            // SAFETY: each term has R values, as checked.
            let x = V::splat(unsafe { *left.add(r) });
            for v in 0..N {
                sums[r][v] = x.fused(y[v], sums[r][v]);
            }
        }
        left = left.wrapping_add(a.pitch);
        right = right.wrapping_add(b.pitch);
    }
    for r in 0..R {
        for v in 0..N {
            // SAFETY: `out` has R rows of N vectors, as checked.
            unsafe {
                let place = out.as_mut_ptr().add(r * b.pitch + v * V::LANES);
                V::load(place).plus(sums[r][v]).store(place);
            }
        }
    }
}
