//! Plans the jobs of an attribution benchmark.

use datasway_attribution::Attributor;
use serde_json::json;

use super::builder::{PlanBuilder, Training, add_bandwidth_revision, add_training};
use super::job::{JobId, JobKind, Task, TrainingData};
use super::plan::{AttributionJobs, ModelOutputs, RemovalJobs};
use crate::RetrainError;
use crate::resolved::ResolvedBenchmark;
use crate::spec::{TrainingConfig, Variant, VariantKind, subsets};

/// Plans the jobs of an attribution benchmark.
pub(super) struct BenchmarkPlanner<'p, 'a> {
    builder: &'p mut PlanBuilder<'a>,
    benchmark: &'a ResolvedBenchmark,
    /// Training configuration of the models of subsets and groups, but for the seed.
    config: TrainingConfig,
    /// The model that is attributed: the base model of the first seed.
    model: JobId,
    /// The samples of that model.
    samples: JobId,
}

impl<'p, 'a> BenchmarkPlanner<'p, 'a> {
    /// Adds the model that is attributed and its samples.
    ///
    /// # Errors
    /// If the training configuration of the models of subsets is invalid.
    pub fn new(
        builder: &'p mut PlanBuilder<'a>,
        benchmark: &'a ResolvedBenchmark,
    ) -> Result<Self, RetrainError> {
        let base_config = &builder.experiment.config;
        let config = benchmark.spec.variant.configuration(base_config)?;
        let base_training = Training::from_scratch(base_config, builder.experiment.spec.seeds[0]);
        let model = builder.train(JobKind::Base, &base_training, TrainingData::All);
        let samples = builder.sample(model);
        Ok(Self {
            builder,
            benchmark,
            config,
            model,
            samples,
        })
    }

    /// Adds all jobs of the benchmark.
    pub fn plan(mut self) -> AttributionJobs {
        let (mut subsets, mut groups) = (Vec::new(), Vec::new());
        // All models of the first seed come before those of the next, so that they can be evaluated early.
        for &seed in &self.builder.experiment.spec.seeds {
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
        AttributionJobs {
            samples: self.samples,
            subsets,
            groups,
            methods,
            removal,
        }
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
            let model = self.builder.train(kind, training, data);
            ModelOutputs {
                samples: self.builder.sample(model),
                losses: self.losses(model),
            }
        })
        .collect()
    }

    fn losses(&mut self, model: JobId) -> JobId {
        let label = self.builder.label_of_model(model);
        let settings = json!({
            "draws": self.benchmark.spec.draws,
            "seed": self.benchmark.spec.seed,
            "held_out": self.benchmark.held_out.fingerprint,
        });
        let samples = self.samples;
        let (inputs, task) = (vec![model, samples], Task::Losses { model, samples });
        self.builder
            .add(JobKind::Losses, label, settings, inputs, task)
    }

    /// The scores of a method.
    fn scores(&mut self, method: usize) -> JobId {
        let (spec, experiment) = (&self.benchmark.spec, self.builder.experiment);
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
        if options.needs_complements() {
            let groups = self.benchmark.groups.iter();
            let groups: Vec<String> = groups.map(|g| subsets::fingerprint(g)).collect();
            settings["groups"] = json!(groups);
        }
        add_bandwidth_revision(&mut settings, options.estimator());
        // Keys of first revisions do not have it.
        if options.revision() > 1 {
            settings["revision"] = json!(options.revision());
        }
        if options.depends_on_training() {
            add_training(&mut settings, self.config.finite_training());
        }
        let (model, samples) = (self.model, self.samples);
        let task = Task::Attribution {
            model,
            samples,
            method,
        };
        let (label, inputs) = (options.name(), vec![model, samples]);
        self.builder
            .add(JobKind::Attribution, label, settings, inputs, task)
    }

    /// Counterfactual models of the first seed, and the model of all images that they are compared with.
    fn removals(&mut self, sample_count: usize, methods: &[JobId]) -> RemovalJobs {
        let training = self.training(self.builder.experiment.spec.seeds[0]);
        let kind = match training.start {
            None => JobKind::Base,
            Some(_) => JobKind::FineTune,
        };
        let before = self.builder.train(kind, &training, TrainingData::All);
        let mut samples_without = |data: &dyn Fn(usize) -> TrainingData| -> Vec<JobId> {
            let models = (0..sample_count).map(|sample| {
                let kind = JobKind::Counterfactual;
                let model = self.builder.train(kind, &training, data(sample));
                self.builder.sample(model)
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
            before: self.builder.sample(before),
            random,
            responsible,
        }
    }
}
