//! A way to train the models of changed data.

use std::fmt::Display;

use datasway_diffusion::DiffusionError;
use datasway_training::config::TrainConfig;
use serde::{Deserialize, Serialize};

use super::checks;
use crate::RetrainError;

/// A way to train the models of changed data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// The starting point of training.
    pub kind: VariantKind,
    /// Name in the tables; the kind if absent.
    name: Option<String>,
    /// Fields of the training configuration to replace, such as steps and `learning_rate`.
    #[serde(default)]
    pub set: toml::Table,
}

/// The starting point of the model of the changed data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VariantKind {
    /// The initial weights of the base model.
    Retrain,
    /// The averaged weights of the base model, with a fresh optimiser.
    /// The model is compared with the base model fine-tuned for as many steps on unchanged data.
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
    /// The training configuration of its models, given that of base models.
    ///
    /// # Errors
    /// If a field does not exist or is out of its range, or the images or a fine-tuned network would differ from those of base
    /// models.
    pub fn configuration(&self, base: &TrainConfig) -> Result<TrainConfig, RetrainError> {
        let name = self.name();
        checks::file_name("a variant's name", name)?;
        let refuse = |why: &dyn Display| RetrainError::experiment(format!("variant {name}: {why}"));
        let config = with_fields(base.clone(), &self.set).map_err(|error| refuse(&error))?;
        config.validate().map_err(|error| refuse(&error))?;
        let image_options = |config: &TrainConfig| {
            let network = &config.network;
            (config.flip, network.image_size, network.image_channels)
        };
        if image_options(&config) != image_options(base) {
            return Err(refuse(
                &"flip, network.image_size and network.image_channels belong to the data; set them for the whole experiment",
            ));
        }
        if self.kind == VariantKind::FineTune && config.network != base.network {
            return Err(refuse(
                &"fine-tuning goes on with the network of the base model; set the network for the whole experiment",
            ));
        }
        Ok(config)
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

/// A training configuration with the fields of a table replaced; nested tables are groups of fields.
pub(super) fn with_fields(
    config: TrainConfig,
    fields: &toml::Table,
) -> Result<TrainConfig, DiffusionError> {
    replace_group(config, "", fields)
}

/// Replaces the fields of one group; `group` is empty or ends with a dot.
fn replace_group(
    mut config: TrainConfig,
    group: &str,
    fields: &toml::Table,
) -> Result<TrainConfig, DiffusionError> {
    for (name, value) in fields {
        let path = format!("{group}{name}");
        config = match value {
            toml::Value::Table(inner) => replace_group(config, &format!("{path}."), inner)?,
            value => config.with(&path, &value.to_string())?,
        };
    }
    Ok(config)
}
