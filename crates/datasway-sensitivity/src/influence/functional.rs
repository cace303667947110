//! Functionals: a number `f(x₀)` of each sample, with its gradient.

use burn::tensor::{DType, Tensor, TensorData};
use datasway_diffusion::DiffusionError;
use datasway_diffusion::denoiser::Denoiser;

use crate::density::MeasureComparison;
use crate::measure::ImagePoints;
use crate::trajectory::Trajectory;

/// A differentiable function f of a sample, whose change is attributed to training images.
pub trait Functional {
    /// The name in files and on pages.
    fn name(&self) -> &str;

    /// True if f depends on what the paths are compared with: [`FunctionalContext::own`], or else
    /// [`TrajectoryPoint::reference`](crate::trajectory::TrajectoryPoint). Where no functional does, it is not evaluated along the
    /// paths.
    fn needs_density(&self) -> bool {
        false
    }

    /// f, `[n]`, and ∇f, `[n, d]`, at the samples of a batch.
    ///
    /// # Errors
    /// If the functional does not fit the samples, or a model fails.
    fn value_and_gradient(
        &self,
        context: &FunctionalContext<'_>,
    ) -> Result<ValueAndGradient, DiffusionError>;
}

/// A batch of samples with the model and the images that a functional may depend on.
pub struct FunctionalContext<'a> {
    /// The model.
    pub model: &'a dyn Denoiser,
    /// The sampling paths and the samples, `[n, d]`.
    pub trajectory: &'a Trajectory,
    /// Index of the first sample of the batch.
    pub first: usize,
    /// The training images.
    pub images: &'a ImagePoints,
    /// Precision of distances between points and images.
    pub precision: DType,
    /// The comparison with the training images themselves, where the points of the paths do not have what they are compared with.
    pub own: Option<&'a MeasureComparison<'a>>,
}

/// Value and gradient of a functional at a batch of n samples.
#[derive(Debug, Clone)]
pub struct ValueAndGradient {
    /// f, `[n]`.
    pub values: Tensor<1>,
    /// ∇f, `[n, d]`.
    pub gradients: Tensor<2>,
}

/// `f(x) = ⟨v, x⟩`, the inner product with a direction in pixel space. With equal weights it is the mean of a region.
#[derive(Debug, Clone)]
pub struct Linear {
    /// Name of the functional.
    pub name: String,
    /// v, d numbers, or one v for each sample of the run, `[n, d]`.
    pub weights: Vec<f32>,
}

impl Functional for Linear {
    fn name(&self) -> &str {
        &self.name
    }

    fn value_and_gradient(
        &self,
        context: &FunctionalContext<'_>,
    ) -> Result<ValueAndGradient, DiffusionError> {
        let x = &context.trajectory.samples;
        let [n, d] = x.dims();
        let rows = context.first * d..(context.first + n) * d;
        let (values, shape) = match self.weights.get(rows) {
            _ if self.weights.len() == d => (self.weights.clone(), [1, d]),
            Some(weights) => (weights.to_vec(), [n, d]),
            None => {
                return Err(DiffusionError::Invalid(format!(
                    "the direction {} has {} numbers, which is neither one for each of the {d} pixel values nor that \
                     for each of {} samples or more",
                    self.name,
                    self.weights.len(),
                    context.first + n
                )));
            }
        };
        let weights = TensorData::new(values, shape);
        let weights = Tensor::<2>::from_data(weights, (&x.device(), x.dtype())).expand([n, d]);
        Ok(ValueAndGradient {
            values: (x.clone() * weights.clone()).sum_dim(1).squeeze_dim::<1>(1),
            gradients: weights,
        })
    }
}

/// `f(x) = ‖x − t‖²`, the squared distance to an image; its gradient is `2(x − t)`.
#[derive(Debug, Clone)]
pub struct Distance {
    /// Name of the functional.
    pub name: String,
    /// t, d numbers.
    pub target: Vec<f32>,
}

impl Functional for Distance {
    fn name(&self) -> &str {
        &self.name
    }

    fn value_and_gradient(
        &self,
        context: &FunctionalContext<'_>,
    ) -> Result<ValueAndGradient, DiffusionError> {
        let x = &context.trajectory.samples;
        let target = TensorData::new(self.target.clone(), [1, self.target.len()]);
        let gap = x.clone() - Tensor::<2>::from_data(target, (&x.device(), x.dtype()));
        Ok(ValueAndGradient {
            values: (gap.clone() * gap.clone()).sum_dim(1).squeeze_dim::<1>(1),
            gradients: gap * 2.0,
        })
    }
}
