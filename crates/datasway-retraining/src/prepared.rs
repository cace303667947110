//! An experiment with its data at hand.

use std::path::PathBuf;

use burn::tensor::Device;
use datasway_data::{DataError, Dataset, LoadOptions, Selected, Selection, Source};
use datasway_diffusion::checkpoint::Checkpoint;
use datasway_diffusion::device::device;
use datasway_diffusion::precondition::Precondition;
use datasway_sensitivity::density::EstimatorSpec;
use datasway_sensitivity::measure::Empirical;
use datasway_sensitivity::sensitivities::SensitivityConfig;
use datasway_training::batches::Batches;
use datasway_training::config::TrainConfig;
use datasway_training::training_set::TrainingSetInfo;

use crate::RetrainError;
use crate::attribution::subsets;
use crate::experiment::{Direction, Experiment};

/// Where an experiment finds its data and computes; nothing here changes a result beyond rounding.
#[derive(Debug, Clone)]
pub struct RunEnvironment {
    /// The images, if they are not where the experiment file says.
    pub data: Option<String>,
    /// Where decoded images are kept for the next start.
    pub cache: PathBuf,
    /// Name of the device.
    pub device: String,
}

/// Everything that jobs share.
pub struct PreparedExperiment {
    /// The experiment.
    pub experiment: Experiment,
    /// Configuration of base models, but for the seed.
    pub config: TrainConfig,
    /// What was found in the data, for people.
    pub found: String,
    /// The training images.
    pub images: Dataset,
    /// What their checkpoints say of them.
    pub set: TrainingSetInfo,
    /// The changes of the data, in the experiment's order.
    pub changes: Vec<Change>,
    /// For an attribution benchmark: indices of each random part of the training images, ascending.
    pub subsets: Vec<Vec<usize>>,
    /// For an attribution benchmark: indices of each group of training images, ascending.
    pub groups: Vec<Vec<usize>>,
    /// For an attribution benchmark: the last images of the data, which no model is trained on.
    pub held_out: Option<Dataset>,
    /// Where to compute.
    pub device: Device,
}

/// A direction with its images.
pub struct Change {
    /// As the experiment says it.
    pub direction: Direction,
    /// The images of ν.
    pub images: Dataset,
    /// Their indices in the training set, ascending; empty where they come from elsewhere.
    pub indices: Vec<usize>,
}

impl PreparedExperiment {
    /// Loads the data and finds every direction in them.
    ///
    /// # Errors
    /// If the data or a direction's images cannot be loaded, a mass makes no measure, or the configuration
    /// contradicts itself.
    pub fn new(experiment: Experiment, place: &RunEnvironment) -> Result<Self, RetrainError> {
        let config = experiment.config()?;
        config.validate()?;
        let options = LoadOptions {
            size: Some(config.network.image_size),
            grey: config.network.image_channels == 1,
            limit: experiment.limit,
            skip_bad: experiment.skip_bad,
            cache_dir: Some(place.cache.clone()),
            progress: true,
        };
        let name = place.data.as_deref().unwrap_or(&experiment.data);
        let mut images = Source::parse(name)
            .and_then(|source| datasway_data::load(&source, &options))
            .map_err(advised)?;
        let mut found = images.summary();
        let mut limit = experiment.limit;
        let (mut parts, mut groups, mut held_out) = (Vec::new(), Vec::new(), None);
        if let Some(benchmark) = &experiment.attribution {
            let kept = images.len().saturating_sub(benchmark.held_out);
            let rest: Vec<usize> = (kept..images.len()).collect();
            if !rest.is_empty() && in_order_of_class(&images) {
                return Err(RetrainError::experiment(
                    "attribution: held_out takes the last images, which in a folder of classes are all of the last ones; put \
                     the images into one folder without classes",
                ));
            }
            held_out = Some(images.subset(&rest));
            images = images.subset(&(0..kept).collect::<Vec<_>>());
            parts = subsets::draw(benchmark, kept)?;
            groups = subsets::groups(benchmark, &images, &options)?;
            if let Some(counterfactual) = &benchmark.counterfactual {
                counterfactual.check(experiment.samples.count, kept)?;
            }
            limit = Some(kept);
        }
        let changes = experiment.directions.iter();
        let changes = changes.map(|direction| Change::find(direction, &images, &options));
        let changes: Vec<Change> = changes.collect::<Result<_, _>>()?;
        for change in changes.iter().filter(|change| change.indices.is_empty()) {
            found += &format!("\n{}", change.images.summary());
        }
        let setup = Self {
            found,
            changes,
            subsets: parts,
            groups,
            held_out,
            set: TrainingSetInfo {
                limit,
                skip_bad: experiment.skip_bad,
                ..TrainingSetInfo::of(&images, name, config.flip)
            },
            config,
            images,
            device: device(&place.device)?,
            experiment,
        };
        for change in 0..setup.changes.len() {
            setup.changed(change)?;
        }
        Ok(setup)
    }

    /// Batches of the training data after a change.
    ///
    /// # Errors
    /// If the change's mass makes no measure.
    pub fn changed(&self, change: usize) -> Result<Batches<'_>, RetrainError> {
        let change = &self.changes[change];
        let mass = change.direction.mass;
        let batches = match change.direction.removing() {
            true => Batches::removing(&self.images, &change.indices, mass),
            false => Batches::adding(&self.images, &change.images, mass),
        };
        batches.map_err(|error| {
            RetrainError::Experiment(format!("{}: {error}", change.direction.name()))
        })
    }

    /// Batches of the training data without some images: what is left when all their mass is removed.
    ///
    /// # Errors
    /// If nothing is left, or nothing removed.
    pub fn without(&self, images: &[usize]) -> Result<Batches<'_>, RetrainError> {
        let mass = images.len() as f64 / self.images.len() as f64;
        Ok(Batches::removing(&self.images, images, mass)?)
    }

    /// The training images that are not among these, ascending.
    pub fn rest(&self, images: &[usize]) -> Vec<usize> {
        let inside = |image: &usize| images.binary_search(image).is_ok();
        (0..self.images.len())
            .filter(|image| !inside(image))
            .collect()
    }

    /// The preconditioning of every model.
    pub fn precondition(&self) -> Precondition {
        Precondition {
            sigma_data: self.set.sigma_data,
        }
    }

    /// The settings of a prediction of all samples; `checkpoint` tells the moments of the data.
    pub(crate) fn settings(
        &self,
        checkpoint: &Checkpoint,
        estimator: &EstimatorSpec,
    ) -> Result<SensitivityConfig, RetrainError> {
        let samples = &self.experiment.samples;
        let (images, mirrored) = (&self.images, self.config.flip);
        Ok(samples.sensitivity_config(estimator, checkpoint, images, mirrored, &self.device)?)
    }

    /// ImagePoints as the measure that training sees: with their mirror images, if it mirrors.
    ///
    /// # Errors
    /// If there are none.
    pub fn measure(&self, images: &Dataset) -> Result<Empirical, RetrainError> {
        Ok(Empirical::of_images(
            images,
            self.config.flip,
            &self.device,
        )?)
    }
}

/// Whether images of several classes lie class by class.
fn in_order_of_class(images: &Dataset) -> bool {
    let labels = images.classes.as_ref().map_or(&[][..], |c| &c.labels);
    labels.is_sorted() && labels.first() != labels.last()
}

/// The error with the keys of an experiment that help.
fn advised(error: DataError) -> RetrainError {
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

impl Change {
    fn find(
        direction: &Direction,
        images: &Dataset,
        options: &LoadOptions,
    ) -> Result<Self, RetrainError> {
        let selection = Selection::parse(direction.selection())?;
        let (images, indices) = match selection.resolve(images, options)? {
            Selected::Indices(indices) => (images.subset(&indices), indices),
            Selected::External(_) if direction.removing() => {
                return Err(RetrainError::Experiment(format!(
                    "{}: only images of the training set can be removed",
                    direction.name()
                )));
            }
            Selected::External(images) => (images, Vec::new()),
        };
        Ok(Self {
            direction: direction.clone(),
            images,
            indices,
        })
    }
}
