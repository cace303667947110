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
//! are computed again in f64, where 2B is for the errors of `l_j` and L. The images so far stand for all in L, which is then too
//! small, so that more images are in reach. Where `B ≤ τ` none is. At high noise the softmax is flat, and no single image is
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

/// The terms of a tile, and the largest of those before.
#[derive(Default)]
pub(super) struct LogWeights {
    /// `−‖x_i − y_j‖²/2σ_i²`, `[copies, c, R]`: the images, then their mirror images.
    pub logs: Vec<f64>,
    /// The largest term of each point in all tiles so far, `[R]`.
    pub tops: Vec<f64>,
    /// `ln Σ_j e^{l_j}` of each point in all tiles so far, `[R]`, without recomputing.
    log_sums: Vec<f64>,
    /// The largest term of each point in this tile, `[R]`.
    tile_tops: Vec<f64>,
    /// `Σ_j e^{l_j − top}` of each point in this tile, `[R]`.
    tile_sums: Vec<f64>,
    /// From here a term is recomputed, `[R]`.
    thresholds: Vec<f64>,
}

/// One pair that was recomputed: its copy, image and point.
pub(super) struct ExactPair {
    pub copy: usize,
    pub image: usize,
    pub row: usize,
}

impl LogWeights {
    pub fn new(rows: usize) -> Self {
        Self {
            tops: vec![f64::NEG_INFINITY; rows],
            log_sums: vec![f64::NEG_INFINITY; rows],
            ..Self::default()
        }
    }

    /// Replaces the terms by those of a tile with its products. `exact` receives every pair that was recomputed.
    pub fn compute(
        &mut self,
        images: &ImageTiles,
        tile: &Tile,
        rows: &Rows,
        products: &Products,
        mut exact: impl FnMut(ExactPair),
    ) {
        let (c, r) = (tile.count(), rows.count);
        self.logs.resize(images.copies() * c * r, 0.0);
        let scales: Vec<f64> = rows.scales.iter().map(|s| s / (LEVELS * LEVELS)).collect();
        let (upright, turned) = self.logs.split_at_mut(c * r);
        for (j, square) in tile.squares.iter().enumerate() {
            let range = j * r..(j + 1) * r;
            let even = &products.even[range.clone()];
            let out = &mut upright[range.clone()];
            if turned.is_empty() {
                terms(even, *square, &rows.squares, &scales, out);
            } else {
                let odd = &products.odd[range.clone()];
                let turned = &mut turned[range];
                mirrored_terms(even, odd, *square, &rows.squares, &scales, out, turned);
            }
        }
        if self.find_thresholds(tile, rows) {
            self.recompute(images, tile, rows, &mut exact);
            self.find_tile_tops(r);
        }
        for (top, tile_top) in self.tops.iter_mut().zip(&self.tile_tops) {
            *top = top.max(*tile_top);
        }
    }

    fn find_tile_tops(&mut self, rows: usize) {
        self.tile_tops.clear();
        self.tile_tops.resize(rows, f64::NEG_INFINITY);
        for logs in self.logs.chunks_exact(rows) {
            for (top, log) in self.tile_tops.iter_mut().zip(logs) {
                *top = top.max(*log);
            }
        }
    }

    /// Finds the thresholds. Returns true if a term may be above one.
    fn find_thresholds(&mut self, tile: &Tile, rows: &Rows) -> bool {
        self.find_tile_tops(rows.count);
        let largest = tile.squares.iter().copied().fold(0.0, f64::max);
        let bound = |i: usize| error_bound(rows.squares[i], largest, rows.scales[i]);
        let bounds: Vec<f64> = (0..rows.count).map(bound).collect();
        self.thresholds.clear();
        if bounds.iter().all(|bound| *bound <= TOLERANCE) {
            return false;
        }
        self.tile_sums.clear();
        self.tile_sums.resize(rows.count, 0.0);
        add_exponentials(&self.logs, &self.tile_tops, &mut self.tile_sums);
        for (i, bound) in bounds.into_iter().enumerate() {
            let of_tile = self.tile_tops[i] + self.tile_sums[i].ln();
            let larger = self.log_sums[i].max(of_tile);
            let terms = [self.log_sums[i], of_tile].map(|log| (log - larger).exp());
            self.log_sums[i] = larger + (terms[0] + terms[1]).ln();
            self.thresholds.push(if bound <= TOLERANCE {
                f64::INFINITY
            } else {
                self.log_sums[i] - 2.0 * bound - 2.0 * (bound / TOLERANCE).ln()
            });
        }
        let pairs = self.tile_tops.iter().zip(&self.thresholds);
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
    /// `(2⟨x, y⟩ − ‖x‖² − ‖y‖²)·scale` of an image and R points.
    fn terms(products: &[f64], square: f64, squares: &[f64], scales: &[f64], out: &mut [f64]) = terms_body
}

#[inline(always)]
fn terms_body(products: &[f64], square: f64, squares: &[f64], scales: &[f64], out: &mut [f64]) {
    let points = squares.iter().zip(scales);
    for ((out, product), (x_square, scale)) in out.iter_mut().zip(products).zip(points) {
        *out = (2.0 * product - (x_square + square)) * scale;
    }
}

multiversion! {
    /// [`terms`] of an image and of its mirror image.
    fn mirrored_terms(
        even: &[f64],
        odd: &[f64],
        square: f64,
        squares: &[f64],
        scales: &[f64],
        upright: &mut [f64],
        turned: &mut [f64],
    ) = mirrored_terms_body
}

#[inline(always)]
fn mirrored_terms_body(
    even: &[f64],
    odd: &[f64],
    square: f64,
    squares: &[f64],
    scales: &[f64],
    upright: &mut [f64],
    turned: &mut [f64],
) {
    let outs = upright.iter_mut().zip(turned);
    let points = squares.iter().zip(scales);
    for (((upright, turned), (even, odd)), (x_square, scale)) in
        outs.zip(even.iter().zip(odd)).zip(points)
    {
        let base = x_square + square;
        *upright = (2.0 * (even + odd) - base) * scale;
        *turned = (2.0 * (even - odd) - base) * scale;
    }
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
    for (pixel, byte) in pixels.iter_mut().zip(images.set.stored_image(place)) {
        *pixel = f64::from(f32::from(*byte) / 127.5 - 1.0);
    }
    if turned {
        let rows = pixels.chunks_exact_mut(images.layout.width);
        rows.for_each(<[f64]>::reverse);
    }
}
