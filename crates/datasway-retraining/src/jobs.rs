//! An experiment as jobs, each named by its content.
//!
//! A job's key is the SHA-256 of everything that decides its result: kind, settings, fingerprints of the data and the keys of the jobs
//! it builds on. So a result is found again whatever else in the experiment changes, and a change makes new keys
//! for what depends on it and for nothing else.

use std::collections::HashMap;

use datasway_attribution::Attributor;
use datasway_sensitivity::density::AUTO_BANDWIDTH_REVISION;
use datasway_training::config::TrainConfig;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::RetrainError;
use crate::attribution::{Benchmark, subsets};
use crate::experiment::{VariantKind, replace};
use crate::prepared::PreparedExperiment;

/// Raised for a kind of job whenever the same settings begin to give other results: no old result is then found.
fn revision(kind: &str) -> u32 {
    match kind {
        // 2: a bandwidth blurs the data (its weight σ²/(σ² + h²) was missing).
        // 3: log-densities are subtracted before they are rounded.
        "sensitivity" | "attribution" => 3,
        _ => 1,
    }
}

/// Batches and noise of fine-tuning are those of the seed plus this, so that they are not the base model's again.
const FINE_TUNING: u64 = 1 << 32;

/// Something to compute once.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// What it is, as the first word of its folder.
    pub kind: &'static str,
    /// What it is about, for people.
    pub label: String,
    /// Hexadecimal SHA-256 of what decides the result.
    pub key: String,
    /// The settings behind the key.
    pub settings: Value,
    /// Jobs whose results it reads.
    pub inputs: Vec<usize>,
    /// What to do.
    pub work: Work,
}

/// What a job does. Numbers are places in [`Plan::jobs`] and in the lists of the experiment.
#[derive(Debug, Clone, PartialEq)]
pub enum Work {
    /// Trains a model.
    Train {
        /// How.
        config: Box<TrainConfig>,
        /// The model to start from; random weights if none.
        start: Option<usize>,
        /// On which images.
        shown: Shown,
    },
    /// Draws the samples of a model.
    Sample {
        /// The training job.
        model: usize,
    },
    /// Predicts by an estimator, for every direction.
    Sensitivity {
        /// The training job.
        model: usize,
        /// The estimator.
        estimator: usize,
    },
    /// Predicts by a baseline, for every direction.
    Baseline {
        /// The sampling job.
        samples: usize,
        /// The baseline.
        baseline: usize,
    },
    /// Evaluates the loss of a model at the base model's samples and at held-out images.
    Losses {
        /// The training job.
        model: usize,
        /// The sampling job of the base model.
        samples: usize,
    },
    /// Scores every training image by a method.
    Attribution {
        /// The training job of the base model.
        model: usize,
        /// The sampling job of the base model.
        samples: usize,
        /// The method.
        method: usize,
    },
}

/// The images that a model is trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// All of them.
    All,
    /// All of them after a change.
    Changed(usize),
    /// A random part of them.
    Subset(usize),
    /// All but a group of the attribution benchmark.
    WithoutGroup(usize),
    /// All but those that are held responsible for a sample.
    Counterfactual {
        /// The sample.
        sample: usize,
        /// By which form of a counterfactual, from the scores of which job; random images if none.
        by: Option<(usize, usize)>,
    },
}

/// All jobs, those that others build on first, and what is compared with what.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The jobs.
    pub jobs: Vec<Job>,
    /// One entry for each variant and seed.
    pub runs: Vec<Run>,
    /// The attribution benchmark, if there is one.
    pub trials: Option<Trials>,
}

/// The results of an attribution benchmark.
#[derive(Debug, Clone, PartialEq)]
pub struct Trials {
    /// The samples of the model that is attributed: of all images, with the first seed.
    pub samples: usize,
    /// For each seed and each subset, what the model of the subset does.
    pub outcomes: Vec<Vec<Outcome>>,
    /// For each seed and each group, what the model of all other images does.
    pub groups: Vec<Vec<Outcome>>,
    /// The scores of each method, for the first seed's base model.
    pub methods: Vec<usize>,
    /// Samples of models without the images held responsible for a sample, of the first seed.
    pub counterfactuals: Option<Counterfactuals>,
}

/// The samples of counterfactual models.
#[derive(Debug, Clone, PartialEq)]
pub struct Counterfactuals {
    /// Those of the model of all images, made in the same way.
    pub before: usize,
    /// Without random images, for each sample.
    pub random: Vec<usize>,
    /// For each form, for each sample.
    pub forms: Vec<Vec<usize>>,
}

/// What one model does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Its samples.
    pub samples: usize,
    /// Its losses.
    pub losses: usize,
}

/// The results that belong to one variant and one seed.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// The variant.
    pub variant: usize,
    /// The seed's place.
    pub seed: usize,
    /// Samples of the base model, from which predictions are made.
    pub base: usize,
    /// Samples before the change: of the base model, or of the base model fine-tuned on unchanged data.
    pub before: usize,
    /// Samples after each change.
    pub after: Vec<usize>,
    /// The predictions of each estimator, then of each baseline.
    pub predictions: Vec<usize>,
}

impl Plan {
    /// Expands an experiment.
    ///
    /// # Errors
    /// If a variant's configuration is not one.
    pub fn new(setup: &PreparedExperiment) -> Result<Self, RetrainError> {
        let mut planner = Planner {
            setup,
            jobs: Vec::new(),
            places: HashMap::new(),
        };
        let mut runs = Vec::new();
        for variant in 0..setup.experiment.variants.len() {
            for seed in 0..setup.experiment.seeds.len() {
                runs.push(planner.run(variant, seed)?);
            }
        }
        let benchmark = setup.experiment.attribution.as_ref();
        let trials = benchmark
            .map(|benchmark| planner.trials(benchmark))
            .transpose()?;
        Ok(Self {
            jobs: planner.jobs,
            runs,
            trials,
        })
    }
}

struct Planner<'a> {
    setup: &'a PreparedExperiment,
    jobs: Vec<Job>,
    places: HashMap<String, usize>,
}

impl Planner<'_> {
    fn run(&mut self, variant: usize, seed: usize) -> Result<Run, RetrainError> {
        let experiment = &self.setup.experiment;
        let number = experiment.seeds[seed];
        let ways = &experiment.variants[variant];
        let changed = replace(self.setup.config.clone(), &ways.set)?;
        changed.validate()?;
        // Retraining with a configuration of its own has a base model of its own.
        let base_config = match ways.kind {
            VariantKind::Retrain => changed.clone(),
            VariantKind::FineTune => self.setup.config.clone(),
        };
        let base_config = TrainConfig {
            seed: number,
            ..base_config
        };
        let base = self.train("base", number, base_config.clone(), None, Shown::All);
        let base_samples = self.sample(base);
        let (kind, config, start) = match ways.kind {
            VariantKind::Retrain => ("retrain", base_config, None),
            VariantKind::FineTune => {
                let seed = number.wrapping_add(FINE_TUNING);
                ("fine-tune", TrainConfig { seed, ..changed }, Some(base))
            }
        };
        let before = match start {
            None => base_samples,
            Some(_) => {
                let unchanged = self.train(kind, number, config.clone(), start, Shown::All);
                self.sample(unchanged)
            }
        };
        let after = (0..self.setup.changes.len())
            .map(|change| {
                let shown = Shown::Changed(change);
                let model = self.train(kind, number, config.clone(), start, shown);
                self.sample(model)
            })
            .collect();
        let estimators = 0..experiment.estimators.len();
        let mut predictions: Vec<usize> = estimators
            .map(|estimator| self.sensitivity(base, number, estimator))
            .collect();
        let baselines = 0..experiment.baselines.len();
        predictions.extend(baselines.map(|which| self.baseline(base_samples, number, which)));
        Ok(Run {
            variant,
            seed,
            base: base_samples,
            before,
            after,
            predictions,
        })
    }

    /// The base model, models of every subset with every seed, and the scores of every method.
    fn trials(&mut self, benchmark: &Benchmark) -> Result<Trials, RetrainError> {
        let setup = self.setup;
        let seeds = &setup.experiment.seeds;
        let base = |seed: u64| TrainConfig {
            seed,
            ..setup.config.clone()
        };
        let changed = replace(setup.config.clone(), &benchmark.variant.set)?;
        changed.validate()?;
        let model = self.train("base", seeds[0], base(seeds[0]), None, Shown::All);
        let samples = self.sample(model);
        let ways = |number: u64| {
            let (start, seed) = match benchmark.variant.kind {
                VariantKind::Retrain => (None, number),
                VariantKind::FineTune => (Some(model), number.wrapping_add(FINE_TUNING)),
            };
            let config = TrainConfig {
                seed,
                ..changed.clone()
            };
            (config, start)
        };
        // One seed after the other, so that the first is there to be looked at.
        let (mut outcomes, mut groups) = (Vec::new(), Vec::new());
        for &number in seeds {
            let (config, start) = ways(number);
            let mut outcome = |kind, shown| {
                let model = self.train(kind, number, config.clone(), start, shown);
                Outcome {
                    samples: self.sample(model),
                    losses: self.losses(model, samples, benchmark),
                }
            };
            let subsets = 0..setup.subsets.len();
            let subsets = subsets.map(|k| outcome("subset", Shown::Subset(k)));
            outcomes.push(subsets.collect());
            let without = 0..setup.groups.len();
            let without = without.map(|k| outcome("without", Shown::WithoutGroup(k)));
            groups.push(without.collect());
        }
        let methods = 0..benchmark.methods.len();
        let methods: Vec<usize> = methods
            .map(|method| self.attribution(model, samples, benchmark, method))
            .collect();
        let (config, start) = ways(seeds[0]);
        let counterfactuals = benchmark.counterfactual.as_ref().map(|counterfactual| {
            let kind = match start {
                None => "base",
                Some(_) => "fine-tune",
            };
            let before = self.train(kind, seeds[0], config.clone(), start, Shown::All);
            let mut samples = |by| {
                let each = 0..counterfactual.samples;
                let each = each.map(|sample| {
                    let shown = Shown::Counterfactual { sample, by };
                    let model =
                        self.train("counterfactual", seeds[0], config.clone(), start, shown);
                    self.sample(model)
                });
                each.collect::<Vec<usize>>()
            };
            let random = samples(None);
            let forms = (0..counterfactual.forms.len()).map(|form| {
                let method = counterfactual.method(form, &benchmark.methods)?;
                Ok(samples(Some((form, methods[method]))))
            });
            let forms = forms.collect::<Result<_, RetrainError>>()?;
            let before = self.sample(before);
            Ok::<_, RetrainError>(Counterfactuals {
                before,
                random,
                forms,
            })
        });
        Ok(Trials {
            samples,
            outcomes,
            groups,
            methods,
            counterfactuals: counterfactuals.transpose()?,
        })
    }

    fn losses(&mut self, model: usize, samples: usize, benchmark: &Benchmark) -> usize {
        let Job { kind, label, .. } = &self.jobs[model];
        let label = format!("{kind} {label}");
        let settings = json!({
            "draws": benchmark.draws,
            "seed": benchmark.seed,
            "held_out": self.held_out(),
        });
        let work = Work::Losses { model, samples };
        self.add("losses", label, settings, vec![model, samples], work)
    }

    fn attribution(
        &mut self,
        model: usize,
        samples: usize,
        benchmark: &Benchmark,
        method: usize,
    ) -> usize {
        let kind = &benchmark.methods[method];
        let subsets: Vec<String> = match kind.needs_subsets() {
            true => self
                .setup
                .subsets
                .iter()
                .map(|s| subsets::fingerprint(s))
                .collect(),
            false => Vec::new(),
        };
        let settings = json!({
            "method": kind,
            "functionals": benchmark.functionals,
            "draws": benchmark.draws,
            "seed": benchmark.seed,
            "samples": self.setup.experiment.samples,
            "data": self.setup.images.fingerprint,
            "held_out": self.held_out(),
            "subsets": subsets,
        });
        let work = Work::Attribution {
            model,
            samples,
            method,
        };
        let label = kind.name();
        self.add("attribution", label, settings, vec![model, samples], work)
    }

    fn benchmark(&self) -> &Benchmark {
        let benchmark = self.setup.experiment.attribution.as_ref();
        benchmark.expect("its jobs are of an experiment with a benchmark")
    }

    fn held_out(&self) -> Option<&str> {
        let held_out = self.setup.held_out.as_ref();
        held_out.map(|images| images.fingerprint.as_str())
    }

    fn train(
        &mut self,
        kind: &'static str,
        seed: u64,
        config: TrainConfig,
        start: Option<usize>,
        shown: Shown,
    ) -> usize {
        let (about, change_settings) = match shown {
            Shown::All if start.is_some() => ("unchanged".to_owned(), Value::Null),
            Shown::All => (String::new(), Value::Null),
            Shown::Changed(change) => {
                let change = &self.setup.changes[change];
                let settings = json!({
                    "images": change.images.fingerprint,
                    "mass": change.direction.signed_mass(),
                });
                (change.direction.name(), settings)
            }
            Shown::Subset(subset) => (
                format!("subset {subset}"),
                json!({ "only": subsets::fingerprint(&self.setup.subsets[subset]) }),
            ),
            Shown::WithoutGroup(group) => (
                self.benchmark().groups[group].clone(),
                json!({ "without": subsets::fingerprint(&self.setup.groups[group]) }),
            ),
            Shown::Counterfactual { sample, by } => {
                let benchmark = self.benchmark();
                let counterfactual = benchmark.counterfactual.as_ref();
                let ways = counterfactual.expect("only a benchmark with counterfactuals has them");
                let form = by.map_or("random", |(form, _)| &ways.forms[form]);
                let settings = json!({
                    "responsible_for": sample,
                    "by": form,
                    "remove": ways.remove,
                    "seed": benchmark.seed,
                });
                (format!("{form} {sample}"), settings)
            }
        };
        let settings = json!({
            "config": config,
            "data": self.setup.images.fingerprint,
            "change": change_settings,
        });
        let work = Work::Train {
            config: Box::new(config),
            start,
            shown,
        };
        let scores = match shown {
            Shown::Counterfactual { by, .. } => by.map(|(_, scores)| scores),
            _ => None,
        };
        let inputs = start.into_iter().chain(scores).collect();
        self.add(kind, format!("s{seed} {about}"), settings, inputs, work)
    }

    fn sample(&mut self, model: usize) -> usize {
        let Job { kind, label, .. } = &self.jobs[model];
        let label = format!("{kind} {label}");
        let settings = json!({ "samples": self.setup.experiment.samples });
        self.add(
            "samples",
            label,
            settings,
            vec![model],
            Work::Sample { model },
        )
    }

    fn sensitivity(&mut self, model: usize, seed: u64, estimator: usize) -> usize {
        let experiment = &self.setup.experiment;
        let options = &experiment.estimators[estimator];
        let settings = json!({
            "samples": experiment.samples,
            "estimator": options.unnamed(),
            "data": self.setup.images.fingerprint,
            "directions": self.directions(),
        });
        let label = format!("s{seed} {}", options.label());
        let work = Work::Sensitivity { model, estimator };
        self.add("sensitivity", label, settings, vec![model], work)
    }

    fn baseline(&mut self, samples: usize, seed: u64, which: usize) -> usize {
        let baseline = &self.setup.experiment.baselines[which];
        let settings = json!({
            "baseline": baseline,
            "data": self.setup.images.fingerprint,
            "directions": self.directions(),
        });
        let label = format!("s{seed} {}", baseline.name());
        let work = Work::Baseline {
            samples,
            baseline: which,
        };
        self.add("baseline", label, settings, vec![samples], work)
    }

    /// Which images each prediction is about, in order.
    fn directions(&self) -> Vec<&str> {
        let changes = self.setup.changes.iter();
        changes
            .map(|change| change.images.fingerprint.as_str())
            .collect()
    }

    /// The job's place; the same job is there once.
    fn add(
        &mut self,
        kind: &'static str,
        label: String,
        mut settings: Value,
        inputs: Vec<usize>,
        work: Work,
    ) -> usize {
        // A bandwidth that is chosen is decided by the way to choose it too.
        if ["estimator", "method"]
            .iter()
            .any(|of| settings[of]["bandwidth"] == "auto")
        {
            settings["choices"] = json!(AUTO_BANDWIDTH_REVISION);
        }
        let keys: Vec<&str> = inputs.iter().map(|&i| self.jobs[i].key.as_str()).collect();
        let content = json!([revision(kind), kind, settings, keys]);
        let hash = Sha256::digest(content.to_string());
        let key: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let new = self.jobs.len();
        let place = *self.places.entry(key.clone()).or_insert(new);
        if place == new {
            self.jobs.push(Job {
                kind,
                label: label.trim_end().to_owned(),
                key,
                settings,
                inputs,
                work,
            });
        }
        place
    }
}
