//! Configuration of a classifier.

use datasway_diffusion::{DiffusionError, range};
use serde::{Deserialize, Serialize};

/// Configuration of training: together with the images it determines the result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassifierConfig {
    /// Seed of initial weights, held-out images, batches, mirroring and noise.
    pub seed: u64,
    /// Optimiser steps.
    pub steps: u64,
    /// Images per step.
    pub batch: usize,
    /// Peak learning rate of AdamW.
    pub learning_rate: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Standard deviation of the noise on every training image, in pixels of `[-1, 1]`.
    /// Noise keeps the classifier from relying on invisible differences.
    pub noise: f64,
    /// True if images are mirrored at random.
    pub flip: bool,
    /// Channels of the finest level.
    pub channels: usize,
    /// Fraction of the images that is held out for evaluation.
    pub held_out: f64,
}

impl Default for ClassifierConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            steps: 2_000,
            batch: 64,
            learning_rate: 2e-3,
            weight_decay: 1e-2,
            noise: 0.1,
            flip: false,
            channels: 32,
            held_out: 0.1,
        }
    }
}

impl ClassifierConfig {
    /// The learning rate of a step: a linear warm-up over a twentieth of the steps, then a half cosine down to 0.
    pub fn learning_rate_at(&self, step: u64) -> f64 {
        let progress = (step as f64 / self.steps.max(1) as f64).min(1.0);
        let warm = (20.0 * (step as f64 + 1.0) / self.steps.max(1) as f64).min(1.0);
        self.learning_rate * warm * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos())
    }

    /// Checks that every number is in its range.
    ///
    /// # Errors
    /// A sentence that names the field.
    pub fn validate(&self) -> Result<(), DiffusionError> {
        range::check("steps", self.steps, 1..=1_000_000_000)?;
        range::check("batch", self.batch, 1..=65_536)?;
        range::check("learning_rate", self.learning_rate, 1e-12..=10.0)?;
        range::check("weight_decay", self.weight_decay, 0.0..=100.0)?;
        range::check("noise", self.noise, 0.0..=10.0)?;
        range::check("channels", self.channels, 1..=4_096)?;
        range::check("held_out", self.held_out, 1e-9..=1.0 - 1e-9)
    }
}
