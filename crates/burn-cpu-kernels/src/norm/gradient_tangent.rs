//! Tangents of the gradients of group normalisation: its second derivatives.
//!
//! With h the gradient of y, that is `g·silu'(y)` or g, and `u = γ·h`, the gradients of a group are `Σ h·x̂` for γ, `Σ h`
//! for β and `q = rate·(u − mean(u) − x̂·mean(x̂·u))` for x. With `a = mean(x̂·x')` they move by
//!
//! - `x̂' = rate·(x' − mean(x') − x̂·a)`, `rate' = −rate²·a`, `y' = γ'·x̂ + γ·x̂' + β'`;
//! - `h' = g'·silu'(y) + g·silu''(y)·y'`, `u' = γ'·h + γ·h'`;
//! - `Σ (h'·x̂ + h·x̂')`, `Σ h'` and
//!   `q' = −rate·a·q + rate·(u' − mean(u') − x̂·mean(x̂'·u + x̂·u') − x̂'·mean(x̂·u))`.

use rayon::prelude::*;

use super::{Affine, GroupNormOptions, NormShape, statistics};
use crate::silu::{curvature, slope};
use crate::simd::{Machine, multiversion, sum};

/// k directions of what the gradients depend on.
#[derive(Debug, Clone, Copy)]
pub struct GradientDirections<'a> {
    /// Directions of x, `[k, n, c, pixels]`.
    pub x: &'a [f32],
    /// Directions of γ and β, both `[k, c]`.
    pub affine: (&'a [f32], &'a [f32]),
    /// Directions of the gradient of the result, `[k, n, c, pixels]`.
    pub grad: &'a [f32],
}

/// A group of an image: γ and β, x and the gradient of the result.
#[derive(Clone, Copy)]
struct Group<'a> {
    affine: Affine<'a>,
    x: &'a [f32],
    grad: &'a [f32],
}

/// The tangents of the gradients of x, `[k, n, c, pixels]`, and of γ and β, both `[k, c]`.
pub fn gradient_tangent(
    shape: NormShape,
    options: GroupNormOptions,
    (x, grad): (&[f32], &[f32]),
    (gamma, beta): (&[f32], &[f32]),
    directions: GradientDirections<'_>,
    out: &mut [f32],
) -> (Vec<f32>, Vec<f32>) {
    let group = shape.group(options);
    let channels = shape.channels / options.groups;
    let (count, k) = (x.len() / group, out.len() / x.len());
    let mut on_gamma = vec![0.0; k * shape.images * shape.channels];
    let mut on_beta = on_gamma.clone();
    let affines = on_gamma
        .par_chunks_mut(channels)
        .zip(on_beta.par_chunks_mut(channels));
    let groups = out.par_chunks_mut(group).zip(affines);
    groups.enumerate().for_each(|(i, (out, on))| {
        let (direction, place) = (i / count, i % count);
        let first = direction * shape.channels + i % options.groups * channels;
        let inputs = Group {
            affine: Affine { gamma, beta }.of_group(options, place),
            x: &x[place * group..][..group],
            grad: &grad[place * group..][..group],
        };
        let moved = Group {
            affine: Affine {
                gamma: &directions.affine.0[first..first + channels],
                beta: &directions.affine.1[first..first + channels],
            },
            x: &directions.x[i * group..][..group],
            grad: &directions.grad[i * group..][..group],
        };
        gradient_tangent_group(options, shape.pixels, inputs, moved, out, on);
    });
    let total = |per_image: Vec<f32>| {
        let mut sums = vec![0.0; k * shape.channels];
        let images = per_image.chunks_exact(shape.images * shape.channels);
        for (sums, images) in sums.chunks_exact_mut(shape.channels).zip(images) {
            for image in images.chunks_exact(shape.channels) {
                sums.iter_mut()
                    .zip(image)
                    .for_each(|(sum, value)| *sum += value);
            }
        }
        sums
    };
    (total(on_gamma), total(on_beta))
}

multiversion! {
    fn gradient_tangent_group(
        options: GroupNormOptions,
        pixels: usize,
        inputs: Group<'_>,
        moved: Group<'_>,
        out: &mut [f32],
        on: (&mut [f32], &mut [f32]),
    ) = gradient_tangent_body
}

#[inline(always)]
fn gradient_tangent_body<M: Machine>(
    options: GroupNormOptions,
    pixels: usize,
    inputs: Group<'_>,
    moved: Group<'_>,
    out: &mut [f32],
    (on_gamma, on_beta): (&mut [f32], &mut [f32]),
) {
    let (mean, rate) = statistics(options, inputs.x);
    let count = inputs.x.len() as f32;
    let hat: Vec<f32> = inputs.x.iter().map(|&x| (x - mean) * rate).collect();
    let shift = sum(moved.x, moved.x, |t, _| t) / count;
    let a = sum(moved.x, &hat, |t, hat| t * hat) / count;
    let hat_moved = moved.x.iter().zip(&hat);
    let hat_moved: Vec<f32> = hat_moved
        .map(|(&t, &hat)| rate * (t - shift - hat * a))
        .collect();

    // h, and h' in the place of the result.
    let mut h = inputs.grad.to_vec();
    out.copy_from_slice(moved.grad);
    // Sums over the group of u, x̂·u, u' and x̂'·u + x̂·u'.
    let (mut u, mut along, mut u_moved, mut along_moved) = (0.0, 0.0, 0.0, 0.0);
    for c in 0..on_gamma.len() {
        let pixels = c * pixels..(c + 1) * pixels;
        let (h, h_moved) = (&mut h[pixels.clone()], &mut out[pixels.clone()]);
        let (hat, hat_moved) = (&hat[pixels.clone()], &hat_moved[pixels]);
        let (gamma, beta) = (inputs.affine.gamma[c], inputs.affine.beta[c]);
        let (gamma_moved, beta_moved) = (moved.affine.gamma[c], moved.affine.beta[c]);
        if options.silu {
            let hats = hat.iter().zip(hat_moved);
            for ((h, h_moved), (&hat, &hat_moved)) in h.iter_mut().zip(&mut *h_moved).zip(hats) {
                let y = gamma * hat + beta;
                let y_moved = gamma_moved * hat + gamma * hat_moved + beta_moved;
                let slope = slope::<M>(y);
                *h_moved = *h_moved * slope + *h * curvature::<M>(y) * y_moved;
                *h *= slope;
            }
        }
        let (total, on_hat) = (sum(h, h, |h, _| h), sum(h, hat, |h, hat| h * hat));
        on_beta[c] = sum(h_moved, h_moved, |h, _| h);
        on_gamma[c] = sum(h_moved, hat, |h, hat| h * hat) + sum(h, hat_moved, |h, hat| h * hat);
        u += gamma * total;
        along += gamma * on_hat;
        u_moved += gamma_moved * total + gamma * on_beta[c];
        along_moved += gamma_moved * on_hat + gamma * on_gamma[c];
    }
    let [u_mean, along, u_moved_mean, along_moved] =
        [u, along, u_moved, along_moved].map(|total| total / count);
    for c in 0..on_gamma.len() {
        let pixels = c * pixels..(c + 1) * pixels;
        let (gamma, gamma_moved) = (inputs.affine.gamma[c], moved.affine.gamma[c]);
        let hats = hat[pixels.clone()].iter().zip(&hat_moved[pixels.clone()]);
        let inputs = h[pixels.clone()].iter().zip(hats);
        for (out, (&h, (&hat, &hat_moved))) in out[pixels].iter_mut().zip(inputs) {
            let u = gamma * h;
            let u_moved = gamma_moved * h + gamma * *out;
            let q = u - u_mean - hat * along;
            let moved = u_moved - u_moved_mean - hat * along_moved - hat_moved * along;
            *out = rate * (moved - rate * a * q);
        }
    }
}
