//! Measures: their noised density and denoiser, in closed form or learned.

mod empirical;
mod gaussian;
mod image_points;
mod mixture;
mod model;

use burn::tensor::Tensor;
use datasway_diffusion::DiffusionError;
use datasway_diffusion::denoiser::Denoiser;
use datasway_diffusion::device::widest_float;

pub use empirical::Empirical;
pub use gaussian::{Gaussian, GaussianMixture};
pub use image_points::{ImagePoints, points};
pub use mixture::{Mixture, perturbed};
pub use model::ModelMeasure;

/// A measure μ with the density p of its noised points `x = y + σ·n`, y ~ μ.
pub trait Measure: Denoiser {
    /// `q = log p(x) + (d/2)·log 2πσ²` for each row, `[n]`: the log-density without the part that
    /// depends on the dimension and σ only, which cancels in every ratio.
    ///
    /// It keeps the precision that the measure computes in, which may be wider than that of x. At small σ
    /// q reaches 10⁷, and the difference of two of them decides: it must be taken before anything is rounded.
    ///
    /// # Errors
    /// If `x` does not have `dim` columns, or the density is not positive there.
    fn log_density(&self, x: Tensor<2>, sigma: f64) -> Result<Tensor<1>, DiffusionError>;

    /// [`log_density`](Self::log_density) and [`denoise`](Denoiser::denoise), for the price of one
    /// where they share their work, both in the precision that the measure computes in.
    ///
    /// # Errors
    /// As the two.
    fn evaluate(&self, x: Tensor<2>, sigma: f64) -> Result<(Tensor<1>, Tensor<2>), DiffusionError> {
        Ok((self.log_density(x.clone(), sigma)?, self.denoise(x, sigma)?))
    }
}

impl<T: Measure + ?Sized> Measure for &T {
    fn log_density(&self, x: Tensor<2>, sigma: f64) -> Result<Tensor<1>, DiffusionError> {
        (**self).log_density(x, sigma)
    }

    fn evaluate(&self, x: Tensor<2>, sigma: f64) -> Result<(Tensor<1>, Tensor<2>), DiffusionError> {
        (**self).evaluate(x, sigma)
    }
}

/// A tensor in the widest precision that its device has: differences of log-densities and of denoisers are taken there.
pub(crate) fn widest<const D: usize>(tensor: Tensor<D>) -> Tensor<D> {
    let precision = widest_float(&tensor.device());
    tensor.cast(precision)
}

/// `Σ_i a_i·b_i` of each row, `[n, 1]`.
fn rows_dot(a: Tensor<2>, b: Tensor<2>) -> Tensor<2> {
    (a * b).sum_dim(1)
}
