//! The matrix products of a tile.

use std::ops::Range;

use super::layout::Layout;
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
    block: Vec<f32>,
}

impl Products {
    /// Replaces the products by those of points with the parts `[k_e, R]` and `[k_o, R]`.
    pub fn multiply(
        &mut self,
        layout: &Layout,
        tile: &Tile,
        even: &[f32],
        odd: &[f32],
        rows: usize,
    ) {
        let entries = tile.count() * rows;
        self.block.resize(entries, 0.0);
        self.even.resize(entries, 0.0);
        product(
            &tile.even,
            layout.even(),
            even,
            rows,
            &mut self.block,
            &mut self.even,
        );
        if layout.mirrored {
            self.odd.resize(entries, 0.0);
            product(
                &tile.odd,
                layout.odd(),
                odd,
                rows,
                &mut self.block,
                &mut self.odd,
            );
        }
    }
}

/// `out = tile·points`, with a tile `[c, k]` and points `[k, R]`.
fn product(
    tile: &[f32],
    k: usize,
    points: &[f32],
    rows: usize,
    block: &mut [f32],
    out: &mut [f64],
) {
    let images = out.len() / rows;
    assert!(block.len() == images * rows && tile.len() >= images * k && points.len() == k * rows);
    out.fill(0.0);
    for start in (0..k).step_by(BLOCK) {
        let terms = BLOCK.min(k - start);
        // SAFETY: entry (i, j) of the left factor is at i + rows·l < k·rows, of the right one at start + l + k·j < k·images,
        // and of the result at i + rows·j < rows·images, by the assertion above.
        unsafe {
            gemm::gemm(
                rows,
                images,
                terms,
                block.as_mut_ptr(),
                rows as isize,
                1,
                false,
                points.as_ptr().add(start * rows),
                rows as isize,
                1,
                tile.as_ptr().add(start),
                k as isize,
                1,
                0.0,
                1.0,
                false,
                false,
                false,
                gemm::Parallelism::None,
            );
        }
        add_wide(block, out);
    }
}

/// `Σ_j mass_ij·y_j` of R points over tiles, `[R, k]`: in f32 in a tile, in f64 over tiles.
pub(super) struct Moments {
    pub sums: Vec<f64>,
    of_tile: Vec<f32>,
}

impl Moments {
    /// No moments, of `entries = R·k` numbers.
    pub fn new(entries: usize) -> Self {
        Self {
            sums: vec![0.0; entries],
            of_tile: vec![0.0; entries],
        }
    }

    /// Multiplies some of the sums by a factor.
    pub fn shrink(&mut self, entries: Range<usize>, factor: f64) {
        self.sums[entries].iter_mut().for_each(|sum| *sum *= factor);
    }

    /// Adds one image of a tile, with its mass, to the sum of one point of R.
    pub fn add_one(&mut self, row: usize, rows: usize, mass: f32, image: usize, tile: &[f32]) {
        let k = self.sums.len() / rows;
        let sums = self.sums[row * k..(row + 1) * k].iter_mut();
        for (sum, pixel) in sums.zip(&tile[image * k..(image + 1) * k]) {
            *sum += f64::from(mass) * f64::from(*pixel);
        }
    }

    /// Adds `massesᵀ·tile`, with masses `[c, R]` and a tile `[c, k]`.
    pub fn add(&mut self, masses: &[f32], tile: &[f32], k: usize, rows: usize) {
        if k == 0 {
            return;
        }
        let images = masses.len() / rows;
        let fit = masses.len() == images * rows && tile.len() >= images * k;
        assert!(fit && self.of_tile.len() == rows * k);
        // SAFETY: entry (i, j) of the left factor is at i + rows·l < rows·images, of the right one at j + k·l < k·images, and
        // of the result at j + k·i < k·rows, by the assertion above.
        unsafe {
            gemm::gemm(
                rows,
                k,
                images,
                self.of_tile.as_mut_ptr(),
                1,
                k as isize,
                false,
                masses.as_ptr(),
                rows as isize,
                1,
                tile.as_ptr(),
                1,
                k as isize,
                0.0,
                1.0,
                false,
                false,
                false,
                gemm::Parallelism::None,
            );
        }
        add_wide(&self.of_tile, &mut self.sums);
    }
}

multiversion! {
    /// `sums += terms`.
    fn add_wide(terms: &[f32], sums: &mut [f64]) = add_wide_body
}

#[inline(always)]
fn add_wide_body(terms: &[f32], sums: &mut [f64]) {
    for (sum, term) in sums.iter_mut().zip(terms) {
        *sum += f64::from(*term);
    }
}
