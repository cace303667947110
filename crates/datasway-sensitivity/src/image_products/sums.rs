//! Softmax sums of points over images.

use super::layout::{ImageTiles, LEVELS};

/// `Σ_j e^{l_ij}` and `Σ_j e^{l_ij}·y_j` of R points over images, relative to the largest terms.
#[derive(Debug, Clone)]
pub(crate) struct Sums {
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

    /// The sums without the means if `moments` is false.
    pub(crate) fn only(&self, moments: bool) -> Self {
        let kept = |values: &Vec<f64>| if moments { values.clone() } else { Vec::new() };
        Self {
            tops: self.tops.clone(),
            totals: self.totals.clone(),
            even: kept(&self.even),
            odd: kept(&self.odd),
        }
    }

    /// Adds sums over other images.
    pub(crate) fn add(&mut self, other: &Self) {
        let rows = self.tops.len();
        for i in 0..rows {
            let top = self.tops[i].max(other.tops[i]);
            let (old, new) = (factor(self.tops[i], top), factor(other.tops[i], top));
            self.tops[i] = top;
            self.totals[i] = self.totals[i] * old + other.totals[i] * new;
            add_scaled(
                row_mut(&mut self.even, i, rows),
                old,
                row(&other.even, i, rows),
                new,
            );
            add_scaled(
                row_mut(&mut self.odd, i, rows),
                old,
                row(&other.odd, i, rows),
                new,
            );
        }
    }

    /// `ln Σ_j e^{l_ij}`, `[R]`.
    pub(crate) fn logs(&self) -> Vec<f64> {
        let sums = self.tops.iter().zip(&self.totals);
        sums.map(|(top, total)| top + total.ln()).collect()
    }

    /// The mean of the images under the softmax in pixels, `[R, d]`.
    pub(crate) fn means(&self, images: &ImageTiles) -> Vec<f64> {
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

fn row(values: &[f64], i: usize, rows: usize) -> &[f64] {
    let length = values.len() / rows;
    &values[i * length..(i + 1) * length]
}

fn row_mut(values: &mut [f64], i: usize, rows: usize) -> &mut [f64] {
    let length = values.len() / rows;
    &mut values[i * length..(i + 1) * length]
}

/// `sum = sum·old + term·new`.
fn add_scaled(sum: &mut [f64], old: f64, term: &[f64], new: f64) {
    if new == 0.0 && old == 1.0 {
        return;
    }
    for (sum, term) in sum.iter_mut().zip(term) {
        *sum = *sum * old + term * new;
    }
}
