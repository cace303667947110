//! An experiment with its images, ready to be planned and run.

use std::path::PathBuf;

use burn::tensor::{Device, Tensor};
use datasway_attribution::AttributionContext;
use datasway_data::{DataError, Dataset, DecodingProgress, LoadOptions, PixelMoments, Source};
use datasway_diffusion::checkpoint::Checkpoint;
use datasway_diffusion::device::device;
use datasway_diffusion::loss::NoiseDistribution;
use datasway_diffusion::network::NetworkDenoiser;
use datasway_diffusion::precondition::Precondition;
use datasway_diffusion::schedule;
use datasway_diffusion::training_noise::TrainingNoise;
use datasway_sensitivity::ResolvedConfig;
use datasway_sensitivity::density::EstimatorSpec;
use datasway_sensitivity::learner::FiniteTraining;
use datasway_sensitivity::measure::{Empirical, ImagePoints, points};
use datasway_training::batches::Batches;
use datasway_training::training_set::TrainingSetInfo;

use crate::RetrainError;
use crate::given::GivenModel;
use crate::resolved::{ResolvedBenchmark, ResolvedDirection, complement};
use crate::spec::{Experiment, TrainingConfig};

/// The sources of the images and the device of the computation.
/// They change no result beyond rounding.
#[derive(Debug, Clone)]
pub struct RunEnvironment {
    /// Source of the images, in place of that of the experiment file.
    pub data: Option<String>,
    /// Folder that keeps decoded images for later runs.
    pub cache: PathBuf,
    /// Name of the device.
    pub device: String,
    /// Shows how far the decoding of images is; nothing if absent.
    pub progress: Option<DecodingProgress>,
}

/// An experiment with everything that its jobs share.
pub struct PreparedExperiment {
    /// The experiment file.
    pub spec: Experiment,
    /// Training configuration of base models, or of the fine-tunings of a given one, but for the seed.
    pub config: TrainingConfig,
    /// The base model of all seeds, if a folder gives it.
    pub given: Option<GivenModel>,
    /// Summary of the images that were loaded, for people: one line for each data set.
    pub data_summary: String,
    /// The training images.
    pub images: Dataset,
    /// Statistics of the training images for checkpoints.
    pub training_set: TrainingSetInfo,
    /// The directions with their images, in the order of the experiment file.
    pub directions: Vec<ResolvedDirection>,
    /// The attribution benchmark, if there is one.
    pub benchmark: Option<ResolvedBenchmark>,
    /// Device of the computation.
    pub device: Device,
}

/// Loads the images of an experiment and resolves its directions.
///
/// # Errors
/// If the images of the data set or of a direction cannot be loaded, a mass makes no measure, or the configuration contradicts
/// itself or the images.
pub fn prepare(
    experiment: Experiment,
    environment: &RunEnvironment,
) -> Result<PreparedExperiment, RetrainError> {
    let source_name = environment.data.as_deref().unwrap_or(&experiment.data);
    let source = Source::parse(source_name).map_err(with_advice)?;
    let device = device(&environment.device)?;
    let given = experiment.base.as_deref();
    let named = |error: RetrainError| RetrainError::experiment(format!("base: {error}"));
    let given = given.map(|folder| GivenModel::load(folder, &device).map_err(named));
    let given = given.transpose()?;
    let mut config = experiment.config()?;
    config.validate()?;
    let options = LoadOptions {
        limit: experiment.limit,
        skip_bad: experiment.skip_bad,
        cache_dir: Some(environment.cache.clone()),
        progress: environment.progress,
        ..LoadOptions::default()
    };
    let options = match (&mut config, &given) {
        (TrainingConfig::Given(config), Some(given)) => {
            config.flip = given.flip();
            check_channels(&source, given.channels())?;
            given.load_options(options)
        }
        (TrainingConfig::Own(own), _) => {
            check_channels(&source, own.network.image_channels)?;
            LoadOptions {
                size: Some(own.network.image_size),
                grey: own.network.image_channels == 1,
                ..options
            }
        }
        (TrainingConfig::Given(_), None) => unreachable!("base names the folder of a given model"),
    };
    let all_images = datasway_data::load(&source, &options).map_err(with_advice)?;
    let all_images = match &given {
        Some(given) => given.images(&experiment, all_images)?,
        None => all_images,
    };
    let mut data_summary = all_images.summary();
    let (images, limit, benchmark) = match &experiment.attribution {
        None => (all_images, experiment.limit, None),
        Some(spec) => {
            let (images, benchmark) = ResolvedBenchmark::resolve(spec, &all_images, &options)?;
            if let Some(counterfactual) = &spec.counterfactual {
                counterfactual.check_sizes(experiment.samples.count, images.len())?;
            }
            let limit = Some(images.len());
            (images, limit, Some(benchmark))
        }
    };
    let directions = experiment.directions.iter();
    let directions: Vec<ResolvedDirection> = directions
        .map(|direction| ResolvedDirection::resolve(direction, &images, &options))
        .collect::<Result<_, _>>()?;
    for direction in directions.iter().filter(|d| d.indices.is_empty()) {
        data_summary += &format!("\n{}", direction.images.summary());
    }
    let training_set = TrainingSetInfo {
        limit,
        skip_bad: experiment.skip_bad,
        ..TrainingSetInfo::of(&images, source_name, config.flip())
    };
    let prepared = PreparedExperiment {
        config,
        given,
        data_summary,
        images,
        training_set,
        directions,
        benchmark,
        device,
        spec: experiment,
    };
    for direction in 0..prepared.directions.len() {
        prepared.perturbed_batches(direction)?;
    }
    Ok(prepared)
}

/// Refuses grey images for a network that takes colours.
fn check_channels(source: &Source, channels: usize) -> Result<(), RetrainError> {
    if source.grey() && channels != 1 {
        return Err(RetrainError::experiment(format!(
            "the images of {source} are grey, but the network takes {channels} channels: choose the preset mnist16 or mnist28, or set \
             network = {{ image_channels = 1 }}"
        )));
    }
    Ok(())
}

/// Adds the keys of the experiment file that help to an error about the images.
fn with_advice(error: DataError) -> RetrainError {
    let (size, skip) = ("set.network.image_size", "skip_bad = true");
    RetrainError::experiment(match error {
        DataError::TooSmall { .. } => format!(
            "{error}, ask for smaller images with {size}, or leave such images out with {skip} in the experiment file"
        ),
        DataError::TooLarge { .. } | DataError::BadSize(_) => {
            format!("{error} with {size} in the experiment file")
        }
        _ if error.is_of_one_image() => {
            format!("{error} or leave such images out with {skip} in the experiment file")
        }
        _ => return error.into(),
    })
}

impl PreparedExperiment {
    /// The base model that a folder gives.
    ///
    /// # Errors
    /// If the experiment trains its base models.
    pub fn given(&self) -> Result<&GivenModel, RetrainError> {
        let given = self.given.as_ref();
        given.ok_or_else(|| RetrainError::experiment("the experiment has no base"))
    }

    /// Noise levels of `steps` sampler steps, from the highest.
    pub fn sigmas(&self, steps: usize) -> Vec<f64> {
        match &self.given {
            Some(given) => given.sigmas(steps),
            None => schedule::edm(steps),
        }
    }

    /// The distribution of noise levels in training.
    ///
    /// # Errors
    /// If a base model is given without its configuration.
    pub fn training_noise(&self) -> Result<TrainingNoise, RetrainError> {
        Ok(match &self.config {
            TrainingConfig::Own(config) => TrainingNoise::LogNormal(config.noise),
            TrainingConfig::Given(config) => self.given()?.training_noise(config),
        })
    }

    /// The noise levels in the training of a network of Datasway.
    ///
    /// # Errors
    /// If a base model is given.
    pub fn own_training_noise(&self) -> Result<NoiseDistribution, RetrainError> {
        let own = self.config.own();
        let own = own.ok_or_else(|| {
            RetrainError::experiment("losses are compared of networks that are trained anew")
        })?;
        Ok(own.noise)
    }

    /// The attribution benchmark.
    ///
    /// # Errors
    /// If the experiment has none.
    pub fn benchmark(&self) -> Result<&ResolvedBenchmark, RetrainError> {
        let benchmark = self.benchmark.as_ref();
        benchmark.ok_or_else(|| RetrainError::experiment("the experiment has no [attribution]"))
    }

    /// The training of the models of the benchmark's parts.
    ///
    /// # Errors
    /// If the experiment has no attribution benchmark, or the configuration of its variant is invalid.
    pub fn training_of_parts(&self) -> Result<FiniteTraining, RetrainError> {
        let variant = &self.benchmark()?.spec.variant;
        Ok(variant.configuration(&self.config)?.finite_training())
    }

    /// Batches of the training data after the change of a direction.
    ///
    /// # Errors
    /// If the mass of the direction makes no measure.
    pub fn perturbed_batches(&self, direction: usize) -> Result<Batches<'_>, RetrainError> {
        let direction = &self.directions[direction];
        let mass = direction.spec.mass;
        let batches = if direction.spec.is_removal() {
            Batches::removing(&self.images, &direction.indices, mass)
        } else {
            Batches::adding(&self.images, &direction.images, mass)
        };
        batches.map_err(|error| {
            RetrainError::Experiment(format!("{}: {error}", direction.spec.name()))
        })
    }

    /// Batches of the training data without some images, whose whole mass is removed.
    ///
    /// # Errors
    /// If no image is removed, or none is left.
    pub fn batches_without(&self, images: &[usize]) -> Result<Batches<'_>, RetrainError> {
        let mass = images.len() as f64 / self.images.len() as f64;
        Ok(Batches::removing(&self.images, images, mass)?)
    }

    /// Indices of the training images that are not among `images`; both ascending.
    pub fn complement(&self, images: &[usize]) -> Vec<usize> {
        complement(images, self.images.len())
    }

    /// The preconditioning of every model.
    pub fn precondition(&self) -> Precondition {
        Precondition {
            sigma_data: self.training_set.sigma_data,
        }
    }

    /// Configuration of the sensitivities of all samples by one estimator.
    /// `moments` are those of the data of the model.
    ///
    /// # Errors
    /// If the estimator does not fit the images or their moments.
    pub fn sensitivity_config(
        &self,
        moments: &PixelMoments,
        estimator: &EstimatorSpec,
    ) -> Result<ResolvedConfig, RetrainError> {
        let samples = &self.spec.samples;
        let config = samples.sensitivity_config(
            estimator,
            moments,
            &self.images,
            self.config.flip(),
            &self.device,
        )?;
        Ok(ResolvedConfig {
            sigmas: self.sigmas(samples.steps),
            ..config
        })
    }

    /// The measure of images as training uses them: with their mirror images if training mirrors.
    ///
    /// # Errors
    /// If there are no images.
    pub fn measure(&self, images: &Dataset) -> Result<Empirical, RetrainError> {
        Ok(Empirical::of_images(
            images,
            self.config.flip(),
            &self.device,
        )?)
    }

    /// The different measures ν of the directions, and the index of the measure of each direction.
    /// Directions of the same images share one measure.
    ///
    /// # Errors
    /// If a direction has no images.
    pub fn measures(&self) -> Result<(Vec<Empirical>, Vec<usize>), RetrainError> {
        let (images, measure_of_direction) = self.distinct_images();
        let measures = images.into_iter().map(|images| self.measure(images));
        Ok((measures.collect::<Result<_, _>>()?, measure_of_direction))
    }

    /// The different sets of images of the directions as points, and the index of the set of each direction.
    pub fn groups(&self) -> (Vec<ImagePoints>, Vec<usize>) {
        let (images, group_of_direction) = self.distinct_images();
        let groups = images.into_iter().map(|images| self.image_points(images));
        (groups.collect(), group_of_direction)
    }

    /// Images as training uses them: with their mirror images if training mirrors.
    pub fn image_points(&self, images: &Dataset) -> ImagePoints {
        ImagePoints::new(images, self.config.flip(), &self.device)
    }

    /// The different sets of images of the directions, and the index of the set of each direction.
    pub(crate) fn distinct_images(&self) -> (Vec<&Dataset>, Vec<usize>) {
        let mut sets: Vec<&Dataset> = Vec::new();
        let mut set_of_direction = Vec::new();
        for direction in &self.directions {
            let images = &direction.images;
            let mut earlier = sets.iter();
            let existing = earlier.position(|set| set.fingerprint == images.fingerprint);
            set_of_direction.push(existing.unwrap_or(sets.len()));
            if existing.is_none() {
                sets.push(images);
            }
        }
        (sets, set_of_direction)
    }

    /// The input of attribution methods: a model of all images and its samples, `[n, d]`.
    ///
    /// # Errors
    /// If the experiment has no attribution benchmark.
    pub fn attribution_context<'a>(
        &'a self,
        checkpoint: &'a Checkpoint,
        model: &'a NetworkDenoiser,
        samples: Tensor<2>,
    ) -> Result<AttributionContext<'a>, RetrainError> {
        let benchmark = self.benchmark()?;
        Ok(AttributionContext {
            model,
            checkpoint,
            precondition: self.precondition(),
            training_noise: self.own_training_noise()?,
            training: self.training_of_parts()?,
            images: &self.images,
            mirrored: self.config.flip(),
            image_points: points(&self.images, self.config.flip(), &self.device),
            subsets: &benchmark.subsets,
            complements: &benchmark.complements,
            samples,
            sample_spec: &self.spec.samples,
            held_out: self.held_out_points()?,
            targets: benchmark.spec.targets(),
            device: &self.device,
        })
    }

    /// The held-out images of the attribution benchmark, `[h, d]`.
    ///
    /// # Errors
    /// If the experiment has no attribution benchmark.
    pub fn held_out_points(&self) -> Result<Tensor<2>, RetrainError> {
        Ok(points(&self.benchmark()?.held_out, false, &self.device))
    }
}
