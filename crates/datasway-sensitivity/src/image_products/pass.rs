//! One pass over images: the softmax sums of points over the parts of a set.

use rayon::prelude::*;

use super::layout::ImageTiles;
use super::log_weights::LogWeights;
use super::products::{Moments, Products};
use super::rows::Rows;
use super::simd::{exp, multiversion};
use super::sums::{Sums, factor};
use super::tile::{TILE, Tile};
use super::tile_masses::{ExactPlace, TileMasses};

/// Images whose sums are one term of a sum in f64. The number decides the order of all sums, and so their last digits.
pub(super) const STRIP: usize = 4 * TILE;

/// The share of the masses so far from which an image is added in f64.
const HEAVY: f64 = 1.0 / 32.0;

/// Some images of a storage.
pub(crate) struct Part {
    /// Their places.
    pub(crate) places: Vec<usize>,
    /// True if their mean is asked for.
    pub(crate) moments: bool,
}

/// What is kept of a strip beside the sums of its masses.
pub(super) enum Kept<'a> {
    /// Nothing.
    Sums,
    /// The sums of the images, weighted by their masses.
    Moments,
    /// The masses, tile by tile.
    Masses(&'a mut Vec<TileMasses>),
}

/// The sums of points over each part. The images of all parts are read once.
pub(crate) fn sums_over(images: &ImageTiles, rows: &Rows, parts: &[Part]) -> Vec<Sums> {
    let (even, odd) = (images.layout.even(), images.layout.odd());
    let mut sums: Vec<Sums> = (parts.iter())
        .map(|part| {
            let asked = usize::from(part.moments);
            Sums::none(rows.count, even * asked, odd * asked)
        })
        .collect();
    let strips: Vec<(usize, &[usize], bool)> = (parts.iter().enumerate())
        .flat_map(|(p, part)| {
            let strips = part.places.chunks(STRIP);
            strips.map(move |places| (p, places, part.moments))
        })
        .collect();
    // As many strips at a time as there are threads, added in their order.
    for wave in strips.chunks(rayon::current_num_threads().max(1)) {
        let of_strips: Vec<Sums> = (wave.par_iter())
            .map(|(_, places, moments)| {
                let kept = if *moments { Kept::Moments } else { Kept::Sums };
                sums_of_strip(images, rows, places, kept)
            })
            .collect();
        for ((part, _, _), strip) in wave.iter().zip(&of_strips) {
            sums[*part].add(strip);
        }
    }
    sums
}

/// The sums of points over the images of a strip.
pub(super) fn sums_of_strip(
    images: &ImageTiles,
    rows: &Rows,
    places: &[usize],
    mut kept: Kept<'_>,
) -> Sums {
    let (layout, r) = (&*images.layout, rows.count);
    let moments = matches!(kept, Kept::Moments);
    let (even, odd) = if moments {
        (layout.even(), layout.odd())
    } else {
        (0, 0)
    };
    let mut tile = Tile::new(layout);
    let mut products = Products::default();
    let mut weights = LogWeights::new(r);
    let mut totals = vec![0.0; r];
    let (mut even_sums, mut odd_sums) = (Moments::new(r * even), Moments::new(r * odd));
    let mut masses = Masses::default();
    for places in places.chunks(TILE) {
        tile.load(images, places.iter().copied());
        products.multiply(layout, &tile, &rows.even, &rows.odd, r);
        let before = weights.tops.clone();
        let mut exact = Vec::new();
        weights.compute(images, &tile, rows, &products, |pair| {
            if let Kept::Masses(_) = kept {
                exact.push(ExactPlace::of(&pair));
            }
        });
        for i in 0..r {
            let shrink = factor(before[i], weights.tops[i]);
            if shrink != 1.0 {
                totals[i] *= shrink;
                even_sums.shrink(i * even..(i + 1) * even, shrink);
                odd_sums.shrink(i * odd..(i + 1) * odd, shrink);
            }
        }
        let any = masses.fill(&weights.logs, &weights.tops, tile.count(), &mut totals);
        if moments && any {
            masses.take_heavy(&tile, &totals, &mut even_sums, &mut odd_sums);
            even_sums.add(&masses.sums, &tile.even, layout.even(), r);
            odd_sums.add(&masses.differences, &tile.odd, layout.odd(), r);
        }
        if let Kept::Masses(tiles) = &mut kept {
            let masses = std::mem::take(&mut masses);
            tiles.push(TileMasses {
                tops: weights.tops.clone(),
                sums: masses.sums,
                differences: masses.differences,
                exact,
            });
        }
    }
    Sums {
        tops: weights.tops,
        totals,
        even: even_sums.sums,
        odd: odd_sums.sums,
    }
}

/// `e^{l − top}` of images and mirror images: the masses of their even parts and of their odd parts.
#[derive(Default)]
struct Masses {
    /// `[c, R]`.
    sums: Vec<f32>,
    /// `[c, R]`.
    differences: Vec<f32>,
}

impl Masses {
    /// Replaces the masses and adds them to the totals, `[R]`. Returns false if all are 0.
    fn fill(&mut self, logs: &[f64], tops: &[f64], images: usize, totals: &mut [f64]) -> bool {
        let entries = images * tops.len();
        self.sums.resize(entries, 0.0);
        self.differences.resize(entries, 0.0);
        let (upright, turned) = logs.split_at(entries);
        exponentials(upright, tops, &mut self.sums);
        if turned.is_empty() {
            self.differences.clear();
        } else {
            exponentials(turned, tops, &mut self.differences);
            combine(&mut self.sums, &mut self.differences);
        }
        for masses in self.sums.chunks_exact(tops.len()) {
            for (total, mass) in totals.iter_mut().zip(masses) {
                *total += f64::from(*mass);
            }
        }
        self.sums.iter().any(|mass| *mass != 0.0)
    }

    /// Moves the images with a large share of the totals, `[R]`, from the masses into the moments, which are in f64: where few
    /// images decide a mean, its rounding is that of the pixels.
    fn take_heavy(&mut self, tile: &Tile, totals: &[f64], even: &mut Moments, odd: &mut Moments) {
        let rows = totals.len();
        for image in 0..tile.count() {
            for (row, total) in totals.iter().enumerate() {
                let place = image * rows + row;
                if f64::from(self.sums[place]) > HEAVY * total {
                    let mass = std::mem::take(&mut self.sums[place]);
                    even.add_one(row, rows, mass, image, &tile.even);
                    if let Some(mass) = self.differences.get_mut(place) {
                        odd.add_one(row, rows, std::mem::take(mass), image, &tile.odd);
                    }
                }
            }
        }
    }
}

multiversion! {
    /// `e^{l − top}` of terms `[c, R]` with the tops of R points.
    fn exponentials(logs: &[f64], tops: &[f64], out: &mut [f32]) = exponentials_body
}

#[inline(always)]
fn exponentials_body(logs: &[f64], tops: &[f64], out: &mut [f32]) {
    let rows = tops.len();
    for (out, logs) in out.chunks_exact_mut(rows).zip(logs.chunks_exact(rows)) {
        for ((out, log), top) in out.iter_mut().zip(logs).zip(tops) {
            *out = exp(log - top) as f32;
        }
    }
}

multiversion! {
    /// Sums and differences of pairs, in their places.
    fn combine(first: &mut [f32], second: &mut [f32]) = combine_body
}

#[inline(always)]
fn combine_body(first: &mut [f32], second: &mut [f32]) {
    for (a, b) in first.iter_mut().zip(second) {
        (*a, *b) = (*a + *b, *a - *b);
    }
}
