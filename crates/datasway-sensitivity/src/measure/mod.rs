//! Measures with their noised density and denoiser, in closed form or learned.

/// `Denoiser::vjp` of a measure in closed form. The Jacobian of its denoiser `x + σ²·∇log p` is symmetric, so the
/// transposed product is [`jvp`](datasway_diffusion::denoiser::Denoiser::jvp).
macro_rules! symmetric_vjp {
    () => {
        fn vjp(
            &self,
            x: Tensor<2>,
            sigma: f64,
            cotangents: Tensor<3>,
        ) -> Result<(Tensor<2>, Tensor<3>), DiffusionError> {
            self.jvp(x, sigma, cotangents)
        }
    };
}

mod empirical;
mod gaussian;
mod image_points;
mod mixture;
mod model;
mod together;

use burn::tensor::Tensor;
use datasway_diffusion::DiffusionError;
use datasway_diffusion::denoiser::Denoiser;

pub use empirical::Empirical;
pub use gaussian::Gaussian;
pub use image_points::{ImagePoints, points};
pub use mixture::{Mixture, gaussian_mixture, perturbed};
pub use model::ModelMeasure;
pub(crate) use together::{Asked, Evaluated, evaluate_images, evaluate_together, wide_values};

/// A measure μ with the density p of its noised points `x = y + σ·n`, y ~ μ.
pub trait Measure: Denoiser {
    /// `q = log p(x) + (d/2)·log 2πσ²` for each row of x `[n, d]`, `[n]`: the log-density without the term that depends
    /// on the dimension and σ only, which cancels in every ratio.
    ///
    /// It has the precision that the measure computes in, which may be wider than that of x. At small σ q reaches 10⁷,
    /// and only differences of it are used, so they are taken before anything is rounded.
    ///
    /// # Errors
    /// If `x` does not have `dim` columns, or the density is not positive there.
    fn log_density(&self, x: Tensor<2>, sigma: f64) -> Result<Tensor<1>, DiffusionError>;

    /// [`log_density`](Self::log_density), `[n]`, and [`denoise`](Denoiser::denoise), `[n, d]`, in the precision that
    /// the measure computes in. Where they share their work, they cost as much as one.
    ///
    /// # Errors
    /// As those of the two methods.
    fn evaluate(&self, x: Tensor<2>, sigma: f64) -> Result<(Tensor<1>, Tensor<2>), DiffusionError> {
        Ok((self.log_density(x.clone(), sigma)?, self.denoise(x, sigma)?))
    }

    /// The measure as masses at points, if it is that: measures over images of one set are evaluated together, which costs
    /// what the whole set costs.
    fn as_empirical(&self) -> Option<&Empirical> {
        None
    }
}

impl<T: Measure + ?Sized> Measure for &T {
    fn log_density(&self, x: Tensor<2>, sigma: f64) -> Result<Tensor<1>, DiffusionError> {
        (**self).log_density(x, sigma)
    }

    fn evaluate(&self, x: Tensor<2>, sigma: f64) -> Result<(Tensor<1>, Tensor<2>), DiffusionError> {
        (**self).evaluate(x, sigma)
    }

    fn as_empirical(&self) -> Option<&Empirical> {
        (**self).as_empirical()
    }
}
