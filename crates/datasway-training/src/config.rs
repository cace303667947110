//! Training configurations and presets.

use datasway_diffusion::config::UNetConfig;
use datasway_diffusion::loss::NoiseDistribution;
use datasway_diffusion::{DiffusionError, range};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::batches::BatchDraws;
use crate::optimization::Optimization;

/// Largest number of images of a batch.
pub const MAX_BATCH: usize = 65_536;
/// Largest number of values in the finest layer of a batch: 4 GiB.
const MAX_NUMBERS: usize = 1 << 30;

/// Configuration of a training run: together with the images it determines the result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Seed of initial weights, batches, flips and noise.
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
    pub noise: NoiseDistribution,
    /// The network.
    pub network: UNetConfig,
}

/// Fields that a file has only if they are set.
const ABSENT_BY_DEFAULT: [&str; 1] = ["network.groups"];

/// The names of the presets, for messages.
pub const PRESETS: [&str; 7] = [
    "faces16", "mnist16", "mnist28", "celeba16", "celeba32", "celeba64", "cifar10",
];

impl TrainConfig {
    /// A preset by name: `faces16`, `mnist16`, `mnist28`, `celeba16`, `celeba32` for two CPU cores,
    /// `celeba64` and `cifar10` for a GPU.
    ///
    /// # Errors
    /// If there is no preset of that name.
    pub fn preset(name: &str) -> Result<Self, DiffusionError> {
        let unet =
            |image_channels, image_size, channels, multipliers: &[usize], blocks| UNetConfig {
                image_channels,
                image_size,
                channels,
                multipliers: multipliers.to_vec(),
                blocks,
                attention: vec![8],
                head_channels: 32,
                groups: None,
            };
        let (network, steps, flip) = match name {
            "faces16" => (unet(3, 16, 32, &[1, 2], 1), 5_000, true),
            "mnist16" => (unet(1, 16, 32, &[1, 2], 1), 4_000, false),
            "mnist28" => (unet(1, 28, 32, &[1, 2, 2], 1), 4_000, false),
            "celeba16" => (unet(3, 16, 32, &[1, 2], 1), 6_000, true),
            "celeba32" => (unet(3, 32, 32, &[1, 2, 2], 1), 8_000, true),
            "celeba64" => (unet(3, 64, 96, &[1, 2, 2, 4], 2), 200_000, true),
            "cifar10" => (unet(3, 32, 128, &[1, 2, 2], 2), 200_000, true),
            _ => {
                return Err(DiffusionError::Invalid(format!(
                    "there is no preset {name}; the presets are {}",
                    PRESETS.join(", ")
                )));
            }
        };
        Ok(Self {
            seed: 0,
            steps,
            batch: 64,
            learning_rate: 1e-3,
            warmup: 200,
            weight_decay: 1e-4,
            clip_norm: 1.0,
            ema_decay: 0.999,
            flip,
            noise: NoiseDistribution {
                mean: -1.2,
                std: 1.2,
            },
            network,
        })
    }

    /// The configuration with one field replaced: `field` is a dotted path, `value` is TOML
    /// (`network.channels` and `64`; `network.multipliers` and `[1, 2]`).
    ///
    /// # Errors
    /// If there is no such field or the value does not fit it.
    pub fn with(&self, field: &str, value: &str) -> Result<Self, DiffusionError> {
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

    /// The learning rate of a step.
    pub fn learning_rate_at(&self, step: u64) -> f64 {
        self.optimization().learning_rate_at(step)
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
        check_noise(&self.noise)?;
        self.network.validate()?;
        let channels = self.network.channels.max(self.network.image_channels);
        let layer = self.network.image_size.pow(2) * channels;
        range::check(
            "batch × network.channels × pixels",
            layer.saturating_mul(self.batch),
            1..=MAX_NUMBERS,
        )
    }
}

/// Checks that a distribution of noise levels is one that a model can be trained on.
///
/// # Errors
/// A sentence that names the field.
pub(crate) fn check_noise(noise: &NoiseDistribution) -> Result<(), DiffusionError> {
    range::check("noise.mean", noise.mean, -10.0..=10.0)?;
    range::check("noise.std", noise.std, 1e-6..=5.0)
}

/// A configuration with one field replaced: `field` is a dotted path, `value` is TOML.
///
/// # Errors
/// If there is no such field or the value does not fit it.
pub fn with_field<C: Serialize + DeserializeOwned>(
    config: &C,
    field: &str,
    value: &str,
) -> Result<C, DiffusionError> {
    let bad =
        |why: &dyn std::fmt::Display| DiffusionError::Invalid(format!("{field} = {value}: {why}"));
    let mut table = toml::Table::try_from(config).map_err(|error| bad(&error))?;
    let parsed: toml::Table = format!("value = {value}")
        .parse()
        .map_err(|_| bad(&"the value is not TOML"))?;
    let (groups, last) = match field.rsplit_once('.') {
        Some((groups, last)) => (groups.split('.').collect(), last),
        None => (Vec::new(), field),
    };
    let mut place = &mut table;
    for group in groups {
        place = match place.get_mut(group) {
            Some(toml::Value::Table(inner)) => inner,
            _ => return Err(bad(&format!("there is no group {group}"))),
        };
    }
    let value = parsed["value"].clone();
    // An integer is a valid value of a fractional field.
    let value = match (place.get(last), value) {
        (Some(toml::Value::Float(_)), toml::Value::Integer(n)) => toml::Value::Float(n as f64),
        (_, value) => value,
    };
    if place.insert(last.to_owned(), value).is_none() && !ABSENT_BY_DEFAULT.contains(&field) {
        let fields: Vec<&String> = place.keys().filter(|key| *key != last).collect();
        return Err(bad(&format!("there is no such field; here are {fields:?}")));
    }
    let config = table.try_into::<C>();
    config.map_err(|error| bad(&error.message()))
}
