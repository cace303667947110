//! Training configurations and the presets they start from.

use diffusion::DiffusionError;
use diffusion::config::UNetConfig;
use diffusion::loss::NoiseDistribution;
use serde::{Deserialize, Serialize};

/// Everything that decides the result of a training run, apart from the images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Seed of initial weights, batches, flips and noise.
    pub seed: u64,
    /// Optimiser steps.
    pub steps: u64,
    /// Images a step.
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
    /// Whether images are mirrored at random.
    pub flip: bool,
    /// Training noise levels.
    pub noise: NoiseDistribution,
    /// The network.
    pub network: UNetConfig,
}

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
                return Err(DiffusionError::Config(format!(
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

    /// The learning rate of a step: linear warm-up, then a half cosine down to 0 at the last step.
    pub fn learning_rate_at(&self, step: u64) -> f64 {
        let warm = ((step + 1) as f64 / self.warmup.max(1) as f64).min(1.0);
        let progress = (step as f64 / self.steps.max(1) as f64).min(1.0);
        self.learning_rate * warm * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos())
    }

    /// Checks that every number is in its range.
    ///
    /// # Errors
    /// A sentence that names the field.
    pub fn validate(&self) -> Result<(), DiffusionError> {
        let positive = [
            ("learning_rate", self.learning_rate),
            ("clip_norm", self.clip_norm),
            ("noise.std", self.noise.std),
        ];
        for (name, value) in positive {
            if !(value.is_finite() && value > 0.0) {
                let message = format!("{name} must be a positive number, not {value}");
                return Err(DiffusionError::Config(message));
            }
        }
        if self.batch == 0 {
            return Err(DiffusionError::Config("batch must be at least 1".into()));
        }
        if !(0.0..1.0).contains(&self.ema_decay) {
            let message = format!("ema_decay must be in [0, 1), not {}", self.ema_decay);
            return Err(DiffusionError::Config(message));
        }
        self.network.validate()
    }
}
