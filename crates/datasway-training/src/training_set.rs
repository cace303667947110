//! Statistics of a training set for preconditioning and checkpoints.

use datasway_data::{Dataset, PixelMoments};
use datasway_diffusion::DiffusionError;
use datasway_diffusion::precondition::Precondition;

/// Name, fingerprint and statistics of the training images, as stored in a checkpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingSetInfo {
    /// The data set, as it was named on the command line.
    pub name: String,
    /// At most this many of its images are used.
    pub limit: Option<usize>,
    /// True if unreadable images were left out.
    pub skip_bad: bool,
    /// Fingerprint of the decoded images.
    pub fingerprint: String,
    /// Standard deviation of all pixels in `[-1, 1]`, for the preconditioning.
    pub sigma_data: f64,
    /// Mean of each entry.
    pub mean: Vec<f32>,
    /// Variance of each entry.
    pub variance: Vec<f32>,
}

impl TrainingSetInfo {
    /// The statistics of images, including their mirror images if `flip` is set.
    pub fn of(images: &Dataset, name: &str, flip: bool) -> Self {
        let moments = PixelMoments::of(images, flip);
        Self {
            name: name.to_owned(),
            limit: None,
            skip_bad: false,
            fingerprint: images.fingerprint.clone(),
            sigma_data: moments.deviation,
            variance: moments.variance,
            mean: moments.mean,
        }
    }

    /// The preconditioning for these images.
    ///
    /// # Errors
    /// If all pixels of all images are equal, so there is nothing to learn.
    pub fn precondition(&self) -> Result<Precondition, DiffusionError> {
        Precondition::new(self.sigma_data).map_err(|_| {
            DiffusionError::Invalid(format!(
                "all pixels of all images of {} are alike (standard deviation {:e}), so there is nothing to learn: use other images",
                self.name, self.sigma_data
            ))
        })
    }
}
