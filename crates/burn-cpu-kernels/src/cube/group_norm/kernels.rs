//! Kernels of group normalisation: one cube of units for each group of an image.
//!
//! A unit computes some pixels of one channel. Images are read in either order of their axes and written with the channels
//! last.

#![allow(
    clippy::too_many_arguments,
    reason = "the arguments of a kernel are its tensors, sizes and variants"
)]

use cubecl::prelude::*;

/// Units of a cube, a power of two: the largest number that every GPU has.
pub const UNITS: u32 = 256;

/// The share of a unit in a group: some pixels of one channel.
#[derive(CubeType)]
struct Share {
    /// The channel, counted from the first of the group.
    channel: usize,
    /// The first pixel; the number of pixels if the unit has none.
    first: usize,
    /// From one pixel to the next, which is also the number of units that share a channel.
    step: usize,
    /// Number of pixels.
    count: usize,
}

/// Position of the values of a channel of an image.
#[derive(CubeType)]
struct Values {
    start: usize,
    /// From one pixel to the next.
    step: usize,
}

/// Mean of a group and `1/√(variance + ε)`.
#[derive(CubeType)]
struct Moments {
    mean: f32,
    rate: f32,
}

/// Neighbouring units read neighbouring values: of several channels if those are last, else of one channel.
#[cube]
fn share(group: usize, pixels: usize, #[comptime] channels_last: bool) -> Share {
    let unit = UNIT_POS as usize;
    let step = UNITS as usize / group;
    let channel = if comptime!(channels_last) {
        unit % group
    } else {
        unit / step
    };
    let first = if comptime!(channels_last) {
        unit / group
    } else {
        unit % step
    };
    // Units are left over when the channels do not divide their number.
    let used = first < step && channel < group;
    let channel = select(used, channel, 0usize);
    let first = select(used, first, pixels);
    Share {
        channel,
        first,
        step,
        count: (pixels - first + step - 1usize) / step,
    }
}

/// The values of a channel of an image of a batch.
#[cube]
fn values_of(
    image: usize,
    channel: usize,
    channels: usize,
    pixels: usize,
    #[comptime] channels_last: bool,
) -> Values {
    let image = image * channels * pixels;
    if comptime!(channels_last) {
        Values {
            start: image + channel,
            step: channels,
        }
    } else {
        Values {
            start: image + channel * pixels,
            step: 1usize.runtime(),
        }
    }
}

/// The sum of the units' values, the same in all of them, in an order that depends on their number alone.
#[cube]
fn cube_sum(value: f32, scratch: &mut Shared<[f32]>) -> f32 {
    let unit = UNIT_POS as usize;
    scratch[unit] = value;
    sync_cube();
    #[unroll]
    for level in 1..=UNITS.ilog2() {
        let half = comptime!((UNITS >> level) as usize);
        if unit < half {
            let pair = scratch[unit] + scratch[unit + half];
            scratch[unit] = pair;
        }
        sync_cube();
    }
    let sum = scratch[0usize];
    sync_cube();
    sum
}

/// The variance is the mean of squares of differences from the mean, as on the CPU.
#[cube]
fn moments(
    x: &Tensor<f32>,
    at: &Values,
    share: &Share,
    size: f32,
    epsilon: f32,
    scratch: &mut Shared<[f32]>,
) -> Moments {
    let mut sum = 0.0f32;
    for i in 0..share.count {
        let p = share.first + i * share.step;
        sum += x[at.start + p * at.step];
    }
    let mean = cube_sum(sum, scratch) / size;
    let mut squares = 0.0f32;
    for i in 0..share.count {
        let p = share.first + i * share.step;
        let centred = x[at.start + p * at.step] - mean;
        squares += centred * centred;
    }
    let variance = cube_sum(squares, scratch) / size;
    Moments {
        mean,
        rate: 1.0f32 / (variance + epsilon).sqrt(),
    }
}

#[cube]
fn sigmoid(y: f32) -> f32 {
    1.0f32 / (1.0f32 + (-y).exp())
}

/// `γ·x̂ + β`, or its SiLU.
#[cube(launch_unchecked)]
pub fn forward_kernel(
    x: &Tensor<f32>,
    gamma: &Tensor<f32>,
    beta: &Tensor<f32>,
    out: &mut Tensor<f32>,
    group: usize,
    pixels: usize,
    epsilon: f32,
    #[comptime] x_last: bool,
    #[comptime] silu: bool,
) {
    let mut scratch = Shared::<[f32]>::new_slice(UNITS as usize);
    let channels = group * CUBE_COUNT_X as usize;
    let image = CUBE_POS_Y as usize;
    let share = share(group, pixels, x_last);
    let channel = CUBE_POS_X as usize * group + share.channel;
    let at = values_of(image, channel, channels, pixels, x_last);
    let to = values_of(image, channel, channels, pixels, true);
    let size = f32::cast_from(group * pixels);
    let moments = moments(x, &at, &share, size, epsilon, &mut scratch);
    let (gamma, beta) = (gamma[channel], beta[channel]);
    for i in 0..share.count {
        let p = share.first + i * share.step;
        let hat = (x[at.start + p * at.step] - moments.mean) * moments.rate;
        let mut y = hat * gamma + beta;
        if comptime!(silu) {
            y *= sigmoid(y);
        }
        out[to.start + p * to.step] = y;
    }
}

/// `out'·(γ·rate·(t − mean(t) − x̂·mean(x̂·t)) + γ'·x̂ + β')` along one direction for each plane of cubes, `out'` the slope
/// of SiLU. Directions that are absent are tensors that are not read.
#[cube(launch_unchecked)]
pub fn tangent_kernel(
    x: &Tensor<f32>,
    gamma: &Tensor<f32>,
    beta: &Tensor<f32>,
    t: &Tensor<f32>,
    gamma_moved: &Tensor<f32>,
    beta_moved: &Tensor<f32>,
    out: &mut Tensor<f32>,
    group: usize,
    pixels: usize,
    epsilon: f32,
    #[comptime] x_last: bool,
    #[comptime] t_last: bool,
    #[comptime] data: bool,
    #[comptime] weights: bool,
    #[comptime] silu: bool,
) {
    let mut scratch = Shared::<[f32]>::new_slice(UNITS as usize);
    let channels = group * CUBE_COUNT_X as usize;
    let image = CUBE_POS_Y as usize;
    let direction = CUBE_POS_Z as usize;
    let along = direction * CUBE_COUNT_Y as usize + image;
    let share = share(group, pixels, x_last);
    let channel = CUBE_POS_X as usize * group + share.channel;
    let at = values_of(image, channel, channels, pixels, x_last);
    let from = values_of(along, channel, channels, pixels, t_last);
    let to = values_of(along, channel, channels, pixels, true);
    let size = f32::cast_from(group * pixels);
    let moments = moments(x, &at, &share, size, epsilon, &mut scratch);
    let (gamma, beta) = (gamma[channel], beta[channel]);

    let mut mean = 0.0f32;
    let mut mean_along_hat = 0.0f32;
    if comptime!(data) {
        for i in 0..share.count {
            let p = share.first + i * share.step;
            let hat = (x[at.start + p * at.step] - moments.mean) * moments.rate;
            let moved = t[from.start + p * from.step];
            mean += moved;
            mean_along_hat += moved * hat;
        }
        mean = cube_sum(mean, &mut scratch) / size;
        mean_along_hat = cube_sum(mean_along_hat, &mut scratch) / size;
    }
    let mut gamma_along = 0.0f32;
    let mut beta_along = 0.0f32;
    if comptime!(weights) {
        gamma_along = gamma_moved[direction * channels + channel];
        beta_along = beta_moved[direction * channels + channel];
    }
    for i in 0..share.count {
        let p = share.first + i * share.step;
        let hat = (x[at.start + p * at.step] - moments.mean) * moments.rate;
        let mut moved = gamma_along * hat + beta_along;
        if comptime!(data) {
            let projected = t[from.start + p * from.step] - mean - hat * mean_along_hat;
            moved += gamma * moments.rate * projected;
        }
        if comptime!(silu) {
            let y = hat * gamma + beta;
            let s = sigmoid(y);
            moved *= s * (1.0f32 + y * (1.0f32 - s));
        }
        out[to.start + p * to.step] = moved;
    }
}

/// With h the gradient pulled back through SiLU: `rate·(γ·h − mean(γ·h) − x̂·mean(x̂·γ·h))`, and for each channel of an
/// image the sums of `h·x̂` and h, whose sums over the images are the gradients of γ and β.
#[cube(launch_unchecked)]
pub fn gradient_kernel(
    x: &Tensor<f32>,
    gamma: &Tensor<f32>,
    beta: &Tensor<f32>,
    grad: &Tensor<f32>,
    on_x: &mut Tensor<f32>,
    on_gamma: &mut Tensor<f32>,
    on_beta: &mut Tensor<f32>,
    group: usize,
    pixels: usize,
    epsilon: f32,
    #[comptime] x_last: bool,
    #[comptime] grad_last: bool,
    #[comptime] silu: bool,
) {
    let mut scratch = Shared::<[f32]>::new_slice(UNITS as usize);
    let unit = UNIT_POS as usize;
    let channels = group * CUBE_COUNT_X as usize;
    let image = CUBE_POS_Y as usize;
    let share = share(group, pixels, x_last);
    let channel = CUBE_POS_X as usize * group + share.channel;
    let at = values_of(image, channel, channels, pixels, x_last);
    let from = values_of(image, channel, channels, pixels, grad_last);
    let to = values_of(image, channel, channels, pixels, true);
    let size = f32::cast_from(group * pixels);
    let moments = moments(x, &at, &share, size, epsilon, &mut scratch);
    let (gamma, beta) = (gamma[channel], beta[channel]);

    let mut sum = 0.0f32;
    let mut sum_along_hat = 0.0f32;
    for i in 0..share.count {
        let p = share.first + i * share.step;
        let hat = (x[at.start + p * at.step] - moments.mean) * moments.rate;
        let h = pulled_back(grad[from.start + p * from.step], hat * gamma + beta, silu);
        sum += h;
        sum_along_hat += h * hat;
    }
    let mean = cube_sum(gamma * sum, &mut scratch) / size;
    let mean_along_hat = cube_sum(gamma * sum_along_hat, &mut scratch) / size;

    for i in 0..share.count {
        let p = share.first + i * share.step;
        let hat = (x[at.start + p * at.step] - moments.mean) * moments.rate;
        let h = pulled_back(grad[from.start + p * from.step], hat * gamma + beta, silu);
        on_x[to.start + p * to.step] = moments.rate * (gamma * h - mean - hat * mean_along_hat);
    }

    let sum = channel_sum(sum, &share, group, x_last, &mut scratch);
    let sum_along_hat = channel_sum(sum_along_hat, &share, group, x_last, &mut scratch);
    if unit < group {
        let channel = CUBE_POS_X as usize * group + unit;
        on_beta[image * channels + channel] = sum;
        on_gamma[image * channels + channel] = sum_along_hat;
    }
}

/// The gradient of `y` from that of the result: y itself, or its SiLU.
#[cube]
fn pulled_back(grad: f32, y: f32, #[comptime] silu: bool) -> f32 {
    let mut h = grad;
    if comptime!(silu) {
        let s = sigmoid(y);
        h *= s * (1.0f32 + y * (1.0f32 - s));
    }
    h
}

/// The sum of the values of the units that share the channel with the number of this unit.
#[cube]
fn channel_sum(
    value: f32,
    share: &Share,
    group: usize,
    #[comptime] channels_last: bool,
    scratch: &mut Shared<[f32]>,
) -> f32 {
    let unit = UNIT_POS as usize;
    scratch[unit] = value;
    sync_cube();
    let mut sum = 0.0f32;
    if unit < group {
        for i in 0..share.step {
            let other = if comptime!(channels_last) {
                i * group + unit
            } else {
                unit * share.step + i
            };
            sum += scratch[other];
        }
    }
    sync_cube();
    sum
}
