//! Pictures as starting noise: the steps of a deterministic sampler, undone.
//!
//! A deterministic sampler is a chain of maps `x_{k+1} = Φ_k(x_k)` from `σ_0` times the noise to the sample at σ = 0. A
//! picture is encoded by undoing them, the last first. Step k is undone in two parts.
//!
//! - **Prediction.** One step of Heun's method for the probability-flow ODE upwards, from `σ_{k+1}` to `σ_k`. The last step
//!   ends at σ = 0, where the ODE divides by σ. There the prediction is the picture itself, which is within about σ_min of
//!   its preimage.
//! - **Corrections.** `x ← x + c·(x_{k+1} − Φ_k(x))`, whose fixed point is the preimage: the step is undone exactly, not to
//!   the order of the prediction. Where the Jacobian of an ideal denoiser has eigenvalues in [0, 1], that of `Φ_k` has
//!   eigenvalues between `σ_{k+1}/σ_k` and 1, so with c = 1 the error falls by `1 − σ_{k+1}/σ_k` or faster. A correction
//!   that brings a picture no closer is not taken, and c is halved for that picture.
//!
//! The last step is `Φ(x) = D(x, σ_min)`. In directions in which the data do not vary D is constant, and a picture that
//! differs from the constant has no preimage. Its round trip then has an error, which the caller has to look at.

use burn::tensor::{DType, Tensor};

use crate::denoiser::{Denoiser, check_points};
use crate::sampler::{Sampler, Stage, StageBuffer, heun};
use crate::{DiffusionError, schedule};

/// Corrections of each step that are made at most, where nothing else is said.
pub const CORRECTIONS: usize = 16;

/// A model and a deterministic sampler, run backwards.
#[derive(Clone, Copy)]
pub struct Encoder<'a> {
    /// The model.
    pub denoiser: &'a dyn Denoiser,
    /// The sampler; one without fresh noise.
    pub sampler: &'a Sampler,
    /// Noise levels of the sampler, descending to 0.
    pub sigmas: &'a [f64],
    /// Corrections of each step, at most; 0 leaves the prediction.
    pub corrections: usize,
}

impl Encoder<'_> {
    /// The starting noise of pictures, `[n, d]`: from it the sampler draws the pictures `[n, d]`.
    ///
    /// # Errors
    /// If the sampler adds fresh noise, the noise levels are not a grid that ends with 0, shapes do not match, or the model
    /// fails.
    pub fn encode(&self, pictures: Tensor<2>) -> Result<Tensor<2>, DiffusionError> {
        if matches!(self.sampler, Sampler::Stochastic { .. }) {
            return Err(DiffusionError::Unsupported(
                "a picture is encoded by an ODE, and the stochastic sampler adds fresh noise: use Heun's or Euler's method"
                    .to_owned(),
            ));
        }
        schedule::check(self.sigmas)?;
        check_points(&pictures, self.denoiser.dim())?;
        let mut x = pictures;
        let steps = self.sampler.steps(self.sigmas);
        for (step, levels) in steps.iter().zip(self.sigmas.windows(2)).rev() {
            let (high, low) = (levels[0], levels[1]);
            let prediction = if low == 0.0 {
                x.clone()
            } else {
                self.apply(&heun(low, high), x.clone())?
            };
            x = self.corrected(&step.stages, x, prediction, high)?;
        }
        Ok(x / self.sigmas[0])
    }

    /// The result of one step, `[n, d]`.
    fn apply(&self, stages: &[Stage], mut x: Tensor<2>) -> Result<Tensor<2>, DiffusionError> {
        let mut buffer = StageBuffer::default();
        for stage in stages {
            let denoised = self.denoiser.denoise(x.clone(), stage.sigma)?;
            x = buffer.advance(stage, x, denoised);
        }
        Ok(x)
    }

    /// The point at the noise level `sigma` whose step ends at `target`, by corrections of a prediction.
    fn corrected(
        &self,
        stages: &[Stage],
        target: Tensor<2>,
        prediction: Tensor<2>,
        sigma: f64,
    ) -> Result<Tensor<2>, DiffusionError> {
        if self.corrections == 0 {
            return Ok(prediction);
        }
        let tolerance = tolerance(target.dtype()) * (1.0 + sigma);
        let mut x = prediction;
        let mut gap = target.clone() - self.apply(stages, x.clone())?;
        let mut error = mean_square(&gap);
        let mut share = error.ones_like();
        for _ in 0..self.corrections {
            let largest = error.clone().max().into_scalar::<f64>();
            if largest <= tolerance * tolerance {
                break;
            }
            let trial = x.clone() + gap.clone() * share.clone();
            let trial_gap = target.clone() - self.apply(stages, trial.clone())?;
            let trial_error = mean_square(&trial_gap);
            let closer = trial_error.clone().lower(error.clone());
            let closer_everywhere = closer.clone().expand(x.dims());
            x = x.mask_where(closer_everywhere.clone(), trial);
            gap = gap.mask_where(closer_everywhere, trial_gap);
            error = error.mask_where(closer.clone(), trial_error);
            share = (share.clone() / 2.0).mask_where(closer, share);
        }
        Ok(x)
    }
}

/// Root mean square of a step's remaining error at which it counts as undone, relative to 1 + σ.
fn tolerance(dtype: DType) -> f64 {
    match dtype {
        DType::F64 => 1e-13,
        _ => 1e-6,
    }
}

/// The mean square of each row, `[n, 1]`.
fn mean_square(rows: &Tensor<2>) -> Tensor<2> {
    (rows.clone() * rows.clone()).mean_dim(1)
}
