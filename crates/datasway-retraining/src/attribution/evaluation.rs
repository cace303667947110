//! The linear datamodeling score of every method, and what limits it.

use burn::tensor::Tensor;
use datasway_attribution::AttributionTarget;
use serde::Serialize;

use crate::RetrainError;
use crate::cost::{from_array, peak_mib};
use crate::execute::Executor;
use crate::jobs::{Outcome, Trials};
use crate::store::read_arrays;
use datasway_fs::process::Cost;
use datasway_stats::{bootstrap, spearman_or_zero as spearman};

/// Real or predicted values of one kind of functional: one list over the parts for each functional.
type Values = Vec<Vec<f64>>;

/// Which parts of the training data models were made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Design {
    /// Random ones.
    Subsets,
    /// All images but a group, for every group.
    Groups,
}

/// What is published of a benchmark.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evaluation {
    /// The parts.
    pub design: Design,
    /// How well methods predict.
    pub rows: Vec<Row>,
    /// How well they could.
    pub ceilings: Vec<Ceiling>,
    /// The score of each single functional.
    #[serde(skip)]
    pub queries: Vec<Query>,
    /// The real values behind all scores: kind of functional, seed, values.
    #[serde(skip)]
    pub real: Vec<(AttributionTarget, String, Values)>,
    /// Seeds and methods left out because their jobs are not done.
    pub missing: Vec<String>,
}

/// One method on one kind of functional.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// The kind of functional.
    pub functional: AttributionTarget,
    /// The method.
    pub method: String,
    /// The seed of the models of the parts, or `mean`: their mean over the seeds.
    pub seed: String,
    /// Spearman's correlation of predicted and real values over the parts, averaged over functionals.
    pub lds: f64,
    /// Bootstrap 95 % interval over points: samples or held-out images, each with all its functionals.
    pub interval: [f64; 2],
    /// Standard error over the parts, by the jackknife.
    pub error: f64,
    /// Wall time of the method, all kinds of functionals together.
    pub seconds: f64,
    /// Largest memory of the process meanwhile, in MiB.
    pub peak: Option<f64>,
}

/// What limits the score on one kind of functional.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ceiling {
    /// The kind of functional.
    pub functional: AttributionTarget,
    /// How many seeds there are.
    pub seeds: usize,
    /// Spearman's correlation over the parts of two seeds' values, averaged over functionals and pairs of seeds: what
    /// another training can say.
    pub agreement: Option<f64>,
    /// Bootstrap 95 % interval of it over points.
    pub interval: Option<[f64; 2]>,
    /// The same for the mean of all seeds with the mean of as many others, by Spearman and Brown's formula.
    pub agreement_of_means: Option<f64>,
    /// `√agreement_of_means`: the score of who knows the expected value exactly, against the mean of the seeds (Spearman 1904).
    pub reach: Option<f64>,
    /// For losses: correlation over the parts of the loss by even draws with that by odd ones, raised to all draws in the same
    /// way; the rest of 1 is noise of the evaluation.
    pub evaluation: Option<f64>,
}

/// One method on one functional.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// The kind of functional.
    pub functional: AttributionTarget,
    /// The sample or image.
    pub point: usize,
    /// Which of its functionals.
    pub index: usize,
    /// The method.
    pub method: String,
    /// Its score against the mean of the seeds.
    pub lds: f64,
}

/// Reliability of the mean of `n` measurements, `agreement` being that of one (Spearman and Brown 1910).
fn of_mean(n: usize, agreement: f64) -> f64 {
    let n = n as f64;
    n * agreement / (1.0 + (n - 1.0) * agreement)
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let n = values.len() as f64;
    values.sum::<f64>() / n
}

/// Correlation over the parts for each functional.
fn scores(predicted: &Values, real: &Values) -> Vec<f64> {
    let pairs = predicted.iter().zip(real);
    pairs
        .map(|(predicted, real)| spearman(predicted, real))
        .collect()
}

/// Standard error of the mean score over the parts: each is left out in turn.
fn jackknife(predicted: &Values, real: &Values) -> f64 {
    let parts = real.first().map_or(0, Vec::len);
    let without = |values: &Values, part: usize| -> Values {
        let rest = |row: &Vec<f64>| {
            let all = row.iter().enumerate();
            all.filter(|(i, _)| *i != part).map(|(_, v)| *v).collect()
        };
        values.iter().map(rest).collect()
    };
    let left: Vec<f64> = (0..parts)
        .map(|part| mean(scores(&without(predicted, part), &without(real, part)).into_iter()))
        .collect();
    let center = mean(left.iter().copied());
    let spread: f64 = left.iter().map(|v| (v - center).powi(2)).sum();
    (spread * (parts as f64 - 1.0) / parts as f64).sqrt()
}

/// The mean of scores, and its interval over points, each of which has `each` of them beside each other.
fn over_points(scores: &[f64], each: usize) -> (f64, [f64; 2]) {
    let points: Vec<f64> = scores
        .chunks_exact(each)
        .map(|c| mean(c.iter().copied()))
        .collect();
    let interval = bootstrap(points.len(), |draw| mean(draw.iter().map(|&i| points[i])));
    (mean(points.iter().copied()), interval)
}

/// The mean over seeds.
fn mean_of(seeds: &[&Values]) -> Values {
    let rows = 0..seeds[0].len();
    let row = |q: usize| {
        let parts = 0..seeds[0][q].len();
        parts
            .map(|s| mean(seeds.iter().map(|values| values[q][s])))
            .collect()
    };
    rows.map(row).collect()
}

/// Compares what is done; `None` while no seed has a model of every part.
///
/// # Errors
/// If a result cannot be read.
pub fn evaluate(
    executor: &Executor<'_>,
    trials: &Trials,
    design: Design,
) -> Result<Option<Evaluation>, RetrainError> {
    let (benchmark, _) = executor.benchmark()?;
    let setup = executor.setup;
    let seeds = &setup.experiment.seeds;
    let without = |group: &Vec<usize>| setup.rest(group);
    let (parts, made) = match design {
        Design::Subsets => (setup.subsets.clone(), &trials.outcomes),
        Design::Groups => (setup.groups.iter().map(without).collect(), &trials.groups),
    };
    let mut missing = Vec::new();
    let done = |outcome: &Outcome| executor.done(outcome.samples) && executor.done(outcome.losses);
    let mut complete = Vec::new();
    for (outcomes, seed) in made.iter().zip(seeds) {
        match outcomes.iter().all(done) {
            true => complete.push((seed.to_string(), outcomes)),
            false => missing.push(format!("seed {seed}")),
        }
    }
    if complete.is_empty() {
        return Ok(None);
    }
    let base = executor.samples(trials.samples)?;
    let directions = benchmark.targets().directions(&base);
    let mut all = Evaluation {
        design,
        rows: Vec::new(),
        ceilings: Vec::new(),
        queries: Vec::new(),
        real: Vec::new(),
        missing: Vec::new(),
    };
    for functional in AttributionTarget::ALL {
        let each = match functional {
            AttributionTarget::Sample => benchmark.functionals,
            _ => 1,
        };
        let mut by_seed = Vec::new();
        let mut halves = Vec::new();
        for (seed, outcomes) in &complete {
            let (values, evaluation) = real(executor, outcomes, functional, &directions)?;
            by_seed.push((seed.clone(), values));
            halves.extend(evaluation);
        }
        let values: Vec<&Values> = by_seed.iter().map(|(_, values)| values).collect();
        all.ceilings
            .push(ceiling(functional, &values, &halves, each));
        if by_seed.len() > 1 {
            by_seed.push(("mean".to_owned(), mean_of(&values)));
        }
        for &job in &trials.methods {
            if executor.done(job) {
                for (name, predicted, cost) in
                    predictions(executor, job, functional, design, &parts)?
                {
                    all.add(functional, &name, &predicted, &by_seed, each, cost);
                }
            }
        }
        all.real.extend(
            by_seed
                .into_iter()
                .map(|(seed, values)| (functional, seed, values)),
        );
    }
    let open = trials.methods.iter().filter(|job| !executor.done(**job));
    missing.extend(open.map(|&job| executor.plan.jobs[job].label.clone()));
    all.missing = missing;
    Ok(Some(all))
}

/// Real values of one seed's models; for losses also those by the even and by the odd draws.
fn real(
    executor: &Executor<'_>,
    outcomes: &[Outcome],
    functional: AttributionTarget,
    directions: &Tensor<3>,
) -> Result<(Values, Option<[Values; 2]>), RetrainError> {
    let columns = |of: &dyn Fn(&Outcome) -> Result<Vec<f64>, RetrainError>| {
        let columns: Vec<Vec<f64>> = outcomes.iter().map(of).collect::<Result<_, _>>()?;
        Ok::<Values, RetrainError>(transposed(&columns))
    };
    if functional == AttributionTarget::Sample {
        let values = columns(&|outcome| {
            let samples = executor.samples(outcome.samples)?.unsqueeze_dim::<3>(1);
            let products = (directions.clone() * samples).sum_dim(2);
            Ok(products.into_data().iter::<f64>().collect())
        })?;
        return Ok((values, None));
    }
    let half = |which: usize| {
        columns(&|outcome| {
            let array = executor.array(outcome.losses, functional.name())?;
            let n = array.values.len() / 2;
            Ok(array.values[which * n..][..n]
                .iter()
                .map(|v| f64::from(*v))
                .collect())
        })
    };
    let (even, odd) = (half(0)?, half(1)?);
    Ok((mean_of(&[&even, &odd]), Some([even, odd])))
}

fn transposed(columns: &[Vec<f64>]) -> Values {
    let rows = 0..columns.first().map_or(0, Vec::len);
    rows.map(|q| columns.iter().map(|column| column[q]).collect())
        .collect()
}

fn ceiling(
    functional: AttributionTarget,
    seeds: &[&Values],
    halves: &[[Values; 2]],
    each: usize,
) -> Ceiling {
    let n = seeds.len();
    let pairs = (0..n).flat_map(|a| (a + 1..n).map(move |b| (a, b)));
    let pairs: Vec<Vec<f64>> = pairs.map(|(a, b)| scores(seeds[a], seeds[b])).collect();
    let agreement = (!pairs.is_empty()).then(|| {
        let queries = 0..pairs[0].len();
        let means: Vec<f64> = queries.map(|q| mean(pairs.iter().map(|p| p[q]))).collect();
        over_points(&means, each)
    });
    let of_means = agreement.map(|(one, _)| of_mean(n, one));
    let evaluation = (!halves.is_empty()).then(|| {
        let agreements = halves
            .iter()
            .map(|[even, odd]| mean(scores(even, odd).into_iter()));
        of_mean(2, mean(agreements.collect::<Vec<_>>().into_iter()))
    });
    Ceiling {
        functional,
        seeds: n,
        agreement: agreement.map(|(one, _)| one),
        interval: agreement.map(|(_, interval)| interval),
        agreement_of_means: of_means,
        reach: of_means.map(|a| a.max(0.0).sqrt()),
        evaluation,
    }
}

/// What a method's job predicts for every part, in each of its forms.
fn predictions(
    executor: &Executor<'_>,
    job: usize,
    functional: AttributionTarget,
    design: Design,
    parts: &[Vec<usize>],
) -> Result<Vec<(String, Values, Cost)>, RetrainError> {
    let arrays = read_arrays(&executor.result(job))?;
    let cost = arrays.get("cost").map_or(
        Cost {
            seconds: f64::NAN,
            peak: None,
        },
        from_array,
    );
    let mut found = Vec::new();
    for (name, array) in &arrays {
        let mut words = name.splitn(3, '/');
        let (Some(columns), Some(of), Some(form)) = (words.next(), words.next(), words.next())
        else {
            continue;
        };
        // What is predicted for the random parts themselves says nothing of the groups.
        if of != functional.name() || design == Design::Groups && columns != "images" {
            continue;
        }
        let width = match columns {
            "images" => executor.setup.images.len(),
            _ => parts.len(),
        };
        if array.shape.len() != 2 || array.shape[1] != width || width == 0 {
            let fail = "cannot be used; delete it and run the experiment again";
            let reason = format!(
                "{name} has the shape {:?}, not a row of {width} for each functional",
                array.shape
            );
            return Err(RetrainError::file(&executor.result(job), fail)(reason));
        }
        let rows = array.values.chunks_exact(width);
        // Σ_j of the scores of a part's images, or what is predicted for the part itself.
        let row = |row: &[f32]| -> Vec<f64> {
            let sum = |part: &Vec<usize>| part.iter().map(|&j| f64::from(row[j])).sum();
            match columns {
                "images" => parts.iter().map(sum).collect(),
                _ => row.iter().map(|v| f64::from(*v)).collect(),
            }
        };
        found.push((form.to_owned(), rows.map(row).collect(), cost));
    }
    Ok(found)
}

impl Evaluation {
    fn add(
        &mut self,
        functional: AttributionTarget,
        method: &str,
        predicted: &Values,
        real: &[(String, Values)],
        each: usize,
        cost: Cost,
    ) {
        for (place, (seed, values)) in real.iter().enumerate() {
            let single = scores(predicted, values);
            let (lds, interval) = over_points(&single, each);
            if place + 1 == real.len() {
                self.queries
                    .extend(single.iter().enumerate().map(|(q, &lds)| Query {
                        functional,
                        point: q / each,
                        index: q % each,
                        method: method.to_owned(),
                        lds,
                    }));
            }
            self.rows.push(Row {
                functional,
                method: method.to_owned(),
                seed: seed.clone(),
                lds,
                interval,
                error: jackknife(predicted, values),
                seconds: cost.seconds,
                peak: peak_mib(cost),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reliability_grows_with_the_number_of_measurements() {
        assert!((of_mean(2, 0.5) - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!(of_mean(1, 0.3), 0.3);
    }

    #[test]
    fn a_mean_over_points_keeps_their_functionals_together() {
        let (lds, interval) = over_points(&[1.0, 0.0, 1.0, 0.0], 2);
        assert_eq!(
            (lds, interval),
            (0.5, [0.5, 0.5]),
            "points are alike though functionals are not"
        );
    }

    /// For a mean of n numbers the jackknife is the usual standard error; here it is that of a correlation, which shrinks with the
    /// number of parts as 1/√n.
    #[test]
    fn the_jackknife_shrinks_with_the_number_of_parts() {
        let wave =
            |n: usize, f: f64| -> Values { vec![(0..n).map(|i| (f * i as f64).sin()).collect()] };
        let error = |n| jackknife(&wave(n, 1.3), &wave(n, 2.1));
        let (few, many) = (error(20), error(320));
        assert!(few > 0.1 && many < few / 2.0, "{few} {many}");
    }
}
