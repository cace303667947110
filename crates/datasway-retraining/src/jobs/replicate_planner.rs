//! Plans the jobs of variants: models of changed data, their samples and the predictions of them.

use datasway_sensitivity::learner::{FiniteTraining, GroupMass};
use serde_json::{Value, json};

use super::builder::{PlanBuilder, Training, add_bandwidth_revision, add_training};
use super::job::{JobId, JobKind, Task, TrainingData};
use super::plan::Replicate;
use crate::RetrainError;
use crate::spec::{
    AverageSpec, CombinationSpec, SensitivityEstimator, TrainingConfig, VariantKind,
};

impl PlanBuilder<'_> {
    /// The jobs of one variant with one seed.
    ///
    /// # Errors
    /// If the configuration of the variant is invalid.
    pub fn replicate(
        &mut self,
        variant_index: usize,
        seed: u64,
    ) -> Result<Replicate, RetrainError> {
        let experiment = &self.experiment.spec;
        let variant = &experiment.variants[variant_index];
        let changed = variant.configuration(&self.experiment.config)?;
        // Retraining with its own configuration has its own base model.
        let base_config = match variant.kind {
            VariantKind::Retrain => &changed,
            VariantKind::FineTune => &self.experiment.config,
        };
        let base_training = Training::from_scratch(base_config, seed);
        let base_model = match &self.experiment.given {
            Some(given) => self.given(given),
            None => self.train(JobKind::Base, &base_training, TrainingData::All),
        };
        let base = self.sample(base_model);
        let (kind, training, before_model) = match variant.kind {
            VariantKind::Retrain => (JobKind::Retrain, base_training.clone(), base_model),
            VariantKind::FineTune => {
                let kind = JobKind::FineTune;
                let training = Training::fine_tuning(&changed, seed, base_model);
                let unchanged = self.train(kind, &training, TrainingData::All);
                (kind, training, unchanged)
            }
        };
        let before = self.sample(before_model);
        let (mut after_models, mut after) = (Vec::new(), Vec::new());
        for direction in 0..experiment.directions.len() {
            let model = self.train(kind, &training, TrainingData::Perturbed(direction));
            after_models.push(model);
            after.push(self.sample(model));
        }
        let mut sensitivities = Vec::with_capacity(experiment.estimators.len());
        for (estimator, options) in experiment.estimators.iter().enumerate() {
            let job = match options {
                SensitivityEstimator::Combination(combination) => {
                    self.combination(combination, seed, &sensitivities)
                }
                SensitivityEstimator::Average(average) => {
                    self.average(average, base_config, changed.finite_training())
                }
                _ => {
                    let passed = self.passed(estimator, &base_training);
                    self.sensitivity(
                        (base_model, passed),
                        seed,
                        estimator,
                        changed.finite_training(),
                    )
                }
            };
            sensitivities.push(job);
        }
        let baselines = (0..experiment.baselines.len())
            .map(|baseline| self.baseline(base, seed, baseline))
            .collect();
        let compared = experiment.estimators.iter().enumerate();
        let compared = compared.filter(|(_, options)| options.compares_weights());
        let models = [base_model, before_model];
        let weight_alignments = compared
            .map(|(estimator, _)| {
                let job = self.weight_alignment(
                    models,
                    &after_models,
                    (kind, seed),
                    (estimator, changed.finite_training()),
                );
                (estimator, job)
            })
            .collect();
        Ok(Replicate {
            variant: variant_index,
            seed,
            base,
            before,
            after,
            sensitivities,
            baselines,
            weight_alignments,
        })
    }

    /// Compares the changes of the models `after` with the derivative at `model`, from the model `before`.
    fn weight_alignment(
        &mut self,
        [model, before]: [JobId; 2],
        after: &[JobId],
        (kind, seed): (JobKind, u64),
        (estimator, training): (usize, FiniteTraining),
    ) -> JobId {
        let options = &self.experiment.spec.estimators[estimator];
        let samples = &self.experiment.spec.samples;
        let mut settings = json!({
            "seed": samples.seed,
            "batch": samples.batch,
            "estimator": options.unnamed(),
            "data": self.experiment.images.fingerprint,
            "directions": self.direction_fingerprints(),
        });
        self.add_masses(&mut settings, options);
        if options.depends_on_training() {
            add_training(&mut settings, training);
        }
        let label = format!("{kind} s{seed} {}", options.label());
        let inputs = [&[model, before], after].concat();
        let task = Task::WeightAlignment {
            model,
            before,
            after: after.to_vec(),
            estimator,
            training,
        };
        self.add(JobKind::WeightAlignment, label, settings, inputs, task)
    }

    /// The training jobs of the weights that the training of a base model passed, for an estimator.
    fn passed(&mut self, estimator: usize, training: &Training) -> Vec<JobId> {
        let steps = self.experiment.spec.estimators[estimator].checkpoints();
        let jobs = steps
            .iter()
            .map(|&steps| self.train_for(steps, JobKind::Base, training, TrainingData::All));
        jobs.collect()
    }

    fn sensitivity(
        &mut self,
        (model, passed): (JobId, Vec<JobId>),
        seed: u64,
        estimator: usize,
        training: FiniteTraining,
    ) -> JobId {
        let experiment = &self.experiment.spec;
        let options = &experiment.estimators[estimator];
        let mut settings = json!({
            "samples": experiment.samples,
            "estimator": options.unnamed(),
            "data": self.experiment.images.fingerprint,
            "directions": self.direction_fingerprints(),
        });
        add_bandwidth_revision(&mut settings, options.density());
        self.add_masses(&mut settings, options);
        if options.depends_on_training() {
            add_training(&mut settings, training);
        }
        let label = format!("s{seed} {}", options.label());
        let inputs = [&[model], &passed[..]].concat();
        let task = Task::Sensitivity {
            model,
            passed,
            estimator,
            training,
        };
        self.add(JobKind::Sensitivity, label, settings, inputs, task)
    }

    /// A sum of the predictions of two of the jobs `earlier`, which belong to the first estimators.
    fn combination(
        &mut self,
        combination: &CombinationSpec,
        seed: u64,
        earlier: &[JobId],
    ) -> JobId {
        let inputs = combination
            .combine
            .each_ref()
            .map(|part| earlier[self.estimator(part)]);
        let share = combination.share;
        let settings = json!({ "share": share });
        let label = format!(
            "s{seed} {}",
            SensitivityEstimator::Combination(combination.clone()).label()
        );
        let task = Task::Combination {
            predictions: inputs,
            share,
        };
        self.add(JobKind::Sensitivity, label, settings, inputs.to_vec(), task)
    }

    /// The mean of the predictions from base models with the seeds of `average`.
    fn average(
        &mut self,
        average: &AverageSpec,
        base_config: &TrainingConfig,
        training: FiniteTraining,
    ) -> JobId {
        let estimator = self.estimator(&average.average);
        let mut predictions = Vec::with_capacity(average.seeds.len());
        for &seed in &average.seeds {
            let base = Training::from_scratch(base_config, seed);
            let model = self.train(JobKind::Base, &base, TrainingData::All);
            let passed = self.passed(estimator, &base);
            predictions.push(self.sensitivity((model, passed), seed, estimator, training));
        }
        let settings = json!({ "mean": average.seeds.len() });
        let label = SensitivityEstimator::Average(average.clone()).label();
        let task = Task::Average {
            predictions: predictions.clone(),
        };
        self.add(JobKind::Sensitivity, label, settings, predictions, task)
    }

    /// The index of the estimator with a name that the check of the experiment has found.
    fn estimator(&self, name: &str) -> usize {
        let mut estimators = self.experiment.spec.estimators.iter();
        let place = estimators.position(|estimator| estimator.name() == name);
        place.expect("checked when the experiment was read")
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

    /// Adds the masses of the directions, and the revision of changes by them, to the settings of a job whose result they decide.
    fn add_masses(&self, settings: &mut Value, options: &SensitivityEstimator) {
        if options.depends_on_masses() {
            let directions = self.experiment.directions.iter();
            let masses = directions.map(|direction| direction.spec.signed_mass());
            settings["masses"] = json!(masses.collect::<Vec<f64>>());
            settings["revision"] = json!(GroupMass::REVISION);
        }
    }

    /// Fingerprints of the images of each direction, in order.
    fn direction_fingerprints(&self) -> Vec<&str> {
        let directions = self.experiment.directions.iter();
        directions
            .map(|direction| direction.images.fingerprint.as_str())
            .collect()
    }
}
