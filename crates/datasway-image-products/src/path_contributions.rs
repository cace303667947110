//! The influences of images, added up from the contributions of the evaluations.

use std::ops::Range;

use super::path_loops::{add, add_sizes, contributions};
use super::path_terms::{TileFactors, TileTerms};

/// The influences of m images on K functionals of n paths.
pub struct PathInfluences {
    /// `a_y`, `[K, n, m]`.
    pub influence: Vec<f32>,
    /// The part of each group of evaluations, `[K, n, S, m]`; empty if it was not asked for.
    pub by_group: Vec<f32>,
    /// `Σ_y |a_y|` of every evaluation, `[K, R]`.
    pub strength: Vec<f64>,
    /// `Σ_y r_y` of every evaluation, a mean over copies, `[R]`.
    pub balance: Vec<f64>,
    /// q, `[R]`.
    pub log_densities: Vec<f64>,
    /// `⟨G, D⟩` in pixels, `[K, R]`.
    pub at_center: Vec<f64>,
}

/// Groups of successive evaluations whose parts are asked for.
pub struct Groups(pub(super) Vec<Range<usize>>);

impl Groups {
    /// Groups of so many evaluations each.
    pub fn of(counts: &[usize]) -> Self {
        let ranges = counts.iter().scan(0, |start, count| {
            let range = *start..*start + count;
            *start = range.end;
            Some(range)
        });
        Self(ranges.collect())
    }
}

impl PathInfluences {
    /// No influence of m images on K functionals of n paths with R rows.
    pub(super) fn zeros([k, n, r, m]: [usize; 4], groups: &Groups) -> Self {
        Self {
            influence: vec![0.0; k * n * m],
            by_group: vec![0.0; k * n * groups.0.len() * m],
            strength: vec![0.0; k * r],
            balance: vec![0.0; r],
            log_densities: Vec::new(),
            at_center: Vec::new(),
        }
    }
}

/// The contributions of the images of a strip.
pub(super) struct Contributions<'a> {
    pub results: PathInfluences,
    groups: &'a Groups,
    /// Number of paths, n.
    paths: usize,
    /// Number of images that were added, and of all.
    column: usize,
    width: usize,
    /// Of one image, `[R]`.
    contributions: Vec<f64>,
}

impl<'a> Contributions<'a> {
    /// None, of m images at R rows.
    pub fn new([k, n, r, m]: [usize; 4], groups: &'a Groups) -> Self {
        Self {
            results: PathInfluences::zeros([k, n, r, m], groups),
            groups,
            paths: n,
            column: 0,
            width: m,
            contributions: vec![0.0; r],
        }
    }

    /// Adds a tile with its S, `[c, R]`, and terms, `[c, K·R]`.
    pub fn add(&mut self, sums: &[f32], terms: &[f32], tile: &TileTerms, factors: &TileFactors) {
        let (r, rows) = (tile.totals.len(), tile.bases.len());
        for (sums, terms) in sums.chunks_exact(r).zip(terms.chunks_exact(rows)) {
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
        for (balance, (total, ratio)) in balance.zip(tile.totals.iter().zip(&factors.ratios)) {
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
