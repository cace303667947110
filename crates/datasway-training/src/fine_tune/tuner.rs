//! A fine-tuning between two steps.

use std::collections::BTreeMap;
use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use datasway_data::{Crop, Filter};
use datasway_diffusion::DiffusionError;
use datasway_diffusion::image_network::ImageNetwork;
use datasway_diffusion::loss::denoising_loss;
use datasway_diffusion::parameterization::Parameterization;
use datasway_diffusion::pixels::PixelRange;
use datasway_diffusion::random::{RandomStream, generator, normal};
use datasway_diffusion::training_noise::TrainingNoise;
use datasway_diffusion::weights::{self, Weight};

use super::config::FineTuneConfig;
use super::state::{FORMAT, FineTuneHeader, FineTuneState};
use crate::optimization::{OptimizedNetwork, OptimizerState};

/// The model that a fine-tuning begins with.
pub struct FineTuneBase<M> {
    /// The network on the plain device.
    pub network: M,
    /// From the output of the network to the denoiser.
    pub parameterization: Arc<dyn Parameterization>,
    /// The distribution of noise levels in its own training, in pixels of [-1, 1].
    pub noise: TrainingNoise,
    /// Lowest and highest noise level that it was trained on, in pixels of [-1, 1].
    pub sigma_range: [f64; 2],
    /// The range of its pixels.
    pub pixels: PixelRange,
    /// SHA-256 of its files.
    pub fingerprint: String,
    /// The class that is trained, of a model with classes.
    pub class: Option<usize>,
    /// True for the path of a parameter that is no weight, such as a table of frequencies.
    pub constant: fn(&str) -> bool,
}

/// The images of a fine-tuning, and how they were made.
#[derive(Debug, Clone, PartialEq)]
pub struct FineTuneData {
    /// The data set, as it was named on the command line.
    pub name: String,
    /// At most this many of its images are used.
    pub limit: Option<usize>,
    /// True if unreadable images were left out.
    pub skip_bad: bool,
    /// The part of a picture that becomes an image.
    pub crop: Crop,
    /// The filter of the resize.
    pub filter: Filter,
    /// Fingerprint of the decoded images.
    pub fingerprint: String,
}

/// A fine-tuning between two steps.
pub struct FineTuner<M: Module> {
    config: FineTuneConfig,
    data: FineTuneData,
    parameterization: Arc<dyn Parameterization>,
    noise: TrainingNoise,
    sigma_range: [f64; 2],
    pixels: PixelRange,
    base_fingerprint: String,
    class: Option<usize>,
    device: Device,
    weights: OptimizedNetwork<M>,
}

impl<M: Module + ImageNetwork> FineTuner<M> {
    /// A run at step 0. `device` is the plain device; gradients are taken on its autodiff twin.
    ///
    /// # Errors
    /// If the configuration is not valid.
    pub fn new(
        config: FineTuneConfig,
        data: FineTuneData,
        base: FineTuneBase<M>,
        device: &Device,
    ) -> Result<Self, DiffusionError> {
        config.validate()?;
        let network = with_own_ids(base.network)?;
        let weights = OptimizedNetwork::begin(network, config.optimization(), base.constant);
        Ok(Self {
            noise: config.noise.within(&base.noise, base.sigma_range),
            sigma_range: base.sigma_range,
            config,
            data,
            parameterization: base.parameterization,
            pixels: base.pixels,
            base_fingerprint: base.fingerprint,
            class: base.class,
            device: device.clone(),
            weights,
        })
    }

    /// A run continued from its state.
    ///
    /// # Errors
    /// If the state is that of another configuration, another model or other images.
    pub fn resume(
        config: FineTuneConfig,
        data: FineTuneData,
        base: FineTuneBase<M>,
        state: FineTuneState,
        device: &Device,
    ) -> Result<Self, DiffusionError> {
        let (network, constant) = (base.network.clone(), base.constant);
        let mut tuner = Self::new(config, data, base, device)?;
        tuner.check(&state.header)?;
        let ids = &state.header.parameter_ids;
        let restore = |stored: BTreeMap<_, _>| {
            weights::apply(network.clone(), weights::with_ids(stored, ids))
                .map_err(DiffusionError::Invalid)
        };
        let networks = [restore(state.model.clone())?, restore(state.ema)?];
        let optimizer = OptimizerState {
            bytes: state.optimizer,
            parameters: weights::with_ids(state.model, ids),
            step: state.header.step,
        };
        let settings = tuner.config.optimization();
        tuner.weights = OptimizedNetwork::resume(networks, settings, optimizer, constant)?;
        Ok(tuner)
    }

    /// Checks that a state is of this run.
    fn check(&self, header: &FineTuneHeader) -> Result<(), DiffusionError> {
        let expected = self.header(header.step, header.parameter_ids.clone())?;
        let problem = if header.fingerprint != expected.fingerprint {
            Some(format!(
                "other images ({}, fingerprint {}) than {} (fingerprint {}): resume with the same images",
                header.data, header.fingerprint, expected.data, expected.fingerprint
            ))
        } else if header.base_fingerprint != expected.base_fingerprint {
            Some("another model to begin with: resume with the same one".to_owned())
        } else if header.training != expected.training
            || header.class != expected.class
            || header.pixels != expected.pixels
        {
            Some("another configuration: resume without changing options".to_owned())
        } else if header.step > self.config.steps {
            Some(format!("more steps than {}", self.config.steps))
        } else {
            None
        };
        problem.map_or(Ok(()), |problem| {
            Err(DiffusionError::Invalid(format!(
                "the run was begun with {problem}, or start again in a new folder"
            )))
        })
    }

    /// Steps taken so far.
    pub fn step(&self) -> u64 {
        self.weights.step()
    }

    /// The averaged network, from which samples are drawn.
    pub fn average(&self) -> &M {
        self.weights.average()
    }

    /// The plain device on which the averaged network lives.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Lowest and highest noise level of the model, in pixels of [-1, 1].
    pub fn sigma_range(&self) -> [f64; 2] {
        self.sigma_range
    }

    /// From the output of the network to the denoiser.
    pub fn parameterization(&self) -> Arc<dyn Parameterization> {
        self.parameterization.clone()
    }

    /// The range of the model's pixels.
    pub fn pixels(&self) -> PixelRange {
        self.pixels
    }

    /// Takes one optimiser step on clean images `[n, c, h, w]` of [-1, 1] and returns the loss.
    ///
    /// # Errors
    /// If the loss is not finite; the run is then left as it was before the step.
    pub fn advance(&mut self, clean: Tensor<4>) -> Result<f32, DiffusionError> {
        let shape = clean.dims();
        let n = shape[0];
        let device = self.device.clone().autodiff();
        let mut rng = generator(self.config.seed, RandomStream::TrainingNoise, [self.step()]);
        let mut sigmas = self.noise.sample(&mut rng, n);
        // The loss is that of the model in its own pixels.
        for sigma in &mut sigmas {
            *sigma *= self.pixels.scale();
        }
        let noise = normal(&mut rng, [n, shape[1..].iter().product()], &device).reshape(shape);
        let loss = denoising_loss(
            self.weights.network(),
            self.parameterization.as_ref(),
            self.pixels.from_centred(clean.to_device(&device)),
            noise,
            &sigmas,
        );
        self.weights.descend(&loss)
    }

    /// Everything that is needed to continue.
    ///
    /// # Errors
    /// If a weight is not finite, or the optimiser's state cannot be written as bytes.
    pub fn state(&self) -> Result<FineTuneState, DiffusionError> {
        let model = weights::collect(self.weights.network());
        let ids = model.iter().map(|(path, w)| (path.clone(), w.id)).collect();
        let tensors = |weights: BTreeMap<String, Weight>| {
            let tensors = weights.into_iter();
            tensors.map(|(path, weight)| (path, weight.data)).collect()
        };
        let state = FineTuneState {
            header: self.header(self.step(), ids)?,
            model: tensors(model),
            ema: tensors(weights::collect(self.average())),
            optimizer: self.weights.optimizer_state()?,
        };
        state.check_finite()?;
        Ok(state)
    }

    fn header(
        &self,
        step: u64,
        parameter_ids: BTreeMap<String, u64>,
    ) -> Result<FineTuneHeader, DiffusionError> {
        let training = toml::to_string(&self.config).map_err(|error| {
            DiffusionError::Invalid(format!(
                "the configuration cannot be written as TOML: {error}"
            ))
        })?;
        Ok(FineTuneHeader {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            base_fingerprint: self.base_fingerprint.clone(),
            class: self.class,
            pixels: self.pixels,
            data: self.data.name.clone(),
            limit: self.data.limit,
            skip_bad: self.data.skip_bad,
            crop: self.data.crop,
            filter: self.data.filter,
            fingerprint: self.data.fingerprint.clone(),
            step,
            training,
            parameter_ids,
        })
    }
}

/// The network with ids derived from the paths of its parameters, so that a run's file depends on nothing else.
fn with_own_ids<M: Module>(network: M) -> Result<M, DiffusionError> {
    let drawn = weights::collect(&network).into_iter();
    let drawn = drawn.map(|(path, weight)| (path, Weight { id: 0, ..weight }));
    weights::apply(network, drawn.collect()).map_err(DiffusionError::Invalid)
}
