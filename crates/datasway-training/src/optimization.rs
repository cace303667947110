//! The optimiser of a run: its settings, and a network that it trains.

use std::collections::BTreeMap;

use burn::grad_clipping::GradientClippingConfig;
use burn::module::{Module, ModuleMapper, Param};
use burn::optim::{AdamWConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::Tensor;
use datasway_diffusion::loss::finite;
use datasway_diffusion::weights::Weight;
use datasway_diffusion::{DiffusionError, ema, optimizer, range};

/// Largest number of steps of a run.
const MAX_STEPS: u64 = 1_000_000_000;

/// The settings of AdamW, its learning rate and the average of the weights.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Optimization {
    /// Optimiser steps.
    pub steps: u64,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Steps over which the learning rate rises linearly from 0.
    pub warmup: u64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Largest norm of each parameter's gradient.
    pub clip_norm: f64,
    /// Decay of the averaged weights.
    pub ema_decay: f64,
}

impl Optimization {
    /// Checks that every number is in its range.
    ///
    /// # Errors
    /// A sentence that names the field.
    pub fn validate(&self) -> Result<(), DiffusionError> {
        range::check("steps", self.steps, 1..=MAX_STEPS)?;
        range::check("learning_rate", self.learning_rate, 1e-12..=10.0)?;
        range::check("warmup", self.warmup, 0..=MAX_STEPS)?;
        range::check("weight_decay", self.weight_decay, 0.0..=100.0)?;
        range::check("clip_norm", self.clip_norm, 1e-12..=1e12)?;
        range::check("ema_decay", self.ema_decay, 0.0..=1.0 - 1e-9)
    }

    /// The learning rate of a step: linear warm-up, then a half cosine down to 0 at the last step.
    pub fn learning_rate_at(&self, step: u64) -> f64 {
        let warm = ((step as f64 + 1.0) / self.warmup.max(1) as f64).min(1.0);
        let progress = (step as f64 / self.steps.max(1) as f64).min(1.0);
        self.learning_rate * warm * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos())
    }

    fn optimizer(&self) -> ModuleOptimizer {
        AdamWConfig::new()
            .with_epsilon(1e-8)
            .with_weight_decay(self.weight_decay as f32)
            .with_grad_clipping(Some(GradientClippingConfig::Norm(self.clip_norm as f32)))
            .init()
    }
}

/// A network in training: its weights, their average, the optimiser and the number of steps.
pub struct OptimizedNetwork<M: Module> {
    settings: Optimization,
    network: M,
    average: M,
    optimizer: ModuleOptimizer,
    step: u64,
}

/// The optimiser's state and the weights that it belongs to.
pub struct OptimizerState {
    /// The state as bytes.
    pub bytes: Vec<u8>,
    /// The trained weights by path, with the ids that the state refers to.
    pub parameters: BTreeMap<String, Weight>,
    /// Steps taken.
    pub step: u64,
}

impl<M: Module> OptimizedNetwork<M> {
    /// A network at step 0, which is also its own average, on the plain device. Parameters whose path is `constant` are not trained.
    pub fn begin(average: M, settings: Optimization, constant: fn(&str) -> bool) -> Self {
        Self {
            network: trainable(&average, constant),
            average,
            optimizer: settings.optimizer(),
            settings,
            step: 0,
        }
    }

    /// A network with the optimiser's state of an earlier run. `network` and `average` are on the plain device.
    ///
    /// # Errors
    /// If the state does not belong to these parameters.
    pub fn resume(
        [network, average]: [M; 2],
        settings: Optimization,
        state: OptimizerState,
        constant: fn(&str) -> bool,
    ) -> Result<Self, DiffusionError> {
        let mut parameters = state.parameters;
        parameters.retain(|path, _| !constant(path));
        let optimizer = settings.optimizer();
        Ok(Self {
            network: trainable(&network, constant),
            average,
            optimizer: optimizer::restore(optimizer, state.bytes, &parameters, state.step)?,
            settings,
            step: state.step,
        })
    }

    /// Steps taken so far.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// The network on the autodiff device.
    pub fn network(&self) -> &M {
        &self.network
    }

    /// The network with averaged weights, on the plain device.
    pub fn average(&self) -> &M {
        &self.average
    }

    /// The optimiser's state as bytes.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn optimizer_state(&self) -> Result<Vec<u8>, DiffusionError> {
        optimizer::state(&self.optimizer)
    }

    /// Takes one step down the gradient of a loss of [`network`](Self::network), and returns the loss.
    ///
    /// # Errors
    /// If the loss is not finite; the network is then left as it was before the step.
    pub fn descend(&mut self, loss: &Tensor<1>) -> Result<f32, DiffusionError> {
        let value = finite(loss, self.step)?;
        let gradients = GradientsParams::from_grads(loss.backward(), &self.network);
        let rate = self.settings.learning_rate_at(self.step);
        self.network = self.optimizer.step(rate, self.network.clone(), gradients);
        let decay = ema::warm_decay(self.settings.ema_decay, self.step);
        self.average = ema::update(self.average.clone(), &self.network, decay);
        self.step += 1;
        Ok(value)
    }
}

/// The same weights with the same ids on the autodiff device, constant ones without a gradient.
fn trainable<M: Module>(network: &M, constant: fn(&str) -> bool) -> M {
    let network = network.clone().set_require_grad(true).train();
    network.map(&mut Constants {
        path: Vec::new(),
        constant,
    })
}

/// Takes the gradient from the parameters with certain paths.
struct Constants {
    path: Vec<String>,
    constant: fn(&str) -> bool,
}

impl ModuleMapper for Constants {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if (self.constant)(&self.path.join(".")) {
            param.set_require_grad(false)
        } else {
            param
        }
    }
}
