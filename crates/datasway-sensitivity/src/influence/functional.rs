//! What is asked of a sample: a number `f(x₀)` and its gradient.

use burn::tensor::{DType, Tensor, TensorData};
use datasway_diffusion::DiffusionError;
use datasway_diffusion::denoiser::Denoiser;

use crate::measure::ImagePoints;
use crate::trajectory::Trajectory;

/// A number for each sample.
pub trait Functional {
    /// What it is called in files and on the page.
    fn name(&self) -> &str;

    /// f and ∇f at the samples of a batch.
    ///
    /// # Errors
    /// If it does not fit the samples, or a model fails.
    fn differentiate(
        &self,
        scene: &FunctionalContext<'_>,
    ) -> Result<ValueAndGradient, DiffusionError>;
}

/// A batch of samples, and all that a functional may depend on.
pub struct FunctionalContext<'a> {
    /// The model.
    pub model: &'a dyn Denoiser,
    /// The samples and how they came about.
    pub path: &'a Trajectory,
    /// Index of the first sample.
    pub first: usize,
    /// The training images.
    pub images: &'a ImagePoints,
    /// Precision of distances between points and images.
    pub precision: DType,
}

/// A functional at a batch of samples.
#[derive(Debug, Clone)]
pub struct ValueAndGradient {
    /// f, `[n]`.
    pub values: Tensor<1>,
    /// ∇f, `[n, d]`.
    pub gradients: Tensor<2>,
}

/// `f(x) = ⟨v, x⟩`: a direction in pixel space, or with equal weights the mean of a region.
#[derive(Debug, Clone)]
pub struct Linear {
    /// Its name.
    pub name: String,
    /// v, d numbers; or one v for each sample, `[n, d]`.
    pub weights: Vec<f32>,
}

impl Functional for Linear {
    fn name(&self) -> &str {
        &self.name
    }

    fn differentiate(
        &self,
        scene: &FunctionalContext<'_>,
    ) -> Result<ValueAndGradient, DiffusionError> {
        let x = &scene.path.samples;
        let [n, d] = x.dims();
        let rows = scene.first * d..(scene.first + n) * d;
        let (values, shape) = match self.weights.get(rows) {
            _ if self.weights.len() == d => (self.weights.clone(), [1, d]),
            Some(rows) => (rows.to_vec(), [n, d]),
            None => {
                return Err(DiffusionError::Invalid(format!(
                    "the direction {} has {} numbers, which is neither one for each of the {d} pixel values nor that \
                     for each of {} samples or more",
                    self.name,
                    self.weights.len(),
                    scene.first + n
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
    /// Its name.
    pub name: String,
    /// t, d numbers.
    pub target: Vec<f32>,
}

impl Functional for Distance {
    fn name(&self) -> &str {
        &self.name
    }

    fn differentiate(
        &self,
        scene: &FunctionalContext<'_>,
    ) -> Result<ValueAndGradient, DiffusionError> {
        let x = &scene.path.samples;
        let target = TensorData::new(self.target.clone(), [1, self.target.len()]);
        let gap = x.clone() - Tensor::<2>::from_data(target, (&x.device(), x.dtype()));
        Ok(ValueAndGradient {
            values: (gap.clone() * gap.clone()).sum_dim(1).squeeze_dim::<1>(1),
            gradients: gap * 2.0,
        })
    }
}
