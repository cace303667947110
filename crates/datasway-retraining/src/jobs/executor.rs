//! Executes single jobs.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use burn::tensor::DType;
use burn_jvp::ParameterTangents;
use datasway_attribution::target::losses;
use datasway_attribution::{AttributionTarget, Attributor};
use datasway_data::PixelMoments;
use datasway_diffusion::checkpoint::Checkpoint;
use datasway_diffusion::denoiser::Denoiser;
use datasway_diffusion::learned_denoiser::LearnedDenoiser;
use datasway_diffusion::network::NetworkDenoiser;
use datasway_diffusion::sampler::{FrozenNoise, Sampler, sample};
use datasway_fs::arrays::Array;
use datasway_fs::process::measured;
use datasway_sensitivity::SensitivityConfig;
use datasway_sensitivity::density::checkpoint_moments;
use datasway_sensitivity::learner::{
    CurvatureSolution, FiniteTraining, Learner, PassedWeights, WeightChange,
};
use datasway_sensitivity::measure::{Measure, points};
use datasway_sensitivity::ranking::{CLEAR_OF_ROUNDING, move_of_pixels};
use datasway_sensitivity::sensitivities::{self, Sensitivities};
use datasway_stats::median;

use super::job::{JobId, Task};
use super::progress::Progress;
use super::store::write_arrays;
use super::trainer::JobTrainer;
use super::weight_alignment::{self, Models};
use super::weight_changes::WeightChanges;
use super::workspace::Workspace;
use crate::RetrainError;
use crate::baselines::BaselineContext;
use crate::cost;
use crate::spec::{SensitivityEstimator, WeightsSpec};

/// Executes the jobs of a workspace.
#[derive(Clone, Copy)]
pub struct Executor<'a> {
    /// The experiment and its results.
    pub workspace: Workspace<'a>,
    /// Ends training jobs early once it is true.
    pub stop: &'a AtomicBool,
    /// Time between two checkpoints of a training job.
    pub checkpoint_every: Duration,
    /// Receiver of the progress.
    pub progress: &'a dyn Fn(Progress<'_>),
}

impl Executor<'_> {
    /// Executes a job whose inputs are done and whose folder exists, and returns true if the job is done.
    /// A training job that is stopped leaves a checkpoint from which it can be continued.
    ///
    /// # Errors
    /// If a model fails, a result is not finite, or a file cannot be read or written.
    pub fn execute(&self, job: JobId) -> Result<bool, RetrainError> {
        let arrays = match &self.workspace.plan.job(job).task {
            Task::Given => return self.keep_given(job),
            Task::Train {
                config,
                start,
                data,
                steps,
            } => return self.train(job, (config, *steps), *start, *data),
            Task::Sample { model } => self.sample(job, *model)?,
            Task::Sensitivity {
                model,
                passed,
                estimator,
                training,
            } => self.sensitivity(job, (*model, passed), *estimator, *training)?,
            Task::WeightAlignment {
                model,
                before,
                after,
                estimator,
                training,
            } => self.weight_alignment(*model, *before, after, (*estimator, *training))?,
            Task::Combination { predictions, share } => {
                self.combination(job, *predictions, *share)?
            }
            Task::Average { predictions } => self.average(job, predictions)?,
            Task::Baseline { samples, baseline } => self.baseline(job, *samples, *baseline)?,
            Task::Losses { model, samples } => self.losses(job, *model, *samples)?,
            Task::Attribution {
                model,
                samples,
                method,
            } => self.attribution(job, *model, *samples, *method)?,
        };
        write_arrays(&self.workspace.result(job), &arrays)?;
        Ok(true)
    }

    /// Writes the base model that a folder gives as the state of a training that has not begun.
    fn keep_given(&self, job: JobId) -> Result<bool, RetrainError> {
        let path = self.workspace.result(job);
        let config = &self.workspace.experiment.config;
        JobTrainer::untrained(self.workspace.experiment, config)?.save_model(&path)?;
        Ok(true)
    }

    /// The moments of the data of a training job, and its model.
    fn model(&self, job: JobId) -> Result<(PixelMoments, Box<dyn LearnedDenoiser>), RetrainError> {
        let experiment = self.workspace.experiment;
        if let Some(given) = &experiment.given {
            let moments = PixelMoments::of(&experiment.images, experiment.config.flip());
            return Ok((moments, given.tuned(&self.workspace.result(job))?));
        }
        let (checkpoint, model) = self.own_model(job)?;
        Ok((checkpoint_moments(&checkpoint), Box::new(model)))
    }

    /// The checkpoint of a training job and its network of Datasway.
    fn own_model(&self, job: JobId) -> Result<(Checkpoint, NetworkDenoiser), RetrainError> {
        let checkpoint = Checkpoint::load(&self.workspace.result(job))?;
        let device = &self.workspace.experiment.device;
        let model = NetworkDenoiser::from_checkpoint(&checkpoint, device)?;
        Ok((checkpoint, model))
    }

    /// `samples`, `[n, d]`.
    fn sample(&self, job: JobId, model: JobId) -> Result<Arrays, RetrainError> {
        let (_, model) = self.model(model)?;
        let values = self.samples_of(model.as_ref())?;
        if !all_finite(&values) {
            return Err(self.failed(
                job,
                "the model has diverged: its samples are not finite; try a lower learning rate",
            ));
        }
        let shape = vec![self.workspace.experiment.spec.samples.count, model.dim()];
        Ok(named([("samples", shape, values)]))
    }

    /// The samples of a model, `[n, d]`.
    fn samples_of(&self, model: &dyn LearnedDenoiser) -> Result<Vec<f32>, RetrainError> {
        let experiment = self.workspace.experiment;
        let samples = &experiment.spec.samples;
        let (d, sigmas) = (model.dim(), experiment.sigmas(samples.steps));
        let mut values = Vec::with_capacity(samples.count * d);
        for first in (0..samples.count).step_by(samples.batch) {
            let n = samples.batch.min(samples.count - first);
            let noise = FrozenNoise::new(samples.seed).starting_at(first as u64);
            let start = noise.start([n, d], &experiment.device, DType::F32);
            let batch = sample(model, &Sampler::Heun, &sigmas, start, &noise)?;
            values.extend(batch.into_data().iter::<f32>());
        }
        Ok(values)
    }

    /// `delta`, `[directions, n, d]`, and of an estimator of the density `max_log_ratio`, `[directions, n]`.
    fn sensitivity(
        &self,
        job: JobId,
        (model, passed): (JobId, &[JobId]),
        estimator: usize,
        training: FiniteTraining,
    ) -> Result<Arrays, RetrainError> {
        let experiment = self.workspace.experiment;
        let estimator = match &experiment.spec.estimators[estimator] {
            SensitivityEstimator::Density(estimator) => estimator,
            SensitivityEstimator::Weights(weights) => {
                return self.weight_sensitivity(job, (model, passed), weights, training);
            }
            SensitivityEstimator::Combination(_) | SensitivityEstimator::Average(_) => {
                unreachable!("a sum or a mean of predictions has a task of its own")
            }
        };
        let (moments, model) = self.model(model)?;
        let config = experiment.sensitivity_config(&moments, estimator)?;
        let (measures, measure_of_direction) = experiment.measures()?;
        let measures: Vec<&dyn Measure> = measures.iter().map(|m| m as &dyn Measure).collect();
        let device = &experiment.device;
        let result = sensitivities::compute(model.as_ref(), &measures, &config, device, |_| ())?;
        if !every_measure_has_a_finite_sample(&result) {
            return Err(self.failed(
                job,
                "no sample has a finite prediction; try another bandwidth or sigma_cut",
            ));
        }
        let directions = measure_of_direction.iter();
        let deltas = directions.clone().flat_map(|&k| &result.deltas[k]);
        let max_log_ratios = directions.flat_map(|&k| {
            let samples = result.log_ratios[k].chunks_exact(result.sigmas.len());
            samples.map(|row| row.iter().copied().fold(f32::NEG_INFINITY, f32::max))
        });
        let (k, n, d) = (
            measure_of_direction.len(),
            experiment.spec.samples.count,
            result.dim,
        );
        Ok(named([
            ("delta", vec![k, n, d], deltas.copied().collect()),
            ("max_log_ratio", vec![k, n], max_log_ratios.collect()),
        ]))
    }

    /// `delta`, `[directions, n, d]`, and `error`, the estimated relative error after each iteration for each solution.
    fn weight_sensitivity(
        &self,
        job: JobId,
        (model, passed): (JobId, &[JobId]),
        weights: &WeightsSpec,
        training: FiniteTraining,
    ) -> Result<Arrays, RetrainError> {
        let experiment = self.workspace.experiment;
        let (_, denoiser) = self.model(model)?;
        let samples = &experiment.spec.samples;
        let (damping, noise) = (weights.damping(training), experiment.training_noise()?);
        let learner = Learner {
            model: denoiser.as_ref(),
            training_set: &experiment.image_points(&experiment.images),
            noise: &noise,
            config: weights.learner(damping, samples.batch, samples.seed),
        };
        let changes = WeightChanges::new(experiment, weights);
        let passed: Vec<_> = passed
            .iter()
            .map(|&job| self.model(job))
            .collect::<Result<_, _>>()?;
        let passed = passed.iter().zip(&weights.checkpoints);
        let passed = passed.map(|((_, model), &step)| PassedWeights {
            step,
            model: model.as_ref(),
        });
        let solution = changes.solve(&learner, &passed.collect::<Vec<_>>())?;
        let errors = solution.report.errors.clone();
        let change_of_direction = changes.of_directions();
        let deltas = if weights.moves_weights() {
            self.differences(&learner, solution, &change_of_direction)?
        } else {
            let deltas = self.propagate(&learner, solution, None)?;
            let of_directions = change_of_direction.iter().map(|&k| deltas[k].clone());
            of_directions.collect()
        };
        if !deltas.iter().all(|delta| all_finite(delta)) {
            return Err(self.failed(job, "the solution diverged; try more damping"));
        }
        if weights.moves_weights() {
            self.check_moves(job, &deltas)?;
        }
        let shape = vec![deltas.len(), samples.count, denoiser.dim()];
        let iterations = errors.iter().map(Vec::len).max().unwrap_or(0);
        // A solution that is exact before the last iteration keeps its error.
        let values_of_errors = errors.iter().flat_map(|history| {
            let at = |i: usize| history.get(i).or(history.last()).copied();
            (0..iterations).map(move |i| at(i).unwrap_or(0.0) as f32)
        });
        Ok(named([
            ("delta", shape, deltas.concat()),
            (
                "error",
                vec![errors.len(), iterations],
                values_of_errors.collect(),
            ),
        ]))
    }

    /// `(x(θ + η·θ') − x(θ))/η` of all samples x for every direction, with its mass η and its change θ' relative to the mass.
    fn differences(
        &self,
        learner: &Learner<'_>,
        solution: CurvatureSolution,
        change_of_direction: &[usize],
    ) -> Result<Vec<Vec<f32>>, RetrainError> {
        let directions = self.workspace.experiment.directions.iter();
        let masses = directions.map(|direction| direction.spec.signed_mass());
        let has_own_changes = (change_of_direction.iter().copied()).eq(0..solution.solutions.k());
        let of_directions = if has_own_changes {
            solution
        } else {
            let changes = change_of_direction.iter();
            let changes = changes.map(|&k| solution.solutions.slice(k..k + 1));
            CurvatureSolution {
                solutions: ParameterTangents::concat(&changes.collect::<Vec<_>>()),
                ..solution
            }
        };
        self.propagate(learner, of_directions, Some(masses.collect()))
    }

    /// Checks that half of the samples or more move farther than they are rounded, for every direction.
    fn check_moves(&self, job: JobId, deltas: &[Vec<f32>]) -> Result<(), RetrainError> {
        let dim = self.workspace.experiment.images.shape.dim();
        for (direction, delta) in self.workspace.experiment.directions.iter().zip(deltas) {
            let mass = direction.spec.signed_mass();
            let moves = delta.chunks_exact(dim).map(norm);
            let moves: Vec<f64> = moves.map(|norm| move_of_pixels(norm, dim, mass)).collect();
            let median = median(&moves);
            if median < CLEAR_OF_ROUNDING {
                return Err(self.failed(
                    job,
                    &format!(
                        "{} moves its samples by {median:.1e} a pixel, less than what single precision resolves ({CLEAR_OF_ROUNDING:.0e}): \
                         leave out propagation = \"moved-weights\", or take a larger mass",
                        direction.spec.name()
                    ),
                ));
            }
        }
        Ok(())
    }

    /// The change of all samples by every change of the weights: δ, or the difference to the samples of the moved weights by the
    /// masses.
    fn propagate(
        &self,
        learner: &Learner<'_>,
        solution: CurvatureSolution,
        masses: Option<Vec<f64>>,
    ) -> Result<Vec<Vec<f32>>, RetrainError> {
        let experiment = self.workspace.experiment;
        let samples = &experiment.spec.samples;
        let change = WeightChange {
            solution,
            noise: None,
            masses,
        };
        let config = SensitivityConfig {
            samples: samples.count,
            batch: samples.batch,
            sampler: Sampler::Heun,
            sigmas: experiment.sigmas(samples.steps),
            seed: samples.seed,
            ..SensitivityConfig::default()
        };
        let (all, device) = (0..samples.count, &experiment.device);
        let result = learner.sensitivities_along(&change, &config, all, device, &mut |_| ())?;
        Ok(result.deltas)
    }

    /// The products of [`weight_alignment::products`].
    fn weight_alignment(
        &self,
        model: JobId,
        before: JobId,
        after: &[JobId],
        (estimator, training): (usize, FiniteTraining),
    ) -> Result<Arrays, RetrainError> {
        let experiment = self.workspace.experiment;
        let SensitivityEstimator::Weights(weights) = &experiment.spec.estimators[estimator] else {
            unreachable!("an estimator of the density has no derivative of the weights");
        };
        let load = |job: JobId| Checkpoint::load(&self.workspace.result(job));
        let (base, model) = self.own_model(model)?;
        let models = Models {
            base,
            before: load(before)?,
            after: after
                .iter()
                .map(|&job| load(job))
                .collect::<Result<_, _>>()?,
        };
        let training_set = experiment.image_points(&experiment.images);
        let noise = experiment.training_noise()?;
        let samples = &experiment.spec.samples;
        let damping = weights.damping(training);
        let learner = Learner {
            model: &model,
            training_set: &training_set,
            noise: &noise,
            config: weights.learner(damping, samples.batch, samples.seed),
        };
        let changes = WeightChanges::new(experiment, weights);
        let solutions = changes.solve(&learner, &[])?.solutions;
        // p = η·dθ/dη of every direction.
        let directions = experiment.directions.iter().zip(changes.of_directions());
        let masses: Vec<Vec<f64>> = directions
            .map(|(direction, k)| {
                let mut row = vec![0.0; solutions.k()];
                row[k] = direction.spec.signed_mass();
                row
            })
            .collect();
        let predicted = solutions.combine(&masses);
        Ok(weight_alignment::products(
            &learner,
            &models,
            &predicted,
            &experiment.device,
        )?)
    }

    /// `delta`, `[directions, n, d]`: `(1 − share)·δ₁ + share·δ₂·‖δ₁‖/‖δ₂‖`.
    fn combination(
        &self,
        job: JobId,
        predictions: [JobId; 2],
        share: f64,
    ) -> Result<Arrays, RetrainError> {
        let [first, second] = predictions;
        let mut first = self.workspace.array(first, "delta")?;
        let second = self.workspace.array(second, "delta")?;
        let d = self.workspace.experiment.images.shape.dim();
        let rows = first.values.chunks_exact_mut(d);
        for (first, second) in rows.zip(second.values.chunks_exact(d)) {
            let scale = share * norm(first) / norm(second);
            for (a, b) in first.iter_mut().zip(second) {
                *a = ((1.0 - share) * f64::from(*a) + scale * f64::from(*b)) as f32;
            }
        }
        if !first.values.chunks_exact(d).any(all_finite) {
            return Err(self.failed(job, "no sample has a finite prediction"));
        }
        Ok(named([("delta", first.shape, first.values)]))
    }

    /// `delta`, `[directions, n, d]`: the mean of δ of several predictions.
    fn average(&self, job: JobId, predictions: &[JobId]) -> Result<Arrays, RetrainError> {
        let (mut sum, mut shape) = (Vec::new(), Vec::new());
        for &prediction in predictions {
            let delta = self.workspace.array(prediction, "delta")?;
            sum.resize(delta.values.len(), 0.0);
            for (sum, value) in sum.iter_mut().zip(delta.values) {
                *sum += f64::from(value);
            }
            shape = delta.shape;
        }
        let count = predictions.len() as f64;
        let mean: Vec<f32> = sum.iter().map(|sum| (sum / count) as f32).collect();
        let d = self.workspace.experiment.images.shape.dim();
        if !mean.chunks_exact(d).any(all_finite) {
            return Err(self.failed(job, "no sample has a finite prediction"));
        }
        Ok(named([("delta", shape, mean)]))
    }

    /// `delta`, `[directions, n, d]`.
    fn baseline(
        &self,
        job: JobId,
        samples: JobId,
        baseline: usize,
    ) -> Result<Arrays, RetrainError> {
        let experiment = self.workspace.experiment;
        let samples = self.workspace.array(samples, "samples")?;
        let baseline = &experiment.spec.baselines[baseline];
        let mut values = Vec::new();
        for (k, direction) in experiment.directions.iter().enumerate() {
            let (flip, device) = (experiment.config.flip(), &experiment.device);
            let images = points(&direction.images, flip, device);
            let images: Vec<f32> = images.into_data().iter::<f32>().collect();
            values.extend(baseline.displacements(&BaselineContext {
                samples: &samples.values,
                images: &images,
                data_mean: &experiment.training_set.mean,
                seed: k as u64,
            }));
        }
        if !all_finite(&values) {
            return Err(self.failed(job, "its displacements are not finite"));
        }
        let shape = [vec![experiment.directions.len()], samples.shape].concat();
        Ok(named([("delta", shape, values)]))
    }

    /// The losses at samples and at held-out images, `[2, points]` each: means over even and over odd draws.
    fn losses(&self, job: JobId, model: JobId, samples: JobId) -> Result<Arrays, RetrainError> {
        let experiment = self.workspace.experiment;
        let targets = experiment.benchmark()?.spec.targets();
        let (_, model) = self.own_model(model)?;
        let noise = targets.loss_noise(&experiment.own_training_noise()?);
        let precondition = experiment.precondition();
        let mut arrays = Arrays::new();
        for (target, points) in [
            (
                AttributionTarget::SampleLoss,
                self.workspace.samples(samples)?,
            ),
            (
                AttributionTarget::HeldOutLoss,
                experiment.held_out_points()?,
            ),
        ] {
            let values = losses(&model, precondition, &points, target, &noise)?;
            if !all_finite(&values) {
                return Err(self.failed(
                    job,
                    "the model has diverged: its losses are not finite; try a lower learning rate",
                ));
            }
            let shape = vec![2, points.dims()[0]];
            arrays.insert(target.name().to_owned(), Array { shape, values });
        }
        Ok(arrays)
    }

    /// One array for each target and form of the scores of a method, and the `cost`.
    fn attribution(
        &self,
        job: JobId,
        model: JobId,
        samples: JobId,
        method: usize,
    ) -> Result<Arrays, RetrainError> {
        let experiment = self.workspace.experiment;
        let (checkpoint, model) = self.own_model(model)?;
        let samples = self.workspace.samples(samples)?;
        let context = experiment.attribution_context(&checkpoint, &model, samples)?;
        let method = &experiment.benchmark()?.spec.methods[method];
        let (scores, cost) = measured(|| method.attribute(&context));
        let image_count = experiment.images.len();
        let mut arrays = Arrays::new();
        for scores in scores? {
            let scores = scores.merge_mirrored(image_count);
            let shape = scores.rows.dims().to_vec();
            let name = scores.array_name();
            let values = scores.rows.into_data().iter::<f32>().collect();
            arrays.insert(name, Array { shape, values });
        }
        for (name, array) in &arrays {
            if !array.values.iter().any(|value| value.is_finite()) {
                return Err(self.failed(job, &format!("{name} has no finite score")));
            }
        }
        arrays.insert(cost::NAME.to_owned(), cost::to_array(cost));
        Ok(arrays)
    }

    /// The error of a job whose result cannot be used.
    fn failed(&self, job: JobId, message: &str) -> RetrainError {
        let job = self.workspace.plan.job(job);
        RetrainError::Experiment(format!("{} {}: {message}", job.kind, job.label))
    }
}

/// The arrays of a result file by name.
type Arrays = BTreeMap<String, Array>;

/// Arrays from names, shapes and values.
fn named<const N: usize>(arrays: [(&str, Vec<usize>, Vec<f32>); N]) -> Arrays {
    let arrays = arrays.into_iter();
    arrays
        .map(|(name, shape, values)| (name.to_owned(), Array { shape, values }))
        .collect()
}

fn norm(values: &[f32]) -> f64 {
    let squares = values.iter().map(|v| f64::from(*v).powi(2));
    squares.sum::<f64>().sqrt()
}

fn all_finite(values: &[f32]) -> bool {
    values.iter().all(|value| value.is_finite())
}

/// False if the density estimator fails at every sample.
/// Single samples may overflow; they count as failures in the evaluation.
fn every_measure_has_a_finite_sample(result: &Sensitivities) -> bool {
    let mut deltas = result.deltas.iter();
    deltas.all(|delta| delta.chunks(result.dim).any(all_finite))
}
