//! Softmax sums of points over images.

use rayon::prelude::*;

use super::layout::{ImageTiles, LEVELS};

/// Entries of a task of additions.
pub(super) const ENTRIES: usize = 1 << 15;

/// `Σ_j e^{l_ij}` and `Σ_j e^{l_ij}·y_j` of R points over images, relative to the largest terms.
#[derive(Debug, Clone)]
pub struct Sums {
    /// The largest term of each point, `[R]`.
    pub(super) tops: Vec<f64>,
    /// `Σ_j e^{l_ij − top_i}`, `[R]`.
    pub(super) totals: Vec<f64>,
    /// The even parts of `Σ_j e^{l_ij − top_i}·y_j` in grey levels about the centre, `[R, k_e]`; empty if they were not asked
    /// for.
    pub(super) even: Vec<f64>,
    /// The odd parts, `[R, k_o]`.
    pub(super) odd: Vec<f64>,
}

impl Sums {
    /// Sums over no image.
    pub(super) fn none(rows: usize, even: usize, odd: usize) -> Self {
        Self {
            tops: vec![f64::NEG_INFINITY; rows],
            totals: vec![0.0; rows],
            even: vec![0.0; rows * even],
            odd: vec![0.0; rows * odd],
        }
    }

    /// Replaces the sums by those over no image.
    pub(super) fn reset(&mut self, rows: usize, even: usize, odd: usize) {
        self.tops.clear();
        self.tops.resize(rows, f64::NEG_INFINITY);
        for (sums, length) in [
            (&mut self.totals, rows),
            (&mut self.even, rows * even),
            (&mut self.odd, rows * odd),
        ] {
            sums.clear();
            sums.resize(length, 0.0);
        }
    }

    /// Multiplies the sums of a point by a factor.
    pub(super) fn shrink(&mut self, i: usize, factor: f64) {
        let rows = self.tops.len();
        self.totals[i] *= factor;
        for sums in [&mut self.even, &mut self.odd] {
            row_mut(sums, i, rows)
                .iter_mut()
                .for_each(|sum| *sum *= factor);
        }
    }

    /// The sums without the means if `moments` is false.
    pub fn only(&self, moments: bool) -> Self {
        let kept = |values: &Vec<f64>| if moments { values.clone() } else { Vec::new() };
        Self {
            tops: self.tops.clone(),
            totals: self.totals.clone(),
            even: kept(&self.even),
            odd: kept(&self.odd),
        }
    }

    /// Adds sums over other images.
    pub fn add(&mut self, other: &Self) {
        let tops = self.tops.iter().zip(&other.tops);
        let factors = tops.map(|(&old, &new)| {
            let top = old.max(new);
            (factor(old, top), factor(new, top))
        });
        let factors: Vec<(f64, f64)> = factors.collect();
        for (top, other) in self.tops.iter_mut().zip(&other.tops) {
            *top = top.max(*other);
        }
        add_scaled(&mut self.totals, &other.totals, &factors);
        add_scaled(&mut self.even, &other.even, &factors);
        add_scaled(&mut self.odd, &other.odd, &factors);
    }

    /// `ln Σ_j e^{l_ij}`, `[R]`.
    pub fn logs(&self) -> Vec<f64> {
        let sums = self.tops.iter().zip(&self.totals);
        sums.map(|(top, total)| top + total.ln()).collect()
    }

    /// The mean of the images under the softmax in pixels, `[R, d]`.
    pub fn means(&self, images: &ImageTiles) -> Vec<f64> {
        let (layout, rows) = (&*images.layout, self.tops.len());
        let mut means = Vec::with_capacity(rows * layout.dim);
        for i in 0..rows {
            let moment = layout.pixels(row(&self.even, i, rows), row(&self.odd, i, rows));
            let shifted = moment.iter().zip(&layout.center);
            means.extend(shifted.map(|(moment, center)| {
                (moment / self.totals[i] + f64::from(*center)) / LEVELS - 1.0
            }));
        }
        means
    }
}

/// `e^{old − new}`; 0 for sums over no image.
pub(super) fn factor(old: f64, new: f64) -> f64 {
    if old == f64::NEG_INFINITY {
        0.0
    } else {
        (old - new).exp()
    }
}

/// Row i of so many.
pub(super) fn row(values: &[f64], i: usize, rows: usize) -> &[f64] {
    let length = values.len() / rows;
    &values[i * length..(i + 1) * length]
}

fn row_mut(values: &mut [f64], i: usize, rows: usize) -> &mut [f64] {
    let length = values.len() / rows;
    &mut values[i * length..(i + 1) * length]
}

/// `sum = sum·old + term·new` for each row.
fn add_scaled(sums: &mut [f64], terms: &[f64], factors: &[(f64, f64)]) {
    let length = sums.len() / factors.len().max(1);
    if length == 0 {
        return;
    }
    let rows = sums.par_chunks_exact_mut(length);
    let rows = rows.zip(terms.par_chunks_exact(length)).zip(factors);
    let tasks = rows.with_min_len((ENTRIES / length).max(1));
    tasks.for_each(|((sums, terms), &(old, new))| {
        if new == 0.0 && old == 1.0 {
            return;
        }
        for (sum, term) in sums.iter_mut().zip(terms) {
            *sum = *sum * old + term * new;
        }
    });
}
