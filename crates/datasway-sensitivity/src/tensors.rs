//! Conversions of tensors: to the widest precision of their device, and to numbers on the CPU.

use burn::tensor::{DType, Tensor};
use datasway_diffusion::DiffusionError;
use datasway_diffusion::device::widest_float;

/// A tensor in the widest precision of its device. Differences of log-densities and of denoisers are taken in it.
pub(crate) fn widest<const D: usize>(tensor: Tensor<D>) -> Tensor<D> {
    let precision = widest_float(&tensor.device());
    tensor.cast(precision)
}

/// `Σ_i a_i·b_i` of each row, `[n, 1]`, of tensors `[n, d]`.
pub(crate) fn rows_dot(a: Tensor<2>, b: Tensor<2>) -> Tensor<2> {
    (a * b).sum_dim(1)
}

/// Index k of the first dimension of a stack.
pub(crate) fn layer(stack: &Tensor<3>, k: usize) -> Tensor<2> {
    stack.clone().slice_dim(0, k..k + 1).squeeze_dim::<2>(0)
}

/// Entries of a tensor as f32, the last dimension fastest.
///
/// # Errors
/// [`DiffusionError::Unsupported`] if the device does not hand them out.
pub(crate) fn values<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, DiffusionError> {
    let data = tensor.cast(DType::F32).into_data();
    data.try_to_vec::<f32>().map_err(|error| {
        DiffusionError::Unsupported(format!("a tensor could not be read back: {error:?}"))
    })
}

/// Entries of a batch of samples, `[n, d]`, whose first sample has the index `first`.
///
/// # Errors
/// [`DiffusionError::NotFinite`] with the first sample that is not finite.
pub(crate) fn finite_samples(samples: Tensor<2>, first: usize) -> Result<Vec<f32>, DiffusionError> {
    let d = samples.dims()[1];
    let samples = values(samples)?;
    match samples.iter().position(|value| !value.is_finite()) {
        None => Ok(samples),
        Some(place) => Err(DiffusionError::NotFinite(format!(
            "sample {} is not finite: the model diverged when it was trained, or the sampler's noise levels are beyond those that \
             it was trained on",
            first + place / d
        ))),
    }
}

/// Euclidean norm of a row, summed in f64.
pub(crate) fn norm(row: &[f32]) -> f64 {
    let squares = row.iter().map(|v| f64::from(*v).powi(2));
    squares.sum::<f64>().sqrt()
}
