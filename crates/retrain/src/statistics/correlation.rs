//! Agreement of two lists of numbers.

/// Pearson's correlation; 0 where one of the two lists does not vary or is not finite: there is nothing in it
/// that could agree.
pub fn pearson(a: &[f64], b: &[f64]) -> f64 {
    let n = a.len().min(b.len()) as f64;
    let mean = |values: &[f64]| values.iter().sum::<f64>() / n;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (a, b) in a.iter().zip(b) {
        let (a, b) = (a - mean_a, b - mean_b);
        ab += a * b;
        aa += a * a;
        bb += b * b;
    }
    let correlation = ab / (aa.sqrt() * bb.sqrt());
    if correlation.is_finite() {
        correlation
    } else {
        0.0
    }
}

/// Ranks from 1, equal values sharing the mean of theirs; +∞ is a value like others.
pub fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&i, &j| values[i].total_cmp(&values[j]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    for end in 1..=order.len() {
        if end == order.len() || values[order[end]] != values[order[start]] {
            // Places start+1 … end.
            let shared = (start + 1 + end) as f64 / 2.0;
            order[start..end].iter().for_each(|&i| ranks[i] = shared);
            start = end;
        }
    }
    ranks
}

/// Spearman's correlation: Pearson's of the ranks.
pub fn spearman(a: &[f64], b: &[f64]) -> f64 {
    pearson(&ranks(a), &ranks(b))
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
