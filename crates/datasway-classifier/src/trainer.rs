//! Training of a classifier: weights, optimiser and step count.

use std::collections::BTreeMap;

use burn::module::Module;
use burn::optim::{AdamWConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Tensor, TensorData};
use datasway_data::Dataset;
use datasway_diffusion::loss::finite;
use datasway_diffusion::random::{RandomStream, generator, normal};
use datasway_diffusion::{DiffusionError, range, weights};
use rand::RngExt;
use rand::seq::SliceRandom;

use crate::evaluation::{LabelMetrics, evaluate};
use crate::file::{ClassifierCheckpoint, ClassifierHeader, FORMAT};
use crate::{Classifier, ClassifierConfig, Labels};

/// Batch size of the evaluation.
const CHUNK: usize = 256;

/// Largest number of values in the finest layer of a batch: 4 GiB.
const MAX_NUMBERS: u64 = 1 << 30;

/// A training run between two steps.
pub struct ClassifierTrainer<'a> {
    config: ClassifierConfig,
    images: &'a Dataset,
    labels: Labels,
    /// Training images and held-out images.
    split: [Vec<usize>; 2],
    device: Device,
    network: Classifier,
    optimizer: ModuleOptimizer,
    step: u64,
}

impl<'a> ClassifierTrainer<'a> {
    /// A run at step 0 on the plain device; gradients are taken on its autodiff twin.
    ///
    /// # Errors
    /// If the configuration contradicts itself, or the images have no labels or are too few to hold some out.
    pub fn new(
        config: ClassifierConfig,
        images: &'a Dataset,
        device: &Device,
    ) -> Result<Self, DiffusionError> {
        config.validate()?;
        let labels = Labels::of(images)?;
        range::check(
            "channels × pixels × batch",
            activations(&config, images),
            1..=MAX_NUMBERS,
        )?;
        let build = || {
            let (channels, labels) = (config.channels, labels.len());
            Ok(Classifier::new(images.shape, channels, labels, device))
        };
        let network = weights::draw(config.seed, device, build)?;
        Ok(Self {
            split: split(&config, images)?,
            network: trainable(&network),
            optimizer: optimizer(&config),
            labels,
            config,
            images,
            device: device.clone(),
            step: 0,
        })
    }

    /// A run continued from its file.
    ///
    /// # Errors
    /// If it is finished, or was made with another configuration or from other images.
    pub fn resume(
        config: ClassifierConfig,
        images: &'a Dataset,
        saved: ClassifierCheckpoint,
        device: &Device,
    ) -> Result<Self, DiffusionError> {
        let refuse = |message: &str| Err(DiffusionError::Invalid(message.to_owned()));
        if saved.header.fingerprint != images.fingerprint {
            return refuse(&format!(
                "the classifier was trained on other images (fingerprint {}) than {} (fingerprint {}): resume with the same images, \
                 or start again in a new folder",
                saved.header.fingerprint, images.name, images.fingerprint
            ));
        }
        if saved.header.training != config {
            return refuse(
                "the classifier was made with another configuration: resume without changing options, or start again in a new folder",
            );
        }
        let Some(state) = saved.optimizer.clone() else {
            return refuse("the classifier is finished: there is nothing to resume");
        };
        let (labels, shape) = (saved.header.labels.clone(), saved.header.shape);
        if labels != Labels::of(images)? || shape != images.shape {
            return refuse(&format!(
                "the classifier tells other labels or shapes apart than {} has: start again in a new folder",
                images.name
            ));
        }
        if let Some(notice) = saved.notices.first() {
            return refuse(&format!(
                "another program rewrote the classifier ({notice}), and the run would not go on as it was: start again in a new folder"
            ));
        }
        let network = saved.network(device)?;
        let parameters = weights::with_ids(saved.weights.clone(), &saved.header.parameter_ids);
        let step = saved.header.step;
        let optimizer =
            datasway_diffusion::optimizer::restore(optimizer(&config), state, &parameters, step)?;
        Ok(Self {
            split: split(&config, images)?,
            network: trainable(&network),
            step,
            optimizer,
            labels,
            config,
            images,
            device: device.clone(),
        })
    }

    /// Steps taken so far.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// Numbers of training images and of held-out images.
    pub fn counts(&self) -> [usize; 2] {
        [self.split[0].len(), self.split[1].len()]
    }

    /// Takes one optimiser step and returns the loss.
    ///
    /// # Errors
    /// If the loss is not finite; the run is then left as it was before the step.
    pub fn advance(&mut self) -> Result<f32, DiffusionError> {
        let mut rng = generator(self.config.seed, RandomStream::Batch, [self.step]);
        let (shape, trained) = (self.images.shape, &self.split[0]);
        let (mut pixels, mut truth) = (Vec::new(), Vec::new());
        for _ in 0..self.config.batch {
            let index = trained[rng.random_range(0..trained.len())];
            let start = pixels.len();
            pixels.extend(self.images.values(index));
            if self.config.flip && rng.random::<bool>() {
                for row in pixels[start..].chunks_exact_mut(shape.width) {
                    row.reverse();
                }
            }
            truth.push(self.labels.truth(self.images, index));
        }
        let device = self.device.clone().autodiff();
        let (n, d) = (self.config.batch, shape.dim());
        let mut rng = generator(self.config.seed, RandomStream::TrainingNoise, [self.step]);
        let noise = normal(&mut rng, [n, d], &device) * self.config.noise;
        let x = Tensor::<2>::from_data(TensorData::new(pixels, [n, d]), &device) + noise;
        let x = x.reshape([n, shape.channels, shape.height, shape.width]);
        let loss = self.labels.loss(self.network.forward(x), truth);
        let value = finite(&loss, self.step)?;
        let gradients = GradientsParams::from_grads(loss.backward(), &self.network);
        let rate = self.config.learning_rate_at(self.step);
        self.network = self.optimizer.step(rate, self.network.clone(), gradients);
        self.step += 1;
        Ok(value)
    }

    /// Evaluates every label on the held-out images.
    ///
    /// # Errors
    /// If outputs cannot be read back.
    pub fn evaluate(&self) -> Result<Vec<LabelMetrics>, DiffusionError> {
        let network = self.save()?.network(&self.device)?;
        let shape = self.images.shape;
        let (mut odds, mut truth) = (Vec::new(), Vec::new());
        for indices in self.split[1].chunks(CHUNK) {
            let mut pixels = Vec::new();
            self.images.fill(indices, &mut pixels);
            let n = indices.len();
            let dims = [n, shape.channels, shape.height, shape.width];
            let x = Tensor::from_data(TensorData::new(pixels, dims), &self.device);
            let values = self.labels.log_odds(network.forward(x)).into_data();
            let values = values.try_to_vec::<f32>().map_err(|error| {
                DiffusionError::NotFinite(format!("outputs could not be read back: {error:?}"))
            })?;
            odds.extend(values);
            truth.extend(indices.iter().map(|&i| self.labels.truth(self.images, i)));
        }
        Ok(evaluate(&self.labels.names(), &odds, &truth))
    }

    /// The classifier, with the state to continue training if it is not finished.
    ///
    /// # Errors
    /// If a weight is not finite, or the optimiser's state cannot be written as bytes.
    pub fn save(&self) -> Result<ClassifierCheckpoint, DiffusionError> {
        let weights = weights::collect(&self.network);
        let unfinished = self.step < self.config.steps;
        let state = datasway_diffusion::optimizer::state(&self.optimizer)?;
        let saved = ClassifierCheckpoint {
            header: ClassifierHeader {
                format: FORMAT,
                version: env!("CARGO_PKG_VERSION").to_owned(),
                shape: self.images.shape,
                labels: self.labels.clone(),
                training: self.config.clone(),
                data: self.images.name.clone(),
                fingerprint: self.images.fingerprint.clone(),
                step: self.step,
                parameter_ids: if unfinished {
                    weights.iter().map(|(p, w)| (p.clone(), w.id)).collect()
                } else {
                    BTreeMap::new()
                },
            },
            weights: weights.into_iter().map(|(p, w)| (p, w.data)).collect(),
            optimizer: unfinished.then_some(state),
            notices: Vec::new(),
        };
        saved.check_finite()?;
        Ok(saved)
    }
}

/// Number of values in the finest layer of a batch.
fn activations(config: &ClassifierConfig, images: &Dataset) -> u64 {
    let pixels = images.shape.height as u64 * images.shape.width as u64;
    let values_per_image = pixels.saturating_mul(config.channels as u64);
    values_per_image.saturating_mul(config.batch as u64)
}

/// Indices of training images and of held-out images, a random split by the seed.
fn split(config: &ClassifierConfig, images: &Dataset) -> Result<[Vec<usize>; 2], DiffusionError> {
    let mut order: Vec<usize> = (0..images.len()).collect();
    order.shuffle(&mut generator(config.seed, RandomStream::Split, []));
    let held = (config.held_out * images.len() as f64).ceil() as usize;
    if held >= images.len() {
        return Err(DiffusionError::Invalid(format!(
            "{} images are too few to hold some out and train on the others",
            images.len()
        )));
    }
    let trained = order.split_off(held);
    Ok([trained, order])
}

/// The same weights with the same ids on the autodiff device.
fn trainable(network: &Classifier) -> Classifier {
    network.clone().set_require_grad(true).train()
}

fn optimizer(config: &ClassifierConfig) -> ModuleOptimizer {
    AdamWConfig::new()
        .with_epsilon(1e-8)
        .with_weight_decay(config.weight_decay as f32)
        .init()
}
