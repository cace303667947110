//! The training configuration of a command line.

use anyhow::{Context, Result};
use datasway_training::config::TrainConfig;
use datasway_training::fine_tune::FineTuneConfig;
use serde::de::DeserializeOwned;

use crate::command::TrainArgs;

/// Default presets of colour images and of grey images.
const USUAL: [&str; 2] = ["faces16", "mnist16"];

/// Largest size of a configuration file in bytes.
const LARGEST: u64 = 1 << 20;

/// The configuration of a fine-tuning from a file, modified by options. `flip` is its default.
pub fn fine_tuning(arguments: &TrainArgs, flip: bool) -> Result<FineTuneConfig> {
    let mut config = match &arguments.config {
        None => FineTuneConfig {
            flip,
            ..FineTuneConfig::default()
        },
        Some(path) => {
            let text = datasway_fs::read_text(path, LARGEST)?;
            parse(&text).with_context(|| {
                format!(
                    "{} is not a configuration of a fine-tuning, such as the run.toml of one: it has no network",
                    path.display()
                )
            })?
        }
    };
    for set in &arguments.set {
        let (field, value) = field_and_value(set)?;
        config = config.with(field, value)?;
    }
    config.steps = arguments.steps.unwrap_or(config.steps);
    config.batch = arguments.batch.unwrap_or(config.batch);
    config.learning_rate = arguments.learning_rate.unwrap_or(config.learning_rate);
    config.seed = arguments.seed.unwrap_or(config.seed);
    Ok(config)
}

/// The parts of an argument of `--set`.
fn field_and_value(set: &str) -> Result<(&str, &str)> {
    let (field, value) = set
        .split_once('=')
        .with_context(|| format!("--set {set}: write FIELD=VALUE"))?;
    Ok((field.trim(), value.trim()))
}

/// The configuration from a preset or file, modified by options.
pub fn configuration(arguments: &TrainArgs, grey: bool) -> Result<TrainConfig> {
    let mut config = match (&arguments.config, &arguments.preset) {
        (None, Some(preset)) => TrainConfig::preset(preset)?,
        (None, None) => {
            let (preset, colour) = (
                USUAL[usize::from(grey)],
                if grey { "grey" } else { "colour" },
            );
            datasway_cli::tell(format!(
                "{colour} images: --preset {preset} unless another is named"
            ));
            TrainConfig::preset(preset)?
        }
        (Some(path), _) => {
            let text = datasway_fs::read_text(path, LARGEST)?;
            parse(&text).with_context(|| format!("{} is not a configuration", path.display()))?
        }
    };
    for set in &arguments.set {
        let (field, value) = field_and_value(set)?;
        config = config.with(field, value)?;
    }
    if let Some(steps) = arguments.steps {
        config.steps = steps;
    }
    if let Some(batch) = arguments.batch {
        config.batch = batch;
    }
    if let Some(rate) = arguments.learning_rate {
        config.learning_rate = rate;
    }
    if let Some(seed) = arguments.seed {
        config.seed = seed;
    }
    Ok(config)
}

/// Parses a configuration file or the `[config]` of a `run.toml`.
fn parse<C: DeserializeOwned>(text: &str) -> Result<C> {
    let mut table: toml::Table = text.parse()?;
    Ok(match table.remove("config") {
        Some(config) => config.try_into()?,
        None => table.try_into()?,
    })
}
