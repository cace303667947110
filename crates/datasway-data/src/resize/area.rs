//! The mean over the area of each new pixel.

use image::RgbImage;

use super::frame::{Axis, Frame};

/// The picture within a frame, by averaging areas: `[channels, size, size]`.
pub(super) fn resize(image: &RgbImage, frame: &Frame, grey: bool) -> Vec<u8> {
    let size = frame.size;
    let (row_spans, column_spans) = (spans(&frame.rows, size), spans(&frame.columns, size));
    let area = frame.rows.scale() * frame.columns.scale();
    let channels = if grey { 1 } else { 3 };
    let mut out = vec![0; channels * size * size];
    for (row, rows) in row_spans.iter().enumerate() {
        for (column, columns) in column_spans.iter().enumerate() {
            let mut sum = [0.0; 3];
            for &(y, wy) in rows {
                for &(x, wx) in columns {
                    let pixel = image.get_pixel(x, y);
                    for (s, &v) in sum.iter_mut().zip(&pixel.0) {
                        *s += f64::from(v) * wx * wy;
                    }
                }
            }
            let mean = sum.map(|s| s / area);
            let pixel = row * size + column;
            if grey {
                let luma = 0.299 * mean[0] + 0.587 * mean[1] + 0.114 * mean[2];
                out[pixel] = luma.round() as u8;
            } else {
                for (c, m) in mean.iter().enumerate() {
                    out[c * size * size + pixel] = m.round() as u8;
                }
            }
        }
    }
    out
}

/// The pixels that each kept pixel of an axis covers, with the length covered of each.
fn spans(axis: &Axis, size: usize) -> Vec<Vec<(u32, f64)>> {
    let scale = axis.scale();
    (axis.first..axis.first + size)
        .map(|i| span(i as f64 * scale, (i + 1) as f64 * scale, axis.input))
        .map(|span| (span.into_iter().map(|(p, weight)| (axis.start + p, weight))).collect())
        .collect()
}

/// The pixels that the interval from `from` to `to` covers, with the length covered of each.
fn span(from: f64, to: f64, side: u32) -> Vec<(u32, f64)> {
    (from as u32..(to.ceil() as u32).min(side))
        .map(|p| (p, to.min(f64::from(p) + 1.0) - from.max(f64::from(p))))
        .filter(|(_, weight)| *weight > 0.0)
        .collect()
}
