//! The terms of a tile of images in an influence: masses times inner products with gradients.
//!
//! The contribution of a row to the influence of an image y is a sum over its copies,
//!
//! `w·Σ_y r_y·⟨G, y − D⟩/copies = w·F·(P − ⟨G, D⟩·S)/copies`, `S = Σ_y m_y`, `P = Σ_y m_y·⟨G, y⟩`, `r_y = F·m_y`,
//!
//! with the masses m_y relative to the largest term of the tile, and `F = e^{top − q}`. At low noise `⟨G, y⟩` is close to `⟨G, D⟩` for
//! the images that count. So P is kept about a number near it, `P − b·S` in f32 and b in f64: the product of G with the heaviest
//! image of the tile. No digit is lost when `(P − b·S) + (b − ⟨G, D⟩)·S` is formed in f64.

use super::layout::LEVELS;
use super::log_weights::load;
use super::path_loops::{add_masses, mirrored_terms, terms};
use super::path_rows::{PathGradients, PathRows};
use super::products::Products;
use super::simd::inner_product;
use super::tile::Tile;
use super::tile_masses::TileMasses;

/// Reference that images are compared with at every row of some paths.
#[derive(Debug, Default)]
pub struct Reference {
    /// q, `[R]`; that of the images themselves if absent.
    pub log_densities: Option<Vec<f64>>,
    /// `⟨G, D⟩` in pixels, `[K, R]`; the mean of the images themselves if absent.
    pub at_center: Option<Vec<f64>>,
}

/// Terms of a tile of c images at K·R rows, `P − b·S`, `[c, K·R]`.
pub(super) struct TileTerms {
    /// b, `[K·R]`.
    pub bases: Vec<f64>,
    /// The sums of the terms over the images, `[K·R]`.
    pub sums: Vec<f64>,
    /// The sums of S over the images, `[R]`.
    pub totals: Vec<f64>,
}

/// Buffers of the products of a tile with gradients.
pub(super) struct TermBuffers {
    products: Products,
    pixels: Vec<f64>,
}

impl TermBuffers {
    pub fn new(path: &PathRows<'_>) -> Self {
        Self {
            products: Products::default(),
            pixels: vec![0.0; path.images.dim()],
        }
    }

    /// Replaces the terms, `[c, K·R]`, by those of the images of a tile.
    pub fn terms(
        &mut self,
        path: &PathRows<'_>,
        gradients: &PathGradients,
        tile: &Tile,
        masses: TileMasses<'_>,
        out: &mut [f32],
    ) -> TileTerms {
        let (r, kr) = (path.count(), gradients.functionals * path.count());
        self.products.multiply(tile, &gradients.parts);
        let mut result = TileTerms {
            bases: self.bases(masses, r, kr),
            sums: vec![0.0; kr],
            totals: vec![0.0; r],
        };
        for j in 0..tile.count() {
            for k in 0..gradients.functionals {
                let (row, place) = (j * r..(j + 1) * r, j * kr + k * r..j * kr + (k + 1) * r);
                let bases = &result.bases[k * r..(k + 1) * r];
                let even = &self.products.even[place.clone()];
                let (out, sums) = (&mut out[place.clone()], &masses.sums[row.clone()]);
                if masses.differences.is_empty() {
                    terms(sums, even, bases, out);
                } else {
                    let odd = &self.products.odd[place];
                    mirrored_terms(sums, &masses.differences[row], even, odd, bases, out);
                }
            }
        }
        self.correct(path, gradients, tile, masses, out);
        for terms in out.chunks_exact(kr) {
            add_masses(terms, &mut result.sums);
        }
        for sums in masses.sums.chunks_exact(r) {
            add_masses(sums, &mut result.totals);
        }
        result
    }

    /// b: the mean over the copies of the heaviest image of the tile.
    fn bases(&self, masses: TileMasses<'_>, r: usize, kr: usize) -> Vec<f64> {
        let mut heaviest = vec![(0.0, 0); r];
        for (j, sums) in masses.sums.chunks_exact(r).enumerate() {
            for ((top, image), sum) in heaviest.iter_mut().zip(sums) {
                if sum > top {
                    (*top, *image) = (*sum, j);
                }
            }
        }
        let base = |row: usize| {
            let (sum, image) = heaviest[row % r];
            if sum == 0.0 {
                return 0.0;
            }
            let place = image * kr + row;
            let difference = masses.differences.get(image * r + row % r);
            let odd = difference.map_or(0.0, |difference| {
                f64::from(*difference) * self.products.odd[place] / f64::from(sum)
            });
            self.products.even[place] + odd
        };
        (0..kr).map(base).collect()
    }

    /// Replaces the products of the pairs whose distance was computed in f64 by such of f64.
    fn correct(
        &mut self,
        path: &PathRows<'_>,
        gradients: &PathGradients,
        tile: &Tile,
        masses: TileMasses<'_>,
        out: &mut [f32],
    ) {
        let (r, kr) = (path.count(), gradients.functionals * path.count());
        let mut loaded = None;
        for pair in masses.exact {
            let (row, image) = (pair.row as usize, usize::from(pair.image));
            let sum = f64::from(masses.sums[image * r + row]);
            let difference = masses.differences.get(image * r + row);
            let difference = difference.map_or(sum, |difference| f64::from(*difference));
            let sign = if pair.copy == 0 { 1.0 } else { -1.0 };
            let mass = (sum + sign * difference) / 2.0;
            if mass == 0.0 {
                continue;
            }
            if loaded != Some((pair.image, pair.copy)) {
                let place = tile.places[image];
                load(path.images, place, pair.copy == 1, &mut self.pixels);
                loaded = Some((pair.image, pair.copy));
            }
            for k in 0..gradients.functionals {
                let (row, place) = (k * r + row, image * kr + k * r + row);
                let odd = self.products.odd.get(place).map_or(0.0, |odd| sign * odd);
                let exact = inner_product(gradients.row(row), &self.pixels);
                let exact = gradients.in_levels(row, exact);
                let error = exact - (self.products.even[place] + odd);
                out[place] = (f64::from(out[place]) + mass * error) as f32;
            }
        }
    }
}

/// The factors of a tile in contributions, `[R]` and `[K·R]`.
pub(super) struct TileFactors {
    /// `F/copies`: of a mass in the mean of r over copies.
    pub ratios: Vec<f64>,
    /// `w·F/(copies·127.5)`.
    pub scales: Vec<f64>,
    /// `b − ⟨G, D⟩` in grey levels.
    pub shifts: Vec<f64>,
}

impl TileFactors {
    /// The factors for q, `[R]`, and `⟨G, D⟩` in grey levels about the centre, `[K·R]`.
    pub fn new(
        path: &PathRows<'_>,
        tops: &[f64],
        bases: &[f64],
        log_densities: &[f64],
        at_center: &[f64],
    ) -> Self {
        let copies = path.images.copies() as f64;
        let ratios = tops.iter().zip(log_densities);
        let ratios: Vec<f64> = ratios.map(|(top, q)| (top - q).exp() / copies).collect();
        // The shares have the number of copies in them.
        let scales = ratios.iter().zip(&path.shares);
        let scales = scales.map(|(ratio, share)| ratio * copies * share / LEVELS);
        let shifts = bases.iter().zip(at_center);
        Self {
            scales: scales.collect(),
            shifts: shifts.map(|(base, center)| base - center).collect(),
            ratios,
        }
    }
}

impl Reference {
    /// q at every row: that of the images themselves if it is not given.
    pub(super) fn densities(&self, own: Vec<f64>) -> Vec<f64> {
        self.log_densities.clone().unwrap_or(own)
    }

    /// `⟨G, D⟩` in grey levels about the centre, if it is known.
    pub(super) fn centers(&self, gradients: &PathGradients) -> Option<Vec<f64>> {
        let in_pixels = self.at_center.as_ref()?.iter().enumerate();
        Some(
            in_pixels
                .map(|(row, value)| gradients.in_levels(row, *value))
                .collect(),
        )
    }
}
