//! Errors of models, directions and sensitivities.

use datasway_data::DataError;
use datasway_diffusion::DiffusionError;

/// An error of a trained model, its training images, or a computation with them.
#[derive(Debug, thiserror::Error)]
pub enum SensitivityError {
    /// A model, a sampler or a density fails.
    #[error(transparent)]
    Diffusion(#[from] DiffusionError),
    /// Images cannot be loaded or selected.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The configuration in a checkpoint cannot be read.
    #[error(transparent)]
    TrainingConfig(#[from] toml::de::Error),
    /// The training images are not at the place that the checkpoint names.
    #[error("the images of {model}")]
    TrainingImages {
        /// Name of the model.
        model: String,
        /// The reason.
        source: DataError,
    },
    /// The images are not those of the training.
    #[error(
        "{model} was trained on {data} (fingerprint {expected}), but {images} has fingerprint {found}"
    )]
    Fingerprint {
        /// Name of the model.
        model: String,
        /// The training data, as the checkpoint names them.
        data: String,
        /// Fingerprint of the training images.
        expected: String,
        /// The data that were loaded.
        images: String,
        /// Their fingerprint.
        found: String,
    },
    /// Another model's samples do not have the shape of this model's.
    #[error(
        "{name}: is a model of images of {side}×{side} pixels with {channels} channels, but samples are {}×{} with {}: name one of such \
         images", samples[2], samples[1], samples[0]
    )]
    OtherShape {
        /// Name of the other model.
        name: String,
        /// Pixels on a side of the other model's images.
        side: usize,
        /// Channels of the other model's images.
        channels: usize,
        /// Channels, height and width of this model's samples.
        samples: [usize; 3],
    },
    /// The configuration in a checkpoint does not name the noise levels of its training.
    #[error(
        "{0}: does not name the noise levels of its training, so the gradient of its loss is unknown: take the derivative through the \
         data"
    )]
    NoTrainingNoise(String),
    /// A combination of models is no minimum of a loss.
    #[error(
        "{0}: is a combination of models, such as guidance, which no training loss has as its minimum: take the derivative through the \
         data, or leave the guidance out"
    )]
    CombinedModel(String),
    /// A direction through the weights is no set of images.
    #[error(
        "{0}: the derivative through the weights needs the images of a direction: name a set of images"
    )]
    NotImages(String),
    /// Some directions have a mass, and this one has none.
    #[error("{0}: has no mass, and another direction has one: give all of them a mass or none")]
    MassOfSome(String),
    /// A direction of the derivative through the data has a mass.
    #[error(
        "{0}: has a mass, on which the derivative through the data does not depend: take the change of the weights, or no mass"
    )]
    MassOfDerivative(String),
    /// Images from elsewhere cannot be removed from the training set.
    #[error("{0}: only images of the training set can be removed")]
    NotTrainingImages(String),
}
