//! The experiment file as a whole.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use datasway_diffusion::validate::{distinct, within};
use datasway_sensitivity::sample_spec::SampleSpec;
use datasway_training::config::TrainConfig;
use datasway_training::fine_tune::FineTuneConfig;
use serde::{Deserialize, Serialize};

use super::benchmark::Benchmark;
use super::checks::{self, SEED};
use super::direction::DirectionSpec;
use super::estimator::SensitivityEstimator;
use super::training_config::TrainingConfig;
use super::variant::{Variant, VariantKind};
use crate::RetrainError;
use crate::baselines::Baseline;

/// Largest experiment file in bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Largest number of jobs of an experiment.
const MAX_JOBS: u128 = 100_000;

/// Numbers of images that a data set can be limited to.
const IMAGE_LIMITS: RangeInclusive<usize> = 1..=1_000_000_000;

/// An experiment, as its TOML file states it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    /// Name, for the results.
    pub name: String,
    /// Source of the images, in the form that [`datasway_data::Source::parse`] reads.
    pub data: String,
    /// Largest number of images; all if absent.
    pub limit: Option<usize>,
    /// True if images that cannot be read are left out.
    #[serde(default)]
    pub skip_bad: bool,
    /// Preset of network and training.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// The folder of a base model that is given: of another library, or fine-tuned by `train`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<PathBuf>,
    /// Fields of the training configuration to replace, for every model.
    #[serde(default)]
    pub set: toml::Table,
    /// Seeds of base models: initial weights, batches and noise.
    pub seeds: Vec<u64>,
    /// The samples that are compared.
    #[serde(default)]
    pub samples: SampleSpec,
    /// Ways to train the models of changed data.
    #[serde(default)]
    pub variants: Vec<Variant>,
    /// Changes of the data.
    #[serde(default)]
    pub directions: Vec<DirectionSpec>,
    /// Estimators of sensitivities, each of which predicts the changes of the samples.
    #[serde(default)]
    pub estimators: Vec<SensitivityEstimator>,
    /// Baselines, evaluated on the same samples.
    #[serde(default)]
    pub baselines: Vec<Baseline>,
    /// Benchmark of data-attribution methods, in place of the changes above or beside them.
    pub attribution: Option<Benchmark>,
}

impl Experiment {
    /// Reads an experiment file.
    ///
    /// # Errors
    /// If it cannot be read, is not of this form, or contradicts itself.
    pub fn load(path: &Path) -> Result<Self, RetrainError> {
        let text = datasway_fs::read_text(path, MAX_FILE_BYTES)?;
        let experiment: Self =
            toml::from_str(&text).map_err(|error| syntax_error(path, &text, &error))?;
        experiment
            .check()
            .map_err(RetrainError::file(path, "cannot be run"))?;
        Ok(experiment)
    }

    /// The names of the predictions, the estimators before the baselines.
    pub fn predictions(&self) -> Vec<String> {
        let estimators = self.estimators.iter().map(SensitivityEstimator::name);
        let baselines = self.baselines.iter().map(Baseline::name);
        estimators.chain(baselines).collect()
    }

    /// The training configuration of base models, but for the seed.
    ///
    /// # Errors
    /// If there is no such preset or field, or not one of a preset and a base model.
    pub fn config(&self) -> Result<TrainingConfig, RetrainError> {
        let config = match (&self.preset, &self.base) {
            (Some(preset), None) => TrainingConfig::Own(TrainConfig::preset(preset)?),
            (None, Some(_)) if self.set.contains_key("flip") => {
                return Err(RetrainError::experiment(
                    "set: flip is that of the model that base names: write it into datasway.toml there",
                ));
            }
            (None, Some(_)) => TrainingConfig::Given(FineTuneConfig::default()),
            _ => {
                return Err(RetrainError::experiment(
                    "either preset or base is needed: the network that is trained, or the folder of a model that is fine-tuned",
                ));
            }
        };
        Ok(config.with_fields(&self.set)?)
    }

    /// The training configurations of all models, but for their seeds. The first is that of base models.
    ///
    /// # Errors
    /// If there is no such preset or field, a number is out of its range, or a variant contradicts the base models.
    pub fn configurations(&self) -> Result<Vec<TrainingConfig>, RetrainError> {
        let base = self.config()?;
        base.validate()?;
        let benchmark = self.attribution.iter().map(|benchmark| &benchmark.variant);
        let variants = self.variants.iter().chain(benchmark);
        let variant_sets = variants.clone().map(|variant| &variant.set);
        if variant_sets
            .chain([&self.set])
            .any(|set| set.contains_key("seed"))
        {
            return Err(RetrainError::experiment(
                "set: the seed of every model is one of seeds; remove it here",
            ));
        }
        let configurations = variants.map(|variant| variant.configuration(&base));
        std::iter::once(Ok(base.clone()))
            .chain(configurations)
            .collect()
    }

    /// Bytes of memory that training the largest model takes at least.
    ///
    /// # Errors
    /// As [`configurations`](Self::configurations).
    pub fn training_bytes(&self) -> Result<u128, RetrainError> {
        let configurations = self.configurations()?;
        let bytes = configurations.iter().map(TrainingConfig::bytes);
        Ok(bytes.max().unwrap_or_default())
    }

    /// Checks every entry by itself, and that they fit together.
    fn check(&self) -> Result<(), RetrainError> {
        self.check_lists()?;
        if let Some(benchmark) = &self.attribution {
            benchmark.check()?;
            if self.base.is_some() {
                return Err(RetrainError::experiment(
                    "attribution compares networks that are trained anew, and base gives one: leave one of them out",
                ));
            }
        }
        checks::file_name("name", &self.name)?;
        within("limit", self.limit.unwrap_or(1), IMAGE_LIMITS)?;
        for seed in self.seeds.iter().chain([&self.samples.seed]) {
            within("a seed", *seed, SEED)?;
        }
        within("samples.count", self.samples.count, 2..=1_000_000)?;
        within("samples.steps", self.samples.steps, 1..=10_000)?;
        within("samples.batch", self.samples.batch, 1..=65_536)?;
        for direction in &self.directions {
            direction.check()?;
        }
        let mut earlier = Vec::new();
        for estimator in &self.estimators {
            estimator.check(&earlier)?;
            earlier.push(estimator.name());
        }
        if self.base.is_some()
            && (self.estimators.iter()).any(SensitivityEstimator::compares_weights)
        {
            return Err(RetrainError::experiment(
                "alignment compares weights of networks of a preset: leave it out, or base",
            ));
        }
        self.check_averages()?;
        self.check_checkpoints()?;
        for baseline in &self.baselines {
            baseline.check()?;
        }
        within("the number of its jobs", self.max_jobs(), 0..=MAX_JOBS)?;
        self.configurations()?;
        distinct("seeds", self.seeds.iter().map(u64::to_string))?;
        distinct(
            "variants",
            self.variants.iter().map(|v| v.name().to_owned()),
        )?;
        let directions = self.directions.iter();
        distinct("directions", directions.map(DirectionSpec::canonical_name))?;
        distinct("estimators and baselines", self.predictions())?;
        Ok(())
    }

    /// Checks that what is averaged over base models is a prediction from one, of which several can be trained.
    fn check_averages(&self) -> Result<(), RetrainError> {
        let averages = self
            .estimators
            .iter()
            .filter_map(|estimator| match estimator {
                SensitivityEstimator::Average(average) => Some((estimator.name(), average)),
                _ => None,
            });
        for (name, average) in averages {
            let mut estimators = self.estimators.iter();
            let averaged = estimators.find(|estimator| estimator.name() == average.average);
            match averaged {
                Some(SensitivityEstimator::Density(_) | SensitivityEstimator::Weights(_)) => {}
                _ => {
                    return Err(RetrainError::experiment(format!(
                        "estimator {name}: average: {} is a sum or a mean itself: average its parts, and combine their means",
                        average.average
                    )));
                }
            }
            if self.base.is_some() {
                return Err(RetrainError::experiment(format!(
                    "estimator {name}: average needs base models with several seeds, and base gives one: leave one of them out"
                )));
            }
        }
        Ok(())
    }

    /// Checks that checkpoints are of the training of base models, and that every variant is one like it.
    fn check_checkpoints(&self) -> Result<(), RetrainError> {
        for estimator in &self.estimators {
            let Some(last) = estimator.checkpoints().last() else {
                continue;
            };
            let refuse = |why: String| {
                let name = estimator.name();
                Err(RetrainError::experiment(format!(
                    "estimator {name}: checkpoints: {why}"
                )))
            };
            if self.base.is_some() {
                return refuse("how the base was trained is not known: leave them out".to_owned());
            }
            let base = self.config()?;
            for variant in &self.variants {
                let (name, steps) = (variant.name(), variant.configuration(&base)?.steps());
                if variant.kind == VariantKind::FineTune {
                    return refuse(format!(
                        "variant {name} begins at the final weights, and they were before: leave them out, or the variant"
                    ));
                }
                if *last >= steps {
                    return refuse(format!(
                        "variant {name} has {steps} steps, and one is at {last}"
                    ));
                }
            }
        }
        Ok(())
    }

    /// Checks that no list that is needed is empty. A benchmark alone needs seeds only.
    fn check_lists(&self) -> Result<(), RetrainError> {
        let seeds = ("seeds", self.seeds.len());
        let of_changes = [
            ("variants", self.variants.len()),
            ("directions", self.directions.len()),
            ("estimators", self.estimators.len()),
        ];
        let no_changes =
            of_changes.iter().all(|(_, length)| *length == 0) && self.baselines.is_empty();
        let needed = if no_changes && self.attribution.is_some() {
            &[][..]
        } else {
            &of_changes[..]
        };
        let mut lists = std::iter::once(&seeds).chain(needed);
        match lists.find(|(_, length)| *length == 0) {
            Some((name, _)) => Err(RetrainError::experiment(format!(
                "{name} is empty; name at least one"
            ))),
            None => Ok(()),
        }
    }

    /// The number of jobs if no two are the same.
    fn max_jobs(&self) -> u128 {
        let count = |length: usize| length as u128;
        let seeds = count(self.seeds.len());
        // A base model, one on unchanged data and one for each change, each with its samples, and the predictions.
        let models = 2 * (2 + count(self.directions.len()));
        let predictions = count(self.estimators.len()) + count(self.baselines.len());
        let averaged = self.estimators.iter().map(|estimator| match estimator {
            SensitivityEstimator::Average(average) => count(average.seeds.len()),
            _ => 0,
        });
        let averaged: u128 = averaged.sum();
        let passed = self.estimators.iter();
        let passed = passed.map(|estimator| count(estimator.checkpoints().len()));
        let passed: u128 = passed.sum();
        let replicates = count(self.variants.len())
            * (seeds * (models + predictions) + 2 * averaged + (seeds + averaged) * passed);
        let benchmark = self.attribution.as_ref().map_or(0, |benchmark| {
            let parts = count(benchmark.subsets) + count(benchmark.groups.len());
            let removals = benchmark.counterfactual.as_ref().map_or(0, |removals| {
                2 * count(removals.samples) * (1 + count(removals.forms.len()))
            });
            4 + 3 * seeds * parts + count(benchmark.methods.len()) + removals
        });
        replicates + benchmark
    }
}

/// An error of TOML with the line of the file that it is about.
fn syntax_error(path: &Path, text: &str, error: &toml::de::Error) -> RetrainError {
    let before = error.span().and_then(|span| text.get(..span.start));
    let line = before.map(|before| format!("line {}: ", before.matches('\n').count() + 1));
    let reason = format!("{}{}", line.unwrap_or_default(), error.message());
    RetrainError::file(path, "is not an experiment file")(reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r#"
        name = "small"
        data = "faces:100"
        preset = "faces16"
        set = { steps = 10, network = { channels = 16 } }
        seeds = [0]
        [[variants]]
        kind = "fine-tune"
        set = { steps = 3 }
        [[directions]]
        add = "attr:Eyeglasses"
        mass = 0.3
        [[estimators]]
        density = "empirical"
        bandwidth = 4.0
        [[baselines]]
        kind = "optimal-transport"
    "#;

    fn read(text: &str) -> Result<Experiment, RetrainError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("small.toml");
        std::fs::write(&path, text).unwrap();
        Experiment::load(&path)
    }

    #[test]
    fn predictions_of_single_base_models_are_averaged_and_nothing_else() {
        let with = |names: &[&str]| {
            let mean = |name: &&str| {
                format!("[[estimators]]\naverage = \"{name}\"\nseeds = [0, 1]\n[[baselines]]")
            };
            let means = names.iter().map(mean);
            means.fold(SMALL.to_owned(), |text, mean| {
                text.replace("[[baselines]]", &mean)
            })
        };
        let right = with(&["empirical-h4"]);
        read(&right).unwrap();
        let own = "set = { steps = 10, network = { channels = 16 } }";
        let given = right
            .replace("preset = \"faces16\"", "base = \"base\"")
            .replace(own, "");
        for (text, says) in [
            (
                with(&["empirical-h4", "empirical-h4-by-2-models"]),
                "is a sum or a mean itself",
            ),
            (given, "base gives one"),
        ] {
            let error = read(&text).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn checkpoints_are_of_a_training_from_scratch() {
        let with = |steps: &str| {
            let estimator = format!(
                "[[estimators]]\nthrough = \"weights\"\ndamping = \"training\"\ncheckpoints = {steps}\n[[baselines]]"
            );
            SMALL.replace("[[baselines]]", &estimator)
        };
        let scratch = |text: String| text.replace("kind = \"fine-tune\"", "kind = \"retrain\"");
        let own = "set = { steps = 10, network = { channels = 16 } }";
        let given = with("[2]").replace("preset = \"faces16\"", "base = \"base\"");
        // The variant has 3 steps of its own.
        read(&scratch(with("[1, 2]"))).unwrap();
        for (text, says) in [
            (with("[2]"), "begins at the final weights"),
            (scratch(with("[2, 3]")), "has 3 steps, and one is at 3"),
            (given.replace(own, ""), "how the base was trained"),
        ] {
            let error = read(&text).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn fields_of_the_preset_are_replaced_and_names_are_made() {
        let small = read(SMALL).unwrap();
        let config = small.config().unwrap();
        let network = &config.own().unwrap().network;
        assert_eq!((config.steps(), network.channels), (10, 16));
        assert_eq!(
            small.predictions(),
            ["empirical-h4", "optimal-transport-0.05"]
        );
        assert_eq!(small.directions[0].name(), "add attr:Eyeglasses 0.3");
        assert_eq!(small.variants[0].name(), "fine-tune");
    }

    #[test]
    fn every_number_and_name_has_a_range() {
        let numbers = ["-1", "nan", "inf", "-inf", "1e300"];
        let whole = ["0", "-1", "1000000000000", "9223372036854775807", "1.5"];
        let fields: [(&str, &str, &[&str]); 14] = [
            ("bandwidth = 4.0", "bandwidth = ", &numbers),
            (
                "bandwidth = 4.0",
                "bandwidth = 4.0\n        sigma_cut = ",
                &[&numbers[..], &["1e9", "80.0"]].concat(),
            ),
            (
                "bandwidth = 4.0",
                "bandwidth = 4.0\n        probes = ",
                &whole,
            ),
            (
                "bandwidth = 4.0",
                "bandwidth = 4.0\n        period = ",
                &whole[1..],
            ),
            ("mass = 0.3", "mass = ", &[&numbers[..], &["0.0"]].concat()),
            (
                "\"optimal-transport\"",
                "\"optimal-transport\"\nepsilon = ",
                &[&numbers[..], &["0.0"]].concat(),
            ),
            ("seeds = [0]", "seeds = [0]\nlimit = ", &whole),
            (
                "seeds = [0]",
                "seeds = ",
                &["[-1]", "[9223372036854775807]"],
            ),
            (
                "seeds = [0]",
                "seeds = [0]\nsamples.count = ",
                &[&whole[..], &["1"]].concat(),
            ),
            ("seeds = [0]", "seeds = [0]\nsamples.steps = ", &whole),
            ("seeds = [0]", "seeds = [0]\nsamples.batch = ", &whole),
            ("steps = 10", "steps = 10, batch = ", &["0", "-1"]),
            ("steps = 10", "steps = 10, learning_rate = ", &numbers[..4]),
            (
                "name = \"small\"",
                "name = ",
                &[
                    "\"\"",
                    "\"../../x\"",
                    "\"/x\"",
                    "\"a\\nb\"",
                    "\"a\\u0000\"",
                    "\".a\"",
                ],
            ),
        ];
        for (old, new, values) in fields {
            assert!(SMALL.contains(old), "{old}");
            for value in values {
                let text = SMALL.replacen(old, &format!("{new}{value}"), 1);
                let error = read(&text).expect_err(&text).to_string();
                assert!(error.contains("small.toml"), "{new}{value}: {error}");
                assert!(error.lines().count() == 1 && error.len() < 2_000, "{error}");
            }
        }
        let seeds: Vec<String> = (0..20_000).map(|seed| seed.to_string()).collect();
        let many = SMALL.replace("seeds = [0]", &format!("seeds = [{}]", seeds.join(",")));
        let error = read(&many).unwrap_err().to_string();
        assert!(
            error.contains("the number of its jobs must be from 0 to 100000"),
            "{error}"
        );
        let large = format!("{SMALL}\n#{}", "x".repeat(1 << 20));
        assert!(read(&large).unwrap_err().to_string().contains("bytes"));
        let deep = format!("{SMALL}\nset.x = {}", "[".repeat(100_000));
        let error = read(&deep).unwrap_err().to_string();
        assert!(error.lines().count() == 1 && error.len() < 2_000, "{error}");
        let long = SMALL.replace("attr:Eyeglasses", &"x".repeat(200_000));
        let error = read(&long).unwrap_err().to_string();
        assert!(error.len() < 2_000, "{error}");
        let error = read("name = \"a\"\nseeds = [").unwrap_err().to_string();
        assert!(error.contains("line 2: "), "{error}");
    }

    #[test]
    fn the_experiments_that_come_with_datasway_are_in_their_ranges() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../experiments");
        let files = std::fs::read_dir(folder).unwrap();
        let files = files.map(|file| file.unwrap().path());
        let mut count = 0;
        for file in files.filter(|file| file.extension().is_some_and(|e| e == "toml")) {
            Experiment::load(&file).unwrap();
            count += 1;
        }
        assert!(count > 5);
    }

    #[test]
    fn contradictions_are_named() {
        for (old, new, says) in [
            (
                "set = { steps = 3 }",
                "set = { network = { channels = 32 } }",
                "variant fine-tune: fine-tuning goes on with the network",
            ),
            (
                "set = { steps = 3 }",
                "set = { network = { image_channels = 1 } }",
                "belong to the data",
            ),
            (
                "set = { steps = 3 }",
                "set = { stpes = 3 }",
                "variant fine-tune: ",
            ),
            (
                "set = { steps = 3 }",
                "name = \"a/b\"",
                "a variant's name must be",
            ),
            ("attr:Eyeglasses", "atr:Eyeglasses", "atr:Eyeglasses"),
            ("faces16", "faces17", "there is no preset"),
            ("preset = \"faces16\"", "", "either preset or base"),
            (
                "preset = \"faces16\"",
                "preset = \"faces16\"\nbase = \"model\"",
                "either preset or base",
            ),
            (
                "preset = \"faces16\"",
                "base = \"model\"",
                "the model which is fine-tuned",
            ),
            (
                "density = \"empirical\"",
                "density = \"empirical\"\nname = \"\"",
                "an estimator's name",
            ),
            ("seeds = [0]", "seeds = []", "seeds is empty"),
            ("seeds = [0]", "seeds = [0, 0]", "two seeds are called 0"),
            ("add = ", "plus = ", "unknown field `plus`"),
            (
                "mass = 0.3",
                "mass = 0.3\nremove = \"all\"",
                "either add or remove",
            ),
            ("\"empirical\"", "\"probability-flow\"", "needs the density"),
            (
                "\"empirical\"\n        bandwidth = 4.0",
                "\"probability-flow\"\n        trace = \"probing\"\n        period = 0",
                "a period of at least 1",
            ),
            (
                "bandwidth = 4.0",
                "probes = 4",
                "probes is for the density probability-flow with the trace hutchinson",
            ),
            (
                "bandwidth = 4.0",
                "trace = \"exact\"",
                "trace is for the density probability-flow: ",
            ),
            (
                "\"empirical\"\n        bandwidth = 4.0",
                "\"probability-flow\"\n        period = 3",
                "period is for the density probability-flow with the trace probing",
            ),
            (
                "\"empirical\"\n        bandwidth = 4.0",
                "\"probability-flow\"\n        trace = \"probing\"\n        probes = 2",
                "probes is for",
            ),
            (
                "bandwidth = 4.0",
                "bandwidth = \"AUTO\"",
                "a bandwidth is a number from 0 up or \"auto\"",
            ),
            (
                "kind = \"optimal-transport\"",
                "kind = \"nearest-image\"\nk = 0",
                "unknown field `k`",
            ),
            (
                "kind = \"optimal-transport\"",
                "kind = \"random\"\nseed = 1",
                "unknown field `seed`",
            ),
            ("steps = 10", "steps = 10, seed = 1", "one of seeds"),
            ("set = { steps = 3 }", "set = { seed = 3 }", "one of seeds"),
            (
                "mass = 0.3",
                "mass = 0.3\n[[directions]]\nadd = \"attr:Eyeglasses&Eyeglasses\"\nmass = 0.30",
                "two directions are called add attr:Eyeglasses 0.3",
            ),
            (
                "kind = \"optimal-transport\"",
                "kind = \"random\"\n[[baselines]]\nkind = \"random\"",
                "called random",
            ),
        ] {
            let error = read(&SMALL.replacen(old, new, 1)).unwrap_err().to_string();
            assert!(
                error.contains("small.toml") && error.contains(says),
                "{error}"
            );
        }
        let mut unknown = read(SMALL).unwrap();
        unknown.set.insert("stpes".into(), 3.into());
        let error = unknown.config().unwrap_err().to_string();
        assert!(error.contains("no such field"), "{error}");
    }
}
