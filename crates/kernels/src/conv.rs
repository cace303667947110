//! The 3×3 convolution with stride 1 that keeps the resolution, by Winograd's minimal filtering F(2×2, 3×3)
//! (Lavin and Gray, arXiv 1509.09308): four outputs cost 16 products instead of 36.
//!
//! A tile is 2×2 outputs and the 4×4 inputs d under them. `Y = Aᵀ[(G w Gᵀ) ⊙ (Bᵀ d B)]A`, summed over the channels:
//! one matrix product `[outputs, inputs]·[inputs, tiles]` for each of the 16 entries. The gradient of the input is
//! the same convolution with the kernel transposed and turned round; the gradient of the weights is the adjoint,
//! `Gᵀ[Σ (A g Aᵀ) ⊙ (Bᵀ d B)]G`.
//!
//! Images are NCHW. They get a border of zeros and are cut into quads: four tiles side by side. Two quads
//! fill a vector, up to [`MOST`] vectors a block, whose transforms stay in the cache of a core.
//!
//! Results do not depend on the number of threads: every output is one sum over the channels in their
//! order, and the weight gradients of fixed shares of the images are added in their order.

use rayon::prelude::*;

use crate::isa::{LANES, Vector, multiversion};

/// Entries of a transformed tile.
const ENTRIES: usize = 16;
/// Channels of a matrix tile.
const CHANNELS: usize = 4;
/// Vectors of a block, at most.
const MOST: usize = 6;
/// Tiles side by side that are loaded together.
const QUAD: usize = 4;
/// Parts of a batch whose weight gradients are summed apart.
const SHARES: usize = 16;

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

    /// Quads in a row of tiles.
    fn across(&self) -> usize {
        self.width.div_ceil(2 * QUAD)
    }

    /// Quads of an image.
    fn quads(&self) -> usize {
        self.height.div_ceil(2) * self.across()
    }

    /// Length of a row with its border.
    fn pitch(&self) -> usize {
        2 * QUAD * self.across() + 2
    }

    /// Entries of one channel with its border.
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

    /// Where the inputs of a quad begin in images of `channels` channels with their border.
    fn start(&self, quad: usize, channels: usize) -> usize {
        let (row, column) = self.corner(quad);
        quad / self.quads() * channels * self.plane() + row * self.pitch() + column
    }
}

/// `out = conv(x, weights) + bias`: `x` is `[n, i, h, w]`, `weights` `[o, i, 3, 3]`, `bias` `[o]`, `out`
/// `[n, o, h, w]`.
pub fn forward(size: Size, x: &[f32], weights: &[f32], bias: Option<&[f32]>, out: &mut [f32]) {
    let kernel = |o: usize, i: usize| {
        let at = (o * size.inputs + i) * 9;
        std::array::from_fn(|tap| weights[at + tap])
    };
    run(
        size,
        x,
        &transform_weights(size.outputs, size.inputs, kernel),
        bias,
        out,
    );
}

/// The gradient of the input, `[n, i, h, w]`, from that of the output, `[n, o, h, w]`.
pub fn input_gradient(size: Size, grad: &[f32], weights: &[f32], out: &mut [f32]) {
    let kernel = |i: usize, o: usize| {
        let at = (o * size.inputs + i) * 9;
        std::array::from_fn(|tap| weights[at + 8 - tap])
    };
    let turned = Size {
        inputs: size.outputs,
        outputs: size.inputs,
        ..size
    };
    let transformed = transform_weights(turned.outputs, turned.inputs, kernel);
    run(turned, grad, &transformed, None, out);
}

/// The gradient of the weights, `[o, i, 3, 3]`, from the input and the gradient of the output.
pub fn weight_gradient(size: Size, x: &[f32], grad: &[f32], out: &mut [f32]) {
    let images = size.images.div_ceil(SHARES);
    let shares = x
        .par_chunks(images * size.inputs * size.pixels())
        .zip(grad.par_chunks(images * size.outputs * size.pixels()));
    let partial: Vec<Vec<f32>> = shares
        .map(|(x, grad)| {
            let images = x.len() / (size.inputs * size.pixels());
            let mut sum = vec![0.0; ENTRIES * round(size.outputs) * round(size.inputs)];
            weight_share(Size { images, ..size }, x, grad, &mut sum);
            sum
        })
        .collect();
    let mut sum = vec![0.0; ENTRIES * round(size.outputs) * round(size.inputs)];
    for partial in partial {
        sum.iter_mut()
            .zip(partial)
            .for_each(|(sum, one)| *sum += one);
    }
    let (block, row) = (round(size.outputs) * round(size.inputs), round(size.inputs));
    for (o, out) in out.chunks_exact_mut(size.inputs * 9).enumerate() {
        for (i, out) in out.as_chunks_mut::<9>().0.iter_mut().enumerate() {
            *out = kernel_gradient(std::array::from_fn(|e| sum[e * block + o * row + i]));
        }
    }
}

/// Channels rounded up to whole matrix tiles.
fn round(channels: usize) -> usize {
    channels.next_multiple_of(CHANNELS)
}

/// `G w Gᵀ`.
fn transform_kernel(w: [f32; 9]) -> [f32; ENTRIES] {
    let stretch = |a: f32, b: f32, c: f32| [a, 0.5 * (a + b + c), 0.5 * (a - b + c), c];
    let mut rows = [[0.0; 3]; 4];
    for x in 0..3 {
        let column = stretch(w[x], w[3 + x], w[6 + x]);
        for y in 0..4 {
            rows[y][x] = column[y];
        }
    }
    let mut out = [0.0; ENTRIES];
    for (y, [a, b, c]) in rows.into_iter().enumerate() {
        out[4 * y..4 * y + 4].copy_from_slice(&stretch(a, b, c));
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
/// beyond the last.
fn transform_weights(
    outputs: usize,
    inputs: usize,
    kernel: impl Fn(usize, usize) -> [f32; 9] + Sync,
) -> Vec<f32> {
    let mut packed = vec![0.0; ENTRIES * round(outputs) * inputs];
    let blocks = packed.par_chunks_mut(ENTRIES * inputs * CHANNELS);
    blocks.enumerate().for_each(|(block, packed)| {
        for o in 0..CHANNELS.min(outputs - block * CHANNELS) {
            for i in 0..inputs {
                let entries = transform_kernel(kernel(block * CHANNELS + o, i));
                for (e, value) in entries.into_iter().enumerate() {
                    packed[(e * inputs + i) * CHANNELS + o] = value;
                }
            }
        }
    });
    packed
}

/// Tasks are some images each, or some channels of one image where the threads outnumber the images.
fn run(size: Size, x: &[f32], packed: &[f32], bias: Option<&[f32]>, out: &mut [f32]) {
    let threads = rayon::current_num_threads();
    let block = ENTRIES * size.inputs * CHANNELS;
    if size.images < threads {
        let channels = round(size.outputs.div_ceil(threads.div_ceil(size.images)));
        let images = out.par_chunks_mut(size.outputs * size.pixels());
        let images = images.zip(x.par_chunks(size.inputs * size.pixels()));
        images.for_each(|(out, x)| {
            let parts = out.par_chunks_mut(channels * size.pixels());
            let parts = parts.zip(packed.par_chunks(channels / CHANNELS * block));
            parts.enumerate().for_each(|(part, (out, packed))| {
                let size = Size {
                    images: 1,
                    outputs: out.len() / size.pixels(),
                    ..size
                };
                let bias = bias.map(|bias| &bias[part * channels..]);
                convolve(size, x, packed, bias, out);
            });
        });
        return;
    }
    let images = (2 * QUAD).div_ceil(size.quads());
    let tasks = out
        .par_chunks_mut(images * size.outputs * size.pixels())
        .zip(x.par_chunks(images * size.inputs * size.pixels()));
    tasks.for_each(|(out, x)| {
        let images = x.len() / (size.inputs * size.pixels());
        convolve(Size { images, ..size }, x, packed, bias, out);
    });
}

/// Images with a border of zeros, and rows and columns of zeros up to whole quads:
/// `[images, channels, rows, pitch]`, channels rounded up by zeros to `rounded`.
fn border(size: Size, channels: usize, rounded: usize, x: &[f32]) -> Vec<f32> {
    let (pitch, plane) = (size.pitch(), size.plane());
    let mut bordered = vec![0.0; size.images * rounded * plane];
    let images = bordered.chunks_exact_mut(rounded * plane);
    for (to, from) in images.zip(x.chunks_exact(channels * size.pixels())) {
        let planes = to
            .chunks_exact_mut(plane)
            .zip(from.chunks_exact(size.pixels()));
        for (to, from) in planes {
            let rows = to.chunks_exact_mut(pitch).skip(1);
            for (to, from) in rows.zip(from.chunks_exact(size.width)) {
                let (to, from) = (to[1..].as_chunks_mut::<LANES>(), from.as_chunks::<LANES>());
                to.0.iter_mut()
                    .zip(from.0)
                    .for_each(|(to, from)| *to = *from);
                let rest = from.1.len();
                if rest > 0 {
                    to.0[from.0.len()][..rest].copy_from_slice(from.1);
                }
            }
        }
    }
    bordered
}

/// The two quads of each vector of a block, by number; the last may lack its second.
type Pairs = [(usize, Option<usize>)];

multiversion! {
    fn convolve(size: Size, x: &[f32], packed: &[f32], bias: Option<&[f32]>, out: &mut [f32]) = convolve_body
}

#[inline(always)]
fn convolve_body<V: Vector, const WIDE: bool>(
    size: Size,
    x: &[f32],
    packed: &[f32],
    bias: Option<&[f32]>,
    out: &mut [f32],
) {
    let bordered = border(size, size.inputs, size.inputs, x);
    let quads = size.images * size.quads();
    let pairs: Vec<_> = (0..quads)
        .step_by(2)
        .map(|quad| (quad, (quad + 1 < quads).then_some(quad + 1)))
        .collect();
    let most = if WIDE { MOST } else { MOST / 2 };
    let vectors = pairs.len().div_ceil(pairs.len().div_ceil(most));
    let outputs = round(size.outputs);
    let mut transformed = vec![0.0; ENTRIES * size.inputs * vectors * LANES];
    let mut products = vec![0.0; ENTRIES * outputs * vectors * LANES];
    for pairs in pairs.chunks(vectors) {
        let length = pairs.len() * LANES;
        transform_input::<V>(size, size.inputs, pairs, &bordered, 0..4, &mut transformed);
        for e in 0..ENTRIES {
            let input = &transformed[e * size.inputs * length..][..size.inputs * length];
            let product = &mut products[e * outputs * length..][..outputs * length];
            let blocks = packed.chunks_exact(ENTRIES * size.inputs * CHANNELS);
            for (weights, product) in blocks.zip(product.chunks_exact_mut(CHANNELS * length)) {
                let weights = &weights[e * size.inputs * CHANNELS..][..size.inputs * CHANNELS];
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
        for o in 0..size.outputs {
            let bias = bias.map_or(0.0, |bias| bias[o]);
            transform_output::<V>(size, pairs, &products, (o, outputs), bias, out);
        }
    }
}

/// The rows `rows` of `Bᵀ d B` for each channel: `[4·rows, channels, vectors, lanes]`.
#[inline(always)]
fn transform_input<V: Vector>(
    size: Size,
    channels: usize,
    pairs: &Pairs,
    bordered: &[f32],
    rows: std::ops::Range<usize>,
    out: &mut [f32],
) {
    let (pitch, plane) = (size.pitch(), size.plane());
    let entry = channels * pairs.len() * LANES;
    assert!(out.len() >= 4 * rows.len() * entry);
    for (v, &(first, second)) in pairs.iter().enumerate() {
        let quads = [first, second.unwrap_or(first)].map(|quad| size.start(quad, channels));
        let last = (channels - 1) * plane + 3 * pitch + 2 + LANES;
        assert!(quads.iter().all(|start| start + last <= bordered.len()));
        for channel in 0..channels {
            // SAFETY: at most `last` values from each start, whose lengths were checked.
            let at = unsafe { bordered.as_ptr().add(channel * plane) };
            for (place, row) in rows.clone().enumerate() {
                // `Bᵀd` is the difference of two rows, or the sum of the middle ones.
                let (upper, lower) = [(0, 2), (1, 2), (2, 1), (1, 3)][row];
                let mut columns = [[V::splat(0.0); 2]; 2];
                for quad in 0..2 {
                    for half in 0..2 {
                        // SAFETY: as above.
                        let (a, b) = unsafe {
                            let at = at.add(quads[quad] + 2 * half);
                            (
                                V::load(at.add(upper * pitch)),
                                V::load(at.add(lower * pitch)),
                            )
                        };
                        columns[half][quad] = if row == 1 { a.plus(b) } else { a.minus(b) };
                    }
                }
                let (d0, d1) = V::split(columns[0][0], columns[0][1]);
                let (d2, d3) = V::split(columns[1][0], columns[1][1]);
                let entries = [d0.minus(d2), d1.plus(d2), d2.minus(d1), d1.minus(d3)];
                for (x, value) in entries.into_iter().enumerate() {
                    let at = (4 * place + x) * entry + (channel * pairs.len() + v) * LANES;
                    // SAFETY: the largest place is the last of `4·rows` entries, all inside `out`.
                    unsafe { value.store(out.as_mut_ptr().add(at)) };
                }
            }
        }
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
    size: Size,
    pairs: &Pairs,
    products: &[f32],
    (channel, channels): (usize, usize),
    bias: f32,
    out: &mut [f32],
) {
    let entry = channels * pairs.len() * LANES;
    assert!(products.len() >= ENTRIES * entry && channel < channels);
    for (v, &(first, second)) in pairs.iter().enumerate() {
        let at = (channel * pairs.len() + v) * LANES;
        let mut columns = [[V::splat(0.0); 4]; 2];
        for x in 0..4 {
            let mut m = [V::splat(0.0); 4];
            for y in 0..4 {
                // SAFETY: a place within the first of 16 entries, all inside `products`.
                m[y] = unsafe { V::load(products.as_ptr().add((4 * y + x) * entry + at)) };
            }
            columns[0][x] = m[0].plus(m[1].plus(m[2]));
            columns[1][x] = m[1].minus(m[2]).minus(m[3]);
        }
        let bias = V::splat(bias);
        for (y, [a, b, c, d]) in columns.into_iter().enumerate() {
            let even = a.plus(b.plus(c)).plus(bias);
            let odd = b.minus(c).minus(d).plus(bias);
            let (left, right) = V::join(even, odd);
            for (quad, lanes) in [(Some(first), left), (second, right)] {
                let Some(quad) = quad else { continue };
                let (row, column) = size.corner(quad);
                if row + y >= size.height {
                    continue;
                }
                let image = quad / size.quads() * size.outputs + channel;
                let at = image * size.pixels() + (row + y) * size.width + column;
                let to = &mut out[at..at + LANES.min(size.width - column)];
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
    fn weight_share(size: Size, x: &[f32], grad: &[f32], sums: &mut [f32]) = weight_body
}

/// Adds `Σ (A g Aᵀ) ⊙ (Bᵀ d B)` over the tiles of these images to `sums`, `[16, outputs, inputs]`, channels rounded up.
#[inline(always)]
fn weight_body<V: Vector, const WIDE: bool>(size: Size, x: &[f32], grad: &[f32], sums: &mut [f32]) {
    let (inputs, outputs) = (round(size.inputs), round(size.outputs));
    let x = border(size, size.inputs, inputs, x);
    let grad = border(size, size.outputs, outputs, grad);
    let quads = size.images * size.quads();
    let pairs: Vec<_> = (0..quads)
        .step_by(2)
        .map(|quad| (quad, (quad + 1 < quads).then_some(quad + 1)))
        .collect();
    // One row of four entries at a time, so that many tiles fit in the cache and are summed in registers.
    let vectors = pairs.len().div_ceil(pairs.len().div_ceil(24));
    let mut from = vec![0.0; 4 * inputs * vectors * LANES];
    let mut to = vec![0.0; 4 * outputs * vectors * LANES];
    for pairs in pairs.chunks(vectors) {
        let length = pairs.len() * LANES;
        for row in 0..4 {
            transform_input::<V>(size, inputs, pairs, &x, row..row + 1, &mut from);
            transform_gradient::<V>(size, outputs, pairs, &grad, row, &mut to);
            for entry in 0..4 {
                let from = &from[entry * inputs * length..][..inputs * length];
                let to = &to[entry * outputs * length..][..outputs * length];
                let sums = &mut sums[(4 * row + entry) * outputs * inputs..][..outputs * inputs];
                for (o, to) in to.chunks_exact(CHANNELS * length).enumerate() {
                    for (i, from) in from.chunks_exact(CHANNELS * length).enumerate() {
                        let at = o * CHANNELS * inputs + i * CHANNELS;
                        correlate::<V, WIDE>(to, from, inputs, &mut sums[at..]);
                    }
                }
            }
        }
    }
}

/// Row `row` of `A g Aᵀ` for each channel: `[4, channels, vectors, lanes]`.
#[inline(always)]
fn transform_gradient<V: Vector>(
    size: Size,
    channels: usize,
    pairs: &Pairs,
    bordered: &[f32],
    row: usize,
    out: &mut [f32],
) {
    let (pitch, plane) = (size.pitch(), size.plane());
    let entry = channels * pairs.len() * LANES;
    assert!(out.len() >= 4 * entry);
    for (v, &(first, second)) in pairs.iter().enumerate() {
        // The outputs of a tile lie in the middle of its inputs.
        let quads = [Some(first), second].map(|quad| Some(size.start(quad?, channels) + pitch + 1));
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
                    let at = bordered.as_ptr().add(start + channel * plane);
                    (V::load(at), V::load(at.add(pitch)))
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
                let at = x * entry + (channel * pairs.len() + v) * LANES;
                // SAFETY: the largest place is the last of four entries, all inside `out`.
                unsafe { value.store(out.as_mut_ptr().add(at)) };
            }
        }
    }
}

/// Adds the inner products of four rows of `a` with four rows of `b` to four rows of `sums`, `pitch` apart.
#[inline(always)]
fn correlate<V: Vector, const WIDE: bool>(a: &[f32], b: &[f32], pitch: usize, sums: &mut [f32]) {
    if WIDE {
        correlate_body::<V, CHANNELS>(a, b, pitch, 0, sums);
    } else {
        correlate_body::<V, 2>(a, b, pitch, 0, sums);
        correlate_body::<V, 2>(a, b, pitch, 2, sums);
    }
}

/// The same with the `N` rows of `b` from `first`.
#[inline(always)]
fn correlate_body<V: Vector, const N: usize>(
    a: &[f32],
    b: &[f32],
    pitch: usize,
    first: usize,
    sums: &mut [f32],
) {
    let length = a.len() / CHANNELS;
    assert!(b.len() == a.len() && first + N <= CHANNELS && length.is_multiple_of(LANES));
    let mut products = [[V::splat(0.0); CHANNELS]; N];
    for at in (0..length).step_by(LANES) {
        let mut x = [V::splat(0.0); CHANNELS];
        for o in 0..CHANNELS {
            // SAFETY: four rows of `length` values each in both, as checked.
            x[o] = unsafe { V::load(a.as_ptr().add(o * length + at)) };
        }
        for i in 0..N {
            // SAFETY: as above.
            let y = unsafe { V::load(b.as_ptr().add((first + i) * length + at)) };
            for o in 0..CHANNELS {
                products[i][o] = x[o].fused(y, products[i][o]);
            }
        }
    }
    for i in 0..N {
        for (o, sum) in V::totals(products[i]).into_iter().enumerate() {
            sums[o * pitch + first + i] += sum;
        }
    }
}
