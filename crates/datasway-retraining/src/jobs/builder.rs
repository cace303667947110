//! Jobs under construction: each is added once, with its key.

use std::collections::HashMap;

use datasway_sensitivity::density::{AUTO_BANDWIDTH_REVISION, Bandwidth, EstimatorSpec};
use datasway_sensitivity::learner::FiniteTraining;
use serde_json::{Value, json};

use super::data_settings::{data_description, data_settings};
use super::job::{Job, JobId, JobKind, Task, TrainingData};
use super::key::key;
use crate::given::GivenModel;
use crate::prepared::PreparedExperiment;
use crate::spec::TrainingConfig;

/// Offset of the seed of fine-tuning, which keeps its batches and noise apart from those of the base model.
const FINE_TUNING_SEED_OFFSET: u64 = 1 << 32;

/// The training of one model but for its data.
#[derive(Clone)]
pub(super) struct Training {
    /// Seed of the experiment, for labels.
    pub seed: u64,
    /// Training configuration with the seed of the model.
    pub config: TrainingConfig,
    /// The model to start from; random weights if none.
    pub start: Option<JobId>,
}

impl Training {
    /// Training from random weights with this seed.
    pub fn from_scratch(config: &TrainingConfig, seed: u64) -> Self {
        Self {
            seed,
            config: config.with_seed(seed),
            start: None,
        }
    }

    /// Training from the averaged weights of another model; batches and noise are those of a seed of fine-tuning.
    pub fn fine_tuning(config: &TrainingConfig, seed: u64, start: JobId) -> Self {
        Self {
            seed,
            config: config.with_seed(seed.wrapping_add(FINE_TUNING_SEED_OFFSET)),
            start: Some(start),
        }
    }
}

/// The jobs of an experiment so far.
pub(super) struct PlanBuilder<'a> {
    /// The experiment with its images.
    pub experiment: &'a PreparedExperiment,
    /// The jobs.
    pub jobs: Vec<Job>,
    id_of_key: HashMap<String, JobId>,
}

impl<'a> PlanBuilder<'a> {
    /// No jobs yet.
    pub fn new(experiment: &'a PreparedExperiment) -> Self {
        Self {
            experiment,
            jobs: Vec::new(),
            id_of_key: HashMap::new(),
        }
    }

    /// Adds the training of a model.
    pub fn train(&mut self, kind: JobKind, training: &Training, data: TrainingData) -> JobId {
        self.train_for(training.config.steps(), kind, training, data)
    }

    /// Adds the first steps of the training of a model.
    pub fn train_for(
        &mut self,
        steps: u64,
        kind: JobKind,
        training: &Training,
        data: TrainingData,
    ) -> JobId {
        let description = data_description(data, self.experiment, training.start.is_some());
        let mut settings = json!({
            "config": training.config,
            "data": self.experiment.images.fingerprint,
            "change": data_settings(data, self.experiment),
        });
        let mut label = format!("s{} {description}", training.seed);
        if steps < training.config.steps() {
            settings["steps"] = json!(steps);
            label = format!("{} first {steps}", label.trim_end());
        }
        let scores = match data {
            TrainingData::WithoutResponsible { scores, .. } => Some(scores),
            _ => None,
        };
        let inputs = training.start.into_iter().chain(scores).collect();
        let task = Task::Train {
            config: Box::new(training.config.clone()),
            start: training.start,
            data,
            steps,
        };
        self.add(kind, label, settings, inputs, task)
    }

    /// Adds the base model that a folder gives.
    pub fn given(&mut self, given: &GivenModel) -> JobId {
        let settings = json!({ "given": given.fingerprint(), "class": given.class() });
        let label = "given".to_owned();
        self.add(JobKind::Base, label, settings, Vec::new(), Task::Given)
    }

    /// Adds the samples of a model.
    pub fn sample(&mut self, model: JobId) -> JobId {
        let label = self.label_of_model(model);
        let settings = json!({ "samples": self.experiment.spec.samples });
        let task = Task::Sample { model };
        self.add(JobKind::Samples, label, settings, vec![model], task)
    }

    /// Label of a job that has a model as its subject.
    pub fn label_of_model(&self, model: JobId) -> String {
        let Job { kind, label, .. } = &self.jobs[model.0];
        format!("{kind} {label}")
    }

    /// Adds a job, unless one with the same key exists, and returns its id.
    pub fn add(
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

/// Adds the revision of the selection of a bandwidth to the settings of a job whose bandwidth is selected from the images.
pub(super) fn add_bandwidth_revision(settings: &mut Value, estimator: Option<&EstimatorSpec>) {
    if estimator.is_some_and(|estimator| estimator.bandwidth == Some(Bandwidth::Auto)) {
        settings["choices"] = json!(AUTO_BANDWIDTH_REVISION);
    }
}

/// Adds the training of the predicted models to the settings of a job.
pub(super) fn add_training(settings: &mut Value, training: FiniteTraining) {
    let FiniteTraining {
        optimization,
        batch,
    } = training;
    settings["training"] = json!({
        "steps": optimization.steps,
        "learning_rate": optimization.learning_rate,
        "warmup": optimization.warmup,
        "ema_decay": optimization.ema_decay,
        "batch": batch,
    });
}
