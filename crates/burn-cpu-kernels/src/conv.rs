//! The 3×3 convolution with stride 1 that keeps the resolution, by Winograd's minimal filtering F(2×2, 3×3)
//! (Lavin and Gray, arXiv 1509.09308): four outputs cost 16 products instead of 36.
//!
//! A tile is 2×2 outputs and the 4×4 inputs d under them. `Y = Aᵀ[(G w Gᵀ) ⊙ (Bᵀ d B)]A`, summed over the channels:
//! one matrix product `[outputs, inputs]·[inputs, tiles]` for each of the 16 entries. The gradient of the input is
//! the same convolution with the kernel transposed and turned round. The gradient of the weights is the adjoint,
//! `Gᵀ[Σ (A g Aᵀ) ⊙ (Bᵀ d B)]G`.
//!
//! Images are NCHW. They get a border of zeros and are cut into quads: four tiles side by side. Two quads
//! fill a vector, up to [`MAX_VECTORS`] vectors a block, whose transforms stay in the cache of a core.
//!
//! Results do not depend on the number of threads: every output is one sum over the channels in their
//! order, and the weight gradients of fixed shares of the images are added in their order.

use rayon::prelude::*;

use crate::simd::{LANES, Vector, multiversion};

/// Number of entries of a transformed tile.
const ENTRIES: usize = 16;
/// Number of channels of a matrix tile.
const CHANNELS: usize = 4;
/// Largest number of vectors of a block.
const MAX_VECTORS: usize = 6;
/// Number of tiles side by side that are loaded together.
const QUAD: usize = 4;
/// Largest number of vectors whose weight gradients are summed in registers.
const SUMMED: usize = 24;
/// Number of matrix tiles side by side that stay in the first cache.
const STRIP: usize = 4;
/// Largest number of parts of a batch whose weight gradients are summed apart.
const SHARES: usize = 16;

/// Shape of a convolution: images `[n, i, h, w]` to `[n, o, h, w]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvShape {
    /// Number of images.
    pub images: usize,
    /// Number of channels in.
    pub inputs: usize,
    /// Number of channels out.
    pub outputs: usize,
    /// Number of rows.
    pub height: usize,
    /// Number of columns.
    pub width: usize,
}

impl ConvShape {
    /// Number of pixels of an image.
    fn pixels(&self) -> usize {
        self.height * self.width
    }

    /// Number of quads in a row of tiles.
    fn across(&self) -> usize {
        self.width.div_ceil(2 * QUAD)
    }

    /// Number of quads of an image.
    fn quads(&self) -> usize {
        self.height.div_ceil(2) * self.across()
    }

    /// Length of a row with its border.
    fn pitch(&self) -> usize {
        2 * QUAD * self.across() + 2
    }

    /// Number of entries of one channel with its border.
    fn plane(&self) -> usize {
        (self.height.next_multiple_of(2) + 2) * self.pitch()
    }

    /// Row and column of the first output of a quad.
    fn corner(&self, quad: usize) -> (usize, usize) {
        let within = quad % self.quads();
        (
            within / self.across() * 2,
            within % self.across() * 2 * QUAD,
        )
    }

    /// Position of the first input of a quad in images of `channels` channels with their border.
    fn start(&self, quad: usize, channels: usize) -> usize {
        let (row, column) = self.corner(quad);
        quad / self.quads() * channels * self.plane() + row * self.pitch() + column
    }
}

/// `out = conv(x, weights) + bias`: `x` is `[n, i, h, w]`, `weights` `[o, i, 3, 3]`, `bias` `[o]` or
/// `[n, o]`, `out` `[n, o, h, w]`.
pub fn forward(
    shape: ConvShape,
    x: &[f32],
    weights: &[f32],
    bias: Option<&[f32]>,
    out: &mut [f32],
) {
    let kernel = |o: usize, i: usize| (o * shape.inputs + i) * 9;
    let packed = transform_weights((shape.outputs, shape.inputs), weights, kernel, false);
    run(shape, x, &packed, bias, out);
}

/// The gradient of the input, `[n, i, h, w]`, from that of the output, `[n, o, h, w]`.
pub fn input_gradient(shape: ConvShape, grad: &[f32], weights: &[f32], out: &mut [f32]) {
    let kernel = |i: usize, o: usize| (o * shape.inputs + i) * 9;
    let packed = transform_weights((shape.inputs, shape.outputs), weights, kernel, true);
    let turned = ConvShape {
        inputs: shape.outputs,
        outputs: shape.inputs,
        ..shape
    };
    run(turned, grad, &packed, None, out);
}

/// The gradient of the weights, `[o, i, 3, 3]`, from the input and the gradient of the output.
pub fn weight_gradient(shape: ConvShape, x: &[f32], grad: &[f32], out: &mut [f32]) {
    // As many parts as keep the registers busy: a power of two, so that threads get equal parts.
    let vectors = shape.images * shape.quads() / 2;
    let parts = (vectors / SUMMED).clamp(1, SHARES).ilog2();
    let images = shape.images.div_ceil(1 << parts);
    let shares = x
        .par_chunks(images * shape.inputs * shape.pixels())
        .zip(grad.par_chunks(images * shape.outputs * shape.pixels()));
    let partial: Vec<Vec<f32>> = shares
        .map(|(x, grad)| {
            let images = x.len() / (shape.inputs * shape.pixels());
            let mut sum = vec![0.0; ENTRIES * round(shape.outputs) * round(shape.inputs)];
            weight_share(ConvShape { images, ..shape }, x, grad, &mut sum);
            sum
        })
        .collect();
    let mut sum = vec![0.0; ENTRIES * round(shape.outputs) * round(shape.inputs)];
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

/// Channels rounded up to whole matrix tiles.
fn round(channels: usize) -> usize {
    channels.next_multiple_of(CHANNELS)
}

/// `G w Gᵀ` of a kernel for each output channel of a matrix tile.
#[inline(always)]
fn transform_kernels(w: [[f32; CHANNELS]; 9]) -> [[f32; CHANNELS]; ENTRIES] {
    let mut rows = [[[0.0; CHANNELS]; 3]; 4];
    for x in 0..3 {
        let column = stretch(w[x], w[3 + x], w[6 + x]);
        for y in 0..4 {
            rows[y][x] = column[y];
        }
    }
    let mut out = [[0.0; CHANNELS]; ENTRIES];
    for (y, [a, b, c]) in rows.into_iter().enumerate() {
        out[4 * y..4 * y + 4].copy_from_slice(&stretch(a, b, c));
    }
    out
}

/// `G` of three values, for each output channel.
#[inline(always)]
fn stretch(a: [f32; CHANNELS], b: [f32; CHANNELS], c: [f32; CHANNELS]) -> [[f32; CHANNELS]; 4] {
    let mut out = [a, [0.0; CHANNELS], [0.0; CHANNELS], c];
    for o in 0..CHANNELS {
        let ends = a[o] + c[o];
        out[1][o] = 0.5 * (ends + b[o]);
        out[2][o] = 0.5 * (ends - b[o]);
    }
    out
}

/// `Gᵀ u G`.
fn kernel_gradient(u: [f32; ENTRIES]) -> [f32; 9] {
    let shrink =
        |a: f32, b: f32, c: f32, d: f32| [a + 0.5 * (b + c), 0.5 * (b - c), 0.5 * (b + c) + d];
    let mut rows = [[0.0; 4]; 3];
    for x in 0..4 {
        let column = shrink(u[x], u[4 + x], u[8 + x], u[12 + x]);
        for y in 0..3 {
            rows[y][x] = column[y];
        }
    }
    let mut out = [0.0; 9];
    for (y, [a, b, c, d]) in rows.into_iter().enumerate() {
        out[3 * y..3 * y + 3].copy_from_slice(&shrink(a, b, c, d));
    }
    out
}

/// Transformed weights in the order in which products read them: `[outputs / 4, 16, inputs, 4]`, zeros
/// beyond the last. `kernel(o, i)` is the position in `weights` of the kernel of an output and an input. `turned`
/// reads the kernels backwards.
fn transform_weights(
    (outputs, inputs): (usize, usize),
    weights: &[f32],
    kernel: impl Fn(usize, usize) -> usize + Sync,
    turned: bool,
) -> Vec<f32> {
    let mut packed = vec![0.0; ENTRIES * round(outputs) * inputs];
    let blocks = packed.par_chunks_mut(ENTRIES * inputs * CHANNELS);
    blocks.enumerate().for_each(|(block, packed)| {
        let first = block * CHANNELS;
        let (packed, _) = packed.as_chunks_mut::<CHANNELS>();
        for i in 0..inputs {
            let mut taps = [[0.0; CHANNELS]; 9];
            for o in 0..CHANNELS.min(outputs - first) {
                let kernel = &weights[kernel(first + o, i)..][..9];
                for tap in 0..9 {
                    taps[tap][o] = kernel[if turned { 8 - tap } else { tap }];
                }
            }
            for (e, values) in transform_kernels(taps).into_iter().enumerate() {
                packed[e * inputs + i] = values;
            }
        }
    });
    packed
}

/// The channels of one image that a task computes.
struct Target<'a> {
    /// `[channels, h, w]`.
    out: &'a mut [f32],
    /// `[channels]`.
    bias: Option<&'a [f32]>,
}

/// The convolution with transformed weights, in parallel tasks. A task is a group of images or, where the threads
/// outnumber the groups, some channels of one.
fn run(shape: ConvShape, x: &[f32], packed: &[f32], bias: Option<&[f32]>, out: &mut [f32]) {
    let images = (2 * QUAD).div_ceil(shape.quads());
    let groups = shape.images.div_ceil(images);
    let parts = rayon::current_num_threads().div_ceil(groups);
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
        convolve(shape, x, packed, to);
    });
}

/// Images with a border of zeros, and rows and columns of zeros up to whole quads:
/// `[images, channels, rows, pitch]`, channels rounded up by zeros to `rounded`.
fn border(shape: ConvShape, channels: usize, rounded: usize, x: &[f32]) -> Vec<f32> {
    let (pitch, plane) = (shape.pitch(), shape.plane());
    let mut bordered = vec![0.0; shape.images * rounded * plane];
    let images = bordered.chunks_exact_mut(rounded * plane);
    for (to, from) in images.zip(x.chunks_exact(channels * shape.pixels())) {
        let planes = to
            .chunks_exact_mut(plane)
            .zip(from.chunks_exact(shape.pixels()));
        for (to, from) in planes {
            let rows = to.chunks_exact_mut(pitch).skip(1);
            for (to, from) in rows.zip(from.chunks_exact(shape.width)) {
                let (to, from) = (to[1..].as_chunks_mut::<LANES>(), from.as_chunks::<LANES>());
                to.0.iter_mut()
                    .zip(from.0)
                    .for_each(|(to, from)| *to = *from);
                let remainder = from.1.len();
                if remainder > 0 {
                    to.0[from.0.len()][..remainder].copy_from_slice(from.1);
                }
            }
        }
    }
    bordered
}

/// Distance of two entries of transformed tiles, in values. It is two vectors longer than an entry, because entries a
/// power of two apart would compete for the same sets of the cache.
fn apart(channels: usize, vectors: usize) -> usize {
    (channels * vectors + 2) * LANES
}

/// The two quads of each vector of a block, by number; the last may lack its second.
type Pairs = [(usize, Option<usize>)];

multiversion! {
    fn convolve(shape: ConvShape, x: &[f32], packed: &[f32], to: &mut [Target<'_>]) = convolve_body
}

#[inline(always)]
fn convolve_body<V: Vector, const WIDE: bool>(
    shape: ConvShape,
    x: &[f32],
    packed: &[f32],
    to: &mut [Target<'_>],
) {
    let bordered = border(shape, shape.inputs, shape.inputs, x);
    let quads = shape.images * shape.quads();
    let pairs: Vec<_> = (0..quads)
        .step_by(2)
        .map(|quad| (quad, (quad + 1 < quads).then_some(quad + 1)))
        .collect();
    let max_vectors = if WIDE { MAX_VECTORS } else { MAX_VECTORS / 2 };
    let vectors = pairs.len().div_ceil(pairs.len().div_ceil(max_vectors));
    let outputs = round(shape.outputs);
    let mut transformed = vec![0.0; ENTRIES * apart(shape.inputs, vectors)];
    let mut products = vec![0.0; ENTRIES * apart(outputs, vectors)];
    for pairs in pairs.chunks(vectors) {
        let length = pairs.len() * LANES;
        transform_input::<V, 4>(shape, shape.inputs, pairs, &bordered, &mut transformed);
        for e in 0..ENTRIES {
            let input =
                &transformed[e * apart(shape.inputs, pairs.len())..][..shape.inputs * length];
            let product = &mut products[e * apart(outputs, pairs.len())..][..outputs * length];
            let blocks = packed.chunks_exact(ENTRIES * shape.inputs * CHANNELS);
            for (weights, product) in blocks.zip(product.chunks_exact_mut(CHANNELS * length)) {
                let weights = &weights[e * shape.inputs * CHANNELS..][..shape.inputs * CHANNELS];
                match pairs.len() {
                    1 => product_body::<V, 1>(weights, input, product),
                    2 => product_body::<V, 2>(weights, input, product),
                    3 => product_body::<V, 3>(weights, input, product),
                    4 => product_body::<V, 4>(weights, input, product),
                    5 => product_body::<V, 5>(weights, input, product),
                    _ => product_body::<V, 6>(weights, input, product),
                }
            }
        }
        for o in 0..shape.outputs {
            transform_output::<V>(shape, pairs, &products, (o, outputs), to);
        }
    }
}

/// `Bᵀ d B` for each channel, or its row `ROW` alone where that is below 4: `[16 or 4, channels, vectors, lanes]`.
#[inline(always)]
fn transform_input<V: Vector, const ROW: usize>(
    shape: ConvShape,
    channels: usize,
    pairs: &Pairs,
    bordered: &[f32],
    out: &mut [f32],
) {
    let (pitch, plane) = (shape.pitch(), shape.plane());
    let entry = apart(channels, pairs.len());
    assert!(out.len() >= if ROW < 4 { 4 } else { ENTRIES } * entry);
    let last = (channels - 1) * plane + 3 * pitch + 2 + LANES;
    for (v, &(first, second)) in pairs.iter().enumerate() {
        let first = shape.start(first, channels);
        let second = second.map_or(first, |second| shape.start(second, channels));
        assert!(first.max(second) + last <= bordered.len());
        // SAFETY: both starts lie within `bordered`, and the first vectors within `out`.
        let (mut from, mut other, mut to) = unsafe {
            let x = bordered.as_ptr();
            (x.add(first), x.add(second), out.as_mut_ptr().add(v * LANES))
        };
        for _ in 0..channels {
            // SAFETY: `last` values from each start were checked, and the largest place written is the last
            // vector of the last entry; the pointers are not used beyond the last channel.
            unsafe {
                if ROW < 4 {
                    let (upper, lower) = [(0, 2), (1, 2), (2, 1), (1, 3)][ROW];
                    let a = input_row::<V>(from.add(upper * pitch), other.add(upper * pitch));
                    let b = input_row::<V>(from.add(lower * pitch), other.add(lower * pitch));
                    input_entries(if ROW == 1 { plus(a, b) } else { minus(a, b) }, to, entry);
                } else {
                    let d0 = input_row::<V>(from, other);
                    let d1 = input_row::<V>(from.add(pitch), other.add(pitch));
                    let d2 = input_row::<V>(from.add(2 * pitch), other.add(2 * pitch));
                    let d3 = input_row::<V>(from.add(3 * pitch), other.add(3 * pitch));
                    input_entries(minus(d0, d2), to, entry);
                    input_entries(plus(d1, d2), to.add(4 * entry), entry);
                    input_entries(minus(d2, d1), to.add(8 * entry), entry);
                    input_entries(minus(d1, d3), to.add(12 * entry), entry);
                }
                from = from.wrapping_add(plane);
                other = other.wrapping_add(plane);
                to = to.wrapping_add(pairs.len() * LANES);
            }
        }
    }
}

/// A row of the inputs of two quads: from column 0 and from column 2 of each.
///
/// # Safety
/// Ten values can be read from both places.
#[inline(always)]
unsafe fn input_row<V: Vector>(first: *const f32, second: *const f32) -> [V; 4] {
    // SAFETY: as the caller promises.
    unsafe {
        [
            V::load(first),
            V::load(second),
            V::load(first.add(2)),
            V::load(second.add(2)),
        ]
    }
}

/// The sums of two rows.
#[inline(always)]
fn plus<V: Vector>(a: [V; 4], b: [V; 4]) -> [V; 4] {
    [
        a[0].plus(b[0]),
        a[1].plus(b[1]),
        a[2].plus(b[2]),
        a[3].plus(b[3]),
    ]
}

/// The differences of two rows.
#[inline(always)]
fn minus<V: Vector>(a: [V; 4], b: [V; 4]) -> [V; 4] {
    [
        a[0].minus(b[0]),
        a[1].minus(b[1]),
        a[2].minus(b[2]),
        a[3].minus(b[3]),
    ]
}

/// Four entries of `Bᵀ d B` from a row of `Bᵀ d`, written `apart` from each other.
///
/// # Safety
/// A vector can be written to each of the four places.
#[inline(always)]
unsafe fn input_entries<V: Vector>(row: [V; 4], to: *mut f32, apart: usize) {
    let (d0, d1) = V::split(row[0], row[1]);
    let (d2, d3) = V::split(row[2], row[3]);
    // SAFETY: as the caller promises.
    unsafe {
        d0.minus(d2).store(to);
        d1.plus(d2).store(to.add(apart));
        d2.minus(d1).store(to.add(2 * apart));
        d1.minus(d3).store(to.add(3 * apart));
    }
}

/// `out = weights·input`: four rows of `N` vectors; `weights` is `[inputs, 4]`, `input` `[inputs, N, lanes]`.
#[inline(always)]
fn product_body<V: Vector, const N: usize>(weights: &[f32], input: &[f32], out: &mut [f32]) {
    assert!(input.len() * CHANNELS == weights.len() * N * LANES);
    assert!(out.len() == CHANNELS * N * LANES);
    let mut sums = [[V::splat(0.0); N]; CHANNELS];
    let (weights, _) = weights.as_chunks::<CHANNELS>();
    for (i, weights) in weights.iter().enumerate() {
        let mut x = [V::splat(0.0); N];
        for v in 0..N {
            // SAFETY: `input` holds N vectors for each of the four weights, as checked.
            x[v] = unsafe { V::load(input.as_ptr().add((i * N + v) * LANES)) };
        }
        for o in 0..CHANNELS {
            let weight = V::splat(weights[o]);
            for v in 0..N {
                sums[o][v] = weight.fused(x[v], sums[o][v]);
            }
        }
    }
    for o in 0..CHANNELS {
        for v in 0..N {
            // SAFETY: `out` holds four rows of N vectors, as checked.
            unsafe { sums[o][v].store(out.as_mut_ptr().add((o * N + v) * LANES)) };
        }
    }
}

/// `Aᵀ m A + bias` of one channel, written to the image.
#[inline(always)]
fn transform_output<V: Vector>(
    shape: ConvShape,
    pairs: &Pairs,
    products: &[f32],
    (channel, channels): (usize, usize),
    to: &mut [Target<'_>],
) {
    let entry = apart(channels, pairs.len());
    assert!(products.len() >= ENTRIES * entry && channel < channels);
    for (v, &(first, second)) in pairs.iter().enumerate() {
        let offset = (channel * pairs.len() + v) * LANES;
        let mut columns = [[V::splat(0.0); 4]; 2];
        for x in 0..4 {
            let mut m = [V::splat(0.0); 4];
            for y in 0..4 {
                // SAFETY: a place within the first of 16 entries, all inside `products`.
                m[y] = unsafe { V::load(products.as_ptr().add((4 * y + x) * entry + offset)) };
            }
            columns[0][x] = m[0].plus(m[1].plus(m[2]));
            columns[1][x] = m[1].minus(m[2]).minus(m[3]);
        }
        let image = |quad: usize| quad / shape.quads();
        let bias_of = |quad| to[image(quad)].bias.map_or(0.0, |bias| bias[channel]);
        let biases = [bias_of(first), second.map_or(0.0, bias_of)].map(V::splat);
        for (y, [a, b, c, d]) in columns.into_iter().enumerate() {
            let (left, right) = V::join(a.plus(b.plus(c)), b.minus(c).minus(d));
            let (left, right) = (left.plus(biases[0]), right.plus(biases[1]));
            for (quad, lanes) in [(Some(first), left), (second, right)] {
                let Some(quad) = quad else { continue };
                let (row, column) = shape.corner(quad);
                if row + y >= shape.height {
                    continue;
                }
                let first = channel * shape.pixels() + (row + y) * shape.width + column;
                let to = &mut to[image(quad)].out[first..first + LANES.min(shape.width - column)];
                if to.len() == LANES {
                    // SAFETY: `to` has room for all lanes.
                    unsafe { lanes.store(to.as_mut_ptr()) };
                } else {
                    to.copy_from_slice(&lanes.lanes()[..to.len()]);
                }
            }
        }
    }
}

multiversion! {
    fn weight_share(shape: ConvShape, x: &[f32], grad: &[f32], sums: &mut [f32]) = weight_body
}

/// Adds `Σ (A g Aᵀ) ⊙ (Bᵀ d B)` over the tiles of these images to `sums`, `[16, outputs, inputs]`, channels rounded up.
#[inline(always)]
fn weight_body<V: Vector, const WIDE: bool>(
    shape: ConvShape,
    x: &[f32],
    grad: &[f32],
    sums: &mut [f32],
) {
    let (inputs, outputs) = (round(shape.inputs), round(shape.outputs));
    let x = border(shape, shape.inputs, inputs, x);
    let grad = border(shape, shape.outputs, outputs, grad);
    let quads = shape.images * shape.quads();
    let pairs: Vec<_> = (0..quads)
        .step_by(2)
        .map(|quad| (quad, (quad + 1 < quads).then_some(quad + 1)))
        .collect();
    // One row of four entries at a time, so that many tiles fit in the cache and are summed in registers.
    let vectors = pairs.len().div_ceil(pairs.len().div_ceil(SUMMED));
    let mut from = vec![0.0; 4 * apart(inputs, vectors)];
    let mut to = vec![0.0; 4 * apart(outputs, vectors)];
    for pairs in pairs.chunks(vectors) {
        let length = pairs.len() * LANES;
        for row in 0..4 {
            match row {
                0 => transform_input::<V, 0>(shape, inputs, pairs, &x, &mut from),
                1 => transform_input::<V, 1>(shape, inputs, pairs, &x, &mut from),
                2 => transform_input::<V, 2>(shape, inputs, pairs, &x, &mut from),
                _ => transform_input::<V, 3>(shape, inputs, pairs, &x, &mut from),
            }
            transform_gradient::<V>(shape, outputs, pairs, &grad, row, &mut to);
            for entry in 0..4 {
                let from = &from[entry * apart(inputs, pairs.len())..][..inputs * length];
                let to = &to[entry * apart(outputs, pairs.len())..][..outputs * length];
                let sums = &mut sums[(4 * row + entry) * outputs * inputs..][..outputs * inputs];
                // Strips of the inputs stay in the first cache while the outputs pass by.
                for (strip, from) in from.chunks(STRIP * CHANNELS * length).enumerate() {
                    for (o, to) in to.chunks_exact(CHANNELS * length).enumerate() {
                        let row = o * CHANNELS * inputs + strip * STRIP * CHANNELS;
                        for (i, from) in from.chunks_exact(CHANNELS * length).enumerate() {
                            let sums = &mut sums[row + i * CHANNELS..];
                            correlate::<V, WIDE>(to, from, inputs, sums);
                        }
                    }
                }
            }
        }
    }
}

/// Row `row` of `A g Aᵀ` for each channel: `[4, channels, vectors, lanes]`.
#[inline(always)]
fn transform_gradient<V: Vector>(
    shape: ConvShape,
    channels: usize,
    pairs: &Pairs,
    bordered: &[f32],
    row: usize,
    out: &mut [f32],
) {
    let (pitch, plane) = (shape.pitch(), shape.plane());
    let entry = apart(channels, pairs.len());
    assert!(out.len() >= 4 * entry);
    for (v, &(first, second)) in pairs.iter().enumerate() {
        // The outputs of a tile lie in the middle of its inputs.
        let quads =
            [Some(first), second].map(|quad| Some(shape.start(quad?, channels) + pitch + 1));
        let last = (channels - 1) * plane + pitch + LANES;
        assert!(
            quads
                .iter()
                .flatten()
                .all(|start| start + last <= bordered.len())
        );
        for channel in 0..channels {
            let mut sides = [V::splat(0.0); 2];
            for (side, start) in sides.iter_mut().zip(quads) {
                let Some(start) = start else { continue };
                // SAFETY: at most `last` values from each start, whose lengths were checked.
                let (upper, lower) = unsafe {
                    let upper = bordered.as_ptr().add(start + channel * plane);
                    (V::load(upper), V::load(upper.add(pitch)))
                };
                *side = match row {
                    0 => upper,
                    1 => upper.plus(lower),
                    2 => upper.minus(lower),
                    _ => V::splat(0.0).minus(lower),
                };
            }
            let [left, right] = sides;
            let (g0, g1) = V::split(left, right);
            let entries = [g0, g0.plus(g1), g0.minus(g1), V::splat(0.0).minus(g1)];
            for (x, value) in entries.into_iter().enumerate() {
                let offset = x * entry + (channel * pairs.len() + v) * LANES;
                // SAFETY: the largest place is the last of four entries, all inside `out`.
                unsafe { value.store(out.as_mut_ptr().add(offset)) };
            }
        }
    }
}

/// Adds the inner products of four rows of `a` with four rows of `b` to four rows of `sums`, `pitch` apart.
#[inline(always)]
fn correlate<V: Vector, const WIDE: bool>(a: &[f32], b: &[f32], pitch: usize, sums: &mut [f32]) {
    if WIDE {
        correlate_rows::<V, CHANNELS>(a, b, pitch, sums);
    } else {
        let (upper, lower) = a.split_at(a.len() / 2);
        correlate_rows::<V, 2>(upper, b, pitch, sums);
        correlate_rows::<V, 2>(lower, b, pitch, &mut sums[2 * pitch..]);
    }
}

/// The same for `N` rows of `a`.
#[inline(always)]
fn correlate_rows<V: Vector, const N: usize>(a: &[f32], b: &[f32], pitch: usize, sums: &mut [f32]) {
    let length = b.len() / CHANNELS;
    assert!(a.len() == N * length && b.len() == CHANNELS * length);
    let mut products = [[V::splat(0.0); CHANNELS]; N];
    for offset in (0..length / LANES).map(|vector| vector * LANES) {
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
