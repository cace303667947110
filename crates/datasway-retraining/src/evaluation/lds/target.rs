//! Evaluation of single targets.

use burn::tensor::Tensor;
use datasway_attribution::{AttributionTarget, ScoreColumns};
use datasway_fs::arrays::Array;
use datasway_fs::process::Cost;

use super::ceiling::Ceiling;
use super::result::{LdsEvaluation, LdsRow, RealValues, SubsetDesign, TargetScore};
use super::values::{
    Values, error_over_parts, mean_over_points, mean_over_seeds, scores, transposed,
};
use crate::RetrainError;
use crate::cost::{self, peak_mib};
use crate::evaluation::SeedScope;
use crate::jobs::{CANNOT_BE_USED, JobId, ModelOutputs, Workspace, read_arrays};

/// Predictions of one form of a method.
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
    /// The outputs of the models of all parts, for each seed that has them.
    pub complete: Vec<(SeedScope, &'a [ModelOutputs])>,
    /// Jobs of methods that are done.
    pub methods: Vec<JobId>,
    /// Directions of the linear functionals, `[n, K, d]`.
    pub directions: Tensor<3>,
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
