//! Expands an experiment into its plan.

use std::collections::HashMap;

use datasway_attribution::Attributor;
use datasway_sensitivity::density::{AUTO_BANDWIDTH_REVISION, Bandwidth, EstimatorSpec};
use datasway_training::config::TrainConfig;
use serde_json::{Value, json};

use super::job::{Job, JobId, JobKind, Task, TrainingData};
use super::key::key;
use super::plan::{AttributionJobs, ModelOutputs, Plan, RemovalJobs, Replicate};
use crate::RetrainError;
use crate::prepared::{PreparedExperiment, ResolvedBenchmark};
use crate::spec::{Variant, VariantKind, subsets};

/// Offset of the seed of fine-tuning, which keeps its batches and noise apart from those of the base model.
const FINE_TUNING_SEED_OFFSET: u64 = 1 << 32;

/// The jobs of an experiment.
///
/// # Errors
/// If the training configuration of a variant is invalid.
pub fn plan(experiment: &PreparedExperiment) -> Result<Plan, RetrainError> {
    let mut planner = Planner {
        experiment,
        jobs: Vec::new(),
        id_of_key: HashMap::new(),
    };
    let mut replicates = Vec::new();
    for variant in 0..experiment.spec.variants.len() {
        for &seed in &experiment.spec.seeds {
            replicates.push(planner.replicate(variant, seed)?);
        }
    }
    let benchmark = experiment.benchmark.as_ref();
    let attribution = benchmark
        .map(|benchmark| BenchmarkPlanner::new(&mut planner, benchmark)?.plan())
        .transpose()?;
    Ok(Plan {
        jobs: planner.jobs,
        replicates,
        attribution,
    })
}

/// The training of one model but for its data.
#[derive(Clone)]
struct Training {
    /// Seed of the experiment, for labels.
    seed: u64,
    config: TrainConfig,
    /// The model to start from; random weights if none.
    start: Option<JobId>,
}

struct Planner<'a> {
    experiment: &'a PreparedExperiment,
    jobs: Vec<Job>,
    id_of_key: HashMap<String, JobId>,
}

impl Planner<'_> {
    /// The jobs of one variant with one seed.
    fn replicate(&mut self, variant_index: usize, seed: u64) -> Result<Replicate, RetrainError> {
        let experiment = &self.experiment.spec;
        let variant = &experiment.variants[variant_index];
        let changed = variant.configuration(&self.experiment.config)?;
        // Retraining with its own configuration has its own base model.
        let base_config = match variant.kind {
            VariantKind::Retrain => &changed,
            VariantKind::FineTune => &self.experiment.config,
        };
        let base_training = Training::from_scratch(base_config, seed);
        let base_model = self.train(JobKind::Base, &base_training, TrainingData::All);
        let base = self.sample(base_model);
        let (kind, training, before) = match variant.kind {
            VariantKind::Retrain => (JobKind::Retrain, base_training, base),
            VariantKind::FineTune => {
                let kind = JobKind::FineTune;
                let training = Training::fine_tuning(&changed, seed, base_model);
                let unchanged = self.train(kind, &training, TrainingData::All);
                (kind, training, self.sample(unchanged))
            }
        };
        let after = (0..experiment.directions.len())
            .map(|direction| {
                let model = self.train(kind, &training, TrainingData::Perturbed(direction));
                self.sample(model)
            })
            .collect();
        let sensitivities = (0..experiment.estimators.len())
            .map(|estimator| self.sensitivity(base_model, seed, estimator))
            .collect();
        let baselines = (0..experiment.baselines.len())
            .map(|baseline| self.baseline(base, seed, baseline))
            .collect();
        Ok(Replicate {
            variant: variant_index,
            seed,
            base,
            before,
            after,
            sensitivities,
            baselines,
        })
    }

    fn train(&mut self, kind: JobKind, training: &Training, data: TrainingData) -> JobId {
        let description = data.description(self.experiment, training.start.is_some());
        let settings = json!({
            "config": training.config,
            "data": self.experiment.images.fingerprint,
            "change": data.settings(self.experiment),
        });
        let scores = match data {
            TrainingData::WithoutResponsible { scores, .. } => Some(scores),
            _ => None,
        };
        let label = format!("s{} {description}", training.seed);
        let inputs = training.start.into_iter().chain(scores).collect();
        let task = Task::Train {
            config: Box::new(training.config.clone()),
            start: training.start,
            data,
        };
        self.add(kind, label, settings, inputs, task)
    }

    fn sample(&mut self, model: JobId) -> JobId {
        let label = self.label_of_model(model);
        let settings = json!({ "samples": self.experiment.spec.samples });
        let task = Task::Sample { model };
        self.add(JobKind::Samples, label, settings, vec![model], task)
    }

    fn sensitivity(&mut self, model: JobId, seed: u64, estimator: usize) -> JobId {
        let experiment = &self.experiment.spec;
        let options = &experiment.estimators[estimator];
        let mut settings = json!({
            "samples": experiment.samples,
            "estimator": options.unnamed(),
            "data": self.experiment.images.fingerprint,
            "directions": self.direction_fingerprints(),
        });
        add_bandwidth_revision(&mut settings, Some(options));
        let label = format!("s{seed} {}", options.label());
        let task = Task::Sensitivity { model, estimator };
        self.add(JobKind::Sensitivity, label, settings, vec![model], task)
    }

    fn baseline(&mut self, samples: JobId, seed: u64, baseline: usize) -> JobId {
        let options = &self.experiment.spec.baselines[baseline];
        let settings = json!({
            "baseline": options,
            "data": self.experiment.images.fingerprint,
            "directions": self.direction_fingerprints(),
        });
        let label = format!("s{seed} {}", options.name());
        let task = Task::Baseline { samples, baseline };
        self.add(JobKind::Baseline, label, settings, vec![samples], task)
    }

    /// Fingerprints of the images of each direction, in order.
    fn direction_fingerprints(&self) -> Vec<&str> {
        let directions = self.experiment.directions.iter();
        directions
            .map(|direction| direction.images.fingerprint.as_str())
            .collect()
    }

    /// Label of a job that has a model as its subject.
    fn label_of_model(&self, model: JobId) -> String {
        let Job { kind, label, .. } = &self.jobs[model.0];
        format!("{kind} {label}")
    }

    /// Adds a job, unless one with the same key exists, and returns its id.
    fn add(
        &mut self,
        kind: JobKind,
        label: String,
        settings: Value,
        inputs: Vec<JobId>,
        task: Task,
    ) -> JobId {
        let input_keys: Vec<&str> = inputs
            .iter()
            .map(|&i| self.jobs[i.0].key.as_str())
            .collect();
        let key = key(kind, &settings, &input_keys);
        let new = JobId(self.jobs.len());
        let id = *self.id_of_key.entry(key.clone()).or_insert(new);
        if id == new {
            self.jobs.push(Job {
                kind,
                label: label.trim_end().to_owned(),
                key,
                settings,
                inputs,
                task,
            });
        }
        id
    }
}

/// Plans the jobs of an attribution benchmark.
struct BenchmarkPlanner<'p, 'a> {
    planner: &'p mut Planner<'a>,
    benchmark: &'a ResolvedBenchmark,
    /// Training configuration of the models of subsets and groups, but for the seed.
    config: TrainConfig,
    /// The model that is attributed: the base model of the first seed.
    model: JobId,
    /// The samples of that model.
    samples: JobId,
}

impl<'p, 'a> BenchmarkPlanner<'p, 'a> {
    fn new(
        planner: &'p mut Planner<'a>,
        benchmark: &'a ResolvedBenchmark,
    ) -> Result<Self, RetrainError> {
        let base_config = &planner.experiment.config;
        let config = benchmark.spec.variant.configuration(base_config)?;
        let base_training = Training::from_scratch(base_config, planner.experiment.spec.seeds[0]);
        let model = planner.train(JobKind::Base, &base_training, TrainingData::All);
        let samples = planner.sample(model);
        Ok(Self {
            planner,
            benchmark,
            config,
            model,
            samples,
        })
    }

    fn plan(mut self) -> Result<AttributionJobs, RetrainError> {
        let (mut subsets, mut groups) = (Vec::new(), Vec::new());
        // All models of the first seed come before those of the next, so that they can be evaluated early.
        for &seed in &self.planner.experiment.spec.seeds {
            let training = self.training(seed);
            let data = (0..self.benchmark.subsets.len()).map(TrainingData::Subset);
            subsets.push(self.models(JobKind::Subset, &training, data));
            let data = (0..self.benchmark.groups.len()).map(TrainingData::WithoutGroup);
            groups.push(self.models(JobKind::Without, &training, data));
        }
        let methods: Vec<JobId> = (0..self.benchmark.spec.methods.len())
            .map(|method| self.scores(method))
            .collect();
        let counterfactual = self.benchmark.spec.counterfactual.as_ref();
        let removal = counterfactual.map(|spec| self.removals(spec.samples, &methods));
        Ok(AttributionJobs {
            samples: self.samples,
            subsets,
            groups,
            methods,
            removal,
        })
    }

    /// The training of the models of one seed.
    fn training(&self, seed: u64) -> Training {
        let Variant { kind, .. } = self.benchmark.spec.variant;
        match kind {
            VariantKind::Retrain => Training::from_scratch(&self.config, seed),
            VariantKind::FineTune => Training::fine_tuning(&self.config, seed, self.model),
        }
    }

    /// One model for each item of `data`, with its samples and losses.
    fn models(
        &mut self,
        kind: JobKind,
        training: &Training,
        data: impl Iterator<Item = TrainingData>,
    ) -> Vec<ModelOutputs> {
        data.map(|data| {
            let model = self.planner.train(kind, training, data);
            ModelOutputs {
                samples: self.planner.sample(model),
                losses: self.losses(model),
            }
        })
        .collect()
    }

    fn losses(&mut self, model: JobId) -> JobId {
        let label = self.planner.label_of_model(model);
        let settings = json!({
            "draws": self.benchmark.spec.draws,
            "seed": self.benchmark.spec.seed,
            "held_out": self.benchmark.held_out.fingerprint,
        });
        let samples = self.samples;
        let (inputs, task) = (vec![model, samples], Task::Losses { model, samples });
        self.planner
            .add(JobKind::Losses, label, settings, inputs, task)
    }

    /// The scores of a method.
    fn scores(&mut self, method: usize) -> JobId {
        let (spec, experiment) = (&self.benchmark.spec, self.planner.experiment);
        let options = &spec.methods[method];
        let subsets: Vec<String> = if options.needs_subsets() {
            let subsets = self.benchmark.subsets.iter();
            subsets.map(|s| subsets::fingerprint(s)).collect()
        } else {
            Vec::new()
        };
        let mut settings = json!({
            "method": options,
            "functionals": spec.functionals,
            "draws": spec.draws,
            "seed": spec.seed,
            "samples": experiment.spec.samples,
            "data": experiment.images.fingerprint,
            "held_out": self.benchmark.held_out.fingerprint,
            "subsets": subsets,
        });
        add_bandwidth_revision(&mut settings, options.estimator());
        let (model, samples) = (self.model, self.samples);
        let task = Task::Attribution {
            model,
            samples,
            method,
        };
        let (label, inputs) = (options.name(), vec![model, samples]);
        self.planner
            .add(JobKind::Attribution, label, settings, inputs, task)
    }

    /// Counterfactual models of the first seed, and the model of all images that they are compared with.
    fn removals(&mut self, sample_count: usize, methods: &[JobId]) -> RemovalJobs {
        let training = self.training(self.planner.experiment.spec.seeds[0]);
        let kind = match training.start {
            None => JobKind::Base,
            Some(_) => JobKind::FineTune,
        };
        let before = self.planner.train(kind, &training, TrainingData::All);
        let mut samples_without = |data: &dyn Fn(usize) -> TrainingData| -> Vec<JobId> {
            let models = (0..sample_count).map(|sample| {
                let kind = JobKind::Counterfactual;
                let model = self.planner.train(kind, &training, data(sample));
                self.planner.sample(model)
            });
            models.collect()
        };
        let random = samples_without(&|sample| TrainingData::WithoutRandom { sample });
        let removals = self.benchmark.removals.iter().enumerate();
        let responsible = removals
            .map(|(removal, spec)| {
                let scores = methods[spec.method];
                samples_without(&|sample| TrainingData::WithoutResponsible {
                    sample,
                    removal,
                    scores,
                })
            })
            .collect();
        RemovalJobs {
            before: self.planner.sample(before),
            random,
            responsible,
        }
    }
}

impl Training {
    fn from_scratch(config: &TrainConfig, seed: u64) -> Self {
        Self {
            seed,
            config: TrainConfig {
                seed,
                ..config.clone()
            },
            start: None,
        }
    }

    fn fine_tuning(config: &TrainConfig, seed: u64, start: JobId) -> Self {
        Self {
            seed,
            config: TrainConfig {
                seed: seed.wrapping_add(FINE_TUNING_SEED_OFFSET),
                ..config.clone()
            },
            start: Some(start),
        }
    }
}

impl TrainingData {
    /// Description for labels; `fine_tuned` models of all images are called unchanged.
    fn description(self, experiment: &PreparedExperiment, fine_tuned: bool) -> String {
        match self {
            Self::All if fine_tuned => "unchanged".to_owned(),
            Self::All => String::new(),
            Self::Perturbed(direction) => experiment.directions[direction].spec.name(),
            Self::Subset(subset) => format!("subset {subset}"),
            Self::WithoutGroup(group) => benchmark(experiment).spec.groups[group].clone(),
            Self::WithoutResponsible {
                sample, removal, ..
            } => {
                let form = &benchmark(experiment).removals[removal].form;
                format!("{form} {sample}")
            }
            Self::WithoutRandom { sample } => format!("{RANDOM_FORM} {sample}"),
        }
    }

    /// The settings that identify the data in keys; null for all training images.
    fn settings(self, experiment: &PreparedExperiment) -> Value {
        match self {
            Self::All => Value::Null,
            Self::Perturbed(direction) => {
                let direction = &experiment.directions[direction];
                json!({
                    "images": direction.images.fingerprint,
                    "mass": direction.spec.signed_mass(),
                })
            }
            Self::Subset(subset) => {
                let indices = &benchmark(experiment).subsets[subset];
                json!({ "only": subsets::fingerprint(indices) })
            }
            Self::WithoutGroup(group) => {
                let indices = &benchmark(experiment).groups[group];
                json!({ "without": subsets::fingerprint(indices) })
            }
            Self::WithoutResponsible {
                sample, removal, ..
            } => {
                let benchmark = benchmark(experiment);
                removal_settings(benchmark, sample, &benchmark.removals[removal].form)
            }
            Self::WithoutRandom { sample } => {
                removal_settings(benchmark(experiment), sample, RANDOM_FORM)
            }
        }
    }
}

/// Name of random removals in keys and labels.
const RANDOM_FORM: &str = "random";

fn removal_settings(benchmark: &ResolvedBenchmark, sample: usize, form: &str) -> Value {
    let remove = benchmark.spec.counterfactual.as_ref().map(|c| c.remove);
    json!({
        "responsible_for": sample,
        "by": form,
        "remove": remove,
        "seed": benchmark.spec.seed,
    })
}

/// The benchmark of an experiment whose jobs have data of a benchmark.
fn benchmark(experiment: &PreparedExperiment) -> &ResolvedBenchmark {
    let benchmark = experiment.benchmark.as_ref();
    benchmark.expect("only an attribution benchmark has subsets, groups and removals")
}

/// Adds the revision of the selection of a bandwidth to the settings of a job whose bandwidth is selected from the images.
fn add_bandwidth_revision(settings: &mut Value, estimator: Option<&EstimatorSpec>) {
    match estimator.and_then(|estimator| estimator.bandwidth) {
        None | Some(Bandwidth::Fixed(_)) => {}
        Some(_) => settings["choices"] = json!(AUTO_BANDWIDTH_REVISION),
    }
}
