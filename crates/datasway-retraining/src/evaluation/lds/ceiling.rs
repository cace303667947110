//! Limits of the linear datamodeling score.

use datasway_attribution::AttributionTarget;
use datasway_stats::spearman_brown;

use super::values::{Values, mean, mean_over_points, scores};

/// Limits of the score for one target.
#[derive(Debug, Clone, PartialEq)]
pub struct Ceiling {
    /// The target.
    pub target: AttributionTarget,
    /// Number of seeds.
    pub seeds: usize,
    /// Spearman's correlation over the parts of the values of two seeds, averaged over functionals and pairs of seeds.
    pub agreement: Option<f64>,
    /// Bootstrap 95 % interval of the agreement over points.
    pub interval: Option<[f64; 2]>,
    /// Agreement of the mean of all seeds with the mean of as many others, by the formula of Spearman and Brown.
    pub agreement_of_means: Option<f64>,
    /// `√agreement_of_means`: the score of the expected value against the mean of the seeds (Spearman 1904).
    pub max_attainable: Option<f64>,
    /// Reliability of the evaluation of losses: the correlation over the parts of the loss by even draws with that by odd ones,
    /// extrapolated to all draws by the formula of Spearman and Brown.
    pub evaluation: Option<f64>,
}

impl Ceiling {
    /// Limits from the real values of each seed, those of losses by even and by odd draws, and the number of functionals of a point.
    pub(super) fn new(
        target: AttributionTarget,
        real: &[&Values],
        halves: &[[Values; 2]],
        functionals: usize,
    ) -> Self {
        let seeds = real.len();
        let pairs = (0..seeds).flat_map(|a| (a + 1..seeds).map(move |b| (a, b)));
        let pairs: Vec<Vec<f64>> = pairs.map(|(a, b)| scores(real[a], real[b])).collect();
        let agreement = (!pairs.is_empty()).then(|| {
            let queries = 0..pairs[0].len();
            let means = queries.map(|q| mean(pairs.iter().map(|scores| scores[q])));
            mean_over_points(&means.collect::<Vec<_>>(), functionals)
        });
        let agreement_of_means = agreement.map(|(single, _)| spearman_brown(seeds, single));
        let evaluation = (!halves.is_empty()).then(|| {
            let agreements = halves
                .iter()
                .map(|[even, odd]| mean(scores(even, odd).into_iter()));
            spearman_brown(2, mean(agreements))
        });
        Self {
            target,
            seeds,
            agreement: agreement.map(|(single, _)| single),
            interval: agreement.map(|(_, interval)| interval),
            agreement_of_means,
            max_attainable: agreement_of_means.map(|a| a.max(0.0).sqrt()),
            evaluation,
        }
    }
}
