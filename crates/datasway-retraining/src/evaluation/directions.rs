//! Agreement of predicted and real changes of samples.
//!
//! Predictions are compared for each variant, for each seed and the mean of the seeds, in each direction and in pools of directions.

use super::agreement::{AgreementRow, PairedTest, SampleComparison, paired_tests};
use super::comparison::Comparison;
use super::concord::{Concord, concord};
use super::correlates::MovementCorrelates;
use super::linearity::{Linearity, linearity};
use super::scope::{DirectionScope, Predictor, Scope, SeedScope};
use super::seeds::{CrossSeed, SeedResult, compare};
use super::selection::{SelectedEstimator, select};
use crate::RetrainError;
use crate::jobs::Workspace;
use crate::prepared::PreparedExperiment;

/// The evaluation of all predictions of an experiment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Evaluation {
    /// Agreement of predictions with real changes.
    pub rows: Vec<AgreementRow>,
    /// Paired tests of estimators against baselines.
    pub tests: Vec<PairedTest>,
    /// Real changes of one selection by different masses.
    pub linearity: Vec<Linearity>,
    /// Agreement of the parts of combinations, as a sign of their correctness.
    pub concord: Vec<Concord>,
    /// Correlates of the real changes of single seeds.
    pub correlates: Vec<MovementCorrelates>,
    /// The estimator that the validation directions select, for each variant and seed.
    pub selected: Vec<SelectedEstimator>,
    /// The comparisons behind these numbers.
    pub comparisons: Vec<SampleComparison>,
    /// Variants (indices) and seeds that are left out because their jobs are not done.
    pub missing: Vec<(usize, u64)>,
}

/// Evaluates all replicates that are done.
///
/// # Errors
/// If a result cannot be read, or no variant is done with any seed.
pub fn evaluate(workspace: &Workspace<'_>) -> Result<Evaluation, RetrainError> {
    let mut evaluation = Evaluation::default();
    let d = workspace.experiment.images.shape.dim();
    for variant in 0..workspace.experiment.spec.variants.len() {
        let mut results = Vec::new();
        let replicates = workspace.plan.replicates.iter();
        for replicate in replicates.filter(|replicate| replicate.variant == variant) {
            if replicate.jobs().all(|job| workspace.is_done(job)) {
                let result = SeedResult::read(workspace, replicate)?;
                let norms = result.norms(d);
                let correlates = MovementCorrelates::compute(workspace, replicate, &norms)?;
                evaluation.correlates.extend(correlates);
                results.push(result);
            } else {
                evaluation.missing.push((variant, replicate.seed));
            }
        }
        evaluation.add_variant(workspace.experiment, variant, results);
    }
    if evaluation.rows.is_empty() {
        return Err(RetrainError::NothingDone);
    }
    Ok(evaluation)
}

impl Evaluation {
    /// The row of a predictor in a scope.
    pub fn row(&self, scope: Scope, predictor: Predictor) -> Option<&AgreementRow> {
        let mut rows = self.rows.iter();
        rows.find(|row| row.scope == scope && row.predictor == predictor)
    }

    /// Adds the evaluation of a variant, given the results of each seed.
    fn add_variant(
        &mut self,
        experiment: &PreparedExperiment,
        variant: usize,
        mut results: Vec<SeedResult>,
    ) {
        let d = experiment.images.shape.dim();
        let cross_seed = CrossSeed::new(&results, &experiment.spec.directions, d);
        if results.len() > 1 {
            results.push(SeedResult::mean(&results));
        }
        for (place, result) in results.iter().enumerate() {
            let seeds = result.seeds;
            let seed = matches!(seeds, SeedScope::Seed(_)).then_some(place);
            let predictions = predictions(experiment, result, &cross_seed, seed);
            for (directions, members) in DirectionScope::all(&experiment.spec.directions) {
                let scope = Scope {
                    variant,
                    seeds,
                    directions,
                };
                self.add_rows(scope, &members, &predictions, &cross_seed, seed);
                self.tests
                    .extend(paired_tests(scope, &members, &predictions));
            }
            self.add_comparisons(variant, seeds, predictions);
            self.linearity
                .extend(linearity(&experiment.directions, variant, result, d));
            self.concord
                .extend(concord(&experiment.spec, variant, result, d));
            let estimators = experiment.spec.estimators.len();
            self.selected
                .extend(select(&self.rows, estimators, variant, seeds));
        }
    }

    /// Adds the agreement of every predictor in the directions of a scope, whose indices are `members`.
    fn add_rows(
        &mut self,
        scope: Scope,
        members: &[usize],
        predictions: &[(Predictor, Vec<Comparison>)],
        cross_seed: &CrossSeed,
        seed: Option<usize>,
    ) {
        let ceiling = cross_seed.ceiling(scope.seeds, members);
        for (index, (predictor, comparisons)) in predictions.iter().enumerate() {
            let pooled = Comparison::pooled(members.iter().map(|&k| &comparisons[k]));
            let summary = pooled.summary(members.len());
            let (ceiling, next_seed) = match predictor {
                Predictor::OtherSeed => (None, None),
                _ => (ceiling, cross_seed.next_seed(seed, index, members)),
            };
            let positive_ceiling = ceiling.filter(|ceiling| *ceiling > 0.0);
            self.rows.push(AgreementRow {
                scope,
                predictor: *predictor,
                ceiling,
                next_seed,
                disattenuated: positive_ceiling.map(|ceiling| summary.median / ceiling.sqrt()),
                summary,
            });
        }
    }

    /// Adds the comparisons of every predictor in every direction.
    fn add_comparisons(
        &mut self,
        variant: usize,
        seeds: SeedScope,
        predictions: Vec<(Predictor, Vec<Comparison>)>,
    ) {
        for (predictor, comparisons) in predictions {
            for (direction, comparison) in comparisons.into_iter().enumerate() {
                self.comparisons.push(SampleComparison {
                    scope: Scope {
                        variant,
                        seeds,
                        directions: DirectionScope::One(direction),
                    },
                    predictor,
                    comparison,
                });
            }
        }
    }
}

/// Every predictor with its comparisons in each direction.
/// [`Predictor::OtherSeed`] is the last one, for the index `seed` of a single seed if there are several.
fn predictions(
    experiment: &PreparedExperiment,
    result: &SeedResult,
    cross_seed: &CrossSeed,
    seed: Option<usize>,
) -> Vec<(Predictor, Vec<Comparison>)> {
    let d = experiment.images.shape.dim();
    let directions = &experiment.spec.directions;
    let predicted = result.predicted.iter();
    let predicted = predicted
        .map(|(predictor, changes)| (*predictor, compare(changes, &result.real, directions, d)));
    let other_seed = seed.and_then(|seed| cross_seed.real.get(seed));
    let other_seed = other_seed.map(|comparisons| (Predictor::OtherSeed, comparisons.clone()));
    predicted.chain(other_seed).collect()
}
