//! A tile of images: bytes that become centred f32 in the parts that are multiplied.

use burn_cpu_kernels::panels::Panels;

use super::layout::{ImageTiles, Layout};
use super::simd::multiversion;

/// Images of a tile. The parts of 128 images of 32×32 colour pixels fill a second-level cache of 2 MiB.
pub(super) const TILE: usize = 128;

/// The parts of up to [`TILE`] images in grey levels about the centre.
pub(super) struct Tile {
    /// Places of the images in the storage.
    pub places: Vec<usize>,
    /// Even parts, `[c, k_e]`. Every entry is a whole number of at most 510, exact in f32.
    pub even: Panels,
    /// Odd parts, `[c, k_o]`.
    pub odd: Panels,
    /// `‖y‖²` about the centre, exact, `[c]`.
    pub squares: Vec<f64>,
    /// The parts of one image.
    of_image: (Vec<f32>, Vec<f32>),
}

impl Tile {
    pub fn new(layout: &Layout) -> Self {
        let (even, odd) = (layout.even(), layout.odd());
        Self {
            places: Vec::with_capacity(TILE),
            even: Panels::zeros(TILE, even),
            odd: Panels::zeros(TILE, odd),
            squares: Vec::with_capacity(TILE),
            of_image: (vec![0.0; even], vec![0.0; odd]),
        }
    }

    /// Number of images, c.
    pub fn count(&self) -> usize {
        self.places.len()
    }

    /// Replaces the images by those at the given places.
    pub fn load(&mut self, images: &ImageTiles, places: impl Iterator<Item = usize>) {
        self.places.clear();
        self.places.extend(places);
        self.squares.clear();
        for c in 0..self.places.len() {
            let bytes = images.set.stored_image(self.places[c]);
            let square = self.split(&images.layout, bytes);
            self.squares.push(square);
            self.even.set_row(c, &self.of_image.0);
            self.odd.set_row(c, &self.of_image.1);
        }
    }

    /// Replaces the parts of one image, and returns its `‖y‖²`.
    fn split(&mut self, layout: &Layout, bytes: &[u8]) -> f64 {
        let (even, odd) = (&mut self.of_image.0[..], &mut self.of_image.1[..]);
        if !layout.mirrored {
            subtract(bytes, &layout.center, even);
            return square(even);
        }
        split(bytes, layout.width, &layout.center, even, odd);
        let half = layout.width / 2;
        // A pair has half the squares of its parts, the middle column those of itself.
        let mut middle = 0.0;
        if layout.width % 2 == 1 {
            let rows = even.chunks_exact(half + 1);
            middle = rows.map(|row| f64::from(row[half]).powi(2)).sum();
        }
        (square(even) + square(odd) + middle) / 2.0
    }
}

multiversion! {
    /// `bytes − center`.
    fn subtract(bytes: &[u8], center: &[f32], out: &mut [f32]) = subtract_body
}

#[inline(always)]
fn subtract_body(bytes: &[u8], center: &[f32], out: &mut [f32]) {
    for ((out, byte), center) in out.iter_mut().zip(bytes).zip(center) {
        *out = f32::from(*byte) - center;
    }
}

multiversion! {
    /// The even and odd parts of an image about a centre that is its own mirror image.
    fn split(bytes: &[u8], width: usize, center: &[f32], even: &mut [f32], odd: &mut [f32]) = split_body
}

#[inline(always)]
fn split_body(bytes: &[u8], width: usize, center: &[f32], even: &mut [f32], odd: &mut [f32]) {
    let half = width / 2;
    if width.is_multiple_of(2) && half.is_multiple_of(CHUNK) {
        return split_chunks(bytes, width, center, even, odd);
    }
    if width.is_multiple_of(2) {
        return split_halves(bytes, width, center, even, odd);
    }
    let rows = bytes.chunks_exact(width).zip(center.chunks_exact(width));
    let parts = even
        .chunks_exact_mut(width - half)
        .zip(odd.chunks_exact_mut(half));
    for ((row, center), (even, odd)) in rows.zip(parts) {
        let (left, right) = row.split_at(half);
        let pairs = left.iter().zip(right.iter().rev());
        let parts = even.iter_mut().zip(odd.iter_mut());
        for (((even, odd), (left, right)), center) in parts.zip(pairs).zip(center) {
            let (left, right) = (f32::from(*left), f32::from(*right));
            *even = left + right - 2.0 * center;
            *odd = left - right;
        }
        even[half] = f32::from(row[half]) - center[half];
    }
}

/// Bytes that are turned and split in registers.
const CHUNK: usize = 16;

/// [`split`] for halves that are whole chunks.
#[inline(always)]
fn split_chunks(bytes: &[u8], width: usize, center: &[f32], even: &mut [f32], odd: &mut [f32]) {
    let half = width / 2;
    let rows = bytes.chunks_exact(width).zip(center.chunks_exact(width));
    let parts = even.chunks_exact_mut(half).zip(odd.chunks_exact_mut(half));
    for ((row, center), (even, odd)) in rows.zip(parts) {
        let (left, right) = row.split_at(half);
        let (left, right) = (left.as_chunks::<CHUNK>().0, right.as_chunks::<CHUNK>().0);
        let outs = even.as_chunks_mut::<CHUNK>().0.iter_mut();
        let outs = outs.zip(odd.as_chunks_mut::<CHUNK>().0);
        let centers = center.as_chunks::<CHUNK>().0;
        let chunks = left.iter().zip(right.iter().rev()).zip(centers);
        for (((left, right), center), (even, odd)) in chunks.zip(outs) {
            for i in 0..CHUNK {
                let (left, right) = (f32::from(left[i]), f32::from(right[CHUNK - 1 - i]));
                even[i] = left + right - 2.0 * center[i];
                odd[i] = left - right;
            }
        }
    }
}

/// Bytes whose halves are brought together before they are split, so that loops are long whatever the width.
const GATHERED: usize = 2048;

/// [`split`] for an even width.
#[inline(always)]
fn split_halves(bytes: &[u8], width: usize, center: &[f32], even: &mut [f32], odd: &mut [f32]) {
    let half = width / 2;
    let (mut lefts, mut rights) = ([0_u8; GATHERED], [0_u8; GATHERED]);
    let mut doubled = [0.0_f32; GATHERED];
    // A row that is longer is taken alone, in parts.
    let rows = (GATHERED / half).max(1);
    let blocks = bytes.chunks(rows * width).zip(center.chunks(rows * width));
    let parts = even
        .chunks_mut(rows * half)
        .zip(odd.chunks_mut(rows * half));
    for ((bytes, center), (even, odd)) in blocks.zip(parts) {
        for start in (0..half).step_by(GATHERED) {
            let length = GATHERED.min(half - start);
            let mut count = 0;
            for (row, center) in bytes.chunks_exact(width).zip(center.chunks_exact(width)) {
                let place = count..count + length;
                lefts[place.clone()].copy_from_slice(&row[start..start + length]);
                let right = &row[width - start - length..width - start];
                rights[place.clone()].copy_from_slice(right);
                rights[place.clone()].reverse();
                let center = &center[start..start + length];
                for (doubled, center) in doubled[place].iter_mut().zip(center) {
                    *doubled = 2.0 * center;
                }
                count += length;
            }
            let pairs = lefts[..count].iter().zip(&rights[..count]);
            let outs = even[start..].iter_mut().zip(&mut odd[start..]);
            for (((even, odd), (left, right)), doubled) in outs.zip(pairs).zip(&doubled) {
                let (left, right) = (f32::from(*left), f32::from(*right));
                *even = left + right - doubled;
                *odd = left - right;
            }
        }
    }
}

/// Interleaved sums of squares.
const LANES: usize = 32;

/// Entries whose squares, at most `510²` each, are summed in f32 without rounding: 64 in a lane stay below 2²⁴.
const EXACT: usize = 64 * LANES;

/// `Σ v²` of whole numbers of at most 510, exact.
fn square(values: &[f32]) -> f64 {
    values.chunks(EXACT).map(square_of_block).sum()
}

multiversion! {
    fn square_of_block(values: &[f32]) -> f64 = square_of_block_body
}

#[inline(always)]
fn square_of_block_body(values: &[f32]) -> f64 {
    let mut sums = [0.0_f32; LANES];
    let (blocks, rest) = values.as_chunks::<LANES>();
    for block in blocks {
        for lane in 0..LANES {
            sums[lane] += block[lane] * block[lane];
        }
    }
    let rest: f64 = rest.iter().map(|v| f64::from(*v).powi(2)).sum();
    sums.iter().map(|sum| f64::from(*sum)).sum::<f64>() + rest
}
