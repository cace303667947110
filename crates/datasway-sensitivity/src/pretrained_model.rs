//! A model of another library with its training images.

use datasway_data::{Crop, Dataset, Filter, LoadOptions, PixelMoments, Source};
use datasway_pretrained::Pretrained;

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
}

impl TrainedModel {
    /// A model of another library with the images that it was trained on. Of data with as many classes as the model has, those of
    /// the denoiser's class are taken. `loaded` receives the images.
    ///
    /// # Errors
    /// If the pictures of the model are not square, or the images cannot be loaded or are of another number of classes.
    pub fn from_pretrained(
        name: String,
        pretrained: Pretrained,
        data: &PretrainedData,
        options: &ModelOptions,
        loaded: impl FnOnce(&Dataset),
    ) -> Result<Self, SensitivityError> {
        let [channels, height, width] = pretrained.shape;
        if height != width || ![1, 3].contains(&channels) {
            return Err(SensitivityError::NotSquare {
                model: name,
                channels,
                height,
                width,
            });
        }
        let load_options = LoadOptions {
            size: Some(width),
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
        Ok(Self {
            name: format!("{name} ({})", pretrained.description),
            score_model: pretrained.score_model,
            training: TrainingRecord {
                steps: None,
                data: data.source.clone(),
                moments,
                noise: Some(pretrained.noise),
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

/// The images of a class, if the data have the classes of the model.
fn images_of_class(
    model: &str,
    images: Dataset,
    classes: usize,
    class: Option<usize>,
) -> Result<Dataset, SensitivityError> {
    let (Some(class), Some(labels)) = (class, &images.classes) else {
        return Ok(images);
    };
    // A model whose classes are any numbers says nothing about those of the data.
    if classes == 0 {
        return Ok(images);
    }
    if labels.names.len() != classes {
        return Err(SensitivityError::OtherClasses {
            model: model.to_owned(),
            data: images.name.clone(),
            expected: classes,
            found: labels.names.len(),
        });
    }
    let of_class = (0..images.len()).filter(|&i| labels.labels[i] == class);
    let indices: Vec<usize> = of_class.collect();
    if indices.is_empty() {
        return Err(SensitivityError::EmptyClass {
            data: images.name.clone(),
            class: labels.names[class].clone(),
        });
    }
    Ok(images.subset(&indices))
}
