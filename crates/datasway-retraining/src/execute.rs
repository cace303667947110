//! What each kind of job does.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use burn::tensor::{DType, Tensor, TensorData};
use datasway_attribution::target::losses;
use datasway_attribution::{AttributionContext, AttributionTarget, Attributor, Scores};
use datasway_data::Dataset;
use datasway_diffusion::checkpoint::Checkpoint;
use datasway_diffusion::denoiser::Denoiser;
use datasway_diffusion::network::NetworkDenoiser;
use datasway_diffusion::sampler::{FrozenNoise, Sampler, sample};
use datasway_diffusion::schedule;
use datasway_fs::claim::{Claim, Holder};
use datasway_fs::process::measured;
use datasway_sensitivity::measure::{Empirical, Measure, points};
use datasway_sensitivity::sensitivities;
use datasway_training::batches::Batches;
use datasway_training::config::TrainConfig;
use datasway_training::trainer::ScoreTrainer;

use crate::RetrainError;
use crate::attribution::Benchmark;
use crate::attribution::counterfactual::{random, responsible};
use crate::baselines::Scene;
use crate::cost::to_array;
use crate::jobs::{Plan, Shown, Work};
use crate::prepared::PreparedExperiment;
use crate::store::{Array, Store, read_array, write_arrays};

/// Executes jobs.
#[derive(Clone, Copy)]
pub struct Executor<'a> {
    /// The experiment and its data.
    pub setup: &'a PreparedExperiment,
    /// Its jobs.
    pub plan: &'a Plan,
    /// Their folders.
    pub store: &'a Store,
    /// Asks for an early end.
    pub stop: &'a AtomicBool,
    /// Between two checkpoints of a training job.
    pub checkpoint_every: Duration,
}

/// How far a job is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Its result is there.
    Done,
    /// A runner holds it; the step of its last checkpoint, if there is one.
    Running(Holder, Option<u64>),
    /// Nobody holds it, and it has a checkpoint of this step to go on from.
    Stopped(u64),
    /// Not begun.
    Open,
}

impl Executor<'_> {
    /// Whether a job's result is there.
    pub fn done(&self, job: usize) -> bool {
        self.result(job).exists()
    }

    /// How far a job is.
    pub fn state(&self, job: usize) -> State {
        let folder = self.store.folder(job);
        if self.done(job) {
            return State::Done;
        }
        let checkpoint = Checkpoint::load(&folder.join("checkpoint.safetensors"));
        let step = checkpoint.ok().map(|checkpoint| checkpoint.header.step);
        match (Claim::holder(folder), step) {
            (Some(holder), step) => State::Running(holder, step),
            (None, Some(step)) => State::Stopped(step),
            (None, None) => State::Open,
        }
    }

    pub(crate) fn result(&self, job: usize) -> PathBuf {
        self.store.result(job, &self.plan.jobs[job].work)
    }

    /// Does a job whose inputs are done and whose folder is there, and says whether it came to its end: a
    /// training job asked to stop leaves a checkpoint to go on from.
    ///
    /// # Errors
    /// If a model fails or a file cannot be read or written.
    pub fn execute(&self, job: usize) -> Result<bool, RetrainError> {
        match &self.plan.jobs[job].work {
            Work::Train {
                config,
                start,
                shown,
            } => return self.train(job, config, *start, *shown),
            Work::Sample { model } => self.sample(job, *model)?,
            Work::Sensitivity { model, estimator } => self.sensitivity(job, *model, *estimator)?,
            Work::Baseline { samples, baseline } => self.baseline(job, *samples, *baseline)?,
            Work::Losses { model, samples } => self.losses(job, *model, *samples)?,
            Work::Attribution {
                model,
                samples,
                method,
            } => self.attribution(job, *model, *samples, *method)?,
        }
        Ok(true)
    }

    fn train(
        &self,
        job: usize,
        config: &TrainConfig,
        start: Option<usize>,
        shown: Shown,
    ) -> Result<bool, RetrainError> {
        let path = self.store.folder(job).join("checkpoint.safetensors");
        let (config, set) = (config.clone(), self.setup.set.clone());
        let device = &self.setup.device;
        let steps = config.steps;
        let mut trainer = match start {
            _ if path.exists() => {
                ScoreTrainer::resume(config.clone(), set, Checkpoint::load(&path)?, device)?
            }
            None => ScoreTrainer::new(config.clone(), set, device)?,
            Some(model) => {
                let model = Checkpoint::load(&self.result(model))?;
                ScoreTrainer::fine_tune(config.clone(), set, &model, device)?
            }
        };
        let batches = self.batches(shown)?;
        let (started, first, mut saved) = (Instant::now(), trainer.step(), Instant::now());
        while trainer.step() < steps && !self.stop.load(Ordering::SeqCst) {
            trainer.advance(batches.at(&config, trainer.step(), device))?;
            if saved.elapsed() >= self.checkpoint_every {
                trainer.checkpoint()?.save(&path)?;
                saved = Instant::now();
                let each = started.elapsed().as_secs_f64() / (trainer.step() - first) as f64;
                let left = each * (steps - trainer.step()) as f64 / 60.0;
                crate::progress::tell(format!(
                    "  step {} of {steps}, {left:.1} min left",
                    trainer.step()
                ));
            }
        }
        let finished = trainer.step() == steps;
        let checkpoint = trainer.checkpoint()?;
        if finished {
            checkpoint.for_sampling().save(&self.result(job))?;
            remove(&path)?;
        } else {
            checkpoint.save(&path)?;
        }
        Ok(finished)
    }

    /// The batches of a training job.
    fn batches(&self, shown: Shown) -> Result<Batches<'_>, RetrainError> {
        let setup = self.setup;
        match shown {
            Shown::All => Ok(Batches::new(&setup.images)),
            Shown::Changed(change) => setup.changed(change),
            Shown::Subset(subset) => setup.without(&setup.rest(&setup.subsets[subset])),
            Shown::WithoutGroup(group) => setup.without(&setup.groups[group]),
            Shown::Counterfactual { sample, by } => {
                let (benchmark, _) = self.benchmark()?;
                let Some(ways) = &benchmark.counterfactual else {
                    return Err(RetrainError::experiment(
                        "the benchmark has no counterfactuals",
                    ));
                };
                let images = match by {
                    Some((form, scores)) => {
                        responsible(&self.result(scores), &ways.forms[form], sample, ways.remove)?
                    }
                    None => random(benchmark.seed, sample, ways.remove, setup.images.len()),
                };
                setup.without(&images)
            }
        }
    }

    fn model(&self, job: usize) -> Result<(Checkpoint, NetworkDenoiser), RetrainError> {
        let checkpoint = Checkpoint::load(&self.result(job))?;
        let model = NetworkDenoiser::from_checkpoint(&checkpoint, &self.setup.device)?;
        Ok((checkpoint, model))
    }

    fn sample(&self, job: usize, model: usize) -> Result<(), RetrainError> {
        let (_, model) = self.model(model)?;
        let samples = &self.setup.experiment.samples;
        let (d, sigmas) = (model.dim(), schedule::edm(samples.steps));
        let mut values = Vec::with_capacity(samples.count * d);
        for first in (0..samples.count).step_by(samples.batch) {
            let n = samples.batch.min(samples.count - first);
            let noise = FrozenNoise::new(samples.seed).starting_at(first as u64);
            let start = noise.start([n, d], &self.setup.device, DType::F32);
            let drawn = sample(&model, &Sampler::Heun, &sigmas, start, &noise)?;
            values.extend(drawn.into_data().iter::<f32>());
        }
        if !values.iter().all(|value| value.is_finite()) {
            return Err(self.not_finite(
                job,
                "the model has diverged: its samples are not finite; try a lower learning rate",
            ));
        }
        let shape = vec![samples.count, d];
        self.write(job, [("samples", Array { shape, values })])
    }

    fn sensitivity(&self, job: usize, model: usize, estimator: usize) -> Result<(), RetrainError> {
        let (checkpoint, model) = self.model(model)?;
        let samples = &self.setup.experiment.samples;
        let estimator = &self.setup.experiment.estimators[estimator];
        let settings = self.setup.settings(&checkpoint, estimator)?;
        let (measures, places) = self.measures()?;
        let measures: Vec<&dyn Measure> = measures.iter().map(|m| m as &dyn Measure).collect();
        let found =
            sensitivities::compute(&model, &measures, &settings, &self.setup.device, |_| ())?;
        // Some samples may overflow and count as failures; where all do, there is no prediction.
        let finite = |delta: &[f32]| delta.iter().all(|value| value.is_finite());
        if !found
            .deltas
            .iter()
            .all(|all| all.chunks(found.dim).any(finite))
        {
            return Err(self.not_finite(
                job,
                "no sample has a finite prediction; try another bandwidth or sigma_cut",
            ));
        }
        let deltas = places.iter().flat_map(|&k| found.deltas[k].iter().copied());
        let tops = places.iter().flat_map(|&k| {
            let rows = found.log_ratios[k].chunks_exact(found.sigmas.len());
            rows.map(|row| row.iter().copied().fold(f32::NEG_INFINITY, f32::max))
        });
        let (k, n, d) = (places.len(), samples.count, found.dim);
        let delta = Array {
            shape: vec![k, n, d],
            values: deltas.collect(),
        };
        let max_log_ratio = Array {
            shape: vec![k, n],
            values: tops.collect(),
        };
        self.write(job, [("delta", delta), ("max_log_ratio", max_log_ratio)])
    }

    /// The different ν of the directions, and each direction's place among them: directions of the same images
    /// share one tangent.
    pub(crate) fn measures(&self) -> Result<(Vec<Empirical>, Vec<usize>), RetrainError> {
        let mut different: Vec<&str> = Vec::new();
        let (mut measures, mut places) = (Vec::new(), Vec::new());
        for change in &self.setup.changes {
            let fingerprint = change.images.fingerprint.as_str();
            let known = different.iter().position(|other| *other == fingerprint);
            places.push(known.unwrap_or(measures.len()));
            if known.is_none() {
                different.push(fingerprint);
                measures.push(self.setup.measure(&change.images)?);
            }
        }
        Ok((measures, places))
    }

    fn baseline(&self, job: usize, samples: usize, baseline: usize) -> Result<(), RetrainError> {
        let samples = self.array(samples, "samples")?;
        let baseline = &self.setup.experiment.baselines[baseline];
        let mut values = Vec::new();
        for (k, change) in self.setup.changes.iter().enumerate() {
            let images = points(&change.images, self.setup.config.flip, &self.setup.device);
            let images: Vec<f32> = images.into_data().iter::<f32>().collect();
            values.extend(baseline.displace(&Scene {
                samples: &samples.values,
                images: &images,
                data_mean: &self.setup.set.mean,
                seed: k as u64,
            }));
        }
        if !values.iter().all(|value| value.is_finite()) {
            return Err(self.not_finite(job, "its displacements are not finite"));
        }
        let shape = [vec![self.setup.changes.len()], samples.shape].concat();
        self.write(job, [("delta", Array { shape, values })])
    }

    fn losses(&self, job: usize, model: usize, samples: usize) -> Result<(), RetrainError> {
        let (benchmark, held_out) = self.benchmark()?;
        let (_, model) = self.model(model)?;
        let draws = benchmark.targets().loss_noise(&self.setup.config.noise);
        let samples = self.samples(samples)?;
        let held_out = points(held_out, false, &self.setup.device);
        let mut arrays = Vec::new();
        for (functional, points) in [
            (AttributionTarget::SampleLoss, samples),
            (AttributionTarget::HeldOutLoss, held_out),
        ] {
            let values = losses(
                &model,
                self.setup.precondition(),
                &points,
                functional,
                &draws,
            )?;
            if !values.iter().all(|value| value.is_finite()) {
                return Err(self.not_finite(
                    job,
                    "the model has diverged: its losses are not finite; try a lower learning rate",
                ));
            }
            let shape = vec![2, points.dims()[0]];
            arrays.push((functional.name(), Array { shape, values }));
        }
        write_arrays(
            &self.result(job),
            &arrays.into_iter().map(|(n, a)| (n.to_owned(), a)).collect(),
        )
    }

    fn attribution(
        &self,
        job: usize,
        model: usize,
        samples: usize,
        method: usize,
    ) -> Result<(), RetrainError> {
        let (benchmark, _) = self.benchmark()?;
        let (checkpoint, model) = self.model(model)?;
        let scene = self.scene(&checkpoint, &model, self.samples(samples)?)?;
        let method = &benchmark.methods[method];
        let (scores, cost) = measured(|| method.attribute(&scene));
        let scores = scores?.into_iter();
        let scores = scores.map(|scores| array_of(scores.merge_mirrored(scene.images.len())));
        let mut arrays: BTreeMap<String, Array> = scores.collect();
        for (name, array) in &arrays {
            if !array.values.iter().any(|value| value.is_finite()) {
                return Err(self.not_finite(job, &format!("{name} has no finite score")));
            }
        }
        arrays.insert("cost".to_owned(), to_array(cost));
        write_arrays(&self.result(job), &arrays)
    }

    /// What a method of attribution may look at.
    pub(crate) fn scene<'a>(
        &'a self,
        checkpoint: &'a Checkpoint,
        model: &'a NetworkDenoiser,
        samples: Tensor<2>,
    ) -> Result<AttributionContext<'a>, RetrainError> {
        let (benchmark, held_out) = self.benchmark()?;
        let setup = self.setup;
        Ok(AttributionContext {
            model,
            checkpoint,
            precondition: setup.precondition(),
            training_noise: setup.config.noise,
            images: &setup.images,
            mirrored: setup.config.flip,
            image_points: points(&setup.images, setup.config.flip, &setup.device),
            subsets: &setup.subsets,
            samples,
            sample_spec: &setup.experiment.samples,
            held_out: points(held_out, false, &setup.device),
            targets: benchmark.targets(),
            device: &setup.device,
        })
    }

    pub(crate) fn benchmark(&self) -> Result<(&Benchmark, &Dataset), RetrainError> {
        let benchmark = self.setup.experiment.attribution.as_ref();
        let both = benchmark.zip(self.setup.held_out.as_ref());
        both.ok_or_else(|| RetrainError::experiment("the experiment has no [attribution]"))
    }

    /// The samples of a sampling job, `[n, d]`.
    pub(crate) fn samples(&self, job: usize) -> Result<Tensor<2>, RetrainError> {
        let Array { shape, values } = self.array(job, "samples")?;
        let data = TensorData::new(values, shape);
        Ok(Tensor::from_data(data, &self.setup.device))
    }

    /// An array of a job's result, of the shape that the experiment gives it.
    ///
    /// # Errors
    /// If the file has no such array, or samples are not finite.
    pub(crate) fn array(&self, job: usize, name: &str) -> Result<Array, RetrainError> {
        let (setup, path) = (self.setup, self.result(job));
        let (n, d) = (setup.experiment.samples.count, setup.images.shape.dim());
        let k = setup.changes.len();
        let held_out = setup.held_out.as_ref().map_or(0, Dataset::len);
        let shape = match (&self.plan.jobs[job].work, name) {
            (Work::Sample { .. }, _) => vec![n, d],
            (Work::Losses { .. }, name) if name == AttributionTarget::HeldOutLoss.name() => {
                vec![2, held_out]
            }
            (Work::Losses { .. }, _) => vec![2, n],
            (_, "max_log_ratio") => vec![k, n],
            _ => vec![k, n, d],
        };
        let array = read_array(&path, name, &shape)?;
        if name == "samples" && !array.values.iter().all(|value| value.is_finite()) {
            let fail = RetrainError::file(
                &path,
                "cannot be used; delete it and run the experiment again",
            );
            return Err(fail("its samples are not finite"));
        }
        Ok(array)
    }

    /// The error of a job whose result is no result.
    fn not_finite(&self, job: usize, why: &str) -> RetrainError {
        let job = &self.plan.jobs[job];
        RetrainError::Experiment(format!("{} {}: {why}", job.kind, job.label))
    }

    fn write<const N: usize>(
        &self,
        job: usize,
        arrays: [(&str, Array); N],
    ) -> Result<(), RetrainError> {
        let arrays = arrays
            .into_iter()
            .map(|(name, array)| (name.to_owned(), array));
        write_arrays(&self.result(job), &BTreeMap::from_iter(arrays))
    }
}

/// Scores as a named array of a result file.
fn array_of(scores: Scores) -> (String, Array) {
    let (name, shape) = (scores.array_name(), scores.rows.dims().to_vec());
    let values = scores.rows.into_data().iter::<f32>().collect();
    (name, Array { shape, values })
}

fn remove(path: &Path) -> Result<(), RetrainError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(RetrainError::file(path, "cannot be removed")(error))
        }
        _ => Ok(()),
    }
}
