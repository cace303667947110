//! `−‖x − y‖²/2σ²` of points and the images of a tile: in f32 for all, in f64 where that can be seen.
//!
//! **Error of the products.** A product is summed in blocks of [`BLOCK`] terms in f32, with unit roundoff `u = 2⁻²⁴`, and the
//! blocks are added in f64. Rounding errors of n terms that are independent and of mean 0 add up to `√n·u·Σ|terms|` (N. J.
//! Higham and T. Mary, *A New Approach to Probabilistic Rounding Error Analysis*, 2019; with certainty it is `n·u·Σ|terms|`).
//! One more u is that of the point, which is rounded to f32. By the inequality of Cauchy and Schwarz the error of ⟨x, y⟩ is at
//! most `(√BLOCK + 1)·u·‖x‖·‖y‖`. The pixels of an image are numbers in f32 themselves, which differ from whole grey levels
//! by u and move `‖x − y‖²` by `2u·(‖x‖ + ‖y‖)`. So the error of `−‖x − y‖²/2σ²` is at most
//!
//! `B = (2·(√BLOCK + 1)·u·‖x‖·‖y‖ + 2u·(‖x‖ + ‖y‖))/2σ²`.
//!
//! Measured errors are below a quarter of it (a test in `tests.rs`), and at high noise, where x is mostly noise, far below.
//!
//! **Reach.** Let L be the logarithm of the sum of all weights and `p_j = e^{l_j − L}` the share of an image. Errors of different
//! images are independent, so those of all images with `p_j < ε` change a mean under the softmax by `B·√(Σ p_j²) ≤ B·√ε` of the
//! distance between images. With `ε = (τ/B)²` that is τ = [`TOLERANCE`]. So all images with
//!
//! `l_j ≥ L − 2B − 2·ln(B/τ)`
//!
//! are computed again in f64, where 2B is for the errors of `l_j` and L. The images so far stand for all in L ([`Reached`]), which
//! is then too small, so that more images are in reach. Where `B ≤ τ` none is. At high noise the softmax is flat, and no single image is
//! within reach; at low noise B is large, but few images have a share at all.

use super::layout::{ImageTiles, LEVELS};
use super::products::{BLOCK, Products};
use super::rows::Rows;
use super::simd::{exp, multiversion, square_distance};
use super::tile::Tile;

/// The largest relative error of a sum of weights by rounding in f32.
pub(super) const TOLERANCE: f64 = 1e-5;

/// Unit roundoff of f32.
const ROUNDOFF: f64 = 1.0 / (1 << 24) as f64;

/// The terms of a tile.
#[derive(Default)]
pub(super) struct LogWeights {
    /// `−‖x_i − y_j‖²/2σ_i²`, `[copies, c, R]`: the images, then their mirror images.
    pub logs: Vec<f64>,
    /// The largest term of each point, `[R]`.
    pub tops: Vec<f64>,
    /// From here a term is recomputed, `[R]`.
    thresholds: Vec<f64>,
    /// The scales for grey levels, `[R]`.
    scales: Vec<f64>,
}

/// The images so far: those of earlier strips, and those of the strip.
#[derive(Clone, Copy)]
pub(super) struct Reached<'a> {
    /// `ln Σ_j e^{l_j}` over images of earlier strips, `[R]`.
    pub earlier: &'a [f64],
    /// The largest term in the strip, `[R]`.
    pub tops: &'a [f64],
    /// `Σ_j e^{l_j − top}` over the strip, `[R]`.
    pub totals: &'a [f64],
}

impl Reached<'_> {
    /// `ln Σ_j e^{l_j}` over the images so far.
    fn log_sum(&self, i: usize) -> f64 {
        add_logs(self.earlier[i], self.tops[i] + self.totals[i].ln())
    }
}

/// `ln(e^a + e^b)`.
fn add_logs(a: f64, b: f64) -> f64 {
    let larger = a.max(b);
    if larger == f64::NEG_INFINITY {
        return larger;
    }
    larger + ((a - larger).exp() + (b - larger).exp()).ln()
}

/// One pair that was recomputed: its copy, image and point.
pub(super) struct ExactPair {
    pub copy: usize,
    pub image: usize,
    pub row: usize,
}

impl LogWeights {
    /// Replaces the terms by those of a tile with its products. `exact` receives every pair that was recomputed.
    pub fn compute(
        &mut self,
        images: &ImageTiles,
        tile: &Tile,
        rows: &Rows,
        products: &Products,
        reached: Reached<'_>,
        mut exact: impl FnMut(ExactPair),
    ) {
        let (c, r) = (tile.count(), rows.count);
        self.logs.resize(images.copies() * c * r, 0.0);
        self.tops.clear();
        self.tops.resize(r, f64::NEG_INFINITY);
        self.scales.clear();
        let scales = rows.scales.iter().map(|s| s / (LEVELS * LEVELS));
        self.scales.extend(scales);
        let (upright, turned) = self.logs.split_at_mut(c * r);
        for (j, square) in tile.squares.iter().enumerate() {
            let range = j * r..(j + 1) * r;
            let points = (&rows.squares[..], &self.scales[..]);
            let even = &products.even[range.clone()];
            let out = &mut upright[range.clone()];
            if turned.is_empty() {
                terms(even, *square, points, out, &mut self.tops);
            } else {
                let odd = &products.odd[range.clone()];
                let outs = (out, &mut turned[range]);
                mirrored_terms((even, odd), *square, points, outs, &mut self.tops);
            }
        }
        if self.find_thresholds(tile, rows, reached) {
            self.recompute(images, tile, rows, &mut exact);
            self.find_tops(r);
        }
    }

    fn find_tops(&mut self, rows: usize) {
        self.tops.fill(f64::NEG_INFINITY);
        for logs in self.logs.chunks_exact(rows) {
            for (top, log) in self.tops.iter_mut().zip(logs) {
                *top = top.max(*log);
            }
        }
    }

    /// Finds the thresholds. Returns true if a term may be above one.
    fn find_thresholds(&mut self, tile: &Tile, rows: &Rows, reached: Reached<'_>) -> bool {
        let largest = tile.squares.iter().copied().fold(0.0, f64::max);
        let bound = |i: usize| error_bound(rows.squares[i], largest, rows.scales[i]);
        let bounds: Vec<f64> = (0..rows.count).map(bound).collect();
        if bounds.iter().all(|bound| *bound <= TOLERANCE) {
            return false;
        }
        let mut log_sums: Vec<f64> = (0..rows.count).map(|i| reached.log_sum(i)).collect();
        // A tile with larger terms than all before counts itself.
        let mut rows = log_sums.iter().zip(&self.tops).zip(&bounds);
        if rows.any(|((log, top), bound)| *bound > TOLERANCE && log < top) {
            let mut sums = vec![0.0; log_sums.len()];
            add_exponentials(&self.logs, &self.tops, &mut sums);
            for (log, (top, sum)) in log_sums.iter_mut().zip(self.tops.iter().zip(sums)) {
                *log = add_logs(*log, top + sum.ln());
            }
        }
        self.thresholds.clear();
        for (log, bound) in log_sums.iter().zip(bounds) {
            self.thresholds.push(if bound <= TOLERANCE {
                f64::INFINITY
            } else {
                log - 2.0 * bound - 2.0 * (bound / TOLERANCE).ln()
            });
        }
        let pairs = self.tops.iter().zip(&self.thresholds);
        pairs.clone().any(|(top, threshold)| top >= threshold)
    }

    fn recompute(
        &mut self,
        images: &ImageTiles,
        tile: &Tile,
        rows: &Rows,
        exact: &mut impl FnMut(ExactPair),
    ) {
        let (c, r) = (tile.count(), rows.count);
        let mut pixels = vec![0.0; images.dim()];
        for (place, logs) in self.logs.chunks_exact_mut(r).enumerate() {
            if count_from(logs, &self.thresholds) == 0 {
                continue;
            }
            let (copy, image) = (place / c, place % c);
            let mut loaded = false;
            for (row, log) in logs.iter_mut().enumerate() {
                if *log < self.thresholds[row] || log.is_nan() {
                    continue;
                }
                if !loaded {
                    load(images, tile.places[image], copy == 1, &mut pixels);
                    loaded = true;
                }
                *log = -square_distance(rows.exact(row), &pixels) * rows.scales[row];
                exact(ExactPair { copy, image, row });
            }
        }
    }
}

multiversion! {
    /// The number of terms that are not below their thresholds.
    fn count_from(logs: &[f64], thresholds: &[f64]) -> usize = count_from_body
}

#[inline(always)]
fn count_from_body(logs: &[f64], thresholds: &[f64]) -> usize {
    let pairs = logs.iter().zip(thresholds);
    pairs
        .map(|(log, threshold)| usize::from(log >= threshold))
        .sum()
}

/// The squares and the scales of R points.
type Points<'a> = (&'a [f64], &'a [f64]);

multiversion! {
    /// `(2⟨x, y⟩ − ‖x‖² − ‖y‖²)·scale` of an image and R points, and the larger of these and the tops.
    fn terms(
        products: &[f64],
        square: f64,
        points: Points<'_>,
        out: &mut [f64],
        tops: &mut [f64],
    ) = terms_body
}

#[inline(always)]
fn terms_body(
    products: &[f64],
    square: f64,
    (squares, scales): Points<'_>,
    out: &mut [f64],
    tops: &mut [f64],
) {
    let points = squares.iter().zip(scales);
    let outs = out.iter_mut().zip(tops);
    for (((out, top), product), (x_square, scale)) in outs.zip(products).zip(points) {
        *out = (2.0 * product - (x_square + square)) * scale;
        *top = larger(*top, *out);
    }
}

multiversion! {
    /// [`terms`] of an image and of its mirror image, from the products of the even and the odd parts.
    fn mirrored_terms(
        products: (&[f64], &[f64]),
        square: f64,
        points: Points<'_>,
        outs: (&mut [f64], &mut [f64]),
        tops: &mut [f64],
    ) = mirrored_terms_body
}

#[inline(always)]
fn mirrored_terms_body(
    (even, odd): (&[f64], &[f64]),
    square: f64,
    (squares, scales): Points<'_>,
    (upright, turned): (&mut [f64], &mut [f64]),
    tops: &mut [f64],
) {
    let outs = upright.iter_mut().zip(turned).zip(tops);
    let points = squares.iter().zip(scales);
    for ((((upright, turned), top), (even, odd)), (x_square, scale)) in
        outs.zip(even.iter().zip(odd)).zip(points)
    {
        let base = x_square + square;
        *upright = (2.0 * (even + odd) - base) * scale;
        *turned = (2.0 * (even - odd) - base) * scale;
        *top = larger(*top, larger(*upright, *turned));
    }
}

/// The larger of two numbers, in one instruction. A second that is no number is left out.
#[inline(always)]
fn larger(a: f64, b: f64) -> f64 {
    if b > a { b } else { a }
}

multiversion! {
    /// `sums += Σ_j e^{l_j − top}` of terms `[c, R]`.
    fn add_exponentials(logs: &[f64], tops: &[f64], sums: &mut [f64]) = add_exponentials_body
}

#[inline(always)]
fn add_exponentials_body(logs: &[f64], tops: &[f64], sums: &mut [f64]) {
    for logs in logs.chunks_exact(tops.len()) {
        for ((sum, log), top) in sums.iter_mut().zip(logs).zip(tops) {
            *sum += exp(log - top);
        }
    }
}

/// B, for `‖x‖²` and `‖y‖²` in grey levels and the scale `1/2σ²` in pixels.
pub(super) fn error_bound(x_square: f64, y_square: f64, scale: f64) -> f64 {
    let (x, y) = (x_square.sqrt() / LEVELS, y_square.sqrt() / LEVELS);
    let of_product = 2.0 * ((BLOCK as f64).sqrt() + 1.0) * x * y;
    (of_product + 2.0 * (x + y)) * ROUNDOFF * scale
}

/// The pixels of an image or of its mirror image, as f32 has them.
pub(super) fn load(images: &ImageTiles, place: usize, turned: bool, pixels: &mut [f64]) {
    pixels_of(images.set.stored_image(place), pixels);
    if turned {
        let rows = pixels.chunks_exact_mut(images.layout.width);
        rows.for_each(<[f64]>::reverse);
    }
}

multiversion! {
    /// The pixels of bytes.
    fn pixels_of(bytes: &[u8], pixels: &mut [f64]) = pixels_of_body
}

#[inline(always)]
fn pixels_of_body(bytes: &[u8], pixels: &mut [f64]) {
    for (pixel, byte) in pixels.iter_mut().zip(bytes) {
        *pixel = f64::from(f32::from(*byte) / 127.5 - 1.0);
    }
}
