//! A model of another library with its training images.

use datasway_data::{Crop, Dataset, Filter, LoadOptions, PixelMoments, Source};
use datasway_pretrained::Pretrained;
use datasway_training::class_images::images_of_class;
use datasway_training::picture_shape::check_picture_shape;
use datasway_training::sidecar::OwnTraining;

use crate::error::SensitivityError;
use crate::model::{ModelOptions, TrainedModel, TrainingRecord};

/// The training data of a model of another library, which its files do not name.
#[derive(Debug, Clone)]
pub struct PretrainedData {
    /// The images, as [`Source::parse`] reads them.
    pub source: String,
    /// At most this many of them; all if absent.
    pub limit: Option<usize>,
    /// Leaves unreadable images out.
    pub skip_bad: bool,
    /// The part of a picture that becomes an image.
    pub crop: Crop,
    /// The filter of the resize.
    pub filter: Filter,
    /// True if the model was trained on mirror images too.
    pub mirrored: bool,
    /// The class of the denoiser, if the model has classes.
    pub class: Option<usize>,
    /// The training of the model, if `train` made it.
    pub training: Option<OwnTraining>,
}

impl TrainedModel {
    /// A model of another library with the images that it was trained on. Of data with as many classes as the model has, those of
    /// the denoiser's class are taken. `loaded` receives the images.
    ///
    /// # Errors
    /// If the pictures of the model are no squares of pixels, or the images cannot be loaded or are of another number of classes.
    pub fn from_pretrained(
        name: String,
        pretrained: Pretrained,
        data: &PretrainedData,
        options: &ModelOptions,
        loaded: impl FnOnce(&Dataset),
    ) -> Result<Self, SensitivityError> {
        check_picture_shape(&name, pretrained.shape)?;
        let [channels, _, side] = pretrained.shape;
        let load_options = LoadOptions {
            size: Some(side),
            grey: channels == 1,
            crop: data.crop,
            filter: data.filter,
            limit: data.limit,
            skip_bad: data.skip_bad,
            cache_dir: options.cache_dir.clone(),
            progress: options.progress,
        };
        let images = datasway_data::load(&Source::parse(&data.source)?, &load_options)?;
        let images = images_of_class(&name, images, pretrained.classes, data.class)?;
        loaded(&images);
        let moments = PixelMoments::of(&images, data.mirrored);
        let noise = match &data.training {
            None => pretrained.noise,
            Some(record) => record
                .noise
                .within(&pretrained.noise, pretrained.sigma_range),
        };
        Ok(Self {
            name: format!("{name} ({})", pretrained.description),
            score_model: pretrained.score_model,
            training: TrainingRecord {
                steps: data.training.as_ref().map(|record| record.steps),
                data: data.source.clone(),
                moments,
                noise: Some(noise),
                run: None,
                model_fingerprint: Some(pretrained.fingerprint),
                sigma_range: Some(pretrained.sigma_range),
            },
            clip: pretrained.clip,
            images,
            load_options,
            mirrored: data.mirrored,
            device: options.device.clone(),
        })
    }
}
