//! Predicted against real changes of samples, and what they say together.

use serde::Serialize;

use datasway_stats::{
    bootstrap, fast_median as median, pearson_or_zero as pearson, precision, quantile,
    spearman_or_zero as spearman,
};

/// The share of samples that a ranking is judged by.
pub const TOP: f64 = 0.1;

/// One number a sample for each way in which its predicted and its real change are compared. A predicted change that is not
/// finite agrees with nothing (correlation and product 0) and ranks first (norm ∞).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Comparison {
    /// Pearson's correlation over the d entries.
    pub correlation: Vec<f64>,
    /// Norm of the predicted change, in pixels of `[-1, 1]`.
    pub predicted: Vec<f64>,
    /// Norm of the real change.
    pub real: Vec<f64>,
    /// Inner product of the two.
    pub product: Vec<f64>,
}

impl Comparison {
    /// Compares changes of d entries each, `[n, d]`; the predicted ones are multiplied by `mass` first.
    pub fn new(predicted: &[f32], mass: f64, real: &[f32], d: usize) -> Self {
        let mut all = Self::default();
        for (predicted, real) in predicted.chunks_exact(d).zip(real.chunks_exact(d)) {
            let predicted: Vec<f64> = predicted.iter().map(|v| mass * f64::from(*v)).collect();
            let real: Vec<f64> = real.iter().map(|v| f64::from(*v)).collect();
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            let norm = dot(&predicted, &predicted).sqrt();
            let finite = norm.is_finite();
            all.correlation.push(pearson(&predicted, &real));
            all.predicted
                .push(if finite { norm } else { f64::INFINITY });
            all.real.push(dot(&real, &real).sqrt());
            all.product
                .push(if finite { dot(&predicted, &real) } else { 0.0 });
        }
        all
    }

    /// Several comparisons of the same n samples, one after the other.
    pub fn pooled<'a>(parts: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut all = Self::default();
        for part in parts {
            all.correlation.extend(&part.correlation);
            all.predicted.extend(&part.predicted);
            all.real.extend(&part.real);
            all.product.extend(&part.product);
        }
        all
    }

    /// The correlations of the samples that moved least, of the next ones, …, of those that moved most: four quarters.
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

    /// The statistics of these comparisons, of which each sample has `directions`. Whole samples are drawn for the
    /// interval, because what one sample does in several directions is not independent; norms are ranked within each
    /// direction, because that directions move samples differently far is no merit of a ranking.
    pub fn summary(&self, directions: usize) -> Summary {
        let n = self.correlation.len() / directions.max(1);
        let interval = bootstrap(n, |draw| {
            let of = |k: usize| draw.iter().map(move |i| self.correlation[k * n + i]);
            median(&(0..directions).flat_map(of).collect::<Vec<_>>())
        });
        let ranked = |agreement: &dyn Fn(&[f64], &[f64]) -> f64| {
            let each = self
                .predicted
                .chunks_exact(n)
                .zip(self.real.chunks_exact(n));
            each.map(|(p, r)| agreement(p, r)).sum::<f64>() / directions as f64
        };
        let finite = || (0..self.real.len()).filter(|&i| self.predicted[i].is_finite());
        let squares = |i: usize| self.predicted[i].powi(2);
        let slopes: Vec<f64> = finite()
            .filter(|&i| squares(i) > 0.0)
            .map(|i| self.product[i] / squares(i))
            .collect();
        Summary {
            count: self.real.len(),
            not_finite: self.real.len() - finite().count(),
            median: median(&self.correlation),
            quartiles: [0.25, 0.75].map(|q| quantile(&self.correlation, q)),
            interval,
            spearman: ranked(&spearman),
            precision: ranked(&|predicted, real| precision(predicted, real, TOP)),
            slope: finite().map(|i| self.product[i]).sum::<f64>()
                / finite().map(squares).sum::<f64>(),
            median_slope: median(&slopes),
            real_norm: median(&self.real),
            predicted_norm: median(&self.predicted),
        }
    }
}

/// How well a prediction agrees with what happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Comparisons.
    pub count: usize,
    /// Of them, those whose predicted change is not finite.
    pub not_finite: usize,
    /// Median correlation: the headline.
    pub median: f64,
    /// Lower and upper quartile of the correlations.
    pub quartiles: [f64; 2],
    /// Bootstrap 95 % interval of the median.
    pub interval: [f64; 2],
    /// Spearman's correlation of the norms; the mean of several directions.
    pub spearman: f64,
    /// Of the tenth of samples predicted to move most, the part that does; the mean of several directions.
    pub precision: f64,
    /// Slope of real on predicted through the origin, over all entries of all samples.
    pub slope: f64,
    /// Median of the slopes of the samples.
    pub median_slope: f64,
    /// Median norm of the real changes, in pixels of `[-1, 1]`.
    pub real_norm: f64,
    /// Median norm of the predicted changes.
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
        let one = Comparison::new(&[1.0, 2.0, 2.0, 1.0], 1.0, &[1.0, 3.0, 1.0, 3.0], 2);
        let pooled = Comparison::pooled([&one, &one]);
        let (pooled, one) = (pooled.summary(2), one.summary(1));
        assert_eq!(pooled.median, one.median);
        assert_eq!(
            pooled.interval, one.interval,
            "two copies know no more than one"
        );
    }
}
