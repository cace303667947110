//! Comparison of predicted with real changes of samples.

use datasway_stats::{
    bootstrap, fast_median as median, pearson_or_zero as pearson, precision, quantile,
    spearman_or_zero as spearman,
};
use serde::Serialize;

/// Fraction of samples in the top of a ranking.
const TOP: f64 = 0.1;

/// Comparison of predicted with real changes: one number for each sample in each list.
///
/// A predicted change that is not finite agrees with nothing (correlation and product 0) and ranks first (norm ∞).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Comparison {
    /// Pearson's correlation over the d entries.
    pub correlation: Vec<f64>,
    /// Norm of the predicted change, in pixels of `[-1, 1]`.
    pub predicted: Vec<f64>,
    /// Norm of the real change, in pixels of `[-1, 1]`.
    pub real: Vec<f64>,
    /// Inner product of the two changes.
    pub product: Vec<f64>,
}

impl Comparison {
    /// Compares changes `[n, d]`; the predicted ones are multiplied by `mass` first.
    pub fn new(predicted: &[f32], mass: f64, real: &[f32], d: usize) -> Self {
        let mut comparison = Self::default();
        for (predicted, real) in predicted.chunks_exact(d).zip(real.chunks_exact(d)) {
            let predicted: Vec<f64> = predicted.iter().map(|v| mass * f64::from(*v)).collect();
            let real: Vec<f64> = real.iter().map(|v| f64::from(*v)).collect();
            comparison.push(&predicted, &real);
        }
        comparison
    }

    /// Adds the changes of one sample, `[d]`.
    fn push(&mut self, predicted: &[f64], real: &[f64]) {
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let norm = dot(predicted, predicted).sqrt();
        let (norm, product) = if norm.is_finite() {
            (norm, dot(predicted, real))
        } else {
            (f64::INFINITY, 0.0)
        };
        self.correlation.push(pearson(predicted, real));
        self.predicted.push(norm);
        self.real.push(dot(real, real).sqrt());
        self.product.push(product);
    }

    /// Several comparisons of the same n samples, one after the other.
    pub fn pooled<'a>(comparisons: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut pooled = Self::default();
        for comparison in comparisons {
            pooled.correlation.extend(&comparison.correlation);
            pooled.predicted.extend(&comparison.predicted);
            pooled.real.extend(&comparison.real);
            pooled.product.extend(&comparison.product);
        }
        pooled
    }

    /// The correlations in four quarters of the samples, from those that moved least to those that moved most.
    pub fn quarters(&self) -> [Vec<f64>; 4] {
        let mut order: Vec<usize> = (0..self.real.len()).collect();
        order.sort_by(|&i, &j| self.real[i].total_cmp(&self.real[j]));
        let n = order.len();
        [0, 1, 2, 3].map(|quarter| {
            let places = quarter * n / 4..(quarter + 1) * n / 4;
            let samples = order[places].iter();
            samples.map(|&i| self.correlation[i]).collect()
        })
    }

    /// Statistics of these comparisons, which are those of the same samples in `directions` directions.
    ///
    /// The bootstrap draws whole samples, because the changes of one sample in several directions are not independent.
    /// Norms are ranked within each direction, because directions move samples by different distances.
    pub fn summary(&self, directions: usize) -> Summary {
        let n = self.correlation.len() / directions.max(1);
        let interval = bootstrap(n, |draw| {
            let drawn = |k: usize| draw.iter().map(move |i| self.correlation[k * n + i]);
            median(&(0..directions).flat_map(drawn).collect::<Vec<_>>())
        });
        let mean_over_directions = |agreement: &dyn Fn(&[f64], &[f64]) -> f64| {
            let norms = self
                .predicted
                .chunks_exact(n)
                .zip(self.real.chunks_exact(n));
            let sum: f64 = norms
                .map(|(predicted, real)| agreement(predicted, real))
                .sum();
            sum / directions as f64
        };
        let finite = || (0..self.real.len()).filter(|&i| self.predicted[i].is_finite());
        let squared_norm = |i: usize| self.predicted[i].powi(2);
        let slopes: Vec<f64> = finite()
            .filter(|&i| squared_norm(i) > 0.0)
            .map(|i| self.product[i] / squared_norm(i))
            .collect();
        Summary {
            count: self.real.len(),
            not_finite: self.real.len() - finite().count(),
            median: median(&self.correlation),
            quartiles: [0.25, 0.75].map(|q| quantile(&self.correlation, q)),
            interval,
            spearman: mean_over_directions(&spearman),
            precision: mean_over_directions(&|predicted, real| precision(predicted, real, TOP)),
            slope: finite().map(|i| self.product[i]).sum::<f64>()
                / finite().map(squared_norm).sum::<f64>(),
            median_slope: median(&slopes),
            real_norm: median(&self.real),
            predicted_norm: median(&self.predicted),
        }
    }
}

/// Statistics of the agreement of predicted and real changes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Number of comparisons.
    pub count: usize,
    /// Number of comparisons whose predicted change is not finite.
    pub not_finite: usize,
    /// Median correlation.
    pub median: f64,
    /// Lower and upper quartile of the correlations.
    pub quartiles: [f64; 2],
    /// Bootstrap 95 % interval of the median.
    pub interval: [f64; 2],
    /// Spearman's correlation of the norms, averaged over directions.
    pub spearman: f64,
    /// Fraction of the tenth of samples predicted to move most that is among the tenth that moves most, averaged over directions.
    pub precision: f64,
    /// Slope of real on predicted changes through the origin, over all entries of all samples.
    pub slope: f64,
    /// Median of the slopes of single samples.
    pub median_slope: f64,
    /// Median norm of the real changes, in pixels of `[-1, 1]`.
    pub real_norm: f64,
    /// Median norm of the predicted changes, in pixels of `[-1, 1]`.
    pub predicted_norm: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_perfect_prediction_of_half_the_size() {
        let real = [1.0, 2.0, 4.0, -3.0, 0.0, 1.0, 0.5, 0.25, -1.0];
        let half = real.map(|v: f32| v / 2.0);
        let summary = Comparison::new(&half, 1.0, &real, 3).summary(1);
        assert!((summary.median - 1.0).abs() < 1e-12);
        assert!((summary.slope - 2.0).abs() < 1e-12 && (summary.median_slope - 2.0).abs() < 1e-12);
        assert!((summary.spearman - 1.0).abs() < 1e-12 && summary.precision == 1.0);
        // Removing: the same prediction the other way.
        let against = Comparison::new(&half, -1.0, &real, 3).summary(1);
        assert!((against.median + 1.0).abs() < 1e-12);
    }

    #[test]
    fn what_is_not_finite_counts_as_a_failure() {
        let real = [1.0, 2.0, 1.0, 2.0];
        let comparison = Comparison::new(&[1.0, 2.0, f32::NAN, 1.0], 1.0, &real, 2);
        assert_eq!(comparison.correlation[1], 0.0);
        let summary = comparison.summary(1);
        assert_eq!(summary.not_finite, 1);
        assert!((summary.slope - 1.0).abs() < 1e-12);
    }

    #[test]
    fn quarters_are_ordered_by_what_happened() {
        let predicted = [1.0, 2.0, 1.0, 2.0, 2.0, 1.0, 2.0, 1.0];
        let real = [4.0, 8.0, 1.0, 2.0, 3.0, 6.0, 2.0, 4.0];
        let quarters = Comparison::new(&predicted, 1.0, &real, 2).quarters();
        let signs = quarters.map(|quarter| quarter.iter().map(|c| c.round()).sum::<f64>());
        assert_eq!(signs, [1.0, -1.0, -1.0, 1.0]);
    }

    #[test]
    fn pooling_keeps_samples_together() {
        let single = Comparison::new(&[1.0, 2.0, 2.0, 1.0], 1.0, &[1.0, 3.0, 1.0, 3.0], 2);
        let pooled = Comparison::pooled([&single, &single]);
        let (pooled, single) = (pooled.summary(2), single.summary(1));
        assert_eq!(pooled.median, single.median);
        assert_eq!(
            pooled.interval, single.interval,
            "two copies know no more than one"
        );
    }
}
