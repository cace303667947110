//! Real and predicted changes of the samples by seed, and the agreement of seeds with each other.

use datasway_stats::{fast_median as median, spearman_brown};

use super::comparison::Comparison;
use super::scope::{Predictor, SeedScope};
use crate::RetrainError;
use crate::jobs::{JobId, Replicate, Workspace};
use crate::spec::DirectionSpec;

/// Changes of the samples in every direction, `[n, d]` each.
pub(super) type Changes = Vec<Vec<f32>>;

/// Real and predicted changes of one seed, or their means over several.
pub(super) struct SeedResult {
    /// The seed or the mean.
    pub seeds: SeedScope,
    /// The real changes.
    pub real: Changes,
    /// The predicted changes per unit of added mass, the estimators before the baselines.
    pub predicted: Vec<(Predictor, Changes)>,
}

impl SeedResult {
    /// The results of a replicate whose jobs are done.
    ///
    /// # Errors
    /// If the result of a job cannot be read.
    pub fn read(workspace: &Workspace<'_>, replicate: &Replicate) -> Result<Self, RetrainError> {
        let read = |job: JobId, name: &str| -> Result<Vec<f32>, RetrainError> {
            Ok(workspace.array(job, name)?.values)
        };
        let before = read(replicate.before, "samples")?;
        let change = |&job: &JobId| -> Result<Vec<f32>, RetrainError> {
            let after = read(job, "samples")?;
            Ok(after.iter().zip(&before).map(|(a, b)| a - b).collect())
        };
        let prediction = |(predictor, &job): (Predictor, &JobId)| {
            let deltas = read(job, "delta")?;
            let changes = deltas.chunks_exact(before.len()).map(<[f32]>::to_vec);
            Ok((predictor, changes.collect()))
        };
        let estimators = (0..).map(Predictor::Estimator);
        let baselines = (0..).map(Predictor::Baseline);
        let predictions = estimators
            .zip(&replicate.sensitivities)
            .chain(baselines.zip(&replicate.baselines));
        Ok(Self {
            seeds: SeedScope::Seed(replicate.seed),
            real: replicate
                .after
                .iter()
                .map(change)
                .collect::<Result<_, _>>()?,
            predicted: predictions
                .map(prediction)
                .collect::<Result<_, RetrainError>>()?,
        })
    }

    /// The mean of several results.
    pub fn mean(results: &[Self]) -> Self {
        let predicted = results[0].predicted.iter().enumerate();
        let predicted = predicted.map(|(p, (predictor, _))| {
            let changes = results.iter().map(|result| &result.predicted[p].1);
            (*predictor, mean_changes(&changes.collect::<Vec<_>>()))
        });
        let real = results.iter().map(|result| &result.real);
        Self {
            seeds: SeedScope::Mean,
            real: mean_changes(&real.collect::<Vec<_>>()),
            predicted: predicted.collect(),
        }
    }

    /// Norms of the real changes, `[directions, n]`.
    pub fn norms(&self, d: usize) -> Vec<Vec<f64>> {
        let squared = |row: &[f32]| -> f64 { row.iter().map(|v| f64::from(*v).powi(2)).sum() };
        let norms = |change: &Vec<f32>| {
            let rows = change.chunks_exact(d);
            rows.map(|row| squared(row).sqrt()).collect()
        };
        self.real.iter().map(norms).collect()
    }
}

fn mean_changes(results: &[&Changes]) -> Changes {
    let directions = 0..results[0].len();
    directions
        .map(|k| {
            let mut sum = vec![0.0; results[0][k].len()];
            for changes in results {
                let pairs = sum.iter_mut().zip(&changes[k]);
                pairs.for_each(|(sum, v)| *sum += v / results.len() as f32);
            }
            sum
        })
        .collect()
}

/// Comparisons of each seed with the next one, cyclically; empty lists if there is only one seed.
pub(super) struct CrossSeed {
    /// Real changes of the seed against those of the next one, by seeds and directions.
    pub real: Vec<Vec<Comparison>>,
    /// Predicted changes of the seed against real changes of the next one, by seeds, predictors and directions.
    pub predicted: Vec<Vec<Vec<Comparison>>>,
}

impl CrossSeed {
    /// The comparisons of single seeds with each other; samples have `d` entries.
    pub fn new(results: &[SeedResult], directions: &[DirectionSpec], d: usize) -> Self {
        let seeds = results.len();
        if seeds < 2 {
            return Self {
                real: Vec::new(),
                predicted: Vec::new(),
            };
        }
        let next_real = |seed: usize| &results[(seed + 1) % seeds].real;
        let compare_real = |seed: usize| {
            let pairs = next_real(seed).iter().zip(&results[seed].real);
            pairs
                .map(|(next, real)| Comparison::new(next, 1.0, real, d))
                .collect()
        };
        let compare_predicted = |seed: usize| {
            let predictors = results[seed].predicted.iter();
            let compare =
                |(_, predicted): &(_, Changes)| compare(predicted, next_real(seed), directions, d);
            predictors.map(compare).collect()
        };
        Self {
            real: (0..seeds).map(compare_real).collect(),
            predicted: (0..seeds).map(compare_predicted).collect(),
        }
    }

    /// The noise ceiling in some directions: the median correlation that another training of the same kind would reach.
    /// For the mean of the seeds it is that of the mean of as many other seeds.
    pub fn ceiling(&self, seeds: SeedScope, directions: &[usize]) -> Option<f64> {
        if self.real.is_empty() {
            return None;
        }
        let medians = self
            .real
            .iter()
            .map(|comparisons| median_correlation(comparisons, directions));
        let single = medians.sum::<f64>() / self.real.len() as f64;
        Some(match seeds {
            SeedScope::Seed(_) => single,
            SeedScope::Mean => spearman_brown(self.real.len(), single),
        })
    }

    /// Median correlation of a prediction with the real change of the next seed.
    /// `seed` is the index of one seed; without it the result is the mean over seeds.
    pub fn next_seed(
        &self,
        seed: Option<usize>,
        predictor: usize,
        directions: &[usize],
    ) -> Option<f64> {
        if self.predicted.is_empty() {
            return None;
        }
        let seeds = match seed {
            Some(seed) => seed..seed + 1,
            None => 0..self.predicted.len(),
        };
        let count = seeds.len() as f64;
        let medians =
            seeds.map(|seed| median_correlation(&self.predicted[seed][predictor], directions));
        Some(medians.sum::<f64>() / count)
    }
}

/// Compares predicted with real changes of samples of `d` entries in every direction.
pub(super) fn compare(
    predicted: &Changes,
    real: &Changes,
    directions: &[DirectionSpec],
    d: usize,
) -> Vec<Comparison> {
    let changes = predicted.iter().zip(real).zip(directions);
    changes
        .map(|((predicted, real), direction)| {
            Comparison::new(predicted, direction.signed_mass(), real, d)
        })
        .collect()
}

fn median_correlation(comparisons: &[Comparison], directions: &[usize]) -> f64 {
    let pooled = Comparison::pooled(directions.iter().map(|&k| &comparisons[k]));
    median(&pooled.correlation)
}
