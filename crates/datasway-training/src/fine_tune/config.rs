//! The configuration of a fine-tuning.

use datasway_diffusion::loss::NoiseDistribution;
use datasway_diffusion::training_noise::TrainingNoise;
use datasway_diffusion::{DiffusionError, range};
use serde::{Deserialize, Serialize};

use crate::batches::BatchDraws;
use crate::config::{MAX_BATCH, check_noise, with_field};
use crate::optimization::Optimization;

/// Configuration of a fine-tuning: together with the model and the images it determines the result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FineTuneConfig {
    /// Seed of batches, flips and noise.
    pub seed: u64,
    /// Optimiser steps.
    pub steps: u64,
    /// Images per step.
    pub batch: usize,
    /// Peak learning rate of AdamW.
    pub learning_rate: f64,
    /// Steps over which the learning rate rises linearly from 0.
    pub warmup: u64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Largest norm of each parameter's gradient.
    pub clip_norm: f64,
    /// Decay of the averaged weights.
    pub ema_decay: f64,
    /// True if images are mirrored at random.
    pub flip: bool,
    /// Training noise levels.
    pub noise: NoiseLevels,
}

impl Default for FineTuneConfig {
    /// Settings of `train_unconditional.py` of diffusers, for some minutes on two cores.
    fn default() -> Self {
        Self {
            seed: 0,
            steps: 1_000,
            batch: 16,
            learning_rate: 1e-4,
            warmup: 100,
            weight_decay: 1e-6,
            clip_norm: 1.0,
            ema_decay: 0.999,
            flip: false,
            noise: NoiseLevels::OfModel,
        }
    }
}

/// The noise levels of a fine-tuning, within the range of the model.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "toml::Value", into = "toml::Value")]
pub enum NoiseLevels {
    /// Those of the model's own training.
    OfModel,
    /// `ln σ ~ N(mean, std²)`; a level outside the range is moved to its end.
    LogNormal(NoiseDistribution),
}

impl NoiseLevels {
    /// Checks that a model can be trained on these levels.
    ///
    /// # Errors
    /// A sentence that names the field.
    pub fn check(&self) -> Result<(), DiffusionError> {
        match self {
            Self::OfModel => Ok(()),
            Self::LogNormal(noise) => check_noise(noise),
        }
    }

    /// The distribution, for a model with a distribution of its own and a range.
    pub fn within(&self, of_model: &TrainingNoise, range: [f64; 2]) -> TrainingNoise {
        let noise = match *self {
            Self::OfModel => of_model.clone(),
            Self::LogNormal(noise) => TrainingNoise::LogNormal(noise),
        };
        noise.within(range)
    }
}

/// The name of [`NoiseLevels::OfModel`] in a file.
const OF_MODEL: &str = "model";

impl TryFrom<toml::Value> for NoiseLevels {
    type Error = String;

    fn try_from(value: toml::Value) -> Result<Self, String> {
        if value.as_str() == Some(OF_MODEL) {
            return Ok(Self::OfModel);
        }
        let levels = value.clone().try_into().map(Self::LogNormal);
        levels.map_err(|_| {
            format!("noise is {value}: write \"{OF_MODEL}\", or {{ mean = -1.2, std = 1.2 }}")
        })
    }
}

impl From<NoiseLevels> for toml::Value {
    fn from(levels: NoiseLevels) -> Self {
        match levels {
            NoiseLevels::OfModel => Self::from(OF_MODEL),
            NoiseLevels::LogNormal(NoiseDistribution { mean, std }) => {
                let fields = [("mean", mean), ("std", std)];
                let fields = fields.map(|(name, value)| (name.to_owned(), Self::Float(value)));
                Self::Table(fields.into_iter().collect())
            }
        }
    }
}

impl FineTuneConfig {
    /// The configuration with one field replaced: `field` is a name, `value` is TOML.
    ///
    /// # Errors
    /// If there is no such field or the value does not fit it. A field of a network is refused, because the network is given.
    pub fn with(&self, field: &str, value: &str) -> Result<Self, DiffusionError> {
        if field == "network" || field.starts_with("network.") {
            return Err(DiffusionError::Invalid(format!(
                "{field} = {value}: the network is that of the model which is fine-tuned: leave it out"
            )));
        }
        with_field(self, field, value)
    }

    /// The settings of the optimiser.
    pub fn optimization(&self) -> Optimization {
        Optimization {
            steps: self.steps,
            learning_rate: self.learning_rate,
            warmup: self.warmup,
            weight_decay: self.weight_decay,
            clip_norm: self.clip_norm,
            ema_decay: self.ema_decay,
        }
    }

    /// The draws of training images.
    pub fn draws(&self) -> BatchDraws {
        BatchDraws {
            seed: self.seed,
            batch: self.batch,
            flip: self.flip,
        }
    }

    /// Checks that every number is in its range.
    ///
    /// # Errors
    /// A sentence that names the field.
    pub fn validate(&self) -> Result<(), DiffusionError> {
        // The configuration is stored as TOML, whose integers are signed.
        range::check("seed", self.seed, 0..=i64::MAX as u64)?;
        range::check("batch", self.batch, 1..=MAX_BATCH)?;
        self.optimization().validate()?;
        self.noise.check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_levels_are_those_of_the_model_unless_given_and_fields_of_a_network_are_refused() {
        let config = FineTuneConfig::default();
        let text = toml::to_string(&config).unwrap();
        assert_eq!(toml::from_str::<FineTuneConfig>(&text).unwrap(), config);
        let given = config.with("noise", "{ mean = 0, std = 2.0 }").unwrap();
        let noise = given
            .noise
            .within(&TrainingNoise::Levels(vec![3.0]), [0.1, 1.0]);
        assert_eq!([1e-9, 0.999].map(|q| noise.quantile(q)), [0.1, 1.0]);
        let text = toml::to_string(&given).unwrap();
        assert_eq!(toml::from_str::<FineTuneConfig>(&text).unwrap(), given);
        let given = given.with("noise", "\"model\"").unwrap();
        let noise = given
            .noise
            .within(&TrainingNoise::Levels(vec![3.0]), [0.1, 10.0]);
        assert_eq!(noise.quantile(0.5), 3.0);
        for (field, value, says) in [
            ("noise", "3", "mean = -1.2"),
            ("noise", "\"edm\"", "mean = -1.2"),
            ("noise.mean", "0.0", "no group noise"),
            (
                "network.channels",
                "64",
                "the model which is fine-tuned: leave it out",
            ),
            ("surprise", "1", "no such field"),
        ] {
            let error = config.with(field, value).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
        let wild = NoiseDistribution {
            mean: 100.0,
            std: 1.0,
        };
        let wild = FineTuneConfig {
            noise: NoiseLevels::LogNormal(wild),
            ..config
        };
        assert!(wild.validate().unwrap_err().to_string().contains("mean"));
    }
}
