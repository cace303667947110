//! Self-attention over the pixels, one head of one image at a time, its weights never in memory twice.
//!
//! With q, k, v `[c, pixels]`: `A = softmax(qᵀk/√c)` over the keys, `out = v·Aᵀ`. A direction moves A by
//! `A ⊙ (S' − Σ A ⊙ S')`, `S' = (q'ᵀk + qᵀk')/√c`; a gradient is pulled back by the same formula, which is symmetric.
//!
//! Every head of an image is computed alone, so results do not depend on the number of threads.

use rayon::prelude::*;

use crate::isa::{LANES, Vector, multiversion, sum};
use crate::matrix::{Matrix, correlate, multiply};
use crate::swish::exp;

/// Sizes of the attention: q, k and v are `[n, heads, channels, pixels]`, one after the other for each image.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Heads.
    pub heads: usize,
    /// Channels of a head.
    pub channels: usize,
    /// Queries, and keys.
    pub pixels: usize,
}

impl Size {
    /// Values of q, k or v of one head.
    fn head(&self) -> usize {
        self.channels * self.pixels
    }

    /// q, k and v of one head within those of its image.
    fn parts<'a>(&self, qkv: &'a [f32], head: usize) -> [&'a [f32]; 3] {
        let length = self.head();
        [0, 1, 2].map(|part| &qkv[(part * self.heads + head) * length..][..length])
    }

    fn image(&self) -> usize {
        self.heads * self.head()
    }
}

/// `out`, `[n, heads, channels, pixels]`, from q, k and v.
pub fn forward(size: Size, qkv: &[f32], out: &mut [f32]) {
    let heads = out.par_chunks_mut(size.head()).enumerate();
    heads.for_each(|(place, out)| {
        let image = &qkv[place / size.heads * 3 * size.image()..][..3 * size.image()];
        forward_head(size, size.parts(image, place % size.heads), out);
    });
}

/// The tangents of the result, `[k, n, heads, channels, pixels]`, along directions of q, k and v.
pub fn tangent(size: Size, qkv: &[f32], tangents: &[f32], out: &mut [f32]) {
    let heads = out.par_chunks_mut(size.head()).enumerate();
    let image = 3 * size.image();
    heads.for_each(|(place, out)| {
        let (start, head) = (place / size.heads * image, place % size.heads);
        let of = &qkv[start % qkv.len()..][..image];
        let along = &tangents[start..][..image];
        tangent_head(size, size.parts(of, head), size.parts(along, head), out);
    });
}

/// The gradient of q, k and v from that of the result.
pub fn gradient(size: Size, qkv: &[f32], grad: &[f32], out: &mut [f32]) {
    let image = 3 * size.image();
    let images = out.par_chunks_mut(image).zip(qkv.par_chunks(image));
    let images = images.zip(grad.par_chunks(size.image()));
    images.for_each(|((out, qkv), grad)| {
        let (on_q, rest) = out.split_at_mut(size.image());
        let (on_k, on_v) = rest.split_at_mut(size.image());
        let heads = grad.chunks_exact(size.head()).enumerate();
        let on = on_q
            .chunks_exact_mut(size.head())
            .zip(on_k.chunks_exact_mut(size.head()))
            .zip(on_v.chunks_exact_mut(size.head()));
        for ((head, grad), ((on_q, on_k), on_v)) in heads.zip(on) {
            gradient_head(size, size.parts(qkv, head), grad, [on_q, on_k, on_v]);
        }
    });
}

multiversion! {
    fn forward_head(size: Size, qkv: [&[f32]; 3], out: &mut [f32]) = forward_body
}

#[inline(always)]
fn forward_body<V: Vector, const WIDE: bool>(size: Size, [q, k, v]: [&[f32]; 3], out: &mut [f32]) {
    let Size {
        channels, pixels, ..
    } = size;
    let weights = weights::<V, WIDE>(size, q, k);
    out.fill(0.0);
    correlate::<V, WIDE>((channels, pixels, pixels), v, &weights, out);
}

multiversion! {
    fn tangent_head(size: Size, qkv: [&[f32]; 3], along: [&[f32]; 3], out: &mut [f32]) = tangent_body
}

#[inline(always)]
fn tangent_body<V: Vector, const WIDE: bool>(
    size: Size,
    [q, k, v]: [&[f32]; 3],
    [moved_q, moved_k, moved_v]: [&[f32]; 3],
    out: &mut [f32],
) {
    let Size {
        channels, pixels, ..
    } = size;
    let weights = weights::<V, WIDE>(size, q, k);
    let shape = (pixels, channels, pixels);
    let mut scores = vec![0.0; pixels * pixels];
    let mut other = vec![0.0; pixels * pixels];
    multiply::<V, WIDE>(
        shape,
        Matrix::columns(moved_q, pixels),
        k,
        None,
        &mut scores,
    );
    multiply::<V, WIDE>(shape, Matrix::columns(q, pixels), moved_k, None, &mut other);
    scores
        .iter_mut()
        .zip(&other)
        .for_each(|(total, one)| *total += one);
    through_softmax(size, &weights, &mut scores);
    out.fill(0.0);
    let shape = (channels, pixels, pixels);
    correlate::<V, WIDE>(shape, moved_v, &weights, out);
    correlate::<V, WIDE>(shape, v, &scores, out);
}

multiversion! {
    fn gradient_head(size: Size, qkv: [&[f32]; 3], grad: &[f32], on: [&mut [f32]; 3]) = gradient_body
}

#[inline(always)]
fn gradient_body<V: Vector, const WIDE: bool>(
    size: Size,
    [q, k, v]: [&[f32]; 3],
    grad: &[f32],
    [on_q, on_k, on_v]: [&mut [f32]; 3],
) {
    let Size {
        channels, pixels, ..
    } = size;
    let weights = weights::<V, WIDE>(size, q, k);
    let shape = (channels, pixels, pixels);
    multiply::<V, WIDE>(shape, Matrix::rows(grad, pixels), &weights, None, on_v);
    let mut scores = vec![0.0; pixels * pixels];
    let by_query = Matrix::columns(grad, pixels);
    multiply::<V, WIDE>((pixels, channels, pixels), by_query, v, None, &mut scores);
    through_softmax(size, &weights, &mut scores);
    multiply::<V, WIDE>(shape, Matrix::rows(q, pixels), &scores, None, on_k);
    on_q.fill(0.0);
    correlate::<V, WIDE>(shape, k, &scores, on_q);
}

/// A: a row of weights of the keys for each query.
#[inline(always)]
fn weights<V: Vector, const WIDE: bool>(size: Size, q: &[f32], k: &[f32]) -> Vec<f32> {
    let pixels = size.pixels;
    let mut scores = vec![0.0; pixels * pixels];
    let by_query = Matrix::columns(q, pixels);
    multiply::<V, WIDE>(
        (pixels, size.channels, pixels),
        by_query,
        k,
        None,
        &mut scores,
    );
    let scale = size.scale();
    for row in scores.chunks_exact_mut(pixels) {
        let mut top = [f32::NEG_INFINITY; LANES];
        let (chunks, rest) = row.as_chunks::<LANES>();
        for chunk in chunks {
            for lane in 0..LANES {
                top[lane] = top[lane].max(chunk[lane]);
            }
        }
        let top = top
            .iter()
            .chain(rest)
            .fold(f32::NEG_INFINITY, |a, b| a.max(*b));
        for score in row.iter_mut() {
            *score = exp::<V>((*score - top) * scale);
        }
        let share = 1.0 / sum(row, row, |weight, _| weight);
        row.iter_mut().for_each(|weight| *weight *= share);
    }
    scores
}

impl Size {
    fn scale(&self) -> f32 {
        1.0 / (self.channels as f32).sqrt()
    }
}

/// `A ⊙ (S − Σ A ⊙ S)/√c` in the place of S, each row for itself.
#[inline(always)]
fn through_softmax(size: Size, weights: &[f32], scores: &mut [f32]) {
    let scale = size.scale();
    let rows = scores.chunks_exact_mut(size.pixels);
    for (row, weights) in rows.zip(weights.chunks_exact(size.pixels)) {
        let mean = sum(row, weights, |score, weight| score * weight);
        for (score, weight) in row.iter_mut().zip(weights) {
            *score = weight * (*score - mean) * scale;
        }
    }
}
