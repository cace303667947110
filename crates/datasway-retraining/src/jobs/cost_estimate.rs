//! Estimates of the time of jobs, from a short measurement of each kind of work on this machine.

use std::time::Instant;

use burn::tensor::{DType, Tensor};
use datasway_attribution::target::losses;
use datasway_attribution::{AttributionTarget, Attributor, CostScaling};
use datasway_data::PixelMoments;
use datasway_diffusion::checkpoint::Checkpoint;
use datasway_diffusion::denoiser::Denoiser;
use datasway_diffusion::learned_denoiser::LearnedDenoiser;
use datasway_diffusion::network::NetworkDenoiser;
use datasway_diffusion::sampler::{FrozenNoise, Sampler, sample};
use datasway_sensitivity::density::checkpoint_moments;
use datasway_sensitivity::learner::{Damping, Learner, LearnerConfig, PreconditionerKind};
use datasway_sensitivity::measure::{Measure, points};
use datasway_sensitivity::sensitivities;
use datasway_training::batches::Batches;
use datasway_training::trainer::ScoreTrainer;

use super::job::{JobId, Task};
use super::plan::Plan;
use super::trainer::JobTrainer;
use super::weight_changes::WeightChanges;
use crate::RetrainError;
use crate::baselines::BaselineContext;
use crate::prepared::PreparedExperiment;
use crate::spec::{SensitivityEstimator, TrainingConfig, WeightsSpec};

/// Training steps that are timed, after one that is not.
const TIMED_STEPS: u64 = 3;

/// Sampler steps that are timed: three evaluations of the network.
const TIMED_SAMPLER_STEPS: usize = 2;

/// Samples for which a baseline is timed.
const TIMED_BASELINE_SAMPLES: usize = 16;

/// Points or images for which an attribution method is timed.
const TIMED_POINTS: usize = 8;

/// Estimates the wall time in seconds of every job of a plan, done or not.
///
/// # Errors
/// If a model cannot be trained or sampled.
pub fn estimate_seconds(
    experiment: &PreparedExperiment,
    plan: &Plan,
) -> Result<Vec<f64>, RetrainError> {
    let mut estimator = CostEstimator {
        experiment,
        plan,
        measured: Vec::new(),
    };
    let jobs = plan.jobs.iter();
    jobs.map(|job| estimator.seconds(&job.task)).collect()
}

/// Work that is measured once, and that jobs consist of.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Work<'a> {
    /// One training step.
    TrainingStep(&'a TrainingConfig),
    /// One batch of samples with few sampler steps.
    Samples(&'a TrainingConfig),
    /// One batch of sensitivities with few sampler steps; a whole job through the weights.
    Sensitivity {
        estimator: usize,
        config: &'a TrainingConfig,
    },
    /// A whole job.
    Baseline(usize),
    /// A whole job.
    Losses(&'a TrainingConfig),
    /// A whole job.
    Attribution {
        method: usize,
        config: &'a TrainingConfig,
    },
}

impl Work<'_> {
    /// True if two pieces of work take the same time.
    fn costs_the_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::TrainingStep(a), Self::TrainingStep(b)) => {
                a.batch() == b.batch() && a.has_network_of(b)
            }
            (Self::Samples(a), Self::Samples(b)) | (Self::Losses(a), Self::Losses(b)) => {
                a.has_network_of(b)
            }
            (
                Self::Sensitivity {
                    estimator: i,
                    config: a,
                },
                Self::Sensitivity {
                    estimator: j,
                    config: b,
                },
            ) => i == j && a.has_network_of(b),
            (Self::Baseline(a), Self::Baseline(b)) => a == b,
            (Self::Attribution { method: a, .. }, Self::Attribution { method: b, .. }) => a == b,
            _ => false,
        }
    }
}

struct CostEstimator<'a> {
    experiment: &'a PreparedExperiment,
    plan: &'a Plan,
    /// Seconds of each piece of work that was measured.
    measured: Vec<(Work<'a>, f64)>,
}

impl<'a> CostEstimator<'a> {
    /// Seconds of a task.
    fn seconds(&mut self, task: &'a Task) -> Result<f64, RetrainError> {
        let samples = &self.experiment.spec.samples;
        let scale = evaluations(samples.steps) / evaluations(TIMED_SAMPLER_STEPS)
            * samples.count as f64
            / samples.batch.min(samples.count) as f64;
        match task {
            Task::Given => Ok(0.0),
            Task::Train { config, steps, .. } => {
                let seconds_per_step = self.measure(Work::TrainingStep(config))?;
                Ok(seconds_per_step * *steps as f64)
            }
            Task::Sample { model } => {
                let config = self.training_config(*model);
                Ok(scale * self.measure(Work::Samples(config))?)
            }
            Task::Sensitivity {
                model, estimator, ..
            } => {
                let (estimator, config) = (*estimator, self.training_config(*model));
                let seconds = self.measure(Work::Sensitivity { estimator, config })?;
                let estimator = &self.experiment.spec.estimators[estimator];
                // A job through the weights is measured as a whole.
                let is_batch = estimator.density().is_some();
                Ok(if is_batch { scale * seconds } else { seconds })
            }
            // The products of the comparison take about as long as the samples of the estimator.
            Task::WeightAlignment {
                model, estimator, ..
            } => {
                let (estimator, config) = (*estimator, self.training_config(*model));
                self.measure(Work::Sensitivity { estimator, config })
            }
            Task::Combination { .. } | Task::Average { .. } => Ok(0.0),
            Task::Baseline { baseline, .. } => self.measure(Work::Baseline(*baseline)),
            Task::Losses { model, .. } => self.measure(Work::Losses(self.training_config(*model))),
            Task::Attribution { model, method, .. } => {
                let (method, config) = (*method, self.training_config(*model));
                self.measure(Work::Attribution { method, config })
            }
        }
    }

    /// Seconds of a piece of work, measured unless the same was measured before.
    fn measure(&mut self, work: Work<'a>) -> Result<f64, RetrainError> {
        let mut measured = self.measured.iter();
        if let Some((_, seconds)) = measured.find(|(other, _)| other.costs_the_same(&work)) {
            return Ok(*seconds);
        }
        let experiment = self.experiment;
        let seconds = match work {
            Work::TrainingStep(config) => time_training_step(experiment, config)?,
            Work::Samples(config) => time_samples(experiment, config)?,
            Work::Sensitivity { estimator, config } => {
                time_sensitivity(experiment, config, estimator)?
            }
            Work::Baseline(baseline) => time_baseline(experiment, baseline),
            Work::Losses(config) => time_losses(experiment, config)?,
            Work::Attribution { method, config } => time_attribution(experiment, config, method)?,
        };
        self.measured.push((work, seconds));
        Ok(seconds)
    }

    /// Training configuration of a model.
    fn training_config(&self, model: JobId) -> &'a TrainingConfig {
        match &self.plan.job(model).task {
            Task::Given => &self.experiment.config,
            Task::Train { config, .. } => config,
            other => unreachable!("samples are drawn from models, not from {other:?}"),
        }
    }
}

/// Evaluations of the network in Heun's method: two in each step, but one in the last.
fn evaluations(steps: usize) -> f64 {
    (2 * steps - 1) as f64
}

fn time_training_step(
    experiment: &PreparedExperiment,
    config: &TrainingConfig,
) -> Result<f64, RetrainError> {
    let mut trainer = JobTrainer::untrained(experiment, config)?;
    let batches = Batches::new(&experiment.images);
    let mut started = Instant::now();
    for step in 0..=TIMED_STEPS {
        trainer.advance(batches.at(config.draws(), step, &experiment.device))?;
        if step == 0 {
            started = Instant::now();
        }
    }
    Ok(started.elapsed().as_secs_f64() / TIMED_STEPS as f64)
}

/// The moments of the data, and a model: the given one, or an untrained one.
fn model(
    experiment: &PreparedExperiment,
    config: &TrainingConfig,
) -> Result<(PixelMoments, Box<dyn LearnedDenoiser>), RetrainError> {
    if let Some(given) = &experiment.given {
        let moments = PixelMoments::of(&experiment.images, experiment.config.flip());
        return Ok((moments, given.denoiser()));
    }
    let (checkpoint, model) = untrained_model(experiment, config)?;
    Ok((checkpoint_moments(&checkpoint), Box::new(model)))
}

/// An untrained network of Datasway with its checkpoint.
fn untrained_model(
    experiment: &PreparedExperiment,
    config: &TrainingConfig,
) -> Result<(Checkpoint, NetworkDenoiser), RetrainError> {
    let own = config.own();
    let own = own.ok_or_else(|| RetrainError::experiment("a given model has no checkpoint"))?;
    let training_set = experiment.training_set.clone();
    let trainer = ScoreTrainer::new(own.clone(), training_set, &experiment.device)?;
    let checkpoint = trainer.checkpoint()?;
    let model = NetworkDenoiser::from_checkpoint(&checkpoint, &experiment.device)?;
    Ok((checkpoint, model))
}

/// Seconds of one batch.
fn time_samples(
    experiment: &PreparedExperiment,
    config: &TrainingConfig,
) -> Result<f64, RetrainError> {
    let (_, model) = model(experiment, config)?;
    let samples = &experiment.spec.samples;
    let noise = FrozenNoise::new(samples.seed);
    let shape = [samples.batch.min(samples.count), model.dim()];
    let start = noise.start(shape, &experiment.device, DType::F32);
    let sigmas = experiment.sigmas(TIMED_SAMPLER_STEPS);
    let started = Instant::now();
    let batch = sample(model.as_ref(), &Sampler::Heun, &sigmas, start, &noise)?;
    drop(batch.into_data());
    Ok(started.elapsed().as_secs_f64())
}

/// Seconds of one batch.
fn time_sensitivity(
    experiment: &PreparedExperiment,
    config: &TrainingConfig,
    estimator: usize,
) -> Result<f64, RetrainError> {
    let (moments, model) = model(experiment, config)?;
    let estimator = match &experiment.spec.estimators[estimator] {
        SensitivityEstimator::Density(estimator) => estimator,
        SensitivityEstimator::Weights(weights) => {
            let damping = weights.damping(config.finite_training());
            return time_weights(experiment, model.as_ref(), weights, damping);
        }
        SensitivityEstimator::Combination(_) | SensitivityEstimator::Average(_) => return Ok(0.0),
    };
    let mut config = experiment.sensitivity_config(&moments, estimator)?;
    config.samples = config.batch.min(config.samples);
    config.sigmas = experiment.sigmas(TIMED_SAMPLER_STEPS);
    let measures = experiment.measures()?.0;
    let measures: Vec<&dyn Measure> = measures.iter().map(|m| m as &dyn Measure).collect();
    let started = Instant::now();
    sensitivities::compute(
        model.as_ref(),
        &measures,
        &config,
        &experiment.device,
        |_| (),
    )?;
    Ok(started.elapsed().as_secs_f64())
}

/// Seconds of a whole job, extrapolated from one batch of draws.
fn time_weights(
    experiment: &PreparedExperiment,
    model: &dyn LearnedDenoiser,
    weights: &WeightsSpec,
    damping: Damping,
) -> Result<f64, RetrainError> {
    let samples = &experiment.spec.samples;
    let changes = WeightChanges::new(experiment, weights);
    let training_set = experiment.image_points(&experiment.images);
    let noise = experiment.training_noise()?;
    let config = weights.learner(damping, samples.batch, samples.seed);
    let learner = Learner {
        model,
        training_set: &training_set,
        noise: &noise,
        config: LearnerConfig {
            curvature_draws: samples.batch,
            gradient_draws: samples.batch,
            iterations: 1,
            linearizations: 1,
            damping: LearnerConfig::default().damping,
            preconditioner: PreconditionerKind::None,
            ..config
        },
    };
    let (timed, whole) = (learner, Learner { config, ..learner });
    let work = changes.work(&whole, weights.checkpoints.len()) as f64;
    let halved = changes.halved();
    let started = Instant::now();
    let solutions = halved.solve(&timed, &[])?.solutions;
    let seconds = started.elapsed().as_secs_f64() / halved.work(&timed, 0) as f64;
    let sampling = (solutions.k() * samples.count) as f64 * evaluations(samples.steps);
    Ok(seconds * (work + sampling))
}

/// Seconds of a whole job, extrapolated from one draw of noise.
fn time_losses(
    experiment: &PreparedExperiment,
    config: &TrainingConfig,
) -> Result<f64, RetrainError> {
    let (checkpoint, model) = untrained_model(experiment, config)?;
    let stand_ins = stand_ins(experiment);
    let context = experiment.attribution_context(&checkpoint, &model, stand_ins)?;
    let points = Tensor::cat(vec![context.samples.clone(), context.held_out.clone()], 0);
    let noise = context.loss_noise();
    let (precondition, first) = (experiment.precondition(), noise.first());
    let target = AttributionTarget::SampleLoss;
    let started = Instant::now();
    losses(&model, precondition, &points, target, &first)?;
    Ok(started.elapsed().as_secs_f64() * noise.sigmas.len() as f64)
}

/// Seconds of a whole job, extrapolated from few points to attribute or few training images.
/// Time that grows with neither is counted too often.
fn time_attribution(
    experiment: &PreparedExperiment,
    config: &TrainingConfig,
    method: usize,
) -> Result<f64, RetrainError> {
    let method = &experiment.benchmark()?.spec.methods[method];
    let (checkpoint, model) = untrained_model(experiment, config)?;
    let stand_ins = stand_ins(experiment);
    let mut context = experiment.attribution_context(&checkpoint, &model, stand_ins)?;
    if let Some(seconds) = method.estimated_seconds(&context)? {
        return Ok(seconds);
    }
    let first_points = |points: &Tensor<2>| {
        let count = points.dims()[0].min(TIMED_POINTS);
        points.clone().slice_dim(0, 0..count)
    };
    let count = match method.cost_scaling() {
        CostScaling::AttributedPoints => context.samples.dims()[0].max(context.held_out.dims()[0]),
        CostScaling::TrainingImages => {
            let [m, _] = context.image_points.dims();
            context.image_points = first_points(&context.image_points);
            m
        }
    };
    context.samples = first_points(&context.samples);
    context.held_out = first_points(&context.held_out);
    let started = Instant::now();
    method.attribute(&context)?;
    let scale = count as f64 / count.min(TIMED_POINTS) as f64;
    Ok(started.elapsed().as_secs_f64() * scale)
}

/// Training images in place of samples, which may not have been drawn yet.
fn stand_ins(experiment: &PreparedExperiment) -> Tensor<2> {
    let images = points(&experiment.images, false, &experiment.device);
    let count = experiment.spec.samples.count.min(images.dims()[0]);
    images.slice_dim(0, 0..count)
}

/// Seconds of a whole job, extrapolated from few samples and the images of the first direction.
fn time_baseline(experiment: &PreparedExperiment, baseline: usize) -> f64 {
    let count = experiment.spec.samples.count;
    let timed_count = TIMED_BASELINE_SAMPLES.min(count);
    let data_mean = &experiment.training_set.mean;
    let samples = data_mean.repeat(timed_count);
    let image_counts: Vec<usize> = experiment
        .directions
        .iter()
        .map(|direction| direction.images.len())
        .collect();
    let mut images = Vec::new();
    let first: Vec<usize> = (0..image_counts[0]).collect();
    experiment.directions[0].images.fill(&first, &mut images);
    let started = Instant::now();
    experiment.spec.baselines[baseline].displacements(&BaselineContext {
        samples: &samples,
        images: &images,
        data_mean,
        seed: 0,
    });
    let mirroring = if experiment.config.flip() { 2.0 } else { 1.0 };
    let images_ratio =
        image_counts.iter().sum::<usize>() as f64 * mirroring / image_counts[0] as f64;
    started.elapsed().as_secs_f64() * images_ratio * count as f64 / timed_count as f64
}
