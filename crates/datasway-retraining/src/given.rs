//! A base model that a folder gives: a model of another library, or one that `train` fine-tuned.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use burn::tensor::{DType, Device};
use datasway_data::{Dataset, LoadOptions};
use datasway_diffusion::learned_denoiser::LearnedDenoiser;
use datasway_diffusion::parameterization::Parameterization;
use datasway_diffusion::pixels::PixelRange;
use datasway_diffusion::training_noise::TrainingNoise;
use datasway_diffusion::{schedule, weights};
use datasway_pretrained::{PretrainedNetwork, PretrainedOptions, TrainableModel};
use datasway_training::class_images::images_of_class;
use datasway_training::fine_tune::{
    FineTuneBase, FineTuneConfig, FineTuneData, FineTuneState, FineTuner,
};
use datasway_training::picture_shape::check_picture_shape;
use datasway_training::sidecar::Sidecar;

use crate::RetrainError;
use crate::spec::Experiment;

/// A base model that a folder gives. Its fine-tuned models are kept as the states of their training.
pub struct GivenModel {
    name: String,
    sidecar: Sidecar,
    network: PretrainedNetwork,
    parameterization: Arc<dyn Parameterization>,
    shape: [usize; 3],
    sigma_range: [f64; 2],
    noise: TrainingNoise,
    pixels: PixelRange,
    classes: usize,
    fingerprint: String,
    device: Device,
}

impl GivenModel {
    /// Loads the model of a folder, with the preprocessing and the class of its sidecar.
    ///
    /// # Errors
    /// If the folder holds no model that can be trained, or its pictures are no squares of pixels.
    pub fn load(folder: &Path, device: &Device) -> Result<Self, RetrainError> {
        let sidecar = Sidecar::read(folder)?.unwrap_or_default();
        let options = PretrainedOptions {
            class: sidecar.class,
            guidance: sidecar.guidance,
            scheduler: sidecar.scheduler.clone(),
            pixels: sidecar.pixels,
            device: device.clone(),
            dtype: DType::F32,
        };
        let model = TrainableModel::load(folder, &options)?;
        let name = folder.display().to_string();
        check_picture_shape(&name, model.shape)?;
        sidecar.check(folder, None, &model.fingerprint)?;
        Ok(Self {
            name,
            sidecar,
            network: model.network,
            parameterization: model.parameterization,
            shape: model.shape,
            sigma_range: model.sigma_range,
            noise: model.noise,
            pixels: model.pixels,
            classes: model.classes,
            fingerprint: model.fingerprint,
            device: device.clone(),
        })
    }

    /// SHA-256 of configuration and weights, in hexadecimal.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The class, of a model with classes.
    pub fn class(&self) -> Option<usize> {
        self.sidecar.class
    }

    /// True if the model was trained on mirror images too.
    pub fn flip(&self) -> bool {
        self.sidecar.flip
    }

    /// Channels of a picture.
    pub fn channels(&self) -> usize {
        self.shape[0]
    }

    /// Options of loading images as the model was trained on them.
    pub fn load_options(&self, options: LoadOptions) -> LoadOptions {
        LoadOptions {
            size: Some(self.shape[1]),
            grey: self.channels() == 1,
            crop: self.sidecar.crop,
            filter: self.sidecar.filter,
            ..options
        }
    }

    /// The images of the model's class.
    ///
    /// # Errors
    /// If the data are of another number of classes, or are others than those that the sidecar names.
    pub fn images(
        &self,
        experiment: &Experiment,
        images: Dataset,
    ) -> Result<Dataset, RetrainError> {
        let images = images_of_class(&self.name, images, self.classes, self.class())?;
        let sidecar = &self.sidecar;
        let is_that_of_sidecar = sidecar.data.as_ref() == Some(&experiment.data)
            && (sidecar.limit, sidecar.skip_bad) == (experiment.limit, experiment.skip_bad);
        let fingerprint = is_that_of_sidecar.then_some(images.fingerprint.as_str());
        sidecar.check(Path::new(&self.name), fingerprint, &self.fingerprint)?;
        Ok(images)
    }

    /// Noise levels of `steps` sampler steps, within those that the model was trained on.
    pub fn sigmas(&self, steps: usize) -> Vec<f64> {
        let [lowest, highest] = self.sigma_range;
        let lowest = schedule::SIGMA_MIN.max(lowest);
        let highest = schedule::SIGMA_MAX.min(highest);
        schedule::karras(steps, lowest, highest, schedule::RHO)
    }

    /// The noise levels of a fine-tuning.
    pub fn training_noise(&self, config: &FineTuneConfig) -> TrainingNoise {
        config.noise.within(&self.noise, self.sigma_range)
    }

    /// The denoiser of the model as it was given.
    pub fn denoiser(&self) -> Box<dyn LearnedDenoiser> {
        self.denoiser_of(self.network.clone())
    }

    /// The denoiser of a fine-tuned model, from the state of its training.
    ///
    /// # Errors
    /// If the file is missing, damaged or of another network.
    pub fn tuned(&self, path: &Path) -> Result<Box<dyn LearnedDenoiser>, RetrainError> {
        let network = self.state(path)?.averaged(self.network.clone())?;
        Ok(self.denoiser_of(network))
    }

    /// The state of a training.
    ///
    /// # Errors
    /// If the file is missing, damaged or of another network.
    pub fn state(&self, path: &Path) -> Result<FineTuneState, RetrainError> {
        Ok(FineTuneState::load(path, &self.weight_shapes())?)
    }

    /// The shape of every weight of the network, by its path.
    pub fn weight_shapes(&self) -> BTreeMap<String, Vec<usize>> {
        weights::shapes(&self.network)
    }

    /// A fine-tuning on images of this fingerprint: at step 0, or where its state left it.
    ///
    /// # Errors
    /// If the state is of another training.
    pub fn tuner(
        &self,
        config: &FineTuneConfig,
        data: FineTuneData,
        state: Option<FineTuneState>,
    ) -> Result<FineTuner<PretrainedNetwork>, RetrainError> {
        let (config, base) = (config.clone(), self.base());
        Ok(match state {
            None => FineTuner::new(config, data, base, &self.device)?,
            Some(state) => FineTuner::resume(config, data, base, state, &self.device)?,
        })
    }

    /// The images of an experiment, for the states of its trainings.
    pub fn data(&self, experiment: &Experiment, images: &Dataset) -> FineTuneData {
        FineTuneData {
            name: experiment.data.clone(),
            limit: experiment.limit,
            skip_bad: experiment.skip_bad,
            crop: self.sidecar.crop,
            filter: self.sidecar.filter,
            fingerprint: images.fingerprint.clone(),
        }
    }

    fn denoiser_of(&self, network: PretrainedNetwork) -> Box<dyn LearnedDenoiser> {
        network.denoiser(self.shape, self.parameterization.clone(), self.pixels)
    }

    fn base(&self) -> FineTuneBase<PretrainedNetwork> {
        FineTuneBase {
            network: self.network.clone(),
            parameterization: self.parameterization.clone(),
            noise: self.noise.clone(),
            sigma_range: self.sigma_range,
            pixels: self.pixels,
            fingerprint: self.fingerprint.clone(),
            class: self.class(),
            constant: PretrainedNetwork::is_constant,
        }
    }
}
