//! A model with its training images.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use datasway_data::{
    Dataset, DecodingProgress, LoadOptions, PixelMoments, Selected, Selection, Source,
};
use datasway_diffusion::DiffusionError;
use datasway_diffusion::checkpoint::{Checkpoint, CheckpointHeader};
use datasway_diffusion::loss::NoiseDistribution;
use datasway_diffusion::network::NetworkDenoiser;
use datasway_diffusion::score_model::ScoreModel;
use datasway_diffusion::training_noise::TrainingNoise;
use datasway_training::config::TrainConfig;

use crate::clipping::ClipDifference;
use crate::config::{ResolvedConfig, SensitivityConfig};
use crate::density::{TraceOptions, checkpoint_moments, moment_matched_gaussian};
use crate::direction::{Direction, SelectedImages, changed_groups};
use crate::error::SensitivityError;
use crate::influence::{self, Functional, Influences};
use crate::learner::{CurvatureSolution, FiniteTraining, Learner, LearnerConfig};
use crate::measure::{ImagePoints, Measure, ModelMeasure};
use crate::ranking::RankedSensitivities;
use crate::sensitivities;

/// The place of a model's training images and its device.
#[derive(Debug, Clone)]
pub struct ModelOptions {
    /// The training images, if they are not at the place that the checkpoint names.
    pub data: Option<String>,
    /// Folder of decoded images, which spare the next start the decoding; none to decode every time.
    pub cache_dir: Option<PathBuf>,
    /// Shows how far the decoding of images is; nothing if absent.
    pub progress: Option<DecodingProgress>,
    /// The device.
    pub device: Device,
}

impl Default for ModelOptions {
    fn default() -> Self {
        Self {
            data: None,
            cache_dir: None,
            progress: None,
            device: Device::flex(),
        }
    }
}

/// The training of a model.
#[derive(Debug, Clone)]
pub struct TrainingRecord {
    /// Optimiser steps taken, if they are known.
    pub steps: Option<u64>,
    /// The data set, as the training named it.
    pub data: String,
    /// Mean and variance of the training images.
    pub moments: PixelMoments,
    /// The distribution of noise levels, if it is known.
    pub noise: Option<TrainingNoise>,
    /// The settings of the optimiser and the batch, if they are known.
    pub run: Option<FiniteTraining>,
    /// SHA-256 of the files of a model of another library, in hexadecimal.
    pub model_fingerprint: Option<String>,
    /// Lowest and highest noise level, if there are limits.
    pub sigma_range: Option<[f64; 2]>,
}

/// A model with its training images.
pub struct TrainedModel {
    /// Name of the model in messages.
    pub name: String,
    /// The denoiser.
    pub score_model: ScoreModel,
    /// The training.
    pub training: TrainingRecord,
    /// The magnitude to which the sampler of the model's own library clamps every denoised image, and ours does not; none if it
    /// does not clamp.
    pub clip: Option<f64>,
    /// The training images.
    pub images: Dataset,
    /// The options of loading them, which apply to images from elsewhere too.
    pub load_options: LoadOptions,
    /// True if the model was trained on mirror images too.
    pub mirrored: bool,
    /// The device.
    pub device: Device,
}

impl TrainedModel {
    /// Loads a checkpoint and its training images, on the CPU.
    ///
    /// # Errors
    /// If the file is no complete checkpoint, or the images it was trained on are not found.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, SensitivityError> {
        let path = path.as_ref();
        let (name, checkpoint) = (path.display().to_string(), Checkpoint::load(path)?);
        Self::from_checkpoint(name, checkpoint, &ModelOptions::default(), |_| ())
    }

    /// Builds the network of a checkpoint and loads its training images. `loaded` receives the images before they are
    /// compared with those of the training.
    ///
    /// # Errors
    /// If the checkpoint has no complete network, or the images cannot be loaded or are not those of the training.
    pub fn from_checkpoint(
        name: String,
        checkpoint: Checkpoint,
        options: &ModelOptions,
        loaded: impl FnOnce(&Dataset),
    ) -> Result<Self, SensitivityError> {
        let expected = checkpoint.header.fingerprint.clone();
        let model = Self::with_any_data(name, checkpoint, options, loaded)?;
        if model.images.fingerprint != expected {
            return Err(SensitivityError::Fingerprint {
                images: options
                    .data
                    .as_ref()
                    .unwrap_or(&model.training.data)
                    .clone(),
                model: model.name,
                data: model.training.data,
                expected,
                found: model.images.fingerprint,
            });
        }
        Ok(model)
    }

    /// Builds the network of a checkpoint and loads images that may be others than those of its training, to see whether the
    /// model is one of them. `loaded` receives the images.
    ///
    /// # Errors
    /// If the checkpoint has no complete network, or the images cannot be loaded.
    pub fn with_any_data(
        name: String,
        checkpoint: Checkpoint,
        options: &ModelOptions,
        loaded: impl FnOnce(&Dataset),
    ) -> Result<Self, SensitivityError> {
        let device = options.device.clone();
        let network = NetworkDenoiser::from_checkpoint(&checkpoint, &device)?;
        let header = &checkpoint.header;
        let load_options = LoadOptions {
            size: Some(header.network.image_size),
            grey: header.network.image_channels == 1,
            limit: header.limit,
            skip_bad: header.skip_bad,
            cache_dir: options.cache_dir.clone(),
            progress: options.progress,
            ..LoadOptions::default()
        };
        let images = match &options.data {
            Some(data) => load_images(data, &load_options)?,
            None => load_images(&header.data, &load_options).map_err(|source| {
                SensitivityError::TrainingImages {
                    model: name.clone(),
                    source,
                }
            })?,
        };
        loaded(&images);
        let mirrored = mirrors(header)?;
        Ok(Self {
            name,
            score_model: ScoreModel::Learned(Box::new(network)),
            training: TrainingRecord {
                steps: Some(header.step),
                data: header.data.clone(),
                moments: checkpoint_moments(&checkpoint),
                noise: training_noise(header)?,
                run: training_run(header),
                model_fingerprint: None,
                sigma_range: None,
            },
            clip: None,
            images,
            load_options,
            mirrored,
            device,
        })
    }

    /// The images that a [`Selection`] names, such as `attr:Eyeglasses`, `class:8` or `folder:PATH`.
    ///
    /// # Errors
    /// If the text is no selection, or names no image.
    pub fn select(&self, selection: &str) -> Result<SelectedImages, SensitivityError> {
        let selected = Selection::parse(selection)?.resolve(&self.images, &self.load_options)?;
        let (images, members) = match selected {
            Selected::Indices(indices) => {
                let members = self.image_points().indices_of(&indices);
                (self.images.subset(&indices), Some(members))
            }
            Selected::External(images) => (images, None),
        };
        let images = SelectedImages::new(selection, &images, members, self.mirrored, &self.device)?;
        Ok(images)
    }

    /// The direction that adds the data of another model, known through its denoiser only. Its log-density is integrated
    /// along its own ODE through the noise levels `sigmas`, with the estimate `trace` of the trace.
    ///
    /// # Errors
    /// If the models have images of different shapes, or the checkpoint has no complete network.
    pub fn add_model(
        &self,
        name: &str,
        checkpoint: &Checkpoint,
        trace: &TraceOptions,
        sigmas: &[f64],
    ) -> Result<Direction, SensitivityError> {
        let (network, shape) = (&checkpoint.header.network, self.images.shape);
        if (network.image_size, network.image_channels) != (shape.width, shape.channels) {
            return Err(SensitivityError::OtherShape {
                name: name.to_owned(),
                side: network.image_size,
                channels: network.image_channels,
                samples: [shape.channels, shape.height, shape.width],
            });
        }
        let denoiser = NetworkDenoiser::from_checkpoint(checkpoint, &self.device)?;
        let start = moment_matched_gaussian(&checkpoint_moments(checkpoint), &self.device)?;
        let trace = trace.trace([shape.channels, shape.height, shape.width]);
        let data = ModelMeasure::new(denoiser, start, trace, sigmas)?;
        Ok(Direction::add_model(name, data))
    }

    /// The options with this model's density and training images.
    ///
    /// # Errors
    /// As [`SensitivityConfig::resolve`].
    pub fn resolve(&self, config: &SensitivityConfig) -> Result<ResolvedConfig, SensitivityError> {
        self.resolve_with_progress(config, &mut |_| ())
    }

    /// [`resolve`](Self::resolve). `progress` receives the fraction of the choice of the bandwidth that is done, from 0 to 1, if it is
    /// chosen anew.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve).
    pub fn resolve_with_progress(
        &self,
        config: &SensitivityConfig,
        progress: &mut dyn FnMut(f64),
    ) -> Result<ResolvedConfig, SensitivityError> {
        let (moments, images) = (&self.training.moments, &self.images);
        let resolved =
            config.resolve_with_progress(moments, images, self.mirrored, &self.device, progress)?;
        Ok(resolved)
    }

    /// Draws samples and ranks them by their sensitivity to each direction.
    ///
    /// # Errors
    /// As [`sensitivities::compute`] and [`SensitivityConfig::resolve`].
    pub fn sensitivities(
        &self,
        directions: &[Direction],
        config: &SensitivityConfig,
    ) -> Result<RankedSensitivities, SensitivityError> {
        self.ranked_sensitivities(directions.to_vec(), &self.resolve(config)?, |_| ())
    }

    /// [`sensitivities`](Self::sensitivities) with resolved options. `progress` receives the number of samples that each
    /// batch adds.
    ///
    /// # Errors
    /// If a direction has a mass, and as [`sensitivities::compute`].
    pub fn ranked_sensitivities(
        &self,
        directions: Vec<Direction>,
        config: &ResolvedConfig,
        progress: impl FnMut(usize),
    ) -> Result<RankedSensitivities, SensitivityError> {
        let mut with_mass = directions.iter().filter(|d| d.signed_mass().is_some());
        if let Some(direction) = with_mass.next() {
            let name = direction.selection().to_owned();
            return Err(SensitivityError::MassOfDerivative(name));
        }
        let measures: Vec<&dyn Measure> = directions.iter().map(Direction::measure).collect();
        let model = self.score_model.denoiser();
        let results = sensitivities::compute(model, &measures, config, &self.device, progress)?;
        Ok(RankedSensitivities::new(directions, results))
    }

    /// The shape of every parameter.
    ///
    /// # Errors
    /// If it is a combination of models.
    pub fn weight_shapes(&self) -> Result<Vec<Vec<usize>>, SensitivityError> {
        let learned = self.score_model.learned();
        let combined = || SensitivityError::CombinedModel(self.name.clone());
        Ok(learned.ok_or_else(combined)?.weight_shapes())
    }

    /// The model as a learner of its training images, which are `image_points`.
    ///
    /// # Errors
    /// If the noise levels of its training are not known, or it is a combination of models.
    pub fn learner<'a>(
        &'a self,
        image_points: &'a ImagePoints,
        config: LearnerConfig,
    ) -> Result<Learner<'a>, SensitivityError> {
        let unknown = || SensitivityError::NoTrainingNoise(self.name.clone());
        let combined = || SensitivityError::CombinedModel(self.name.clone());
        Ok(Learner {
            model: self.score_model.learned().ok_or_else(combined)?,
            training_set: image_points,
            noise: self.training.noise.as_ref().ok_or_else(unknown)?,
            config,
        })
    }

    /// Draws samples and ranks them by their sensitivity to each direction through the weights of the model
    /// ([`learner`](crate::learner)). `progress` receives the fraction of the work that is done, from 0 to 1.
    ///
    /// Where the directions have [masses](Direction::with_mass), it is the difference to the samples of the model whose weights are
    /// moved, relative to the mass:
    ///
    /// ```no_run
    /// use datasway_sensitivity::learner::LearnerConfig;
    /// use datasway_sensitivity::{Direction, SensitivityConfig, TrainedModel};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let model = TrainedModel::load("runs/train/checkpoint.safetensors")?;
    /// let glasses = Direction::add(model.select("attr:Eyeglasses")?).with_mass(0.3);
    /// let (config, learner) = (SensitivityConfig::default(), LearnerConfig::default());
    /// let (result, _) = model.weight_sensitivities(vec![glasses], &config, learner, |_| ())?;
    /// let first = &result.ranking(0)[0];
    /// println!("sample {} moves by {:.2}", first.index, 0.3 * first.score);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If a direction is no set of images, only some have a mass or one is out of its range, the checkpoint does not name the noise
    /// levels of its training, an option is out of its range, or the model fails.
    pub fn weight_sensitivities(
        &self,
        directions: Vec<Direction>,
        config: &SensitivityConfig,
        learner: LearnerConfig,
        mut progress: impl FnMut(f64),
    ) -> Result<(RankedSensitivities, CurvatureSolution), SensitivityError> {
        let training_set = self.image_points();
        let learner = self.learner(&training_set, learner)?;
        let groups = changed_groups(&directions)?;
        let (results, solution) =
            learner.sensitivities(&groups, config, &self.device, &mut progress)?;
        Ok((RankedSensitivities::new(directions, results), solution))
    }

    /// Draws samples and computes the influence of every training image on each functional of them. The `strongest`
    /// proponents and opponents of each sample are kept with their contributions along the path.
    ///
    /// # Errors
    /// As [`influence::compute`] and [`SensitivityConfig::resolve`].
    pub fn influences(
        &self,
        functionals: &[Box<dyn Functional>],
        config: &SensitivityConfig,
        strongest: usize,
    ) -> Result<Influences, SensitivityError> {
        let config = self.resolve(config)?;
        let images = self.image_points();
        let influences = influence::compute(
            self.score_model.denoiser(),
            &images,
            functionals,
            &config,
            strongest,
            |_| (),
        )?;
        Ok(influences)
    }

    /// The difference that clamped denoised images would make to the first `samples`, `[n, d]`, of a run with these options; none
    /// if the sampler of the model's own library does not clamp.
    ///
    /// # Errors
    /// As [`ClipDifference::measure`].
    pub fn clip_difference(
        &self,
        samples: &[f32],
        config: &SensitivityConfig,
    ) -> Result<Option<ClipDifference>, DiffusionError> {
        let model = self.score_model.denoiser();
        let measure = |range| ClipDifference::measure(model, range, samples, config, &self.device);
        self.clip.map(measure).transpose()
    }

    /// The training images as points, with their mirror images if the model was trained on those.
    pub fn image_points(&self) -> ImagePoints {
        ImagePoints::new(&self.images, self.mirrored, &self.device)
    }
}

fn load_images(source: &str, options: &LoadOptions) -> Result<Dataset, datasway_data::DataError> {
    datasway_data::load(&Source::parse(source)?, options)
}

/// The noise levels of training, if the configuration names them.
fn training_noise(header: &CheckpointHeader) -> Result<Option<TrainingNoise>, toml::de::Error> {
    let training: toml::Table = header.training.parse()?;
    let noise = training.get("noise").cloned();
    let noise = noise.and_then(|noise| noise.try_into::<NoiseDistribution>().ok());
    Ok(noise.map(TrainingNoise::LogNormal))
}

/// The optimiser and the batch of a training configuration of this version.
fn training_run(header: &CheckpointHeader) -> Option<FiniteTraining> {
    let config: TrainConfig = toml::from_str(&header.training).ok()?;
    Some(FiniteTraining {
        optimization: config.optimization(),
        batch: config.batch,
    })
}

/// True if the training configuration mirrors images (`flip = true`).
fn mirrors(header: &CheckpointHeader) -> Result<bool, toml::de::Error> {
    let training: toml::Table = header.training.parse()?;
    Ok(training.get("flip").and_then(toml::Value::as_bool) == Some(true))
}
