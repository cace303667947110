//! The influences of images on functionals of some paths, from the kept masses.
//!
//! Images are read once more, for the products with the gradients. What images are compared with may be the images themselves:
//! then `⟨G, D⟩` is the mean of the same products, known when all images were read, and the terms are kept until then.

use std::ops::Range;

use rayon::prelude::*;

use super::pass::STRIP;
use super::path_loops::{add, add_sizes, contributions};
use super::path_masses::PathMasses;
use super::path_rows::{PathGradients, PathRows};
use super::path_terms::{Reference, TermBuffers, TileFactors, TileTerms};
use super::tile::TILE;
use super::tile_masses::TileMasses;

/// The influences of m images on K functionals of n paths.
pub(crate) struct PathInfluences {
    /// `a_y`, `[K, n, m]`.
    pub(crate) influence: Vec<f32>,
    /// The part of each group of evaluations, `[K, n, S, m]`; empty if it was not asked for.
    pub(crate) by_group: Vec<f32>,
    /// `Σ_y |a_y|` of every evaluation, `[K, R]`.
    pub(crate) strength: Vec<f64>,
    /// `Σ_y r_y` of every evaluation, a mean over copies, `[R]`.
    pub(crate) balance: Vec<f64>,
    /// q, `[R]`.
    pub(crate) log_densities: Vec<f64>,
    /// `⟨G, D⟩` in pixels, `[K, R]`.
    pub(crate) at_center: Vec<f64>,
}

/// Groups of successive evaluations whose parts are asked for.
pub(crate) struct Groups(Vec<Range<usize>>);

impl Groups {
    /// Groups of so many evaluations each.
    pub(crate) fn of(counts: &[usize]) -> Self {
        let ranges = counts.iter().scan(0, |start, count| {
            let range = *start..*start + count;
            *start = range.end;
            Some(range)
        });
        Self(ranges.collect())
    }
}

/// The influences of the images at some places, whose masses are kept. The terms take the room of the differences of the masses.
/// `progress` receives the number of images whose products are done.
pub(crate) fn path_influences(
    path: &PathRows<'_>,
    gradients: &PathGradients,
    mut masses: PathMasses,
    reference: &Reference,
    places: &[usize],
    groups: &Groups,
    progress: impl FnMut(usize),
) -> PathInfluences {
    let log_densities = reference.densities(&masses);
    let terms = all_terms(path, gradients, &mut masses, places, progress);
    let centers = reference.centers(gradients);
    let centers = centers.unwrap_or_else(|| own_centers(path, gradients, &masses, &terms));
    let (k, n, r, m) = (
        gradients.functionals,
        path.paths,
        path.count(),
        places.len(),
    );
    let pairs: Vec<(&TileMasses, &TileTerms)> = masses.tiles.iter().zip(&terms).collect();
    let strips: Vec<PathInfluences> = (pairs.par_chunks(STRIP / TILE))
        .map(|tiles| {
            let mut strip = Strip::new(k, n, tiles, groups);
            for (masses, terms) in tiles {
                let factors =
                    TileFactors::new(path, &masses.tops, &terms.bases, &log_densities, &centers);
                strip.add(masses, terms, &factors);
            }
            strip.results
        })
        .collect();
    let mut results = PathInfluences {
        influence: vec![0.0; k * n * m],
        by_group: vec![0.0; k * n * groups.0.len() * m],
        strength: vec![0.0; k * r],
        balance: vec![0.0; r],
        log_densities,
        at_center: (centers.iter().enumerate())
            .map(|(row, center)| gradients.in_pixels(row, *center))
            .collect(),
    };
    let mut first = 0;
    for strip in strips {
        let columns = first..first + strip.influence.len() / (k * n);
        first = columns.end;
        copy_columns(&strip.influence, &mut results.influence, columns.clone());
        copy_columns(&strip.by_group, &mut results.by_group, columns);
        add(&strip.strength, &mut results.strength);
        add(&strip.balance, &mut results.balance);
    }
    results
}

/// The terms of every tile. The masses keep their sums only.
fn all_terms(
    path: &PathRows<'_>,
    gradients: &PathGradients,
    masses: &mut PathMasses,
    places: &[usize],
    mut progress: impl FnMut(usize),
) -> Vec<TileTerms> {
    let tiles = masses.tiles.chunks_mut(STRIP / TILE);
    let mut strips: Vec<(&[usize], &mut [TileMasses])> = places.chunks(STRIP).zip(tiles).collect();
    let (mut all, mut done) = (Vec::new(), 0);
    for wave in strips.chunks_mut(rayon::current_num_threads().max(1)) {
        let of_strips: Vec<Vec<TileTerms>> = (wave.par_iter_mut())
            .map(|(places, masses)| {
                let mut buffers = TermBuffers::new(path);
                let tiles = masses.iter_mut().zip(places.chunks(TILE));
                tiles
                    .map(|(masses, places)| {
                        let terms = buffers.terms(path, gradients, masses, places);
                        masses.differences = Vec::new();
                        masses.exact = Vec::new();
                        terms
                    })
                    .collect()
            })
            .collect();
        all.extend(of_strips.into_iter().flatten());
        done += wave.iter().map(|(places, _)| places.len()).sum::<usize>();
        progress(done);
    }
    all
}

/// `⟨G, D⟩ = Σ_y r_y·⟨G, y⟩/Σ_y r_y` of the images themselves in grey levels about the centre, `[K·R]`.
fn own_centers(
    path: &PathRows<'_>,
    gradients: &PathGradients,
    masses: &PathMasses,
    terms: &[TileTerms],
) -> Vec<f64> {
    let r = path.count();
    let rows = gradients.functionals * r;
    let (mut products, mut totals) = (vec![0.0; rows], vec![0.0; r]);
    let log_sums = &masses.log_sums;
    for (masses, tile) in masses.tiles.iter().zip(terms) {
        for row in 0..r {
            // Relative to the sum of all masses, which no top exceeds.
            let factor = (masses.tops[row] - log_sums[row]).exp();
            totals[row] += factor * tile.totals[row];
            for row in (row..rows).step_by(r) {
                let of_bases = tile.bases[row] * tile.totals[row % r];
                products[row] += factor * (tile.sums[row] + of_bases);
            }
        }
    }
    let products = products.iter().enumerate();
    products.map(|(row, sum)| sum / totals[row % r]).collect()
}

/// Copies the rows of a strip into the columns of a whole.
fn copy_columns(strip: &[f32], whole: &mut [f32], columns: Range<usize>) {
    let width = columns.len();
    let length = (whole.len() * width).checked_div(strip.len()).unwrap_or(1);
    let rows = strip.chunks_exact(width);
    for (strip, whole) in rows.zip(whole.chunks_exact_mut(length)) {
        whole[columns.clone()].copy_from_slice(strip);
    }
}

/// The influences of the images of some tiles.
struct Strip<'a> {
    results: PathInfluences,
    groups: &'a Groups,
    /// Number of paths, n.
    paths: usize,
    /// Number of images that were added, and of all.
    column: usize,
    width: usize,
    /// Of one image, `[R]`.
    contributions: Vec<f64>,
}

impl<'a> Strip<'a> {
    fn new(k: usize, n: usize, tiles: &[(&TileMasses, &TileTerms)], groups: &'a Groups) -> Self {
        let r = tiles[0].0.tops.len();
        let width = tiles.iter().map(|(masses, _)| masses.sums.len() / r).sum();
        Self {
            results: PathInfluences {
                influence: vec![0.0; k * n * width],
                by_group: vec![0.0; k * n * groups.0.len() * width],
                strength: vec![0.0; k * r],
                balance: vec![0.0; r],
                log_densities: Vec::new(),
                at_center: Vec::new(),
            },
            groups,
            paths: n,
            column: 0,
            width,
            contributions: vec![0.0; r],
        }
    }

    fn add(&mut self, masses: &TileMasses, terms: &TileTerms, factors: &TileFactors) {
        let (r, rows) = (masses.tops.len(), terms.bases.len());
        for (sums, terms) in masses
            .sums
            .chunks_exact(r)
            .zip(terms.terms.chunks_exact(rows))
        {
            for (k, terms) in terms.chunks_exact(r).enumerate() {
                let shifts = &factors.shifts[k * r..(k + 1) * r];
                contributions(
                    terms,
                    sums,
                    shifts,
                    &factors.scales,
                    &mut self.contributions,
                );
                let strength = &mut self.results.strength[k * r..(k + 1) * r];
                add_sizes(&self.contributions, strength);
                self.finish_image(k);
            }
            self.column += 1;
        }
        let balance = self.results.balance.iter_mut();
        for (balance, (total, ratio)) in balance.zip(terms.totals.iter().zip(&factors.ratios)) {
            *balance += total * ratio;
        }
    }

    /// Adds the contributions of an image to functional k of every path.
    fn finish_image(&mut self, k: usize) {
        let (n, count) = (self.paths, self.groups.0.len());
        let all = 0..self.contributions.len() / n;
        let mut sums = vec![0.0; n];
        let add_up = |range: Range<usize>, sums: &mut [f64]| {
            sums.fill(0.0);
            for contributions in self.contributions[range.start * n..range.end * n].chunks_exact(n)
            {
                add(contributions, sums);
            }
        };
        add_up(all, &mut sums);
        for (i, sum) in sums.iter().enumerate() {
            self.results.influence[(k * n + i) * self.width + self.column] = *sum as f32;
        }
        for (s, group) in self.groups.0.iter().enumerate() {
            add_up(group.clone(), &mut sums);
            for (i, sum) in sums.iter().enumerate() {
                let place = ((k * n + i) * count + s) * self.width + self.column;
                self.results.by_group[place] = *sum as f32;
            }
        }
    }
}
