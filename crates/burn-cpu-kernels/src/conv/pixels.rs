//! Images with the channels of a pixel side by side.

use super::shape::ConvShape;
use crate::simd::{MAX_PARTS, PART, Vector};

/// Number of pixels side by side that are transposed together.
const PIXELS: usize = 4;

/// The layout of an image with its border: `[rows, pixels, channels]`.
///
/// There is a row of zeros above and below the image and a pixel of zeros on both sides, and zeros fill it up to whole tiles.
/// Zeros round channels up to whole vectors.
#[derive(Clone, Copy)]
pub(super) struct Pixels {
    /// Number of channels of the image.
    channels: usize,
    /// Number of channels with the zeros.
    pub rounded: usize,
    /// Number of entries of a row.
    pub row: usize,
    /// Number of rows.
    rows: usize,
}

impl Pixels {
    /// The layout for images of so many channels.
    #[inline(always)]
    pub fn new<V: Vector>(shape: ConvShape, channels: usize) -> Self {
        let rounded = channels.next_multiple_of(V::LANES);
        Self {
            channels,
            rounded,
            row: (shape.width.next_multiple_of(PIXELS) + 2) * rounded,
            rows: shape.height.next_multiple_of(2) + 2,
        }
    }

    /// Number of entries of an image.
    pub fn len(&self) -> usize {
        self.rows * self.row
    }

    /// Writes an image, `[channels, h, w]`, with its border.
    #[inline(always)]
    pub fn write<V: Vector>(&self, shape: ConvShape, image: &[f32], to: &mut [f32]) {
        let (row, pitch) = (self.row, self.rounded);
        assert!(to.len() == self.len() && image.len() == self.channels * shape.pixels());
        to[..row].fill(0.0);
        to[(1 + shape.height) * row..].fill(0.0);
        for y in 0..shape.height {
            let to = &mut to[(1 + y) * row..][..row];
            to[..pitch].fill(0.0);
            to[row - pitch..].fill(0.0);
        }
        for channel in (0..pitch).step_by(V::LANES) {
            for y in 0..shape.height {
                let to = &mut to[(1 + y) * row + pitch..(2 + y) * row];
                self.write_row::<V>(shape, &image[y * shape.width..], channel, to);
            }
        }
    }

    /// Writes a vector of channels of the row at which `from` begins.
    #[inline(always)]
    fn write_row<V: Vector>(&self, shape: ConvShape, from: &[f32], channel: usize, to: &mut [f32]) {
        let (pixels, width) = (shape.pixels(), shape.width);
        let from = &from[channel * pixels..];
        let count = V::LANES.min(self.channels - channel);
        // Groups of pixels of as many channels as there are lanes.
        let whole = if count == V::LANES { width / PIXELS } else { 0 };
        assert!(whole == 0 || from.len() >= (count - 1) * pixels + whole * PIXELS);
        assert!(to.len() >= width.next_multiple_of(PIXELS) * self.rounded);
        let mut to = to[channel..].as_mut_ptr();
        for group in 0..width.div_ceil(PIXELS) {
            let x = group * PIXELS;
            let vectors = if group < whole {
                // SAFETY: each channel has four pixels from x on, as checked.
                unsafe { V::load_transposed(from.as_ptr().add(x), pixels) }
            } else {
                let mut patch = [0.0; PIXELS * PART * MAX_PARTS];
                let length = PIXELS.min(width - x);
                let rows = patch.chunks_exact_mut(PIXELS).zip(from.chunks(pixels));
                for (patch, from) in rows.take(count) {
                    patch[..length].copy_from_slice(&from[x..x + length]);
                }
                // SAFETY: the patch has four values for each lane.
                unsafe { V::load_transposed(patch.as_ptr(), PIXELS) }
            };
            for p in 0..PIXELS {
                // SAFETY: whole groups of pixels with whole vectors of channels fit, as checked.
                unsafe { vectors[p].store(to) };
                to = to.wrapping_add(self.rounded);
            }
        }
    }
}
