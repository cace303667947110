//! The trait [`Denoiser`]: a denoiser and products with its Jacobian, the only interface to a model.

use burn::tensor::Tensor;

use crate::DiffusionError;

/// `D(x, σ) = E[y | x_σ = x]` for points `x_σ = y + σ·n`.
///
/// Points are flat, `[n, d]`; rows are independent of each other.
pub trait Denoiser {
    /// Number of entries d of one point.
    fn dim(&self) -> usize;

    /// The denoised points, `[n, d]`.
    ///
    /// # Errors
    /// If `x` does not have `dim` columns, or the model fails.
    fn denoise(&self, x: Tensor<2>, sigma: f64) -> Result<Tensor<2>, DiffusionError>;

    /// The denoised points together with the derivative of D in x along K tangents, `[K, n, d]`.
    ///
    /// # Errors
    /// If a shape does not match, or the model cannot be differentiated.
    fn jvp(
        &self,
        x: Tensor<2>,
        sigma: f64,
        tangents: Tensor<3>,
    ) -> Result<(Tensor<2>, Tensor<3>), DiffusionError>;

    /// The denoised points together with the products `Jᵀ·c` of D's transposed Jacobian in x with K cotangents, `[K, n, d]`.
    ///
    /// The ideal denoiser of a measure is `x + σ²·∇log p`. Its Jacobian is symmetric, so this is [`jvp`](Self::jvp). The Jacobian
    /// of a network is not symmetric.
    ///
    /// # Errors
    /// As for [`jvp`](Self::jvp).
    fn vjp(
        &self,
        x: Tensor<2>,
        sigma: f64,
        cotangents: Tensor<3>,
    ) -> Result<(Tensor<2>, Tensor<3>), DiffusionError>;
}

/// A reference or a box is the denoiser that it holds.
macro_rules! forward_to_content {
    ($($holder:ty),*) => {$(
        impl<T: Denoiser + ?Sized> Denoiser for $holder {
            fn dim(&self) -> usize {
                (**self).dim()
            }

            fn denoise(&self, x: Tensor<2>, sigma: f64) -> Result<Tensor<2>, DiffusionError> {
                (**self).denoise(x, sigma)
            }

            fn jvp(
                &self,
                x: Tensor<2>,
                sigma: f64,
                tangents: Tensor<3>,
            ) -> Result<(Tensor<2>, Tensor<3>), DiffusionError> {
                (**self).jvp(x, sigma, tangents)
            }

            fn vjp(
                &self,
                x: Tensor<2>,
                sigma: f64,
                cotangents: Tensor<3>,
            ) -> Result<(Tensor<2>, Tensor<3>), DiffusionError> {
                (**self).vjp(x, sigma, cotangents)
            }
        }
    )*};
}

forward_to_content!(&T, Box<T>);

/// Checks that points are `[n, dim]`.
///
/// # Errors
/// [`DiffusionError::Shape`] with both shapes.
pub fn check_points(x: &Tensor<2>, dim: usize) -> Result<(), DiffusionError> {
    let [n, d] = x.dims();
    if d == dim {
        return Ok(());
    }
    Err(DiffusionError::Shape {
        what: "a batch of points".to_owned(),
        found: vec![n, d],
        expected: vec![n, dim],
    })
}

/// Checks that tangents are `[K, n, d]` for points `[n, d]`.
///
/// # Errors
/// [`DiffusionError::Shape`] with both shapes.
pub fn check_tangents(x: &Tensor<2>, tangents: &Tensor<3>) -> Result<(), DiffusionError> {
    let ([n, d], [k, rows, columns]) = (x.dims(), tangents.dims());
    if (rows, columns) == (n, d) {
        return Ok(());
    }
    Err(DiffusionError::Shape {
        what: "a stack of tangents".to_owned(),
        found: vec![k, rows, columns],
        expected: vec![k, n, d],
    })
}
