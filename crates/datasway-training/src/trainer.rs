//! Training of a score model: weights, optimiser, average, step count and their checkpoint.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor};
use datasway_diffusion::DiffusionError;
use datasway_diffusion::checkpoint::{Checkpoint, CheckpointHeader, FORMAT};
use datasway_diffusion::config::UNetConfig;
use datasway_diffusion::loss::denoising_loss;
use datasway_diffusion::precondition::Precondition;
use datasway_diffusion::random::{RandomStream, generator, normal};
use datasway_diffusion::unet::UNet;
use datasway_diffusion::weights;

use crate::config::TrainConfig;
use crate::optimization::{OptimizedNetwork, OptimizerState};
use crate::training_set::TrainingSetInfo;

/// A training run between two steps.
pub struct ScoreTrainer {
    config: TrainConfig,
    set: TrainingSetInfo,
    precondition: Precondition,
    device: Device,
    weights: OptimizedNetwork<UNet>,
}

impl ScoreTrainer {
    /// A run at step 0. `device` is the plain device; gradients are taken on its autodiff twin.
    ///
    /// # Errors
    /// If the configuration contradicts itself, or the images are all alike.
    pub fn new(
        config: TrainConfig,
        set: TrainingSetInfo,
        device: &Device,
    ) -> Result<Self, DiffusionError> {
        config.validate()?;
        let build = || UNet::new(&config.network, device);
        let average = weights::draw(config.seed, device, build)?;
        Self::begin(config, set, average, device)
    }

    /// A run at step 0 that starts from the averaged weights of a checkpoint, with a fresh optimiser.
    ///
    /// # Errors
    /// If the configuration contradicts itself, or the weights do not fit its network.
    pub fn fine_tune(
        config: TrainConfig,
        set: TrainingSetInfo,
        checkpoint: &Checkpoint,
        device: &Device,
    ) -> Result<Self, DiffusionError> {
        config.validate()?;
        check_fine_tune(&config, &checkpoint.header.network)?;
        let stored = checkpoint.with_ids(checkpoint.ema.clone());
        let average = weights::apply(UNet::new(&config.network, device)?, stored)
            .map_err(DiffusionError::Invalid)?;
        Self::begin(config, set, average, device)
    }

    /// A run at step 0 from these weights.
    fn begin(
        config: TrainConfig,
        set: TrainingSetInfo,
        average: UNet,
        device: &Device,
    ) -> Result<Self, DiffusionError> {
        Ok(Self {
            weights: OptimizedNetwork::begin(average, config.optimization(), is_constant),
            precondition: set.precondition()?,
            config,
            set,
            device: device.clone(),
        })
    }

    /// A run continued from a checkpoint.
    ///
    /// # Errors
    /// If the checkpoint cannot be resumed, or was made with another configuration or other images.
    pub fn resume(
        config: TrainConfig,
        set: TrainingSetInfo,
        checkpoint: Checkpoint,
        device: &Device,
    ) -> Result<Self, DiffusionError> {
        config.validate()?;
        let precondition = set.precondition()?;
        let refuse = |message: &str| Err(DiffusionError::Invalid(message.to_owned()));
        let header = &checkpoint.header;
        if header.fingerprint != set.fingerprint {
            return refuse(&format!(
                "the checkpoint was trained on other images ({}, fingerprint {}) than {} (fingerprint {}): resume with the same images, or start again in a new folder",
                header.data, header.fingerprint, set.name, set.fingerprint
            ));
        }
        if header.training != to_toml(&config)? {
            return refuse(
                "the checkpoint was made with another configuration: resume without changing options, or start again in a new folder",
            );
        }
        let (Some(model), Some(state)) = (checkpoint.model.clone(), checkpoint.optimizer.clone())
        else {
            return refuse(
                "the checkpoint holds averaged weights only and cannot be resumed: start again in a new folder",
            );
        };
        if let Some(notice) = checkpoint.notices.first() {
            return refuse(&format!(
                "another program rewrote the checkpoint ({notice}), and the run would not go on as it was: start again in a new folder"
            ));
        }
        let restore = |stored: BTreeMap<_, _>| {
            let network = UNet::new(&config.network, device)?;
            weights::apply(network, checkpoint.with_ids(stored)).map_err(DiffusionError::Invalid)
        };
        if header.step > config.steps {
            return refuse(&format!(
                "the checkpoint is at step {}, after the last of this configuration, {}: start again in a new folder",
                header.step, config.steps
            ));
        }
        let state = OptimizerState {
            bytes: state,
            parameters: checkpoint.with_ids(model.clone()),
            step: header.step,
        };
        let networks = [restore(model)?, restore(checkpoint.ema.clone())?];
        let weights =
            OptimizedNetwork::resume(networks, config.optimization(), state, is_constant)?;
        Ok(Self {
            weights,
            precondition,
            config,
            set,
            device: device.clone(),
        })
    }

    /// Steps taken so far.
    pub fn step(&self) -> u64 {
        self.weights.step()
    }

    /// The averaged network, from which samples are drawn.
    pub fn average(&self) -> &UNet {
        self.weights.average()
    }

    /// The plain device on which the averaged network lives.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The preconditioning for this training set.
    pub fn precondition(&self) -> Precondition {
        self.precondition
    }

    /// Takes one optimiser step on clean images `[n, c, h, w]` and returns the loss.
    ///
    /// # Errors
    /// If the loss is not finite; the run is then left as it was before the step.
    pub fn advance(&mut self, clean: Tensor<4>) -> Result<f32, DiffusionError> {
        let shape = clean.dims();
        let n = shape[0];
        let device = self.device.clone().autodiff();
        let mut rng = generator(self.config.seed, RandomStream::TrainingNoise, [self.step()]);
        let sigmas = self.config.noise.sample(&mut rng, n);
        let noise = normal(&mut rng, [n, shape[1..].iter().product()], &device).reshape(shape);
        let loss = denoising_loss(
            self.weights.network(),
            &self.precondition,
            clean.to_device(&device),
            noise,
            &sigmas,
        );
        self.weights.descend(&loss)
    }

    /// A checkpoint with everything that is needed to continue and to sample.
    ///
    /// # Errors
    /// If a weight is not finite, or the optimiser's state cannot be written as bytes.
    pub fn checkpoint(&self) -> Result<Checkpoint, DiffusionError> {
        let model = weights::collect(self.weights.network());
        let parameter_ids = model.iter().map(|(path, w)| (path.clone(), w.id)).collect();
        let tensors = |weights: BTreeMap<String, weights::Weight>| {
            weights
                .into_iter()
                .map(|(path, weight)| (path, weight.data))
                .collect()
        };
        let optimizer = self.weights.optimizer_state()?;
        let checkpoint = Checkpoint {
            header: CheckpointHeader {
                format: FORMAT,
                version: env!("CARGO_PKG_VERSION").to_owned(),
                network: self.config.network.clone(),
                sigma_data: self.set.sigma_data,
                data: self.set.name.clone(),
                limit: self.set.limit,
                skip_bad: self.set.skip_bad,
                fingerprint: self.set.fingerprint.clone(),
                step: self.step(),
                seed: self.config.seed,
                training: to_toml(&self.config)?,
                parameter_ids,
            },
            model: Some(tensors(model)),
            ema: tensors(weights::collect(self.average())),
            optimizer: Some(optimizer),
            data_mean: self.set.mean.clone(),
            data_variance: self.set.variance.clone(),
            notices: Vec::new(),
        };
        checkpoint.check_finite()?;
        Ok(checkpoint)
    }
}

/// Checks that a run of this configuration can start from a checkpoint of this network.
///
/// # Errors
/// A sentence that names every field in which the networks differ.
pub fn check_fine_tune(config: &TrainConfig, start: &UNetConfig) -> Result<(), DiffusionError> {
    let UNetConfig {
        image_channels,
        image_size,
        channels,
        multipliers,
        blocks,
        attention,
        head_channels,
        groups,
    } = &config.network;
    let fields = [
        (
            "image_channels",
            format!("{image_channels}"),
            format!("{}", start.image_channels),
        ),
        (
            "image_size",
            format!("{image_size}"),
            format!("{}", start.image_size),
        ),
        (
            "channels",
            format!("{channels}"),
            format!("{}", start.channels),
        ),
        (
            "multipliers",
            format!("{multipliers:?}"),
            format!("{:?}", start.multipliers),
        ),
        ("blocks", format!("{blocks}"), format!("{}", start.blocks)),
        (
            "attention",
            format!("{attention:?}"),
            format!("{:?}", start.attention),
        ),
        (
            "head_channels",
            format!("{head_channels}"),
            format!("{}", start.head_channels),
        ),
        (
            "groups",
            format!("{groups:?}"),
            format!("{:?}", start.groups),
        ),
    ];
    let differ = fields.iter().filter(|(_, here, there)| here != there);
    let differ: Vec<String> = differ
        .map(|(name, here, there)| format!("network.{name} is {here}, the model's is {there}"))
        .collect();
    if differ.is_empty() {
        Ok(())
    } else {
        Err(DiffusionError::Invalid(format!(
            "a model can only be fine-tuned with its own network: {}",
            differ.join("; ")
        )))
    }
}

/// All parameters of a U-Net are trained.
fn is_constant(_: &str) -> bool {
    false
}

fn to_toml(config: &TrainConfig) -> Result<String, DiffusionError> {
    toml::to_string(config).map_err(|error| {
        DiffusionError::Invalid(format!(
            "the configuration cannot be written as TOML: {error}"
        ))
    })
}
