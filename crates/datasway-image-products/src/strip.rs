//! The masses of a strip of images, tile by tile.

use super::layout::{ImageTiles, Layout};
use super::log_weights::{ExactPair, LogWeights, Reached};
use super::products::{Products, add_moments, add_one};
use super::rows::Rows;
use super::simd::{exp, multiversion};
use super::sums::{Sums, factor};
use super::tile::Tile;

/// The share of the masses of all images so far from which an image is added in f64.
const HEAVY: f64 = 1.0 / 32.0;

/// Buffers of one thread, and the sums over the images of a strip so far.
pub(super) struct StripBuffers {
    pub tile: Tile,
    products: Products,
    weights: LogWeights,
    pub sums: Sums,
    /// `ln Σ_j e^{l_j}` of images of earlier strips, `[R]`.
    earlier: Vec<f64>,
    /// The smallest mass that counts as heavy, `[R]`.
    heavy: Vec<f64>,
}

/// The masses of the images of a tile at R points: the sums and the differences of `e^{l − top}` of an image and its mirror
/// image, which go with the even and the odd parts.
pub(super) struct Masses<'a> {
    /// `[c, R]`.
    pub sums: &'a mut [f32],
    /// `[c, R]`; empty without mirror images.
    pub differences: &'a mut [f32],
}

impl StripBuffers {
    pub fn new(layout: &Layout) -> Self {
        Self {
            tile: Tile::new(layout),
            products: Products::default(),
            weights: LogWeights::default(),
            sums: Sums::none(0, 0, 0),
            earlier: Vec::new(),
            heavy: Vec::new(),
        }
    }

    /// Begins a strip, with sums of the images themselves if `moments`. Known are `ln Σ_j e^{l_j}` of images of earlier strips,
    /// `[R]`.
    pub fn begin(&mut self, layout: &Layout, earlier: &[f64], moments: bool) {
        let asked = usize::from(moments);
        let (even, odd) = (layout.even() * asked, layout.odd() * asked);
        self.sums.reset(earlier.len(), even, odd);
        self.earlier.clear();
        self.earlier.extend_from_slice(earlier);
    }

    /// Loads a tile, finds the masses of its images and adds them to the totals. `exact` receives the pairs whose distance was
    /// computed in f64.
    pub fn next_tile(
        &mut self,
        images: &ImageTiles,
        rows: &Rows,
        places: &[usize],
        masses: &mut Masses<'_>,
        exact: impl FnMut(ExactPair),
    ) {
        let sums = &mut self.sums;
        self.tile.load(images, places.iter().copied());
        self.products.multiply(&self.tile, &rows.parts);
        let reached = Reached {
            earlier: &self.earlier,
            tops: &sums.tops,
            totals: &sums.totals,
        };
        self.weights
            .compute(images, &self.tile, rows, &self.products, reached, exact);
        for (i, of_tile) in self.weights.tops.iter().enumerate() {
            let top = sums.tops[i].max(*of_tile);
            let shrink = factor(sums.tops[i], top);
            sums.tops[i] = top;
            if shrink != 1.0 {
                sums.shrink(i, shrink);
            }
        }
        masses.fill(&self.weights.logs, sums);
    }

    /// Adds the images of the tile to the moments of the strip, weighted by their masses, which are used up.
    pub fn add_images(&mut self, masses: &mut Masses<'_>) {
        self.add_heavy(masses);
        let (tile, sums) = (&self.tile, &mut self.sums);
        let r = sums.totals.len();
        add_moments(masses.sums, r, &tile.even, &mut sums.even);
        add_moments(masses.differences, r, &tile.odd, &mut sums.odd);
    }

    /// Moves the images with a large share of the masses so far into the moments, which are in f64: where few images decide a mean,
    /// its rounding is that of the pixels.
    fn add_heavy(&mut self, masses: &mut Masses<'_>) {
        let mut heavy = std::mem::take(&mut self.heavy);
        heavy.clear();
        heavy.extend(self.totals_so_far().map(|total| HEAVY * total));
        let (tile, sums) = (&self.tile, &mut self.sums);
        let r = sums.totals.len();
        for image in 0..tile.count() {
            for (row, heavy) in heavy.iter().enumerate() {
                let place = image * r + row;
                if f64::from(masses.sums[place]) > *heavy {
                    let mass = std::mem::take(&mut masses.sums[place]);
                    add_one(row, mass, image, &tile.even, &mut sums.even);
                    if let Some(mass) = masses.differences.get_mut(place) {
                        let mass = std::mem::take(mass);
                        add_one(row, mass, image, &tile.odd, &mut sums.odd);
                    }
                }
            }
        }
        self.heavy = heavy;
    }

    /// The sums of the masses of all images so far relative to the tops of the strip, `[R]`.
    fn totals_so_far(&self) -> impl Iterator<Item = f64> {
        let of_strip = self.sums.totals.iter().zip(&self.sums.tops);
        let earlier = self.earlier.iter().zip(of_strip);
        earlier.map(|(earlier, (total, top))| total + (earlier - top).exp())
    }
}

impl Masses<'_> {
    /// Fills in the masses of logarithms `[copies, c, R]` relative to the tops, and adds them to the totals.
    fn fill(&mut self, logs: &[f64], sums: &mut Sums) {
        let r = sums.tops.len();
        let (upright, turned) = logs.split_at(self.sums.len());
        let upright = upright.chunks_exact(r);
        let masses = self.sums.chunks_exact_mut(r);
        if turned.is_empty() {
            for (logs, masses) in upright.zip(masses) {
                exponentials(logs, &sums.tops, masses, &mut sums.totals);
            }
            return;
        }
        let differences = self.differences.chunks_exact_mut(r);
        let logs = upright.zip(turned.chunks_exact(r));
        for ((upright, turned), (masses, differences)) in logs.zip(masses.zip(differences)) {
            let (tops, totals) = (&sums.tops, &mut sums.totals);
            mirrored_exponentials(upright, turned, tops, masses, differences, totals);
        }
    }
}

multiversion! {
    /// `e^{l − top}` of an image at R points, added to the totals.
    fn exponentials(
        logs: &[f64],
        tops: &[f64],
        masses: &mut [f32],
        totals: &mut [f64],
    ) = exponentials_body
}

#[inline(always)]
fn exponentials_body(logs: &[f64], tops: &[f64], masses: &mut [f32], totals: &mut [f64]) {
    let outs = masses.iter_mut().zip(totals);
    for ((mass, total), (log, top)) in outs.zip(logs.iter().zip(tops)) {
        *mass = exp(log - top) as f32;
        *total += f64::from(*mass);
    }
}

multiversion! {
    /// [`exponentials`] of an image and its mirror image: their sum, which is added to the totals, and their difference.
    fn mirrored_exponentials(
        upright: &[f64],
        turned: &[f64],
        tops: &[f64],
        masses: &mut [f32],
        differences: &mut [f32],
        totals: &mut [f64],
    ) = mirrored_exponentials_body
}

#[inline(always)]
fn mirrored_exponentials_body(
    upright: &[f64],
    turned: &[f64],
    tops: &[f64],
    masses: &mut [f32],
    differences: &mut [f32],
    totals: &mut [f64],
) {
    let outs = masses.iter_mut().zip(differences).zip(totals);
    let logs = upright.iter().zip(turned).zip(tops);
    for (((mass, difference), total), ((upright, turned), top)) in outs.zip(logs) {
        let (a, b) = (exp(upright - top) as f32, exp(turned - top) as f32);
        (*mass, *difference) = (a + b, a - b);
        *total += f64::from(*mass);
    }
}
