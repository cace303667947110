//! The interface of attribution methods.

use burn::tensor::{Device, Tensor};
use datasway_data::Dataset;
use datasway_diffusion::checkpoint::Checkpoint;
use datasway_diffusion::loss::NoiseDistribution;
use datasway_diffusion::network::NetworkDenoiser;
use datasway_diffusion::precondition::Precondition;
use datasway_sensitivity::ResolvedConfig;
use datasway_sensitivity::density::{EstimatorSpec, checkpoint_moments};
use datasway_sensitivity::learner::FiniteTraining;
use datasway_sensitivity::sample_spec::SampleSpec;

use crate::AttributionError;
use crate::target::{AttributionTarget, LossNoise, TargetOptions};

/// A method that scores training images for attribution targets.
///
/// # Example
///
/// Images of the same mean brightness as a sample are taken to lower its loss most:
///
/// ```
/// use datasway_attribution::{
///     AttributionContext, AttributionError, AttributionTarget, Attributor, ScoreColumns, Scores,
/// };
///
/// struct Brightness;
///
/// impl Attributor for Brightness {
///     fn name(&self) -> String {
///         "brightness".to_owned()
///     }
///
///     fn attribute(&self, context: &AttributionContext<'_>) -> Result<Vec<Scores>, AttributionError> {
///         // [n, 1] and [1, m]: their difference is [n, m].
///         let samples = context.samples.clone().mean_dim(1);
///         let images = context.image_points.clone().mean_dim(1).transpose();
///         Ok(vec![Scores {
///             name: self.name(),
///             target: AttributionTarget::SampleLoss,
///             columns: ScoreColumns::Images,
///             rows: (samples - images).abs(),
///         }])
///     }
/// }
///
/// assert_eq!(Brightness.removal_forms(), ["brightness"]);
/// ```
pub trait Attributor {
    /// Name of the method in files and tables.
    fn name(&self) -> String;

    /// Scores for every target that the method supports, in one or several forms.
    ///
    /// # Errors
    /// If the options do not fit the data, or a model fails.
    fn attribute(&self, context: &AttributionContext<'_>) -> Result<Vec<Scores>, AttributionError>;

    /// Checks that the options are in their ranges and go together.
    ///
    /// # Errors
    /// With the first option that is not.
    fn check(&self) -> Result<(), AttributionError> {
        Ok(())
    }

    /// Revision of the scores, from 1. Keys of stored scores contain it: it is raised whenever the same options begin to give
    /// other scores, so that old ones are not found.
    fn revision(&self) -> u32 {
        1
    }

    /// Names of the forms ([`Scores::name`]) that can select images for counterfactuals.
    /// They score [`removal_target`](Self::removal_target).
    fn removal_forms(&self) -> Vec<String> {
        vec![self.name()]
    }

    /// Target whose scores select images for counterfactuals.
    fn removal_target(&self) -> AttributionTarget {
        AttributionTarget::SampleLoss
    }

    /// Number of samples with scores that select images for counterfactuals: the first ones; none if all have them.
    fn removal_samples(&self) -> Option<usize> {
        None
    }

    /// True for a method that predicts subsets instead of scoring images.
    fn needs_subsets(&self) -> bool {
        false
    }

    /// True for a method that predicts the parts without a group ([`AttributionContext::complements`]) beside subsets.
    fn needs_complements(&self) -> bool {
        false
    }

    /// Wall time of [`attribute`](Self::attribute) in seconds, extrapolated from a short measurement; none for a method
    /// whose cost is proportional to [`cost_scaling`](Self::cost_scaling).
    ///
    /// # Errors
    /// As [`attribute`](Self::attribute).
    fn estimated_seconds(
        &self,
        _context: &AttributionContext<'_>,
    ) -> Result<Option<f64>, AttributionError> {
        Ok(None)
    }

    /// The quantity that the cost is proportional to.
    fn cost_scaling(&self) -> CostScaling {
        CostScaling::AttributedPoints
    }
}

/// Quantity that the cost of a method is proportional to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CostScaling {
    /// The number of samples and held-out images.
    AttributedPoints,
    /// The number of training images.
    TrainingImages,
}

/// The model, the data and the targets that a method works on.
///
/// A point is an image as a row of d = channels · height · width values in `[-1, 1]`.
pub struct AttributionContext<'a> {
    /// Base model.
    pub model: &'a NetworkDenoiser,
    /// Checkpoint of the base model.
    pub checkpoint: &'a Checkpoint,
    /// Preconditioning of the base model.
    pub precondition: Precondition,
    /// Distribution of noise levels in training.
    pub training_noise: NoiseDistribution,
    /// Training of the models of the parts.
    pub training: FiniteTraining,
    /// The m training images.
    pub images: &'a Dataset,
    /// True if the models are trained on mirror images, too.
    pub mirrored: bool,
    /// The training images as points, `[m, d]`, or `[2m, d]` with their mirror images at the end.
    pub image_points: Tensor<2>,
    /// Indices of the training images of each random subset, ascending.
    pub subsets: &'a [Vec<usize>],
    /// Indices of the training images that are left without each group, ascending.
    pub complements: &'a [Vec<usize>],
    /// Samples of the base model, `[n, d]`.
    pub samples: Tensor<2>,
    /// Settings of these samples.
    pub sample_spec: &'a SampleSpec,
    /// Held-out images, `[h, d]`.
    pub held_out: Tensor<2>,
    /// Numbers that define the targets.
    pub targets: TargetOptions,
    /// Device of all tensors.
    pub device: &'a Device,
}

impl AttributionContext<'_> {
    /// Directions of the linear functionals, `[n, K, d]`.
    pub fn directions(&self) -> Tensor<3> {
        self.targets.directions(&self.samples)
    }

    /// Noise of the losses.
    pub fn loss_noise(&self) -> LossNoise {
        self.targets.loss_noise(&self.training_noise)
    }

    /// Configuration of the sensitivities of the samples under an estimator of the log-density.
    ///
    /// # Errors
    /// If the estimator's options do not go together, or the images or their moments make no measure.
    pub fn sensitivity_config(
        &self,
        estimator: &EstimatorSpec,
    ) -> Result<ResolvedConfig, AttributionError> {
        let (moments, images) = (checkpoint_moments(self.checkpoint), self.images);
        let config = self.sample_spec.sensitivity_config(
            estimator,
            &moments,
            images,
            self.mirrored,
            self.device,
        );
        Ok(config?)
    }
}

/// Scores of one form of a method for one target.
#[derive(Debug, Clone)]
pub struct Scores {
    /// Name of the form, the row in tables.
    pub name: String,
    /// The target.
    pub target: AttributionTarget,
    /// Meaning of the columns of `rows`.
    pub columns: ScoreColumns,
    /// One row for each functional (those of one sample are adjacent) and one column for each image or subset.
    /// A larger score means that more of the image increases the target; only the order within a row counts.
    pub rows: Tensor<2>,
}

/// Meaning of the columns of scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScoreColumns {
    /// The rows of [`AttributionContext::image_points`].
    Images,
    /// The entries of [`AttributionContext::subsets`].
    Subsets,
    /// The entries of [`AttributionContext::complements`].
    Complements,
}

impl ScoreColumns {
    /// Name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Images => "images",
            Self::Subsets => "subsets",
            Self::Complements => "complements",
        }
    }
}

impl Scores {
    /// The scores with one column for each of `m` images: the mean over an image and its mirror image.
    pub fn merge_mirrored(self, m: usize) -> Self {
        let [_, columns] = self.rows.dims();
        if self.columns != ScoreColumns::Images || columns == m {
            return self;
        }
        let half = |start| self.rows.clone().slice_dim(1, start..start + m);
        let rows = (half(0) + half(m)) / 2.0;
        Self { rows, ..self }
    }

    /// Name of the array in result files, such as `images/sample-loss/raw pixels`.
    pub fn array_name(&self) -> String {
        format!(
            "{}/{}/{}",
            self.columns.name(),
            self.target.name(),
            self.name
        )
    }
}
