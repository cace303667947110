//! Linear interpolation between the two nearest pixels of each axis, without smoothing.
//!
//! The centre of new pixel i lies at (i + ½)·old/new − ½ on the old axis, as in PyTorch with `align_corners=False`; positions before
//! the first pixel are those of the first. A smaller picture skips pixels.

use image::RgbImage;

use super::frame::{Axis, Frame};

/// Two neighbours on an axis, and the weight of the second.
struct Pair {
    first: u32,
    second: u32,
    weight: f64,
}

/// The picture within a frame, its rows one after the other.
pub(super) fn resize(image: &RgbImage, frame: &Frame) -> Vec<[u8; 3]> {
    let (columns, rows) = (
        pairs(&frame.columns, frame.size),
        pairs(&frame.rows, frame.size),
    );
    let mix = |a: f64, b: f64, weight: f64| a * (1.0 - weight) + b * weight;
    let mut out = Vec::with_capacity(frame.size * frame.size);
    for row in &rows {
        out.extend(columns.iter().map(|column| {
            [0, 1, 2].map(|c| {
                let along = |y: u32| {
                    let value = |x: u32| f64::from(image.get_pixel(x, y).0[c]);
                    mix(value(column.first), value(column.second), column.weight)
                };
                mix(along(row.first), along(row.second), row.weight).round_ties_even() as u8
            })
        }));
    }
    out
}

/// The neighbours of the kept pixels of an axis.
fn pairs(axis: &Axis, size: usize) -> Vec<Pair> {
    let scale = axis.scale();
    let pair = |i: usize| {
        let place = ((i as f64 + 0.5) * scale - 0.5).max(0.0);
        let first = (place as u32).min(axis.input - 1);
        Pair {
            first: axis.start + first,
            second: axis.start + (first + 1).min(axis.input - 1),
            weight: place - f64::from(first),
        }
    };
    (axis.first..axis.first + size).map(pair).collect()
}
