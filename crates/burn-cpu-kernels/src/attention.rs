//! Loops of self-attention over the pixels. Each task computes one head of one image and holds one copy of its weights.
//!
//! With q, k, v `[c, pixels]`: `A = softmax(qᵀk/√c)` over the keys, `out = v·Aᵀ`. A direction moves A by
//! `A ⊙ (S' − Σ A ⊙ S')`, `S' = (q'ᵀk + qᵀk')/√c`; a gradient is pulled back by the same formula, which is symmetric.
//!
//! Every head of an image is computed alone, so results do not depend on the number of threads.

use rayon::prelude::*;

use crate::matrix::{Matrix, correlate, multiply};
use crate::silu::exp;
use crate::simd::{Machine, PART, multiversion, sum};
use crate::uninit::overwritten;

/// Shape of a self-attention: q, k and v are `[n, heads, channels, pixels]`, one after the other for each image.
#[derive(Debug, Clone, Copy)]
pub struct AttentionShape {
    /// Number of heads.
    pub heads: usize,
    /// Number of channels of a head.
    pub channels: usize,
    /// Number of queries, and of keys.
    pub pixels: usize,
}

impl AttentionShape {
    /// Number of values of q, k or v of one head.
    fn head(&self) -> usize {
        self.channels * self.pixels
    }

    /// q, k and v of one head, from those `qkv` of its image.
    fn thirds<'a>(&self, qkv: &'a [f32], head: usize) -> [&'a [f32]; 3] {
        let length = self.head();
        [0, 1, 2].map(|third| &qkv[(third * self.heads + head) * length..][..length])
    }

    /// Number of values of q, k or v of one image.
    fn image(&self) -> usize {
        self.heads * self.head()
    }
}

/// `out`, `[n, heads, channels, pixels]`, from q, k and v.
pub fn forward(shape: AttentionShape, qkv: &[f32], out: &mut [f32]) {
    let heads = out.par_chunks_mut(shape.head()).enumerate();
    heads.for_each(|(place, out)| {
        let image = &qkv[place / shape.heads * 3 * shape.image()..][..3 * shape.image()];
        forward_head(shape, shape.thirds(image, place % shape.heads), out);
    });
}

/// The tangents of the result, `[k, n, heads, channels, pixels]`, along directions of q, k and v.
pub fn tangent(shape: AttentionShape, qkv: &[f32], tangents: &[f32], out: &mut [f32]) {
    let heads = out.par_chunks_mut(shape.head()).enumerate();
    let image = 3 * shape.image();
    heads.for_each(|(place, out)| {
        let (start, head) = (place / shape.heads * image, place % shape.heads);
        let qkv = &qkv[start % qkv.len()..][..image];
        let along = &tangents[start..][..image];
        tangent_head(
            shape,
            shape.thirds(qkv, head),
            shape.thirds(along, head),
            out,
        );
    });
}

/// The gradient of q, k and v from that of the result.
pub fn gradient(shape: AttentionShape, qkv: &[f32], grad: &[f32], out: &mut [f32]) {
    let image = 3 * shape.image();
    let images = out.par_chunks_mut(image).zip(qkv.par_chunks(image));
    let images = images.zip(grad.par_chunks(shape.image()));
    images.for_each(|((out, qkv), grad)| {
        let (on_q, on_kv) = out.split_at_mut(shape.image());
        let (on_k, on_v) = on_kv.split_at_mut(shape.image());
        let heads = grad.chunks_exact(shape.head()).enumerate();
        let on = on_q
            .chunks_exact_mut(shape.head())
            .zip(on_k.chunks_exact_mut(shape.head()))
            .zip(on_v.chunks_exact_mut(shape.head()));
        for ((head, grad), ((on_q, on_k), on_v)) in heads.zip(on) {
            gradient_head(shape, shape.thirds(qkv, head), grad, [on_q, on_k, on_v]);
        }
    });
}

multiversion! {
    fn forward_head(shape: AttentionShape, qkv: [&[f32]; 3], out: &mut [f32]) = forward_body
}

#[inline(always)]
fn forward_body<M: Machine>(shape: AttentionShape, [q, k, v]: [&[f32]; 3], out: &mut [f32]) {
    let AttentionShape {
        channels, pixels, ..
    } = shape;
    let weights = weights::<M>(shape, q, k);
    out.fill(0.0);
    correlate::<M>((channels, pixels, pixels), v, &weights, out);
}

multiversion! {
    fn tangent_head(shape: AttentionShape, qkv: [&[f32]; 3], along: [&[f32]; 3], out: &mut [f32]) = tangent_body
}

#[inline(always)]
fn tangent_body<M: Machine>(
    shape: AttentionShape,
    [q, k, v]: [&[f32]; 3],
    [moved_q, moved_k, moved_v]: [&[f32]; 3],
    out: &mut [f32],
) {
    let AttentionShape {
        channels, pixels, ..
    } = shape;
    let weights = weights::<M>(shape, q, k);
    let dims = (pixels, channels, pixels);
    let mut scores = vec![0.0; pixels * pixels];
    let mut other = vec![0.0; pixels * pixels];
    multiply::<M>(
        dims,
        Matrix::columns(moved_q, pixels),
        k,
        None,
        overwritten(&mut scores),
    );
    multiply::<M>(
        dims,
        Matrix::columns(q, pixels),
        moved_k,
        None,
        overwritten(&mut other),
    );
    scores
        .iter_mut()
        .zip(&other)
        .for_each(|(total, other)| *total += other);
    through_softmax(shape, &weights, &mut scores);
    out.fill(0.0);
    let dims = (channels, pixels, pixels);
    correlate::<M>(dims, moved_v, &weights, out);
    correlate::<M>(dims, v, &scores, out);
}

multiversion! {
    fn gradient_head(shape: AttentionShape, qkv: [&[f32]; 3], grad: &[f32], on: [&mut [f32]; 3]) = gradient_body
}

#[inline(always)]
fn gradient_body<M: Machine>(
    shape: AttentionShape,
    [q, k, v]: [&[f32]; 3],
    grad: &[f32],
    [on_q, on_k, on_v]: [&mut [f32]; 3],
) {
    let AttentionShape {
        channels, pixels, ..
    } = shape;
    let weights = weights::<M>(shape, q, k);
    let dims = (channels, pixels, pixels);
    multiply::<M>(
        dims,
        Matrix::rows(grad, pixels),
        &weights,
        None,
        overwritten(on_v),
    );
    let mut scores = vec![0.0; pixels * pixels];
    let by_query = Matrix::columns(grad, pixels);
    multiply::<M>(
        (pixels, channels, pixels),
        by_query,
        v,
        None,
        overwritten(&mut scores),
    );
    through_softmax(shape, &weights, &mut scores);
    multiply::<M>(
        dims,
        Matrix::rows(q, pixels),
        &scores,
        None,
        overwritten(on_k),
    );
    on_q.fill(0.0);
    correlate::<M>(dims, k, &scores, on_q);
}

/// A: a row of weights of the keys for each query.
#[inline(always)]
fn weights<M: Machine>(shape: AttentionShape, q: &[f32], k: &[f32]) -> Vec<f32> {
    let pixels = shape.pixels;
    let mut scores = vec![0.0; pixels * pixels];
    let by_query = Matrix::columns(q, pixels);
    multiply::<M>(
        (pixels, shape.channels, pixels),
        by_query,
        k,
        None,
        overwritten(&mut scores),
    );
    let scale = shape.scale();
    for row in scores.chunks_exact_mut(pixels) {
        let mut top = [f32::NEG_INFINITY; PART];
        let (chunks, remainder) = row.as_chunks::<PART>();
        for chunk in chunks {
            for lane in 0..PART {
                top[lane] = top[lane].max(chunk[lane]);
            }
        }
        let top = top
            .iter()
            .chain(remainder)
            .fold(f32::NEG_INFINITY, |a, b| a.max(*b));
        for score in row.iter_mut() {
            *score = exp::<M>((*score - top) * scale);
        }
        let share = 1.0 / sum(row, row, |weight, _| weight);
        row.iter_mut().for_each(|weight| *weight *= share);
    }
    scores
}

impl AttentionShape {
    /// The factor 1/√c of the scores.
    fn scale(&self) -> f32 {
        1.0 / (self.channels as f32).sqrt()
    }
}

/// `A ⊙ (S − Σ A ⊙ S)/√c` in the place of S, each row for itself.
#[inline(always)]
fn through_softmax(shape: AttentionShape, weights: &[f32], scores: &mut [f32]) {
    let scale = shape.scale();
    let rows = scores.chunks_exact_mut(shape.pixels);
    for (row, weights) in rows.zip(weights.chunks_exact(shape.pixels)) {
        let mean = sum(row, weights, |score, weight| score * weight);
        for (score, weight) in row.iter_mut().zip(weights) {
            *score = weight * (*score - mean) * scale;
        }
    }
}
