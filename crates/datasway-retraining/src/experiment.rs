//! The experiment file: what is trained, changed, predicted and compared.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::Path;

use datasway_data::Selection;
use datasway_diffusion::{DiffusionError, validate};
use datasway_sensitivity::density::EstimatorSpec;
use datasway_sensitivity::sample_spec::SampleSpec;
use datasway_training::config::TrainConfig;
use serde::{Deserialize, Serialize};

use crate::RetrainError;
use crate::attribution::Benchmark;
use crate::baselines::Baseline;
use crate::range::{self, SEED, within};

/// An experiment, as its TOML file says it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    /// Name, for the results.
    pub name: String,
    /// The images, as for `train --data`.
    pub data: String,
    /// At most this many images.
    pub limit: Option<usize>,
    /// Whether images that cannot be read are left out.
    #[serde(default)]
    pub skip_bad: bool,
    /// Preset of network and training.
    pub preset: String,
    /// Fields of the preset to replace, for every model.
    #[serde(default)]
    pub set: toml::Table,
    /// Seeds of base models: initial weights, batches and noise.
    pub seeds: Vec<u64>,
    /// The samples that are compared.
    #[serde(default)]
    pub samples: SampleSpec,
    /// What "really changing the data" means.
    #[serde(default)]
    pub variants: Vec<Variant>,
    /// The changes of the data.
    #[serde(default)]
    pub directions: Vec<Direction>,
    /// The predictions.
    #[serde(default)]
    pub estimators: Vec<EstimatorSpec>,
    /// What they must beat.
    #[serde(default)]
    pub baselines: Vec<Baseline>,
    /// What single training images do, instead of or beside the changes above.
    pub attribution: Option<Benchmark>,
}

/// One way to make a model of the changed data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// Which way.
    pub kind: VariantKind,
    /// Name in the tables; the kind if absent.
    name: Option<String>,
    /// Fields of the training configuration to replace, such as steps and `learning_rate`.
    #[serde(default)]
    pub set: toml::Table,
}

/// Where the model of the changed data starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VariantKind {
    /// At the initial weights of the base model.
    Retrain,
    /// At the averaged weights of the base model, with a fresh optimiser; compared with the base model
    /// trained on as long on unchanged data.
    FineTune,
}

impl Default for Variant {
    fn default() -> Self {
        Self {
            kind: VariantKind::Retrain,
            name: None,
            set: toml::Table::new(),
        }
    }
}

impl Variant {
    /// The configuration of its models, given that of base models.
    fn configuration(&self, base: &TrainConfig) -> Result<TrainConfig, RetrainError> {
        let name = self.name();
        range::file_name("a variant's name", name)?;
        let refuse = |why: &dyn Display| RetrainError::experiment(format!("variant {name}: {why}"));
        let changed = replace(base.clone(), &self.set).map_err(|error| refuse(&error))?;
        changed.validate().map_err(|error| refuse(&error))?;
        let sees = |config: &TrainConfig| {
            let network = &config.network;
            (config.flip, network.image_size, network.image_channels)
        };
        if sees(&changed) != sees(base) {
            return Err(refuse(
                &"flip, network.image_size and network.image_channels belong to the data; set them for the whole experiment",
            ));
        }
        if self.kind == VariantKind::FineTune && changed.network != base.network {
            return Err(refuse(
                &"fine-tuning goes on with the network of the base model; set the network for the whole experiment",
            ));
        }
        Ok(changed)
    }

    /// Name in the tables.
    pub fn name(&self) -> &str {
        match (&self.name, self.kind) {
            (Some(name), _) => name,
            (None, VariantKind::Retrain) => "retrain",
            (None, VariantKind::FineTune) => "fine-tune",
        }
    }
}

/// One change of the data: exactly one of `add` and `remove` names the images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Direction {
    /// The selection to add, such as `attr:Eyeglasses`.
    add: Option<String>,
    /// The selection to remove.
    remove: Option<String>,
    /// |η|: the mass added or removed, the data having mass 1.
    pub mass: f64,
    /// Whether choices such as the bandwidth may be made by looking at this direction; the others judge them.
    #[serde(default)]
    pub tuning: bool,
}

impl Direction {
    /// The images, as for `sensitivity --add`.
    pub fn selection(&self) -> &str {
        let either = self.add.as_deref().or(self.remove.as_deref());
        either.unwrap_or_default()
    }

    /// Whether they are removed: η < 0.
    pub fn removing(&self) -> bool {
        self.remove.is_some()
    }

    /// η.
    pub fn signed_mass(&self) -> f64 {
        if self.removing() {
            -self.mass
        } else {
            self.mass
        }
    }

    /// `add attr:Eyeglasses 0.3`.
    pub fn name(&self) -> String {
        self.called(self.selection())
    }

    fn called(&self, selection: &str) -> String {
        let verb = if self.removing() { "remove" } else { "add" };
        format!("{verb} {selection} {}", self.mass)
    }
}

impl Direction {
    /// The name that all directions of the same meaning share.
    fn meaning(&self) -> String {
        let selection = Selection::parse(self.selection());
        let canonical = selection.map(|selection| selection.canonical().to_string());
        self.called(&canonical.unwrap_or_else(|_| self.selection().to_owned()))
    }

    fn check(&self) -> Result<(), RetrainError> {
        if self.add.is_some() == self.remove.is_some() {
            return Err(RetrainError::experiment(
                "each direction needs one selection: either add or remove",
            ));
        }
        Selection::parse(self.selection())?;
        let name = self.name();
        match self.removing() {
            true => within(&format!("{name}: the mass"), self.mass, MASS_REMOVED),
            false => within(&format!("{name}: the mass"), self.mass, MASS_ADDED),
        }
    }
}

/// Bytes of an experiment file at most.
const LARGEST: u64 = 1 << 20;

/// Jobs of an experiment at most.
const JOBS: u128 = 100_000;

/// ImagePoints of a data set.
const IMAGES: RangeInclusive<usize> = 1..=1_000_000_000;

/// Masses that can be added; the data have mass 1.
const MASS_ADDED: RangeInclusive<f64> = 1e-9..=1e6;

/// Masses that can be removed, if the group is that large.
const MASS_REMOVED: RangeInclusive<f64> = 1e-9..=1.0;

impl Experiment {
    /// Reads an experiment file.
    ///
    /// # Errors
    /// If it cannot be read, is not of this form, or contradicts itself.
    pub fn load(path: &Path) -> Result<Self, RetrainError> {
        let text = datasway_fs::read_text(path, LARGEST)?;
        let experiment: Self =
            toml::from_str(&text).map_err(|error| syntax(path, &text, &error))?;
        experiment
            .check()
            .map_err(RetrainError::file(path, "cannot be run"))?;
        Ok(experiment)
    }

    /// The names of the predictions, the estimators before the baselines.
    pub fn predictions(&self) -> Vec<String> {
        let estimators = self.estimators.iter().map(EstimatorSpec::name);
        let baselines = self.baselines.iter().map(Baseline::name);
        estimators.chain(baselines).collect()
    }

    /// The configuration of base models, but for the seed.
    ///
    /// # Errors
    /// If there is no such preset or field.
    pub fn config(&self) -> Result<TrainConfig, DiffusionError> {
        replace(TrainConfig::preset(&self.preset)?, &self.set)
    }

    fn check(&self) -> Result<(), RetrainError> {
        let changes = [
            ("variants", self.variants.len()),
            ("directions", self.directions.len()),
            ("estimators", self.estimators.len()),
        ];
        let none = changes.iter().all(|(_, length)| *length == 0) && self.baselines.is_empty();
        let needed = match &self.attribution {
            Some(_) if none => &[][..],
            _ => &changes[..],
        };
        let mut lists = [("seeds", self.seeds.len())]
            .into_iter()
            .chain(needed.iter().copied());
        if let Some((name, _)) = lists.find(|(_, length)| *length == 0) {
            return Err(RetrainError::experiment(format!(
                "{name} is empty; name at least one"
            )));
        }
        if let Some(benchmark) = &self.attribution {
            benchmark.check()?;
        }
        range::file_name("name", &self.name)?;
        within("limit", self.limit.unwrap_or(1), IMAGES)?;
        for seed in self.seeds.iter().chain([&self.samples.seed]) {
            within("a seed", *seed, SEED)?;
        }
        within("samples.count", self.samples.count, 2..=1_000_000)?;
        within("samples.steps", self.samples.steps, 1..=10_000)?;
        within("samples.batch", self.samples.batch, 1..=65_536)?;
        for direction in &self.directions {
            direction.check()?;
        }
        for estimator in &self.estimators {
            estimator.check()?;
        }
        for baseline in &self.baselines {
            baseline.check()?;
        }
        within("the number of its jobs", self.jobs(), 0..=JOBS)?;
        self.configurations()?;
        distinct("seeds", self.seeds.iter().map(u64::to_string))?;
        distinct(
            "variants",
            self.variants.iter().map(|v| v.name().to_owned()),
        )?;
        distinct("directions", self.directions.iter().map(Direction::meaning))?;
        distinct("estimators and baselines", self.predictions().into_iter())
    }
}

impl Experiment {
    /// How many jobs there are, if no two are the same.
    fn jobs(&self) -> u128 {
        let count = |length: usize| length as u128;
        let seeds = count(self.seeds.len());
        // A base model, one on unchanged data and one for each change, each with its samples, and the predictions.
        let models = 2 * (2 + count(self.directions.len()));
        let predictions = count(self.estimators.len()) + count(self.baselines.len());
        let runs = count(self.variants.len()) * seeds * (models + predictions);
        let trials = self.attribution.as_ref().map_or(0, |benchmark| {
            let parts = count(benchmark.subsets) + count(benchmark.groups.len());
            let ways = benchmark.counterfactual.as_ref().map_or(0, |ways| {
                2 * count(ways.samples) * (1 + count(ways.forms.len()))
            });
            4 + 3 * seeds * parts + count(benchmark.methods.len()) + ways
        });
        runs + trials
    }

    /// The configurations of all models that will be trained, but for their seeds, that of base models first.
    ///
    /// # Errors
    /// If there is no such preset or field, a number is out of its range, or a variant changes what it must not.
    pub fn configurations(&self) -> Result<Vec<TrainConfig>, RetrainError> {
        let config = self.config()?;
        config.validate()?;
        let benchmark = self.attribution.iter().map(|benchmark| &benchmark.variant);
        let variants = self.variants.iter().chain(benchmark);
        let mut sets = variants
            .clone()
            .map(|variant| &variant.set)
            .chain([&self.set]);
        if sets.any(|set| set.contains_key("seed")) {
            return Err(RetrainError::experiment(
                "set: the seed of every model is one of seeds; remove it here",
            ));
        }
        let changed = variants.map(|variant| variant.configuration(&config));
        std::iter::once(Ok(config.clone())).chain(changed).collect()
    }
}

/// What is wrong with a TOML file, and in which line.
fn syntax(path: &Path, text: &str, error: &toml::de::Error) -> RetrainError {
    let before = error.span().and_then(|span| text.get(..span.start));
    let line = before.map(|before| format!("line {}: ", before.matches('\n').count() + 1));
    let reason = format!("{}{}", line.unwrap_or_default(), error.message());
    RetrainError::file(path, "is not an experiment file")(reason)
}

pub(crate) fn distinct(
    what: &str,
    names: impl Iterator<Item = String>,
) -> Result<(), RetrainError> {
    Ok(validate::distinct(what, names)?)
}

/// A configuration with the fields of a table replaced; tables in it are groups of fields.
pub(crate) fn replace(
    config: TrainConfig,
    fields: &toml::Table,
) -> Result<TrainConfig, DiffusionError> {
    fn walk(
        mut config: TrainConfig,
        group: &str,
        fields: &toml::Table,
    ) -> Result<TrainConfig, DiffusionError> {
        for (name, value) in fields {
            let path = format!("{group}{name}");
            config = match value {
                toml::Value::Table(inner) => walk(config, &format!("{path}."), inner)?,
                value => config.with(&path, &value.to_string())?,
            };
        }
        Ok(config)
    }
    walk(config, "", fields)
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
    fn fields_of_the_preset_are_replaced_and_names_are_made() {
        let small = read(SMALL).unwrap();
        let config = small.config().unwrap();
        assert_eq!((config.steps, config.network.channels), (10, 16));
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
