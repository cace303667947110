//! Loops of group normalisation, with SiLU after it or without, in one pass over each group of channels.
//!
//! With `x̂ = (x − mean)·rate`, `rate = 1/√(variance + ε)` over a group of an image, `y = γ·x̂ + β`, the result is `y` or
//! `silu(y)`. A direction t of x moves x̂ by `rate·(t − mean(t) − x̂·mean(x̂·t))`, and a gradient is pulled back by the
//! same formula, which is symmetric. Directions γ' and β' of the weights move y by `γ'·x̂ + β'`.
//!
//! Every group of an image is computed alone and the gradients of γ and β are summed over the images in their
//! order, so results do not depend on the number of threads.

mod gradient_tangent;

use std::mem::MaybeUninit;

use rayon::prelude::*;

use crate::silu::{sigmoid, slope};
use crate::simd::{Machine, multiversion, sum};
use crate::uninit::assume_written;

pub use gradient_tangent::{GradientDirections, gradient_tangent};

/// Options of a group normalisation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GroupNormOptions {
    /// Number of groups, a divisor of the number of channels.
    pub groups: usize,
    /// Term added to the variance.
    pub epsilon: f64,
    /// True if SiLU follows.
    pub silu: bool,
}

/// Shape of a group normalisation: images `[n, c, pixels]`.
#[derive(Debug, Clone, Copy)]
pub struct NormShape {
    /// Number of images.
    pub images: usize,
    /// Number of channels of an image.
    pub channels: usize,
    /// Number of values of a channel.
    pub pixels: usize,
}

impl NormShape {
    /// Number of values of a group of an image.
    fn group(&self, options: GroupNormOptions) -> usize {
        self.channels / options.groups * self.pixels
    }
}

/// γ and β of the channels of one group.
#[derive(Clone, Copy)]
struct Affine<'a> {
    gamma: &'a [f32],
    beta: &'a [f32],
}

impl<'a> Affine<'a> {
    /// γ and β of the group with index `place` in a batch.
    fn of_group(self, options: GroupNormOptions, place: usize) -> Self {
        let channels = self.gamma.len() / options.groups;
        let first = place % options.groups * channels;
        Self {
            gamma: &self.gamma[first..first + channels],
            beta: &self.beta[first..first + channels],
        }
    }

    /// γ and β of each channel.
    fn pairs(self) -> impl Iterator<Item = (f32, f32)> + 'a {
        self.gamma.iter().copied().zip(self.beta.iter().copied())
    }
}

/// `out`, like `x`, is `[n, c, pixels]`, and all of it is written.
pub fn forward(
    shape: NormShape,
    options: GroupNormOptions,
    x: &[f32],
    gamma: &[f32],
    beta: &[f32],
    out: &mut [MaybeUninit<f32>],
) {
    let (group, affine) = (shape.group(options), Affine { gamma, beta });
    let groups = out.par_chunks_mut(group).zip(x.par_chunks(group));
    groups.enumerate().for_each(|(place, (out, x))| {
        forward_group(
            options,
            shape.pixels,
            x,
            affine.of_group(options, place),
            out,
        );
    });
}

/// k directions in which a group normalisation is differentiated. `None` is zero.
#[derive(Debug, Clone, Copy)]
pub struct Directions<'a> {
    /// Directions of x, `[k, n, c, pixels]`.
    pub x: Option<&'a [f32]>,
    /// Directions of γ and β, both `[k, c]`.
    pub affine: Option<(&'a [f32], &'a [f32])>,
}

/// One direction at one group of an image, and the place of its tangent.
struct GroupDirection<'a> {
    x: Option<&'a [f32]>,
    affine: Option<Affine<'a>>,
    out: &'a mut [MaybeUninit<f32>],
}

/// The tangents `[k, n, c, pixels]` of the result along k directions. All of `out` is written.
pub fn tangent(
    shape: NormShape,
    options: GroupNormOptions,
    x: &[f32],
    (gamma, beta): (&[f32], &[f32]),
    directions: Directions<'_>,
    out: &mut [MaybeUninit<f32>],
) {
    let (group, affine) = (shape.group(options), Affine { gamma, beta });
    let count = x.len() / group;
    let channels = shape.channels / options.groups;
    // Regrouped by the place in x, so that what depends on x alone is computed once.
    let mut places: Vec<Vec<GroupDirection>> = Vec::new();
    places.resize_with(count, Vec::new);
    for (i, out) in out.chunks_mut(group).enumerate() {
        let first = i / count * shape.channels + i % options.groups * channels;
        places[i % count].push(GroupDirection {
            x: directions.x.map(|t| &t[i * group..][..group]),
            affine: directions.affine.map(|(gamma, beta)| Affine {
                gamma: &gamma[first..first + channels],
                beta: &beta[first..first + channels],
            }),
            out,
        });
    }
    let groups = places.par_iter_mut().zip(x.par_chunks(group));
    groups.enumerate().for_each(|(place, (directions, x))| {
        tangent_group(
            options,
            shape.pixels,
            x,
            affine.of_group(options, place),
            directions,
        );
    });
}

/// The gradients of x, like it, and of γ and β, from the gradient of the result.
/// All of `out` is written.
pub fn gradient(
    shape: NormShape,
    options: GroupNormOptions,
    x: &[f32],
    (gamma, beta): (&[f32], &[f32]),
    grad: &[f32],
    out: &mut [MaybeUninit<f32>],
) -> (Vec<f32>, Vec<f32>) {
    let (group, affine) = (shape.group(options), Affine { gamma, beta });
    let channels = shape.channels / options.groups;
    let count = shape.images * shape.channels;
    let (mut on_gamma, mut on_beta) = (vec![0.0; count], vec![0.0; count]);
    let inputs = x.par_chunks(group).zip(grad.par_chunks(group));
    let affines = on_gamma
        .par_chunks_mut(channels)
        .zip(on_beta.par_chunks_mut(channels));
    let groups = out.par_chunks_mut(group).zip(inputs).zip(affines);
    groups.enumerate().for_each(|(place, ((out, inputs), on))| {
        gradient_group(
            options,
            shape.pixels,
            inputs,
            affine.of_group(options, place),
            out,
            on,
        );
    });
    let total = |per_image: Vec<f32>| {
        let mut sum = vec![0.0; shape.channels];
        for image in per_image.chunks_exact(shape.channels) {
            sum.iter_mut()
                .zip(image)
                .for_each(|(sum, value)| *sum += value);
        }
        sum
    };
    (total(on_gamma), total(on_beta))
}

multiversion! {
    fn forward_group(options: GroupNormOptions, pixels: usize, x: &[f32], affine: Affine<'_>, out: &mut [MaybeUninit<f32>]) = forward_body
}

#[inline(always)]
fn forward_body<M: Machine>(
    options: GroupNormOptions,
    pixels: usize,
    x: &[f32],
    affine: Affine<'_>,
    out: &mut [MaybeUninit<f32>],
) {
    let (mean, rate) = statistics(options, x);
    let channels = out.chunks_exact_mut(pixels).zip(x.chunks_exact(pixels));
    for ((out, x), (gamma, beta)) in channels.zip(affine.pairs()) {
        let scale = gamma * rate;
        if options.silu {
            for (out, &x) in out.iter_mut().zip(x) {
                let y = (x - mean) * scale + beta;
                out.write(y * sigmoid::<M>(y));
            }
        } else {
            for (out, &x) in out.iter_mut().zip(x) {
                out.write((x - mean) * scale + beta);
            }
        }
    }
}

multiversion! {
    fn tangent_group(
        options: GroupNormOptions,
        pixels: usize,
        x: &[f32],
        affine: Affine<'_>,
        directions: &mut [GroupDirection<'_>],
    ) = tangent_body
}

#[inline(always)]
fn tangent_body<M: Machine>(
    options: GroupNormOptions,
    pixels: usize,
    x: &[f32],
    affine: Affine<'_>,
    directions: &mut [GroupDirection<'_>],
) {
    let (mean, rate) = statistics(options, x);
    let hat: Vec<f32> = x.iter().map(|&x| (x - mean) * rate).collect();
    // The slope of SiLU.
    let mut slopes = vec![1.0; x.len()];
    if options.silu {
        let channels = slopes
            .chunks_exact_mut(pixels)
            .zip(hat.chunks_exact(pixels));
        for ((slopes, hat), (gamma, beta)) in channels.zip(affine.pairs()) {
            for (out, &hat) in slopes.iter_mut().zip(hat) {
                *out = slope::<M>(gamma * hat + beta);
            }
        }
    }
    let count = x.len() as f32;
    for direction in directions {
        let channels = direction.out.chunks_exact_mut(pixels);
        let inputs = hat.chunks_exact(pixels).zip(slopes.chunks_exact(pixels));
        let channels = channels.zip(inputs);
        let Some(t) = direction.x else {
            let moved = direction.affine.expect("one direction at least");
            for ((out, (hat, slopes)), (gamma, beta)) in channels.zip(moved.pairs()) {
                for ((out, &hat), &slope) in out.iter_mut().zip(hat).zip(slopes) {
                    out.write(slope * (gamma * hat + beta));
                }
            }
            continue;
        };
        let mean = sum(t, t, |t, _| t) / count;
        let along = sum(t, &hat, |t, hat| t * hat) / count;
        let channels = channels.zip(t.chunks_exact(pixels)).zip(affine.gamma);
        for (c, (((out, (hat, slopes)), t), gamma)) in channels.enumerate() {
            let scale = gamma * rate;
            let entries = out.iter_mut().zip(t).zip(hat).zip(slopes);
            if let Some(moved) = direction.affine {
                let (gamma, beta) = (moved.gamma[c], moved.beta[c]);
                for (((out, &t), &hat), &slope) in entries {
                    let along_x = slope * scale * (t - mean - hat * along);
                    out.write(along_x + slope * (gamma * hat + beta));
                }
            } else {
                for (((out, &t), &hat), &slope) in entries {
                    out.write(slope * scale * (t - mean - hat * along));
                }
            }
        }
    }
}

multiversion! {
    fn gradient_group(
        options: GroupNormOptions,
        pixels: usize,
        inputs: (&[f32], &[f32]),
        affine: Affine<'_>,
        out: &mut [MaybeUninit<f32>],
        on: (&mut [f32], &mut [f32]),
    ) = gradient_body
}

#[inline(always)]
fn gradient_body<M: Machine>(
    options: GroupNormOptions,
    pixels: usize,
    (x, grad): (&[f32], &[f32]),
    affine: Affine<'_>,
    out: &mut [MaybeUninit<f32>],
    (on_gamma, on_beta): (&mut [f32], &mut [f32]),
) {
    let (mean, rate) = statistics(options, x);
    let (mut total, mut along) = (0.0, 0.0);
    let inputs = x.chunks_exact(pixels).zip(grad.chunks_exact(pixels));
    let channels = out.chunks_exact_mut(pixels).zip(inputs);
    for (c, ((out, (x, grad)), (gamma, beta))) in channels.zip(affine.pairs()).enumerate() {
        // The gradient of y.
        if options.silu {
            for ((out, &x), &grad) in out.iter_mut().zip(x).zip(grad) {
                let y = (x - mean) * (gamma * rate) + beta;
                out.write(grad * slope::<M>(y));
            }
        } else {
            out.write_copy_of_slice(grad);
        }
        // SAFETY: written just now.
        let out = unsafe { assume_written(out) };
        on_beta[c] = sum(out, out, |on_y, _| on_y);
        on_gamma[c] = sum(out, x, |on_y, x| on_y * ((x - mean) * rate));
        total += gamma * on_beta[c];
        along += gamma * on_gamma[c];
    }
    let count = x.len() as f32;
    let (shift, along) = (total / count, along / count);
    // SAFETY: all channels were written.
    let out = unsafe { assume_written(out) };
    let channels = out.chunks_exact_mut(pixels).zip(x.chunks_exact(pixels));
    for ((out, x), gamma) in channels.zip(affine.gamma) {
        for (out, &x) in out.iter_mut().zip(x) {
            *out = rate * (gamma * *out - shift - (x - mean) * rate * along);
        }
    }
}

/// Mean and rate of a group.
#[inline(always)]
fn statistics(options: GroupNormOptions, x: &[f32]) -> (f32, f32) {
    let count = x.len() as f32;
    let mean = sum(x, x, |x, _| x) / count;
    let variance = sum(x, x, |x, _| (x - mean) * (x - mean)) / count;
    (mean, 1.0 / (variance + options.epsilon as f32).sqrt())
}
