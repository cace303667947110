//! The training configuration of a model of an experiment.

use datasway_diffusion::DiffusionError;
use datasway_sensitivity::learner::FiniteTraining;
use datasway_training::batches::BatchDraws;
use datasway_training::config::TrainConfig;
use datasway_training::fine_tune::FineTuneConfig;
use datasway_training::memory::network_bytes;
use serde::Serialize;

/// The training configuration of a model: with a network of Datasway, or of a network that a folder gives.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum TrainingConfig {
    /// A network of Datasway.
    Own(TrainConfig),
    /// A network that a folder gives.
    Given(FineTuneConfig),
}

impl TrainingConfig {
    /// The same with another seed.
    pub fn with_seed(&self, seed: u64) -> Self {
        match self.clone() {
            Self::Own(config) => Self::Own(TrainConfig { seed, ..config }),
            Self::Given(config) => Self::Given(FineTuneConfig { seed, ..config }),
        }
    }

    /// Optimiser steps.
    pub fn steps(&self) -> u64 {
        match self {
            Self::Own(config) => config.steps,
            Self::Given(config) => config.steps,
        }
    }

    /// Images per step.
    pub fn batch(&self) -> usize {
        match self {
            Self::Own(config) => config.batch,
            Self::Given(config) => config.batch,
        }
    }

    /// The training as a regularisation of the change of the weights.
    pub fn finite_training(&self) -> FiniteTraining {
        let optimization = match self {
            Self::Own(config) => config.optimization(),
            Self::Given(config) => config.optimization(),
        };
        FiniteTraining {
            optimization,
            batch: self.batch(),
        }
    }

    /// True if images are mirrored at random.
    pub fn flip(&self) -> bool {
        match self {
            Self::Own(config) => config.flip,
            Self::Given(config) => config.flip,
        }
    }

    /// Settings that decide the batches.
    pub fn draws(&self) -> BatchDraws {
        match self {
            Self::Own(config) => config.draws(),
            Self::Given(config) => config.draws(),
        }
    }

    /// The configuration of a network of Datasway.
    pub fn own(&self) -> Option<&TrainConfig> {
        match self {
            Self::Own(config) => Some(config),
            Self::Given(_) => None,
        }
    }

    /// True if two models have one network.
    pub fn has_network_of(&self, other: &Self) -> bool {
        match (self.own(), other.own()) {
            (Some(one), Some(other)) => one.network == other.network,
            // An experiment has one folder.
            (one, other) => one.is_none() && other.is_none(),
        }
    }

    /// Bytes of memory that training takes at least, as far as the configuration says.
    pub fn bytes(&self) -> u128 {
        self.own()
            .map_or(0, |config| network_bytes(&config.network, config.batch))
    }

    /// Checks that every number is in its range.
    ///
    /// # Errors
    /// A sentence that names the field.
    pub fn validate(&self) -> Result<(), DiffusionError> {
        match self {
            Self::Own(config) => config.validate(),
            Self::Given(config) => config.validate(),
        }
    }

    /// The configuration with the fields of a table replaced; nested tables are groups of fields.
    ///
    /// # Errors
    /// If there is no such field or a value does not fit it.
    pub fn with_fields(self, fields: &toml::Table) -> Result<Self, DiffusionError> {
        self.with_group("", fields)
    }

    /// Replaces the fields of one group; `group` is empty or ends with a dot.
    fn with_group(mut self, group: &str, fields: &toml::Table) -> Result<Self, DiffusionError> {
        for (name, value) in fields {
            let path = format!("{group}{name}");
            self = match (value, self) {
                // The noise levels of a given network are one value.
                (value, Self::Given(config)) if path == "noise" => {
                    Self::Given(config.with(&path, &value.to_string())?)
                }
                (toml::Value::Table(inner), config) => {
                    config.with_group(&format!("{path}."), inner)?
                }
                (value, Self::Own(config)) => Self::Own(config.with(&path, &value.to_string())?),
                (value, Self::Given(config)) => {
                    Self::Given(config.with(&path, &value.to_string())?)
                }
            };
        }
        Ok(self)
    }
}
