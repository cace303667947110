//! The linear datamodeling score (LDS) of attribution methods, and its limits.

use burn::tensor::Tensor;
use datasway_attribution::{AttributionTarget, ScoreColumns};
use datasway_fs::arrays::Array;
use datasway_fs::process::Cost;
use datasway_stats::{bootstrap, jackknife_error, spearman_brown, spearman_or_zero as spearman};
use serde::Serialize;

use super::scope::SeedScope;
use crate::RetrainError;
use crate::cost::{self, peak_mib};
use crate::jobs::{AttributionJobs, JobId, ModelOutputs, Workspace, read_arrays};

/// Values of one target: one list over the parts for each functional.
///
/// A part is the set of training images of one model.
pub type Values = Vec<Vec<f64>>;

/// The parts of the training data on which models are trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SubsetDesign {
    /// Random subsets.
    Subsets,
    /// All images but one group, for every group.
    Groups,
}

/// The evaluation of an attribution benchmark.
#[derive(Debug, Clone, PartialEq)]
pub struct LdsEvaluation {
    /// The parts.
    pub design: SubsetDesign,
    /// Scores of the methods.
    pub rows: Vec<LdsRow>,
    /// Limits of the scores.
    pub ceilings: Vec<Ceiling>,
    /// The score for each single functional.
    pub target_scores: Vec<TargetScore>,
    /// The real values behind all scores.
    pub real: Vec<RealValues>,
    /// Seeds that are left out because their models are not done.
    pub missing_seeds: Vec<u64>,
    /// Jobs of methods that are left out because they are not done.
    pub missing_methods: Vec<JobId>,
}

/// Score of one method for one target.
#[derive(Debug, Clone, PartialEq)]
pub struct LdsRow {
    /// The target.
    pub target: AttributionTarget,
    /// The form of the method.
    pub method: String,
    /// The seed of the models of the parts, or the mean over seeds.
    pub seeds: SeedScope,
    /// Spearman's correlation of predicted and real values over the parts, averaged over functionals.
    pub lds: f64,
    /// Bootstrap 95 % interval over points, which are samples or held-out images with all their functionals.
    pub interval: [f64; 2],
    /// Jackknife standard error over the parts.
    pub error: f64,
    /// Wall time of the method for all targets, in seconds.
    pub seconds: f64,
    /// Peak memory of the process meanwhile, in MiB.
    pub peak: Option<f64>,
}

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

/// Score of one method for one functional, against the mean of the seeds.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetScore {
    /// The target.
    pub target: AttributionTarget,
    /// The sample or held-out image.
    pub point: usize,
    /// Index among the functionals of the point.
    pub index: usize,
    /// The form of the method.
    pub method: String,
    /// The score.
    pub lds: f64,
}

/// Real values of one target.
#[derive(Debug, Clone, PartialEq)]
pub struct RealValues {
    /// The target.
    pub target: AttributionTarget,
    /// The seed, or the mean over seeds.
    pub seeds: SeedScope,
    /// The values.
    pub values: Values,
}

/// Predictions of one form of a method.
struct Prediction {
    /// Name of the form.
    form: String,
    /// Predicted values, up to an increasing function.
    values: Values,
    cost: Cost,
}

/// Evaluates an attribution benchmark; none while no seed has a model of every part.
///
/// # Errors
/// If a result cannot be read.
pub fn evaluate(
    workspace: &Workspace<'_>,
    jobs: &AttributionJobs,
    design: SubsetDesign,
) -> Result<Option<LdsEvaluation>, RetrainError> {
    let experiment = workspace.experiment;
    let benchmark = experiment.benchmark()?;
    let (parts, outputs_of_seeds) = match design {
        SubsetDesign::Subsets => (benchmark.subsets.clone(), &jobs.subsets),
        SubsetDesign::Groups => {
            let groups = benchmark.groups.iter();
            let parts = groups.map(|group| experiment.complement(group));
            (parts.collect(), &jobs.groups)
        }
    };
    let is_done = |outputs: &ModelOutputs| {
        workspace.is_done(outputs.samples) && workspace.is_done(outputs.losses)
    };
    let seeds = outputs_of_seeds.iter().zip(&experiment.spec.seeds);
    let (complete, incomplete): (Vec<_>, Vec<_>) =
        seeds.partition(|(outputs, _)| outputs.iter().all(is_done));
    if complete.is_empty() {
        return Ok(None);
    }
    let methods = jobs.methods.iter().copied();
    let (methods, missing_methods) = methods.partition(|&job| workspace.is_done(job));
    let targets = benchmark.spec.targets();
    let mut evaluation = LdsEvaluation {
        design,
        rows: Vec::new(),
        ceilings: Vec::new(),
        target_scores: Vec::new(),
        real: Vec::new(),
        missing_seeds: incomplete.iter().map(|(_, seed)| **seed).collect(),
        missing_methods,
    };
    let directions = targets.directions(&workspace.samples(jobs.samples)?);
    let evaluator = TargetEvaluator {
        workspace,
        design,
        parts,
        complete: complete
            .iter()
            .map(|(outputs, seed)| (SeedScope::Seed(**seed), outputs.as_slice()))
            .collect(),
        methods,
        directions,
    };
    for target in AttributionTarget::ALL {
        let functionals = match target {
            AttributionTarget::Sample => targets.functionals,
            _ => 1,
        };
        evaluator.evaluate(target, functionals, &mut evaluation)?;
    }
    Ok(Some(evaluation))
}

/// Evaluates single targets of a benchmark.
struct TargetEvaluator<'a> {
    workspace: &'a Workspace<'a>,
    design: SubsetDesign,
    /// Indices of the training images of each part.
    parts: Vec<Vec<usize>>,
    /// The outputs of the models of all parts, for each seed that has them.
    complete: Vec<(SeedScope, &'a [ModelOutputs])>,
    /// Jobs of methods that are done.
    methods: Vec<JobId>,
    /// Directions of the linear functionals, `[n, K, d]`.
    directions: Tensor<3>,
}

impl TargetEvaluator<'_> {
    /// Adds the evaluation of a target, which has `functionals` functionals for each point.
    fn evaluate(
        &self,
        target: AttributionTarget,
        functionals: usize,
        evaluation: &mut LdsEvaluation,
    ) -> Result<(), RetrainError> {
        let mut real_of_seeds = Vec::new();
        let mut halves_of_seeds = Vec::new();
        for (seed, outputs) in &self.complete {
            let (values, halves) = self.real_values(target, outputs)?;
            real_of_seeds.push((*seed, values));
            halves_of_seeds.extend(halves);
        }
        let values: Vec<&Values> = real_of_seeds.iter().map(|(_, values)| values).collect();
        let ceiling = Ceiling::new(target, &values, &halves_of_seeds, functionals);
        evaluation.ceilings.push(ceiling);
        if real_of_seeds.len() > 1 {
            let mean = mean_over_seeds(&values);
            real_of_seeds.push((SeedScope::Mean, mean));
        }
        for &job in &self.methods {
            for prediction in self.predictions(job, target)? {
                evaluation.add(target, functionals, &prediction, &real_of_seeds);
            }
        }
        let real = real_of_seeds.into_iter();
        evaluation
            .real
            .extend(real.map(|(seeds, values)| RealValues {
                target,
                seeds,
                values,
            }));
        Ok(())
    }

    /// Real values of the models of one seed; for losses also those by the even and by the odd draws.
    fn real_values(
        &self,
        target: AttributionTarget,
        outputs: &[ModelOutputs],
    ) -> Result<(Values, Option<[Values; 2]>), RetrainError> {
        if target == AttributionTarget::Sample {
            let products = |outputs: &ModelOutputs| {
                let samples = self
                    .workspace
                    .samples(outputs.samples)?
                    .unsqueeze_dim::<3>(1);
                let products = (self.directions.clone() * samples).sum_dim(2);
                Ok(products.into_data().iter::<f64>().collect())
            };
            let products = outputs.iter().map(products);
            let columns = products.collect::<Result<Vec<_>, RetrainError>>()?;
            return Ok((transposed(&columns), None));
        }
        let half = |row: usize| {
            let losses = |outputs: &ModelOutputs| {
                let losses = self.workspace.array(outputs.losses, target.name())?;
                Ok(losses.row(row).iter().map(|v| f64::from(*v)).collect())
            };
            let columns = outputs.iter().map(losses);
            let columns = columns.collect::<Result<Vec<_>, RetrainError>>()?;
            Ok::<_, RetrainError>(transposed(&columns))
        };
        let (even, odd) = (half(0)?, half(1)?);
        Ok((mean_over_seeds(&[&even, &odd]), Some([even, odd])))
    }

    /// Predictions of a target for every part by the job of a method, in each of its forms.
    fn predictions(
        &self,
        job: JobId,
        target: AttributionTarget,
    ) -> Result<Vec<Prediction>, RetrainError> {
        let path = self.workspace.result(job);
        let arrays = read_arrays(&path)?;
        let cost = cost::from_array(arrays.get(cost::NAME));
        let mut predictions = Vec::new();
        for (name, array) in &arrays {
            let Some((columns, form)) = parse_name(name, target) else {
                continue;
            };
            // Predictions for random subsets are none for groups.
            if self.design == SubsetDesign::Groups && columns == ScoreColumns::Subsets {
                continue;
            }
            let width = match columns {
                ScoreColumns::Images => self.workspace.experiment.images.len(),
                ScoreColumns::Subsets => self.parts.len(),
            };
            if array.shape.len() != 2 || array.shape[1] != width || width == 0 {
                let reason = format!(
                    "{name} has the shape {:?}, not a row of {width} for each functional",
                    array.shape
                );
                return Err(RetrainError::file(&path, crate::jobs::CANNOT_BE_USED)(
                    reason,
                ));
            }
            predictions.push(Prediction {
                form: form.to_owned(),
                values: self.predicted_values(columns, array),
                cost,
            });
        }
        Ok(predictions)
    }

    /// Values for every part: `Σ_j` of the scores of its images, or the scores of the parts themselves.
    fn predicted_values(&self, columns: ScoreColumns, scores: &Array) -> Values {
        let rows = (0..scores.shape[0]).map(|q| scores.row(q));
        match columns {
            ScoreColumns::Images => rows
                .map(|row| {
                    let sum = |part: &Vec<usize>| part.iter().map(|&j| f64::from(row[j])).sum();
                    self.parts.iter().map(sum).collect()
                })
                .collect(),
            ScoreColumns::Subsets => rows
                .map(|row| row.iter().map(|v| f64::from(*v)).collect())
                .collect(),
        }
    }
}

/// Columns and form of the array of scores of this name; none if it is of another target or holds no scores.
fn parse_name(name: &str, target: AttributionTarget) -> Option<(ScoreColumns, &str)> {
    let mut words = name.splitn(3, '/');
    let (columns, target_name, form) = (words.next()?, words.next()?, words.next()?);
    let columns = [ScoreColumns::Images, ScoreColumns::Subsets]
        .into_iter()
        .find(|candidate| candidate.name() == columns)?;
    (target_name == target.name()).then_some((columns, form))
}

impl LdsEvaluation {
    /// Adds the scores of a prediction against the real values of each seed and of their mean.
    fn add(
        &mut self,
        target: AttributionTarget,
        functionals: usize,
        prediction: &Prediction,
        real_of_seeds: &[(SeedScope, Values)],
    ) {
        let Prediction { form, values, cost } = prediction;
        for (place, (seeds, real)) in real_of_seeds.iter().enumerate() {
            let scores = scores(values, real);
            let (lds, interval) = mean_over_points(&scores, functionals);
            if place + 1 == real_of_seeds.len() {
                let scores = scores.iter().enumerate();
                self.target_scores
                    .extend(scores.map(|(q, &lds)| TargetScore {
                        target,
                        point: q / functionals,
                        index: q % functionals,
                        method: form.clone(),
                        lds,
                    }));
            }
            self.rows.push(LdsRow {
                target,
                method: form.clone(),
                seeds: *seeds,
                lds,
                interval,
                error: error_over_parts(values, real),
                seconds: cost.seconds,
                peak: peak_mib(*cost),
            });
        }
    }
}

impl Ceiling {
    /// Limits from the real values of each seed, those of losses by even and by odd draws, and the number of functionals of a point.
    fn new(
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

/// Jackknife standard error over the parts of the mean score.
fn error_over_parts(predicted: &Values, real: &Values) -> f64 {
    let parts = real.first().map_or(0, Vec::len);
    let without = |values: &Values, part: usize| -> Values {
        let others = |row: &Vec<f64>| {
            let entries = row.iter().enumerate();
            let others = entries.filter(|(i, _)| *i != part);
            others.map(|(_, v)| *v).collect()
        };
        values.iter().map(others).collect()
    };
    let score_without =
        |part| mean(scores(&without(predicted, part), &without(real, part)).into_iter());
    jackknife_error(&(0..parts).map(score_without).collect::<Vec<_>>())
}

/// The mean of scores and its bootstrap interval over points, each of which has `functionals` adjacent scores.
fn mean_over_points(scores: &[f64], functionals: usize) -> (f64, [f64; 2]) {
    let points: Vec<f64> = scores
        .chunks_exact(functionals)
        .map(|scores| mean(scores.iter().copied()))
        .collect();
    let interval = bootstrap(points.len(), |draw| mean(draw.iter().map(|&i| points[i])));
    (mean(points.iter().copied()), interval)
}

/// The mean over seeds of the value of every functional and part.
fn mean_over_seeds(seeds: &[&Values]) -> Values {
    let rows = 0..seeds[0].len();
    let row = |q: usize| {
        let parts = 0..seeds[0][q].len();
        parts
            .map(|s| mean(seeds.iter().map(|values| values[q][s])))
            .collect()
    };
    rows.map(row).collect()
}

/// Values from one list over the functionals for each part.
fn transposed(columns: &[Vec<f64>]) -> Values {
    let rows = 0..columns.first().map_or(0, Vec::len);
    rows.map(|q| columns.iter().map(|column| column[q]).collect())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_over_points_keeps_their_functionals_together() {
        let (lds, interval) = mean_over_points(&[1.0, 0.0, 1.0, 0.0], 2);
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
        let error = |n| error_over_parts(&wave(n, 1.3), &wave(n, 2.1));
        let (few, many) = (error(20), error(320));
        assert!(few > 0.1 && many < few / 2.0, "{few} {many}");
    }
}
