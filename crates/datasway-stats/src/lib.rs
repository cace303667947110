//! Statistics of plain numbers.

mod bootstrap;
mod correlation;
mod normal;
mod reliability;
mod summary;
mod wilcoxon;

pub use bootstrap::bootstrap;
pub use correlation::{pearson_or_zero, precision, spearman_or_zero};
pub use normal::normal_quantile;
pub use reliability::{jackknife_error, spearman_brown};
pub use summary::fast_median;
pub use wilcoxon::{SignedRank, signed_rank};

/// `‖v‖`.
pub fn norm(v: &[f64]) -> f64 {
    v.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// `√(mean of v²)`.
pub fn root_mean_square(values: &[f64]) -> f64 {
    norm(values) / (values.len().max(1) as f64).sqrt()
}

/// The q-quantile, interpolated linearly between neighbours.
///
/// NaN counts as infinite. The quantile of an empty list is NaN.
pub fn quantile(values: &[f64], q: f64) -> f64 {
    let key = |v: &f64| if v.is_nan() { f64::INFINITY } else { *v };
    let mut sorted: Vec<f64> = values.iter().map(key).collect();
    sorted.sort_by(f64::total_cmp);
    let place = q.clamp(0.0, 1.0) * (sorted.len().saturating_sub(1)) as f64;
    let (low, fraction) = (place.floor() as usize, place.fract());
    match (sorted.get(low), sorted.get(low + 1)) {
        (Some(a), Some(b)) if fraction > 0.0 => a + (b - a) * fraction,
        (Some(a), _) => *a,
        (None, _) => f64::NAN,
    }
}

/// The median. NaN counts as infinite.
pub fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// Pearson's correlation; NaN if a list is constant.
pub fn pearson(a: &[f64], b: &[f64]) -> f64 {
    let n = a.len().min(b.len()) as f64;
    let mean = |v: &[f64]| v.iter().sum::<f64>() / n;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (a, b) in a.iter().zip(b) {
        let (a, b) = (a - mean_a, b - mean_b);
        ab += a * b;
        aa += a * a;
        bb += b * b;
    }
    ab / (aa.sqrt() * bb.sqrt())
}

/// Spearman's rank correlation: Pearson's correlation of the ranks.
pub fn spearman(a: &[f64], b: &[f64]) -> f64 {
    pearson(&ranks(a), &ranks(b))
}

/// Ranks from 1. Equal values share the mean of their ranks. +∞ is a value like others.
pub fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&i, &j| values[i].total_cmp(&values[j]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    for group in order.chunk_by(|&i, &j| values[i] == values[j]) {
        // Ranks start + 1 … start + |group|.
        let shared = start as f64 + (group.len() + 1) as f64 / 2.0;
        group.iter().for_each(|&i| ranks[i] = shared);
        start += group.len();
    }
    ranks
}

/// A straight line `y = intercept + slope·x`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line {
    /// y at x = 0.
    pub intercept: f64,
    /// dy/dx.
    pub slope: f64,
}

/// The least-squares line through points `(x, y)`, or `None` for fewer than two different x.
pub fn fit(points: &[(f64, f64)]) -> Option<Line> {
    let n = points.len() as f64;
    let (mx, my) = (
        points.iter().map(|p| p.0).sum::<f64>() / n,
        points.iter().map(|p| p.1).sum::<f64>() / n,
    );
    let square: f64 = points.iter().map(|p| (p.0 - mx).powi(2)).sum();
    let slope = points.iter().map(|p| (p.0 - mx) * (p.1 - my)).sum::<f64>() / square;
    (square > 0.0).then_some(Line {
        intercept: my - slope * mx,
        slope,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_interpolate() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(quantile(&[0.0, 1.0], 0.25), 0.25);
        assert_eq!(median(&[f64::NAN, 1.0, 2.0]), 2.0);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn correlations_of_known_pairs() {
        assert!((pearson(&[1.0, 2.0, 3.0], &[2.0, 4.0, 6.0]) - 1.0).abs() < 1e-12);
        assert!((spearman(&[1.0, 2.0, 3.0], &[9.0, 1.0, 0.5]) + 1.0).abs() < 1e-12);
        // Ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4: 4.5/√(4.5·5).
        let tied = spearman(&[1.0, 5.0, 5.0, 7.0], &[1.0, 2.0, 3.0, 4.0]);
        assert!((tied - 4.5 / (4.5f64 * 5.0).sqrt()).abs() < 1e-12, "{tied}");
        assert!(pearson(&[1.0, 1.0], &[1.0, 2.0]).is_nan());
    }

    #[test]
    fn a_line_is_found() {
        let line = fit(&[(0.0, 1.0), (1.0, 3.0), (2.0, 5.0)]).unwrap();
        assert!((line.slope - 2.0).abs() < 1e-12 && (line.intercept - 1.0).abs() < 1e-12);
        assert!(fit(&[(1.0, 1.0), (1.0, 2.0)]).is_none());
    }
}
