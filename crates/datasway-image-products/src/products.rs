//! The matrix products of a tile.

use burn_cpu_kernels::panels::{PANEL, Panels, add_product, add_transposed_product};

use super::rows::PackedParts;
use super::simd::multiversion;
use super::tile::Tile;

/// Terms that are summed in f32. Sums of these are summed in f64, so that rounding does not grow with the size of an image.
pub(super) const BLOCK: usize = 256;

/// Inner products of R points with the c images of a tile.
#[derive(Default)]
pub(super) struct Products {
    /// Of the even parts, `[c, R]`, in grey levels.
    pub even: Vec<f64>,
    /// Of the odd parts, `[c, R]`; empty without mirror images.
    pub odd: Vec<f64>,
}

impl Products {
    /// Replaces the products by those of points.
    pub fn multiply(&mut self, tile: &Tile, points: &PackedParts) {
        product(tile.count(), &tile.even, &points.even, &mut self.even);
        product(tile.count(), &tile.odd, &points.odd, &mut self.odd);
    }
}

/// `out = tile·points`, with c images and points `[k, R]`; empty for k = 0.
fn product(images: usize, tile: &Panels, points: &Panels, out: &mut Vec<f64>) {
    out.clear();
    if tile.columns() > 0 {
        out.resize(images * points.columns(), 0.0);
        add_product(images, tile, points, BLOCK, out);
    }
}

/// Adds one image of a tile, with its mass, to the sum of one point of `[R, k]`.
pub(super) fn add_one(row: usize, mass: f32, image: usize, tile: &Panels, sums: &mut [f64]) {
    let k = tile.columns();
    let sums = sums[row * k..(row + 1) * k].chunks_mut(PANEL);
    for (sums, pixels) in sums.zip(tile.row(image)) {
        add_scaled(f64::from(mass), pixels, sums);
    }
}

multiversion! {
    /// `sums += factor·terms`.
    fn add_scaled(factor: f64, terms: &[f32], sums: &mut [f64]) = add_scaled_body
}

#[inline(always)]
fn add_scaled_body(factor: f64, terms: &[f32], sums: &mut [f64]) {
    for (sum, term) in sums.iter_mut().zip(terms) {
        *sum += factor * f64::from(*term);
    }
}

/// Adds `massesᵀ·tile` to sums `[R, k]`, with masses `[c, R]`: in f32 in a tile, in f64 over tiles. Nothing for k = 0.
pub(super) fn add_moments(masses: &[f32], rows: usize, tile: &Panels, sums: &mut [f64]) {
    if tile.columns() > 0 {
        add_transposed_product(masses, rows, tile, sums);
    }
}
