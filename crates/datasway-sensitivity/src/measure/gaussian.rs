//! Gaussian measures.

use burn::tensor::{DType, Device, Tensor, TensorData};
use datasway_diffusion::DiffusionError;
use datasway_diffusion::denoiser::{Denoiser, check_points, check_tangents};
use nalgebra::DMatrix;

use super::Measure;
use crate::tensors::rows_dot;

/// `N(m, Σ)`. With the eigenvectors U and eigenvalues λ of Σ and `z = Uᵀ(x − m)`,
/// `q = −½·Σ_i [z_i²/(λ_i + σ²) + log(1 + λ_i/σ²)]` and `D = m + U·(λ/(λ + σ²)·z)`.
#[derive(Debug, Clone)]
pub struct Gaussian {
    /// `[1, d]`.
    mean: Tensor<2>,
    /// Columns are eigenvectors; absent for a diagonal covariance.
    axes: Option<Tensor<2>>,
    variances: Vec<f64>,
}

impl Gaussian {
    /// A Gaussian with a mean of d numbers and a covariance of d×d numbers, row by row.
    ///
    /// # Errors
    /// If d = 0, the covariance is not d×d, symmetric and positive definite, or a value is not finite.
    pub fn new(
        mean: &[f64],
        covariance: &[f64],
        device: &Device,
        dtype: DType,
    ) -> Result<Self, DiffusionError> {
        let d = mean.len();
        let bad = |message: String| Err(DiffusionError::Invalid(message));
        if covariance.len() != d * d {
            return bad(format!(
                "a Gaussian in {d} dimensions needs a {d}×{d} covariance, got {} entries",
                covariance.len()
            ));
        }
        let matrix = DMatrix::from_row_slice(d, d, covariance);
        let size = matrix.amax();
        if (&matrix - matrix.transpose()).amax() > 1e-9 * size {
            return bad("the covariance of a Gaussian must be symmetric".to_owned());
        }
        if d == 0 || !size.is_finite() {
            return Self::diagonal(mean, covariance, device, dtype);
        }
        let eigen = matrix.symmetric_eigen();
        let gaussian = Self::diagonal(mean, eigen.eigenvalues.as_slice(), device, dtype)?;
        // nalgebra stores columns, so its slice read by rows is Uᵀ.
        let axes = TensorData::new(eigen.eigenvectors.as_slice().to_vec(), [d, d]);
        let axes = Tensor::<2>::from_data(axes, (device, dtype)).transpose();
        Ok(Self {
            axes: Some(axes),
            ..gaussian
        })
    }

    /// A Gaussian with independent entries, from d means and d variances.
    ///
    /// # Errors
    /// If d = 0, the numbers of means and variances differ, a variance is not positive, or a value is
    /// not finite.
    pub fn diagonal(
        mean: &[f64],
        variances: &[f64],
        device: &Device,
        dtype: DType,
    ) -> Result<Self, DiffusionError> {
        let bad = |message: String| Err(DiffusionError::Invalid(message));
        let d = mean.len();
        if d == 0 {
            return bad("a Gaussian needs at least one dimension, got 0".to_owned());
        }
        if mean.iter().chain(variances).any(|value| !value.is_finite()) {
            return bad("the mean and covariance of a Gaussian must be finite".to_owned());
        }
        if variances.len() != d {
            return bad(format!("{d} means but {} variances", variances.len()));
        }
        let largest = variances.iter().copied().fold(0.0, f64::max);
        if let Some(value) = variances.iter().find(|v| **v <= 1e-14 * largest) {
            return bad(format!(
                "the covariance of a Gaussian must be positive definite, but has the eigenvalue {value:e}"
            ));
        }
        let mean = TensorData::new(mean.to_vec(), [1, d]);
        Ok(Self {
            mean: Tensor::from_data(mean, (device, dtype)),
            axes: None,
            variances: variances.to_vec(),
        })
    }

    /// The Gaussian with the mean and the covariance of points `[m, d]`, or with their variances only if `diagonal`.
    /// Directions in which the points do not vary have variance 0.
    ///
    /// # Errors
    /// If there are no points, no entries, or a value is not finite.
    pub fn fitted(points: &Tensor<2>, diagonal: bool) -> Result<Self, DiffusionError> {
        let [m, d] = points.dims();
        if m == 0 || d == 0 {
            return Err(DiffusionError::Invalid(format!(
                "a Gaussian cannot be fitted to {m} points of {d} entries"
            )));
        }
        let mean = points.clone().mean_dim(0);
        let centred = points.clone() - mean.clone();
        let values = |tensor: Tensor<2>| -> Vec<f64> {
            tensor.into_data_dtype(DType::F64).iter::<f64>().collect()
        };
        let (axes, variances) = if diagonal {
            (None, values((centred.clone() * centred).mean_dim(0)))
        } else {
            let covariance = values(centred.clone().transpose().matmul(centred) / m as f64);
            if covariance.iter().any(|value| !value.is_finite()) {
                return Err(DiffusionError::NotFinite(
                    "the points of a Gaussian must be finite".to_owned(),
                ));
            }
            let eigen = DMatrix::from_row_slice(d, d, &covariance).symmetric_eigen();
            let axes = TensorData::new(eigen.eigenvectors.as_slice().to_vec(), [d, d]);
            let axes = Tensor::<2>::from_data(axes, (&points.device(), points.dtype()));
            (
                Some(axes.transpose()),
                eigen.eigenvalues.as_slice().to_vec(),
            )
        };
        Ok(Self {
            mean,
            axes,
            variances: variances.into_iter().map(|v| v.max(0.0)).collect(),
        })
    }

    /// A Gaussian with independent entries from d means and d variances, such as those of the pixels of an image set. A
    /// variance may be 0, because pixels at the border may be constant.
    ///
    /// # Errors
    /// If there are no entries, their numbers differ, a variance is negative, or a value is not finite.
    pub fn from_moments(
        mean: &[f32],
        variance: &[f32],
        device: &Device,
        dtype: DType,
    ) -> Result<Self, DiffusionError> {
        let valid = variance.iter().all(|v| v.is_finite() && *v >= 0.0);
        if mean.is_empty()
            || mean.len() != variance.len()
            || !valid
            || mean.iter().any(|m| !m.is_finite())
        {
            return Err(DiffusionError::Invalid(
                "moments must be finite, as many means as variances and at least one of each, and no variance negative"
                    .to_owned(),
            ));
        }
        let data = TensorData::new(mean.to_vec(), [1, mean.len()]);
        Ok(Self {
            mean: Tensor::from_data(data, (device, dtype)),
            axes: None,
            variances: variance.iter().map(|v| f64::from(*v)).collect(),
        })
    }

    /// f of each variance, `[1, d]`.
    fn row(&self, f: impl Fn(f64) -> f64) -> Tensor<2> {
        let values: Vec<f64> = self.variances.iter().map(|&v| f(v)).collect();
        let data = TensorData::new(values, [1, self.variances.len()]);
        Tensor::from_data(data, (&self.mean.device(), self.mean.dtype()))
    }

    /// `x·U`: coordinates along the axes.
    fn along_axes(&self, x: Tensor<2>) -> Tensor<2> {
        match &self.axes {
            Some(axes) => x.matmul(axes.clone()),
            None => x,
        }
    }

    /// `z·Uᵀ`: the inverse of [`along_axes`](Self::along_axes).
    fn original_coordinates(&self, z: Tensor<2>) -> Tensor<2> {
        match &self.axes {
            Some(axes) => z.matmul(axes.clone().transpose()),
            None => z,
        }
    }

    /// `λ/(λ + σ²)`, `[1, d]`.
    fn gain(&self, sigma: f64) -> Tensor<2> {
        self.row(|variance| variance / (variance + sigma * sigma))
    }
}

impl Denoiser for Gaussian {
    fn dim(&self) -> usize {
        self.variances.len()
    }

    fn denoise(&self, x: Tensor<2>, sigma: f64) -> Result<Tensor<2>, DiffusionError> {
        check_points(&x, self.dim())?;
        let z = self.along_axes(x - self.mean.clone());
        Ok(self.original_coordinates(z * self.gain(sigma)) + self.mean.clone())
    }

    fn jvp(
        &self,
        x: Tensor<2>,
        sigma: f64,
        tangents: Tensor<3>,
    ) -> Result<(Tensor<2>, Tensor<3>), DiffusionError> {
        check_tangents(&x, &tangents)?;
        let [count, n, d] = tangents.dims();
        let along = self.along_axes(tangents.reshape([count * n, d]));
        let moved = self.original_coordinates(along * self.gain(sigma));
        Ok((self.denoise(x, sigma)?, moved.reshape([count, n, d])))
    }

    symmetric_vjp!();
}

impl Measure for Gaussian {
    fn log_density(&self, x: Tensor<2>, sigma: f64) -> Result<Tensor<1>, DiffusionError> {
        check_points(&x, self.dim())?;
        let z = self.along_axes(x - self.mean.clone());
        let square = rows_dot(z.clone(), z * self.row(|v| 1.0 / (v + sigma * sigma)));
        let logs: f64 = self
            .variances
            .iter()
            .map(|v| (v / (sigma * sigma)).ln_1p())
            .sum();
        Ok(((square + logs) * -0.5).squeeze_dim::<1>(1))
    }
}
