//! Correlations that are 0 where they are undefined, and precision of a ranking.

/// Pearson's correlation, or 0 if it is undefined because a list is constant or not finite.
///
/// A prediction without variation agrees with nothing.
pub fn pearson_or_zero(a: &[f64], b: &[f64]) -> f64 {
    defined(crate::pearson(a, b))
}

/// Spearman's rank correlation, or 0 if it is undefined.
pub fn spearman_or_zero(a: &[f64], b: &[f64]) -> f64 {
    defined(crate::spearman(a, b))
}

fn defined(correlation: f64) -> f64 {
    if correlation.is_finite() {
        correlation
    } else {
        0.0
    }
}

/// The precision of a ranking: the fraction of the top `share` by `predicted` that is in the top `share` by `real`.
///
/// Equal values are ranked in the order of the list.
pub fn precision(predicted: &[f64], real: &[f64], share: f64) -> f64 {
    let count = (share * real.len() as f64).ceil().max(1.0) as usize;
    let top = |values: &[f64]| {
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by(|&i, &j| values[j].total_cmp(&values[i]));
        order.truncate(count);
        order
    };
    let (predicted, real) = (top(predicted), top(real));
    let hits = predicted.iter().filter(|i| real.contains(i)).count();
    hits as f64 / predicted.len() as f64
}
