//! Transformed weights, `G w Gᵀ`.

use rayon::prelude::*;

use super::shape::ENTRIES;
use crate::uninit::written;

/// Number of output channels whose weights lie side by side.
pub(super) const CHANNELS: usize = 8;

/// Channels rounded up to whole matrix tiles.
pub(super) fn round(channels: usize) -> usize {
    channels.next_multiple_of(CHANNELS)
}

/// Transformed weights in the order in which products read them: `[outputs / 8, 16, inputs, 8]`, zeros beyond the last
/// output.
pub struct PackedWeights {
    values: Vec<f32>,
    outputs: usize,
    inputs: usize,
}

impl PackedWeights {
    /// Weights `[o, i, 3, 3]` for the convolution.
    pub fn new(outputs: usize, inputs: usize, weights: &[f32]) -> Self {
        let kernel = |o: usize, i: usize| (o * inputs + i) * 9;
        Self::transform((outputs, inputs), weights, kernel, false)
    }

    /// Weights `[o, i, 3, 3]` for the gradient of the input: kernels transposed and read backwards.
    pub fn turned(outputs: usize, inputs: usize, weights: &[f32]) -> Self {
        let kernel = |i: usize, o: usize| (o * inputs + i) * 9;
        Self::transform((inputs, outputs), weights, kernel, true)
    }

    /// Numbers of outputs and inputs.
    pub fn channels(&self) -> (usize, usize) {
        (self.outputs, self.inputs)
    }

    /// The transformed weights.
    pub(crate) fn values(&self) -> &[f32] {
        &self.values
    }

    /// Number of transformed weights.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// `kernel(o, i)` is the position in `weights` of the kernel of an output and an input. `turned` reads the kernels
    /// backwards.
    fn transform(
        (outputs, inputs): (usize, usize),
        weights: &[f32],
        kernel: impl Fn(usize, usize) -> usize + Sync,
        turned: bool,
    ) -> Self {
        let count = ENTRIES * round(outputs) * inputs;
        // SAFETY: each block of eight outputs writes its entries, all inputs of each.
        let values = unsafe {
            written(count, |packed| {
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
                            packed[e * inputs + i].write_copy_of_slice(&values);
                        }
                    }
                });
            })
        };
        Self {
            values,
            outputs,
            inputs,
        }
    }
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
pub(super) fn kernel_gradient(u: [f32; ENTRIES]) -> [f32; 9] {
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
