//! Evaluation of single targets.

use datasway_attribution::{AttributionTarget, ScoreColumns};
use datasway_fs::arrays::Array;
use datasway_fs::process::Cost;

use super::ceiling::Ceiling;
use super::real::{RealSource, TargetValues};
use super::result::{LdsEvaluation, LdsRow, RealValues, SubsetDesign, TargetScore};
use super::values::{Values, error_over_parts, mean, mean_over_points, mean_over_seeds, scores};
use crate::RetrainError;
use crate::cost::{self, peak_mib};
use crate::evaluation::SeedScope;
use crate::jobs::{CANNOT_BE_USED, JobId, Workspace, read_arrays};
use crate::spec::SumSpec;

/// Predictions of one form of a method.
#[derive(Clone)]
struct Prediction {
    /// Name of the form.
    form: String,
    /// Predicted values, up to an increasing function.
    values: Values,
    cost: Cost,
}

/// Evaluates single targets of a benchmark.
pub(super) struct TargetEvaluator<'a> {
    pub workspace: &'a Workspace<'a>,
    pub design: SubsetDesign,
    /// Indices of the training images of each part.
    pub parts: Vec<Vec<usize>>,
    /// The real values.
    pub source: RealSource<'a>,
    /// Jobs of methods that are done.
    pub methods: Vec<JobId>,
    /// Sums of two forms.
    pub sums: &'a [SumSpec],
}

impl TargetEvaluator<'_> {
    /// Adds the evaluation of a target, which has `functionals` functionals for each point.
    ///
    /// # Errors
    /// If the result of a job cannot be read or has another shape.
    pub fn evaluate(
        &self,
        target: AttributionTarget,
        functionals: usize,
        evaluation: &mut LdsEvaluation,
    ) -> Result<(), RetrainError> {
        let TargetValues {
            of_seeds: mut real_of_seeds,
            halves,
        } = self.source.values(target)?;
        let values: Vec<&Values> = real_of_seeds.iter().map(|(_, values)| values).collect();
        let ceiling = Ceiling::new(target, &values, &halves, functionals);
        evaluation.ceilings.push(ceiling);
        if real_of_seeds.len() > 1 {
            let mean = mean_over_seeds(&values);
            real_of_seeds.push((SeedScope::Mean, mean));
        }
        let predictions = self
            .methods
            .iter()
            .map(|&job| self.predictions(job, target));
        let mut predictions = predictions.collect::<Result<Vec<_>, _>>()?.concat();
        let sums = self.sums.iter().filter_map(|sum| added(sum, &predictions));
        predictions.extend(sums.collect::<Vec<_>>());
        for prediction in &predictions {
            if let RealSource::Published(published) = &self.source {
                published.check(target, prediction.values.len())?;
            }
            evaluation.add(target, functionals, prediction, &real_of_seeds);
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
            let width = match (columns, self.design) {
                (ScoreColumns::Images, _) => self.workspace.experiment.images.len(),
                (ScoreColumns::Subsets, SubsetDesign::Subsets)
                | (ScoreColumns::Complements, SubsetDesign::Groups) => self.parts.len(),
                // Predictions for the other kind of parts.
                (ScoreColumns::Subsets, SubsetDesign::Groups)
                | (ScoreColumns::Complements, SubsetDesign::Subsets) => continue,
            };
            if array.shape.len() != 2 || array.shape[1] != width || width == 0 {
                let reason = format!(
                    "{name} has the shape {:?}, not a row of {width} for each functional",
                    array.shape
                );
                return Err(RetrainError::file(&path, CANNOT_BE_USED)(reason));
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
                    let sum_of_scores =
                        |images: &Vec<usize>| images.iter().map(|&j| f64::from(row[j])).sum();
                    self.parts.iter().map(sum_of_scores).collect()
                })
                .collect(),
            ScoreColumns::Subsets | ScoreColumns::Complements => rows
                .map(|row| row.iter().map(|v| f64::from(*v)).collect())
                .collect(),
        }
    }
}

/// The sum of two predictions, standardised over the parts; none if one of them is missing.
fn added(sum: &SumSpec, predictions: &[Prediction]) -> Option<Prediction> {
    let find = |form: &String| predictions.iter().find(|p| p.form == *form);
    let (first, second) = (find(&sum.forms[0])?, find(&sum.forms[1])?);
    let rows = first.values.iter().zip(&second.values);
    let values = rows.map(|(a, b)| {
        let pairs = standardised(a).into_iter().zip(standardised(b));
        pairs.map(|(a, b)| a + b).collect()
    });
    Some(Prediction {
        form: sum.name(),
        values: values.collect(),
        cost: Cost {
            seconds: first.cost.seconds + second.cost.seconds,
            peak: first.cost.peak.max(second.cost.peak),
        },
    })
}

/// The values minus their mean, over their standard deviation; zeros if they are all alike.
fn standardised(values: &[f64]) -> Vec<f64> {
    let mean = mean(values.iter().copied());
    let centred: Vec<f64> = values.iter().map(|value| value - mean).collect();
    let variance = centred.iter().map(|v| v * v).sum::<f64>() / values.len() as f64;
    let scale = if variance > 0.0 {
        variance.sqrt().recip()
    } else {
        0.0
    };
    centred.into_iter().map(|value| value * scale).collect()
}

/// Columns and form of the array of scores of this name; none if it is of another target or holds no scores.
fn parse_name(name: &str, target: AttributionTarget) -> Option<(ScoreColumns, &str)> {
    let mut words = name.splitn(3, '/');
    let (columns_name, target_name, form) = (words.next()?, words.next()?, words.next()?);
    let mut candidates = [
        ScoreColumns::Images,
        ScoreColumns::Subsets,
        ScoreColumns::Complements,
    ]
    .into_iter();
    let columns = candidates.find(|candidate| candidate.name() == columns_name)?;
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
