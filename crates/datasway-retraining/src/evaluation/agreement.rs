//! Agreement of predictors with real changes, and paired tests between predictors.

use datasway_stats::{bootstrap, fast_median as median, signed_rank};

use super::comparison::{Comparison, Summary};
use super::scope::{Predictor, Scope};

/// Agreement of one predictor in one scope.
#[derive(Debug, Clone, PartialEq)]
pub struct AgreementRow {
    /// The variant, seeds and directions.
    pub scope: Scope,
    /// The predictor.
    pub predictor: Predictor,
    /// Statistics of the agreement.
    pub summary: Summary,
    /// The noise ceiling: the median correlation that another training of the same kind would reach.
    pub ceiling: Option<f64>,
    /// Median correlation of the prediction of this seed with the real change of the next seed; for the mean of the seeds, the mean
    /// of these.
    ///
    /// A prediction and the change of its own seed are made from the same base samples, and both may carry their chance deviations.
    /// Different seeds have no samples in common.
    pub next_seed: Option<f64>,
    /// Median correlation over √ceiling: corrected for the noise of training (Spearman 1904).
    pub disattenuated: Option<f64>,
}

/// Paired test of an estimator against a baseline on the same samples.
#[derive(Debug, Clone, PartialEq)]
pub struct PairedTest {
    /// The variant, seeds and directions.
    pub scope: Scope,
    /// The estimator, as an index in the experiment.
    pub estimator: usize,
    /// The baseline, as an index in the experiment.
    pub baseline: usize,
    /// Median over samples of the difference of the correlations, estimator less baseline, each averaged over directions.
    pub difference: f64,
    /// Bootstrap 95 % interval of the difference.
    pub interval: [f64; 2],
    /// Two-sided p value of Wilcoxon's signed-rank test.
    pub p: f64,
}

/// Comparison of one predictor with the real changes in one direction, sample by sample.
#[derive(Debug, Clone, PartialEq)]
pub struct SampleComparison {
    /// The variant, seeds and direction.
    pub scope: Scope,
    /// The predictor.
    pub predictor: Predictor,
    /// The numbers.
    pub comparison: Comparison,
}

/// The tests of every estimator against every baseline in the directions of a scope, whose indices are `members`.
pub(super) fn paired_tests(
    scope: Scope,
    members: &[usize],
    predictions: &[(Predictor, Vec<Comparison>)],
) -> Vec<PairedTest> {
    let mut tests = Vec::new();
    for (estimator, estimator_comparisons) in predictions {
        let Predictor::Estimator(estimator) = *estimator else {
            continue;
        };
        for (baseline, baseline_comparisons) in predictions {
            let Predictor::Baseline(baseline) = *baseline else {
                continue;
            };
            let differences =
                paired_differences(estimator_comparisons, baseline_comparisons, members);
            tests.push(PairedTest {
                scope,
                estimator,
                baseline,
                difference: median(&differences),
                interval: bootstrap(differences.len(), |draw| {
                    median(&draw.iter().map(|&i| differences[i]).collect::<Vec<_>>())
                }),
                p: signed_rank(&differences).p,
            });
        }
    }
    tests
}

/// For each sample, the mean over directions of the difference `a − b` of two correlations.
fn paired_differences(a: &[Comparison], b: &[Comparison], directions: &[usize]) -> Vec<f64> {
    let samples = 0..a[0].correlation.len();
    let difference = |i: usize| {
        let differences = directions
            .iter()
            .map(|&k| a[k].correlation[i] - b[k].correlation[i]);
        differences.sum::<f64>() / directions.len() as f64
    };
    samples.map(difference).collect()
}
