//! Agreement of two predictions with each other, as a sign of how well they agree with the real change.

use datasway_stats::{fast_median as median, spearman_or_zero as spearman};

use super::comparison::Comparison;
use super::scope::{DirectionScope, Predictor, SeedScope};
use super::seeds::SeedResult;
use crate::spec::{Experiment, SensitivityEstimator};

/// The agreement of the two parts of a combination as a sign of its correctness, in the headline directions.
#[derive(Debug, Clone, PartialEq)]
pub struct Concord {
    /// The variant, as an index in the experiment.
    pub variant: usize,
    /// The seed or the mean.
    pub seeds: SeedScope,
    /// The combination, as an index in the estimators of the experiment.
    pub combination: usize,
    /// Median correlation of the two parts over samples and directions.
    pub agreement: f64,
    /// Spearman's correlation over the samples of the correlation of the parts with that of the combination and the real change; mean of
    /// the directions.
    pub spearman: f64,
    /// Median correlation of the combination and the real change in quarters of the samples, from those where the parts agree least to
    /// those where they agree most; mean of the directions.
    pub quarters: [f64; 4],
}

/// The concord of every combination; samples have `d` entries.
pub(super) fn concord(
    experiment: &Experiment,
    variant: usize,
    result: &SeedResult,
    d: usize,
) -> Vec<Concord> {
    let headline = DirectionScope::headline(&experiment.directions);
    let scopes = DirectionScope::all(&experiment.directions);
    let members = scopes.into_iter().find(|(scope, _)| *scope == headline);
    let members = members.map_or(Vec::new(), |(_, members)| members);
    let estimators = experiment.estimators.iter().enumerate();
    let combinations = estimators.filter_map(|(index, estimator)| match estimator {
        SensitivityEstimator::Combination(combination) => Some((index, combination)),
        _ => None,
    });
    combinations
        .map(|(index, combination)| {
            let parts = combination.combine.each_ref().map(|name| {
                let mut estimators = experiment.estimators.iter();
                let place = estimators.position(|estimator| estimator.name() == *name);
                place.expect("checked when the experiment was read")
            });
            let [first, second, sum] = [parts[0], parts[1], index].map(|k| &changes(result, k)[..]);
            let directions = members.iter().map(|&k| {
                let mass = experiment.directions[k].signed_mass();
                let parts = Comparison::new(&first[k], 1.0, &second[k], d);
                let real = Comparison::new(&sum[k], mass, &result.real[k], d);
                (parts.correlation, real.correlation)
            });
            of_directions(
                variant,
                result.seeds,
                index,
                &directions.collect::<Vec<_>>(),
            )
        })
        .collect()
}

/// The changes that an estimator predicts.
fn changes(result: &SeedResult, estimator: usize) -> &super::seeds::Changes {
    let mut predicted = result.predicted.iter();
    let found = predicted.find(|(predictor, _)| *predictor == Predictor::Estimator(estimator));
    &found.expect("every estimator has a prediction").1
}

/// The concord from the correlations of the parts and those with the real change, for each direction.
fn of_directions(
    variant: usize,
    seeds: SeedScope,
    combination: usize,
    directions: &[(Vec<f64>, Vec<f64>)],
) -> Concord {
    let count = directions.len().max(1) as f64;
    let agreements: Vec<f64> = directions.iter().flat_map(|(a, _)| a.clone()).collect();
    let ranks = directions.iter().map(|(parts, real)| spearman(parts, real));
    let mut quarters = [0.0; 4];
    for (parts, real) in directions {
        let mut order: Vec<usize> = (0..parts.len()).collect();
        order.sort_by(|&i, &j| parts[i].total_cmp(&parts[j]));
        let n = order.len();
        for (quarter, mean) in quarters.iter_mut().enumerate() {
            let places = &order[quarter * n / 4..(quarter + 1) * n / 4];
            let correlations: Vec<f64> = places.iter().map(|&i| real[i]).collect();
            *mean += median(&correlations) / count;
        }
    }
    Concord {
        variant,
        seeds,
        combination,
        agreement: median(&agreements),
        spearman: ranks.sum::<f64>() / count,
        quarters,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_where_the_parts_agree_are_counted_apart() {
        let parts: Vec<f64> = (0..8).map(|i| f64::from(i) / 10.0).collect();
        let real: Vec<f64> = parts.iter().map(|a| a * a).collect();
        let reversed: Vec<f64> = real.iter().rev().copied().collect();
        let directions = [(parts.clone(), real.clone()), (parts, reversed)];
        let same = of_directions(0, SeedScope::Mean, 2, &directions[..1]);
        assert_eq!(same.spearman, 1.0);
        assert!(same.quarters.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(same.agreement, 0.35);
        let both = of_directions(0, SeedScope::Mean, 2, &directions);
        assert!(both.spearman.abs() < 1e-12);
        assert!((both.quarters[0] - both.quarters[3]).abs() < 1e-12);
    }
}
