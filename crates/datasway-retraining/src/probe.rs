//! What jobs will cost, from a short measurement of each kind of work on this machine.

use std::collections::HashMap;
use std::time::Instant;

use burn::tensor::{DType, Tensor};
use datasway_attribution::target::losses;
use datasway_attribution::{AttributionTarget, Attributor, CostScaling, Method};
use datasway_diffusion::denoiser::Denoiser;
use datasway_diffusion::network::NetworkDenoiser;
use datasway_diffusion::sampler::{FrozenNoise, Sampler, sample};
use datasway_diffusion::schedule;
use datasway_sensitivity::measure::{Measure, points};
use datasway_sensitivity::sensitivities;
use datasway_training::batches::Batches;
use datasway_training::config::TrainConfig;
use datasway_training::trainer::ScoreTrainer;

use crate::RetrainError;
use crate::baselines::Scene;
use crate::execute::Executor;
use crate::jobs::Work;

/// Training steps that are timed, after one that is not.
const STEPS: u64 = 3;

/// Sampler steps that are timed: three evaluations of the network.
const SAMPLER_STEPS: usize = 2;

/// Samples that a baseline is timed on.
const BASELINE_SAMPLES: usize = 16;

/// Points or images that a method of attribution is timed on.
const ATTRIBUTED: usize = 8;

/// Seconds of every job, done or not.
///
/// # Errors
/// If a model cannot be trained or sampled.
pub fn estimate(executor: &Executor<'_>) -> Result<Vec<f64>, RetrainError> {
    let mut probe = Probe {
        executor,
        known: HashMap::new(),
    };
    let jobs = executor.plan.jobs.iter();
    jobs.map(|job| probe.job(&job.work)).collect()
}

struct Probe<'a> {
    executor: &'a Executor<'a>,
    /// Seconds of one unit of each kind of work.
    known: HashMap<String, f64>,
}

impl Probe<'_> {
    fn job(&mut self, work: &Work) -> Result<f64, RetrainError> {
        let executor = self.executor;
        let samples = &executor.setup.experiment.samples;
        // Heun evaluates twice a step, but once in the last.
        let evaluations = |steps: usize| (2 * steps - 1) as f64;
        let scale = evaluations(samples.steps) / evaluations(SAMPLER_STEPS) * samples.count as f64
            / samples.batch.min(samples.count) as f64;
        match work {
            Work::Train { config, .. } => {
                let name = format!("step {} {:?}", config.batch, config.network);
                let step = self.once(name, || step(executor, config))?;
                Ok(step * config.steps as f64)
            }
            Work::Sample { model } => {
                let config = config(executor, *model);
                let name = format!("sample {:?}", config.network);
                Ok(scale * self.once(name, || samples_of(executor, config))?)
            }
            Work::Sensitivity { model, estimator } => {
                let config = config(executor, *model);
                let name = format!("sensitivity {estimator} {:?}", config.network);
                Ok(scale * self.once(name, || sensitivity(executor, config, *estimator))?)
            }
            Work::Baseline {
                baseline: which, ..
            } => {
                let name = format!("baseline {which}");
                self.once(name, || Ok(baseline(executor, *which)))
            }
            Work::Losses { model, .. } => {
                let config = config(executor, *model);
                let name = format!("losses {:?}", config.network);
                self.once(name, || losses_of(executor, config))
            }
            Work::Attribution { model, method, .. } => {
                let config = config(executor, *model);
                let name = format!("attribution {method}");
                let method = &executor.benchmark()?.0.methods[*method];
                self.once(name, || attribution(executor, config, method))
            }
        }
    }

    fn once(
        &mut self,
        name: String,
        measure: impl FnOnce() -> Result<f64, RetrainError>,
    ) -> Result<f64, RetrainError> {
        if let Some(seconds) = self.known.get(&name) {
            return Ok(*seconds);
        }
        let seconds = measure()?;
        self.known.insert(name, seconds);
        Ok(seconds)
    }
}

/// How a model is trained.
fn config<'a>(executor: &Executor<'a>, model: usize) -> &'a TrainConfig {
    match &executor.plan.jobs[model].work {
        Work::Train { config, .. } => config,
        other => unreachable!("samples are drawn from models, not from {other:?}"),
    }
}

fn step(executor: &Executor<'_>, config: &TrainConfig) -> Result<f64, RetrainError> {
    let mut trainer = trainer(executor, config)?;
    let batches = Batches::new(&executor.setup.images);
    let mut started = Instant::now();
    for step in 0..=STEPS {
        trainer.advance(batches.at(config, step, &executor.setup.device))?;
        if step == 0 {
            started = Instant::now();
        }
    }
    Ok(started.elapsed().as_secs_f64() / STEPS as f64)
}

fn trainer(executor: &Executor<'_>, config: &TrainConfig) -> Result<ScoreTrainer, RetrainError> {
    let setup = executor.setup;
    Ok(ScoreTrainer::new(
        config.clone(),
        setup.set.clone(),
        &setup.device,
    )?)
}

/// One batch.
fn samples_of(executor: &Executor<'_>, config: &TrainConfig) -> Result<f64, RetrainError> {
    let trainer = trainer(executor, config)?;
    let model = NetworkDenoiser::new(
        trainer.average().clone(),
        config.network.clone(),
        trainer.precondition(),
    );
    let samples = &executor.setup.experiment.samples;
    let noise = FrozenNoise::new(samples.seed);
    let shape = [samples.batch.min(samples.count), model.dim()];
    let start = noise.start(shape, &executor.setup.device, DType::F32);
    let started = Instant::now();
    let drawn = sample(
        &model,
        &Sampler::Heun,
        &schedule::edm(SAMPLER_STEPS),
        start,
        &noise,
    )?;
    drop(drawn.into_data());
    Ok(started.elapsed().as_secs_f64())
}

/// One batch.
fn sensitivity(
    executor: &Executor<'_>,
    config: &TrainConfig,
    estimator: usize,
) -> Result<f64, RetrainError> {
    let checkpoint = trainer(executor, config)?.checkpoint()?;
    let model = NetworkDenoiser::from_checkpoint(&checkpoint, &executor.setup.device)?;
    let estimator = &executor.setup.experiment.estimators[estimator];
    let mut settings = executor.setup.settings(&checkpoint, estimator)?;
    settings.samples = settings.batch.min(settings.samples);
    settings.sigmas = schedule::edm(SAMPLER_STEPS);
    let measures = executor.measures()?.0;
    let measures: Vec<&dyn Measure> = measures.iter().map(|m| m as &dyn Measure).collect();
    let started = Instant::now();
    sensitivities::compute(&model, &measures, &settings, &executor.setup.device, |_| ())?;
    Ok(started.elapsed().as_secs_f64())
}

/// The whole job, from one draw.
fn losses_of(executor: &Executor<'_>, config: &TrainConfig) -> Result<f64, RetrainError> {
    let checkpoint = trainer(executor, config)?.checkpoint()?;
    let setup = executor.setup;
    let model = NetworkDenoiser::from_checkpoint(&checkpoint, &setup.device)?;
    let scene = executor.scene(&checkpoint, &model, stand_ins(executor))?;
    let points = Tensor::cat(vec![scene.samples.clone(), scene.held_out.clone()], 0);
    let draws = scene.loss_noise();
    let one = draws.first();
    let started = Instant::now();
    losses(
        &model,
        setup.precondition(),
        &points,
        AttributionTarget::SampleLoss,
        &one,
    )?;
    Ok(started.elapsed().as_secs_f64() * draws.sigmas.len() as f64)
}

/// The whole job, from few points to attribute and few training images; what grows with neither is counted too often.
fn attribution(
    executor: &Executor<'_>,
    config: &TrainConfig,
    method: &Method,
) -> Result<f64, RetrainError> {
    let checkpoint = trainer(executor, config)?.checkpoint()?;
    let model = NetworkDenoiser::from_checkpoint(&checkpoint, &executor.setup.device)?;
    let mut scene = executor.scene(&checkpoint, &model, stand_ins(executor))?;
    let few = |points: &Tensor<2>| {
        let few = points.dims()[0].min(ATTRIBUTED);
        points.clone().slice_dim(0, 0..few)
    };
    let points = scene.samples.dims()[0].max(scene.held_out.dims()[0]);
    let scale = match method.cost_scaling() {
        CostScaling::AttributedPoints => {
            scene.samples = few(&scene.samples);
            scene.held_out = few(&scene.held_out);
            points as f64 / points.min(ATTRIBUTED) as f64
        }
        CostScaling::TrainingImages => {
            let [m, _] = scene.image_points.dims();
            scene.samples = few(&scene.samples);
            scene.held_out = few(&scene.held_out);
            scene.image_points = few(&scene.image_points);
            m as f64 / m.min(ATTRIBUTED) as f64
        }
    };
    let started = Instant::now();
    method.attribute(&scene)?;
    Ok(started.elapsed().as_secs_f64() * scale)
}

/// Training images in the place of samples that are not there yet.
fn stand_ins(executor: &Executor<'_>) -> Tensor<2> {
    let setup = executor.setup;
    let images = points(&setup.images, false, &setup.device);
    let count = setup.experiment.samples.count.min(images.dims()[0]);
    images.slice_dim(0, 0..count)
}

/// The whole job.
fn baseline(executor: &Executor<'_>, which: usize) -> f64 {
    let setup = executor.setup;
    let count = setup.experiment.samples.count;
    let few = BASELINE_SAMPLES.min(count);
    let samples = setup.set.mean.repeat(few);
    let images: Vec<usize> = setup
        .changes
        .iter()
        .map(|change| change.images.len())
        .collect();
    let mut pixels = Vec::new();
    let first: Vec<usize> = (0..images[0]).collect();
    setup.changes[0].images.fill(&first, &mut pixels);
    let started = Instant::now();
    setup.experiment.baselines[which].displace(&Scene {
        samples: &samples,
        images: &pixels,
        data_mean: &setup.set.mean,
        seed: 0,
    });
    let mirrored = if setup.config.flip { 2.0 } else { 1.0 };
    let all = images.iter().sum::<usize>() as f64 * mirrored / images[0] as f64;
    started.elapsed().as_secs_f64() * all * count as f64 / few as f64
}
