//! Pillow's resize: convolutions along rows and columns, one after the other, each in fixed point and rounded to grey levels.
//!
//! A new pixel with centre c on the old axis is Σ_x k((x + ½ − c)/s)·v_x / Σ_x k((x + ½ − c)/s), where s = max(1, old/new), so that
//! a smaller picture is smoothed first. The sums are integers of 22 fractional bits, as in Pillow's `Resample.c`, which makes the
//! result equal to Pillow's byte by byte. A library's rounding differs, and so would the fingerprint of the same images.

use std::f64::consts::PI;

use image::RgbImage;

use super::frame::{Axis, Frame};

/// Fractional bits of a weight: 32 bits less 8 of a grey level and 2 for a sum that overshoots.
const PRECISION: u32 = 32 - 8 - 2;

/// A filter kernel and the distance from which on it is 0.
pub(super) struct Kernel {
    support: f64,
    value: fn(f64) -> f64,
}

/// Nearest pixels, without smoothing.
pub(super) const BOX: Kernel = Kernel {
    support: 0.5,
    value: |x| if x > -0.5 && x <= 0.5 { 1.0 } else { 0.0 },
};

/// Linear interpolation, 1 − |x|.
pub(super) const TRIANGLE: Kernel = Kernel {
    support: 1.0,
    value: |x| (1.0 - x.abs()).max(0.0),
};

/// Keys' cubic convolution with a = −½.
pub(super) const CUBIC: Kernel = Kernel {
    support: 2.0,
    value: cubic,
};

/// sinc(x)·sinc(x/3).
pub(super) const LANCZOS: Kernel = Kernel {
    support: 3.0,
    value: |x| {
        if (-3.0..3.0).contains(&x) {
            sinc(x) * sinc(x / 3.0)
        } else {
            0.0
        }
    },
};

fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 {
        return 1.0;
    }
    (x * PI).sin() / (x * PI)
}

/// The old pixels of a new one: the first, and the weights from it on in units of 2^-[`PRECISION`].
struct Taps {
    first: u32,
    weights: Vec<i32>,
}

impl Taps {
    /// The weighted sum of `values` from the first old pixel on, rounded to a grey level.
    fn sum(&self, values: impl Iterator<Item = u8>) -> u8 {
        let products = self.weights.iter().zip(values);
        let half = 1 << (PRECISION - 1);
        let sum = products.fold(half, |sum, (&w, v)| sum + w * i32::from(v));
        (sum >> PRECISION).clamp(0, 255) as u8
    }
}

/// The picture within a frame, its rows one after the other.
pub(super) fn resize(image: &RgbImage, frame: &Frame, kernel: &Kernel) -> Vec<[u8; 3]> {
    let size = frame.size;
    let columns = taps(&frame.columns, size, kernel);
    let rows = taps(&frame.rows, size, kernel);
    if !starts_with_columns(frame) {
        return convolve(|x, y| image.get_pixel(x, y).0, &columns, &rows);
    }
    let turned = convolve(|y, x| image.get_pixel(x, y).0, &rows, &columns);
    let pixels = 0..size * size;
    pixels.map(|i| turned[i % size * size + i / size]).collect()
}

/// Tells whether Pillow 13 convolves along columns first: where that loses more than twice as many pixels. Earlier versions never
/// do, which changes a grey level here and there.
fn starts_with_columns(frame: &Frame) -> bool {
    let lost = |axis: &Axis| i64::from(axis.input) - axis.output as i64;
    lost(&frame.rows) > 0 && lost(&frame.rows) > 2 * lost(&frame.columns)
}

/// The convolution along the first coordinate of `pixel`, rounded, then along the second, which is the outer one of the result.
fn convolve(pixel: impl Fn(u32, u32) -> [u8; 3], first: &[Taps], second: &[Taps]) -> Vec<[u8; 3]> {
    let end = |taps: &Taps| taps.first + taps.weights.len() as u32;
    let low = second.iter().map(|taps| taps.first).min().unwrap_or(0);
    let high = second.iter().map(end).max().unwrap_or(0);
    let mut between = Vec::with_capacity((high - low) as usize * first.len());
    for b in low..high {
        between.extend(
            (first.iter())
                .map(|taps| [0, 1, 2].map(|c| taps.sum((taps.first..).map(|a| pixel(a, b)[c])))),
        );
    }
    let mut out = Vec::with_capacity(first.len() * second.len());
    for taps in second {
        let start = (taps.first - low) as usize * first.len();
        out.extend((0..first.len()).map(|a| {
            let line = between[start + a..].iter().step_by(first.len());
            [0, 1, 2].map(|c| taps.sum(line.clone().map(|pixel: &[u8; 3]| pixel[c])))
        }));
    }
    out
}

/// The taps of the kept pixels of an axis.
fn taps(axis: &Axis, size: usize, kernel: &Kernel) -> Vec<Taps> {
    let kept = axis.first..axis.first + size;
    if axis.input as usize == axis.output {
        let one = |i| Taps {
            first: axis.start + i as u32,
            weights: vec![1 << PRECISION],
        };
        return kept.map(one).collect();
    }
    let scale = axis.scale();
    let stretch = scale.max(1.0);
    let support = kernel.support * stretch;
    let weigh = |i: usize| {
        let centre = (i as f64 + 0.5) * scale;
        let first = (centre - support + 0.5).max(0.0) as u32;
        let end = ((centre + support + 0.5) as u32).min(axis.input);
        let value = |x: u32| (kernel.value)((f64::from(x) - centre + 0.5) * (1.0 / stretch));
        let values: Vec<f64> = (first..end).map(value).collect();
        let total: f64 = values.iter().sum();
        Taps {
            first: axis.start + first,
            weights: values.iter().map(|v| fixed(v / total)).collect(),
        }
    };
    kept.map(weigh).collect()
}

/// A weight in fixed point, rounded to the nearest.
fn fixed(weight: f64) -> i32 {
    let scaled = weight * f64::from(1 << PRECISION);
    (scaled + 0.5_f64.copysign(scaled)) as i32
}
