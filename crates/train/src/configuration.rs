//! The training configuration of a command line.

use anyhow::{Context, Result};
use datasway_training::config::TrainConfig;

use crate::command::TrainArgs;

/// Default presets of colour images and of grey images.
const USUAL: [&str; 2] = ["faces16", "mnist16"];

/// Largest size of a configuration file in bytes.
const LARGEST: u64 = 1 << 20;

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
        let (field, value) = set
            .split_once('=')
            .with_context(|| format!("--set {set}: write FIELD=VALUE"))?;
        config = config.with(field.trim(), value.trim())?;
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
fn parse(text: &str) -> Result<TrainConfig> {
    let mut table: toml::Table = text.parse()?;
    Ok(match table.remove("config") {
        Some(config) => config.try_into()?,
        None => table.try_into()?,
    })
}
