//! Area (box) resize of square crops.

use image::RgbImage;

/// The square of side `side` pixels at (`x`, `y`), resized to `size` by averaging areas: `[channels, size, size]`.
pub(crate) fn area(
    image: &RgbImage,
    (x, y, side): (u32, u32, u32),
    size: usize,
    grey: bool,
) -> Vec<u8> {
    let scale = f64::from(side) / size as f64;
    let spans: Vec<Vec<(u32, f64)>> = (0..size)
        .map(|i| span(i as f64 * scale, (i + 1) as f64 * scale, side))
        .collect();
    let channels = if grey { 1 } else { 3 };
    let mut out = vec![0; channels * size * size];
    for (row, rows) in spans.iter().enumerate() {
        for (column, columns) in spans.iter().enumerate() {
            let mut sum = [0.0; 3];
            for &(dy, wy) in rows {
                for &(dx, wx) in columns {
                    let pixel = image.get_pixel(x + dx, y + dy);
                    for (s, &v) in sum.iter_mut().zip(&pixel.0) {
                        *s += f64::from(v) * wx * wy;
                    }
                }
            }
            let mean = sum.map(|s| s / (scale * scale));
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

/// The pixels that the interval from `from` to `to` covers, with the length covered of each.
fn span(from: f64, to: f64, side: u32) -> Vec<(u32, f64)> {
    (from as u32..(to.ceil() as u32).min(side))
        .map(|p| (p, to.min(f64::from(p) + 1.0) - from.max(f64::from(p))))
        .filter(|(_, weight)| *weight > 0.0)
        .collect()
}
