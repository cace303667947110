//! Evaluation of a classifier on held-out images.

/// Accuracy of one label on held-out images.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelMetrics {
    /// `attr:NAME` or `class:NAME`.
    pub label: String,
    /// Number of images that have it.
    pub have: usize,
    /// Number of images.
    pub of: usize,
    /// Fraction of images that are classified correctly; odds above 1 mean that an image has the label.
    pub accuracy: f64,
    /// Area under the ROC curve: the probability that an image with the label gets higher odds than one without, where ties
    /// count half. `None` if all images have the same truth.
    pub auc: Option<f64>,
}

/// Compares log-odds `[n, labels]` with the truth.
pub fn evaluate(labels: &[String], odds: &[f32], truth: &[Vec<bool>]) -> Vec<LabelMetrics> {
    let n = truth.len();
    let metrics = |(l, label): (usize, &String)| {
        let mut pairs: Vec<(f32, bool)> = truth
            .iter()
            .enumerate()
            .map(|(i, has)| (odds[i * labels.len() + l], has[l]))
            .collect();
        let right = pairs.iter().filter(|(odds, has)| (*odds > 0.0) == *has);
        let (right, have) = (right.count(), pairs.iter().filter(|pair| pair.1).count());
        pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
        LabelMetrics {
            label: label.clone(),
            have,
            of: n,
            accuracy: right as f64 / n as f64,
            auc: (have > 0 && have < n).then(|| area(&pairs, have)),
        }
    };
    labels.iter().enumerate().map(metrics).collect()
}

/// The Mann–Whitney statistic of sorted scores: `Σ over positives of (negatives below + half of those level) / (n₊·n₋)`.
fn area(sorted: &[(f32, bool)], have: usize) -> f64 {
    let (mut below, mut sum) = (0.0, 0.0);
    for level in sorted.chunk_by(|a, b| a.0 == b.0) {
        let positives = level.iter().filter(|pair| pair.1).count() as f64;
        let negatives = level.len() as f64 - positives;
        sum += positives * (below + 0.5 * negatives);
        below += negatives;
    }
    sum / (have as f64 * (sorted.len() - have) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auc_counts_the_pairs_in_order() {
        // scikit-learn: roc_auc_score([0, 0, 1, 1, 0, 1], [0.1, 0.4, 0.35, 0.8, 0.8, 0.9]) = 6.5/9.
        let odds = [0.1, 0.4, 0.35, 0.8, 0.8, 0.9];
        let truth = [false, false, true, true, false, true].map(|has| vec![has]);
        let metrics = evaluate(&["attr:a".to_owned()], &odds, &truth);
        assert!((metrics[0].auc.unwrap() - 6.5 / 9.0).abs() < 1e-12);
        assert_eq!(metrics[0].accuracy, 0.5);
    }
}
