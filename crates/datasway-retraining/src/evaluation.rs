//! All comparisons of an experiment: for each variant, each seed and the mean of the seeds, each direction and the
//! directions together, each prediction and the ceiling.

use serde::Serialize;

use crate::RetrainError;
use crate::comparison::{Comparison, Summary};
use crate::execute::Executor;
use crate::experiment::Direction;
use crate::jobs::Run;
use crate::traits::MovementCorrelates;
use datasway_stats::{bootstrap, fast_median as median, signed_rank};

/// The name under which the next seed's real changes stand among the predictions: what retraining itself can say.
pub const CEILING: &str = "another seed";

/// What is published of an experiment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evaluation {
    /// How well predictions agree with what happened.
    pub rows: Vec<Row>,
    /// Estimators against baselines, sample by sample.
    pub tests: Vec<Test>,
    /// Real changes of one selection by different masses, against each other.
    pub linearity: Vec<Linearity>,
    /// What the samples that move far have in common.
    pub traits: Vec<MovementCorrelates>,
    /// The estimator that each variant would have chosen without looking at the directions that judge.
    pub choices: Vec<Choice>,
    /// The comparisons behind them.
    #[serde(skip)]
    pub details: Vec<Detail>,
    /// Variants and seeds left out because their jobs are not done.
    pub missing: Vec<String>,
}

/// Who is compared with whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Subject {
    /// The variant.
    pub variant: String,
    /// The seed, or `mean`: the mean prediction of all seeds against the mean change.
    pub seed: String,
    /// The direction, or `pooled`: all that are not for tuning, or `tuning`: all that are, or `added` or `removed`: the two kinds
    /// among the pooled.
    pub direction: String,
}

/// The agreement of one prediction.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// What is compared.
    #[serde(flatten)]
    pub subject: Subject,
    /// The estimator, baseline, or [`CEILING`].
    pub prediction: String,
    /// How well it agrees.
    #[serde(flatten)]
    pub summary: Summary,
    /// The median correlation that another training of the same kind would reach.
    pub ceiling: Option<f64>,
    /// Median correlation of this seed's prediction with the next seed's real change; for the mean of the seeds, the mean of
    /// these. A prediction and the change of its own seed are made from the same base samples, whose chance deviations
    /// both may carry; those of another seed have none in common.
    pub next_seed: Option<f64>,
    /// Median correlation over √ceiling: with the noise of retraining taken out (Spearman 1904).
    pub disattenuated: Option<f64>,
}

/// An estimator against a baseline on the same samples.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Test {
    /// What is compared.
    #[serde(flatten)]
    pub subject: Subject,
    /// Ours.
    pub estimator: String,
    /// Theirs.
    pub baseline: String,
    /// Median difference of the correlations, ours less theirs, of one sample (its mean over directions).
    pub difference: f64,
    /// Bootstrap 95 % interval of it.
    pub interval: [f64; 2],
    /// Wilcoxon's signed-rank probability, two-sided.
    pub p: f64,
}

/// Whether twice the mass moves samples twice as far.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Linearity {
    /// The variant.
    pub variant: String,
    /// The seed, or `mean`.
    pub seed: String,
    /// The smaller change.
    pub small: String,
    /// The larger change of the same images.
    pub large: String,
    /// Median correlation of the two.
    pub median: f64,
    /// Slope of the larger on the smaller, whose size is first multiplied by the ratio of the masses: 1 if linear.
    pub slope: f64,
}

/// The estimator that is best on the tuning directions, and what it is worth on the others.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Choice {
    /// The variant.
    pub variant: String,
    /// The seed, or `mean`.
    pub seed: String,
    /// The estimator.
    pub estimator: String,
    /// Its median correlation on the tuning directions, which is the highest there.
    pub tuning: f64,
    /// Its median correlation on the directions that judge.
    pub judged: f64,
}

/// Sample by sample, what one prediction says of one direction.
#[derive(Debug, Clone, PartialEq)]
pub struct Detail {
    /// What is compared.
    pub subject: Subject,
    /// The prediction.
    pub prediction: String,
    /// The numbers.
    pub comparison: Comparison,
}

/// Changes of the samples in every direction, `[n, d]` each.
type Changes = Vec<Vec<f32>>;

/// What happened and what was predicted with one seed, or in the mean of several.
struct Outcome {
    seed: String,
    real: Changes,
    /// By estimators, then by baselines.
    predicted: Vec<Changes>,
}

impl Outcome {
    /// Norms of the real changes, `[directions, n]`.
    fn norms(&self, d: usize) -> Vec<Vec<f64>> {
        let squared = |row: &[f32]| -> f64 { row.iter().map(|v| f64::from(*v).powi(2)).sum() };
        let of = |change: &Vec<f32>| {
            change
                .chunks_exact(d)
                .map(|row| squared(row).sqrt())
                .collect()
        };
        self.real.iter().map(of).collect()
    }
}

/// What the seeds say of each other: empty lists if there is only one.
#[derive(Clone, Copy)]
struct Others<'a> {
    /// How many there are.
    seeds: usize,
    /// Each seed's real changes against the next seed's, by directions.
    agreement: &'a [Vec<Comparison>],
    /// Each seed's predictions against the next seed's real changes, by predictions and directions.
    crossed: &'a [Vec<Vec<Comparison>>],
}

/// Compares everything that is done.
///
/// # Errors
/// If a result cannot be read, or no variant is done with any seed.
pub fn evaluate(executor: &Executor<'_>) -> Result<Evaluation, RetrainError> {
    let experiment = &executor.setup.experiment;
    let mut all = Evaluation {
        rows: Vec::new(),
        tests: Vec::new(),
        linearity: Vec::new(),
        traits: Vec::new(),
        choices: Vec::new(),
        details: Vec::new(),
        missing: Vec::new(),
    };
    for (place, variant) in experiment.variants.iter().enumerate() {
        let mut outcomes = Vec::new();
        for run in executor.plan.runs.iter().filter(|run| run.variant == place) {
            let seed = experiment.seeds[run.seed].to_string();
            match complete(executor, run) {
                true => {
                    let outcome = outcome(executor, run, seed)?;
                    let norms: Vec<Vec<f64>> = outcome.norms(executor.setup.images.shape.dim());
                    all.traits
                        .extend(MovementCorrelates::find(executor, run, &norms)?);
                    outcomes.push(outcome);
                }
                false => all.missing.push(format!("{}, seed {seed}", variant.name())),
            }
        }
        all.variant(executor, variant.name(), outcomes);
    }
    match all.rows.is_empty() {
        true => Err(RetrainError::experiment(
            "no variant is done with any seed yet: go on with `retrain run`",
        )),
        false => Ok(all),
    }
}

fn complete(executor: &Executor<'_>, run: &Run) -> bool {
    let jobs = [run.base, run.before].into_iter();
    let mut jobs = jobs.chain(run.after.iter().copied());
    jobs.all(|job| executor.done(job)) && run.predictions.iter().all(|&job| executor.done(job))
}

fn outcome(executor: &Executor<'_>, run: &Run, seed: String) -> Result<Outcome, RetrainError> {
    let read =
        |job: usize, name: &str| Ok::<Vec<f32>, RetrainError>(executor.array(job, name)?.values);
    let before = read(run.before, "samples")?;
    let change = |job: &usize| {
        let after = read(*job, "samples")?;
        Ok(after.iter().zip(&before).map(|(a, b)| a - b).collect())
    };
    let prediction = |job: &usize| {
        let all = read(*job, "delta")?;
        Ok(all
            .chunks_exact(before.len())
            .map(<[f32]>::to_vec)
            .collect())
    };
    Ok(Outcome {
        seed,
        real: run
            .after
            .iter()
            .map(change)
            .collect::<Result<_, RetrainError>>()?,
        predicted: run
            .predictions
            .iter()
            .map(prediction)
            .collect::<Result<_, RetrainError>>()?,
    })
}

/// The mean of several outcomes.
fn mean(outcomes: &[Outcome]) -> Outcome {
    let mean = |of: &dyn Fn(&Outcome) -> &Changes| -> Changes {
        let directions = 0..of(&outcomes[0]).len();
        directions
            .map(|k| {
                let mut sum = vec![0.0; of(&outcomes[0])[k].len()];
                for outcome in outcomes {
                    let parts = sum.iter_mut().zip(&of(outcome)[k]);
                    parts.for_each(|(sum, v)| *sum += v / outcomes.len() as f32);
                }
                sum
            })
            .collect()
    };
    let predictions = 0..outcomes[0].predicted.len();
    Outcome {
        seed: "mean".to_owned(),
        real: mean(&|outcome| &outcome.real),
        predicted: predictions
            .map(|p| mean(&|outcome| &outcome.predicted[p]))
            .collect(),
    }
}

impl Evaluation {
    fn variant(&mut self, executor: &Executor<'_>, variant: &str, mut outcomes: Vec<Outcome>) {
        let seeds = outcomes.len();
        if seeds > 1 {
            outcomes.push(mean(&outcomes));
        }
        // Each seed's real changes against the next seed's.
        let d = executor.setup.images.shape.dim();
        let agreement: Vec<Vec<Comparison>> = (0..if seeds > 1 { seeds } else { 0 })
            .map(|s| {
                let next = &outcomes[(s + 1) % seeds].real;
                let pairs = next.iter().zip(&outcomes[s].real);
                pairs
                    .map(|(next, this)| Comparison::new(next, 1.0, this, d))
                    .collect()
            })
            .collect();
        let directions = &executor.setup.experiment.directions;
        let crossed: Vec<Vec<Vec<Comparison>>> = (0..agreement.len())
            .map(|s| {
                let next = &outcomes[(s + 1) % seeds].real;
                let compare = |changes: &Changes| {
                    let triples = changes.iter().zip(next).zip(directions);
                    triples
                        .map(|((change, next), direction)| {
                            Comparison::new(change, direction.signed_mass(), next, d)
                        })
                        .collect()
                };
                outcomes[s].predicted.iter().map(compare).collect()
            })
            .collect();
        for (s, outcome) in outcomes.iter().enumerate() {
            let others = Others {
                seeds,
                agreement: &agreement,
                crossed: &crossed,
            };
            self.outcome(executor, variant, outcome, s, &others);
            self.linearity(executor, variant, outcome);
            let estimators = executor.setup.experiment.estimators.iter();
            let estimators: Vec<String> = estimators.map(|e| e.name()).collect();
            let choice = choose(&self.rows, &estimators, variant, &outcome.seed);
            self.choices.extend(choice);
        }
    }

    fn outcome(
        &mut self,
        executor: &Executor<'_>,
        variant: &str,
        outcome: &Outcome,
        place: usize,
        others: &Others<'_>,
    ) {
        let Others {
            seeds,
            agreement,
            crossed,
        } = *others;
        let experiment = &executor.setup.experiment;
        let d = executor.setup.images.shape.dim();
        let directions = &experiment.directions;
        let mut named: Vec<(String, Vec<Comparison>)> = experiment
            .predictions()
            .into_iter()
            .zip(&outcome.predicted)
            .map(|(name, predicted)| {
                let comparisons = (0..directions.len()).map(|k| {
                    let mass = directions[k].signed_mass();
                    Comparison::new(&predicted[k], mass, &outcome.real[k], d)
                });
                (name, comparisons.collect())
            })
            .collect();
        let estimators = experiment.estimators.len();
        let predictions = named.len();
        if let Some(agreement) = agreement.get(place) {
            named.push((CEILING.to_owned(), agreement.clone()));
        }

        for (scope, members) in scopes(directions) {
            let subject = Subject {
                variant: variant.to_owned(),
                seed: outcome.seed.clone(),
                direction: scope,
            };
            let pool = |all: &[Comparison]| Comparison::pooled(members.iter().map(|&k| &all[k]));
            let ceiling = (!agreement.is_empty()).then(|| {
                let medians = agreement.iter().map(|all| median(&pool(all).correlation));
                let one = medians.sum::<f64>() / seeds as f64;
                // The mean of n trainings agrees with the mean of n others by Spearman and Brown's formula.
                let n = if place == seeds { seeds as f64 } else { 1.0 };
                n * one / (1.0 + (n - 1.0) * one)
            });
            let next_seed = |prediction: usize| {
                let median = |s: usize| median(&pool(&crossed[s][prediction]).correlation);
                let of = if place == seeds {
                    0..seeds
                } else {
                    place..place + 1
                };
                (prediction < predictions && seeds > 1)
                    .then(|| of.clone().map(median).sum::<f64>() / of.len() as f64)
            };
            for (which, (name, comparisons)) in named.iter().enumerate() {
                let summary = pool(comparisons).summary(members.len());
                let own = ceiling.filter(|_| name != CEILING);
                self.rows.push(Row {
                    subject: subject.clone(),
                    prediction: name.clone(),
                    ceiling: own,
                    next_seed: next_seed(which),
                    disattenuated: own.filter(|c| *c > 0.0).map(|c| summary.median / c.sqrt()),
                    summary,
                });
            }
            let (ours, theirs) = named[..predictions].split_at(estimators);
            for (estimator, ours) in ours {
                for (baseline, theirs) in theirs {
                    let differences = paired(ours, theirs, &members);
                    self.tests.push(Test {
                        subject: subject.clone(),
                        estimator: estimator.clone(),
                        baseline: baseline.clone(),
                        difference: median(&differences),
                        interval: bootstrap(differences.len(), |draw| {
                            median(&draw.iter().map(|&i| differences[i]).collect::<Vec<_>>())
                        }),
                        p: signed_rank(&differences).p,
                    });
                }
            }
        }
        for (prediction, comparisons) in named {
            for (direction, comparison) in directions.iter().zip(comparisons) {
                self.details.push(Detail {
                    subject: Subject {
                        variant: variant.to_owned(),
                        seed: outcome.seed.clone(),
                        direction: direction.name(),
                    },
                    prediction: prediction.clone(),
                    comparison,
                });
            }
        }
    }

    fn linearity(&mut self, executor: &Executor<'_>, variant: &str, outcome: &Outcome) {
        let d = executor.setup.images.shape.dim();
        let changes = &executor.setup.changes;
        for (a, small) in changes.iter().enumerate() {
            for (b, large) in changes.iter().enumerate() {
                let same = small.images.fingerprint == large.images.fingerprint;
                let (from, to) = (small.direction.signed_mass(), large.direction.signed_mass());
                // Pairs once, the smaller mass first; of equal ones, removing first.
                if !same || a == b || (from.abs(), from) > (to.abs(), to) {
                    continue;
                }
                let (real, other) = (&outcome.real[a], &outcome.real[b]);
                let summary = Comparison::new(real, to / from, other, d).summary(1);
                self.linearity.push(Linearity {
                    variant: variant.to_owned(),
                    seed: outcome.seed.clone(),
                    small: small.direction.name(),
                    large: large.direction.name(),
                    median: summary.median,
                    slope: summary.slope,
                });
            }
        }
    }
}

/// The best of the estimators by their tuning rows; none without both tuning and judging directions.
fn choose(rows: &[Row], estimators: &[String], variant: &str, seed: &str) -> Option<Choice> {
    let median = |estimator: &str, direction: &str| {
        let mut rows = rows.iter();
        let row = rows.find(|row| {
            let subject = &row.subject;
            row.prediction == estimator
                && subject.variant == variant
                && subject.seed == seed
                && subject.direction == direction
        });
        row.map(|row| row.summary.median)
    };
    let choices = estimators.iter().filter_map(|estimator| {
        Some(Choice {
            variant: variant.to_owned(),
            seed: seed.to_owned(),
            estimator: estimator.clone(),
            tuning: median(estimator, "tuning")?,
            judged: median(estimator, "pooled")?,
        })
    });
    choices.max_by(|a, b| a.tuning.total_cmp(&b.tuning))
}

/// Each direction alone; those that judge and those for tuning; and of those that judge the added and the removed, if there are both.
fn scopes(directions: &[Direction]) -> Vec<(String, Vec<usize>)> {
    let alone = directions.iter().enumerate();
    let mut scopes: Vec<(String, Vec<usize>)> = alone
        .map(|(k, direction)| (direction.name(), vec![k]))
        .collect();
    let pool = |belongs: &dyn Fn(&Direction) -> bool| -> Vec<usize> {
        let all = 0..directions.len();
        all.filter(|&k| belongs(&directions[k])).collect()
    };
    let judging = pool(&|direction| !direction.tuning);
    let added = pool(&|direction| !direction.tuning && !direction.removing());
    let removed = pool(&|direction| !direction.tuning && direction.removing());
    let mut pools = vec![
        ("pooled", judging),
        ("tuning", pool(&|direction| direction.tuning)),
    ];
    if !added.is_empty() && !removed.is_empty() {
        pools.extend([("added", added), ("removed", removed)]);
    }
    let pools = pools.into_iter().filter(|(_, members)| !members.is_empty());
    scopes.extend(pools.map(|(name, members)| (name.to_owned(), members)));
    scopes
}

/// For each sample, the mean over directions of the difference of two correlations.
fn paired(ours: &[Comparison], theirs: &[Comparison], directions: &[usize]) -> Vec<f64> {
    let samples = 0..ours[0].correlation.len();
    let difference = |i: usize| {
        let each = directions.iter();
        let each = each.map(|&k| ours[k].correlation[i] - theirs[k].correlation[i]);
        each.sum::<f64>() / directions.len() as f64
    };
    samples.map(difference).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn added_and_removed_pool_what_judges() {
        let direction = |text: &str| toml::from_str::<Direction>(text).unwrap();
        let directions = [
            "add = 'class:8'\nmass = 0.3\ntuning = true",
            "add = 'class:1'\nmass = 0.3",
            "remove = 'class:1'\nmass = 0.1",
            "add = 'class:2'\nmass = 0.3",
        ]
        .map(direction);
        let pools = |directions: &[Direction]| scopes(directions).split_off(directions.len());
        let expected = [
            ("pooled", vec![1, 2, 3]),
            ("tuning", vec![0]),
            ("added", vec![1, 3]),
            ("removed", vec![2]),
        ];
        assert_eq!(
            pools(&directions),
            expected.map(|(name, all)| (name.to_owned(), all))
        );
        assert_eq!(pools(&directions[1..2]), [("pooled".to_owned(), vec![0])]);
    }

    #[test]
    fn a_choice_looks_at_the_tuning_directions_only() {
        let row = |direction: &str, prediction: &str, predicted: [f32; 3]| {
            let comparison = Comparison::new(&predicted, 1.0, &[1.0, 2.0, 4.0], 3);
            Row {
                subject: Subject {
                    variant: "retrain".into(),
                    seed: "0".into(),
                    direction: direction.into(),
                },
                prediction: prediction.into(),
                summary: comparison.summary(1),
                ceiling: None,
                next_seed: None,
                disattenuated: None,
            }
        };
        let (good, fair, bad) = ([1.0, 2.0, 4.0], [1.0, 2.0, 2.0], [4.0, 2.0, 1.0]);
        let rows = [
            row("tuning", "a", fair),
            row("tuning", "b", good),
            row("tuning", "random", good),
            row("pooled", "a", good),
            row("pooled", "b", bad),
        ];
        let estimators = ["a".to_owned(), "b".to_owned()];
        let choice = choose(&rows, &estimators, "retrain", "0").unwrap();
        assert_eq!(choice.estimator, "b");
        assert!(choice.tuning > 0.99 && choice.judged < 0.0, "{choice:?}");
        assert_eq!(choose(&rows[..3], &estimators, "retrain", "0"), None);
    }
}
