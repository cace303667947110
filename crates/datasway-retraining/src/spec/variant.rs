//! A way to train the models of changed data.

use std::fmt::Display;

use datasway_training::config::TrainConfig;
use serde::{Deserialize, Serialize};

use super::checks;
use super::training_config::TrainingConfig;
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
    /// If a field does not exist or is out of its range, the images or a fine-tuned network would differ from those of base models, or
    /// a network of another library would be trained from its initial weights.
    pub fn configuration(&self, base: &TrainingConfig) -> Result<TrainingConfig, RetrainError> {
        let name = self.name();
        checks::file_name("a variant's name", name)?;
        let refuse = |why: &dyn Display| RetrainError::experiment(format!("variant {name}: {why}"));
        let config = base.clone().with_fields(&self.set);
        let config = config.map_err(|error| refuse(&error))?;
        config.validate().map_err(|error| refuse(&error))?;
        if config.flip() != base.flip() {
            return Err(refuse(
                &"flip belongs to the data; set it for the whole experiment",
            ));
        }
        match (&config, base) {
            (TrainingConfig::Own(config), TrainingConfig::Own(base)) => {
                let size = |config: &TrainConfig| {
                    (config.network.image_size, config.network.image_channels)
                };
                if size(config) != size(base) {
                    return Err(refuse(
                        &"network.image_size and network.image_channels belong to the data; set them for the whole experiment",
                    ));
                }
                if self.kind == VariantKind::FineTune && config.network != base.network {
                    return Err(refuse(
                        &"fine-tuning goes on with the network of the base model; set the network for the whole experiment",
                    ));
                }
            }
            _ if self.kind == VariantKind::Retrain => {
                return Err(refuse(
                    &"the initial weights of the model that base names are not known, so it cannot be retrained: fine-tune it",
                ));
            }
            _ => {}
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
