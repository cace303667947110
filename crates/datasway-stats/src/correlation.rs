//! Agreement of two lists of numbers.

/// Pearson's correlation; 0 where one of the two lists does not vary or is not finite: there is nothing in it
/// that could agree.
pub fn pearson_or_zero(a: &[f64], b: &[f64]) -> f64 {
    defined(crate::pearson(a, b))
}

/// Spearman's correlation: Pearson's of the ranks; 0 where it is not defined.
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

/// Of the `share` of items that are largest by `predicted`, the part that is among as many largest by `real`. Equal
/// values are taken in the order they come in.
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
