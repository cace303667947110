//! Comparison of results.

use super::property::{CheckError, Property};
use crate::dual::{RawTensor, dims, num_elements, reshape};
use burn::backend::TensorMetadata;
use burn::tensor::{DType, Tensor};

/// The entries of a tensor on one axis.
fn flat(t: &RawTensor) -> Tensor<1> {
    Tensor::from_dispatch(reshape(t.clone(), &[num_elements(t)]))
}

/// The entries of a tensor.
pub(super) fn numbers(t: &RawTensor) -> Vec<f64> {
    flat(t).into_data().iter::<f64>().collect()
}

/// `⟨a, b⟩`.
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Uniform numbers in `range`, the same for the same `seed` (splitmix64).
pub(super) fn uniform(count: usize, (low, high): (f64, f64), seed: u64) -> Vec<f64> {
    let mut state = seed;
    let next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        low + (high - low) * ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    };
    std::iter::repeat_with(next).take(count).collect()
}

/// Compares the shape and the type of a result with those expected.
pub(super) fn same_kind(
    property: Property,
    t: &RawTensor,
    shape: &[usize],
    dtype: DType,
) -> Result<(), CheckError> {
    if dims(t) == shape && t.dtype() == dtype {
        return Ok(());
    }
    Err(CheckError::Kind {
        property,
        left: format!("{:?} of {:?}", dims(t), t.dtype()),
        right: format!("{shape:?} of {dtype:?}"),
    })
}

/// Compares two results in the 2-norm, relative to the second.
pub(super) fn compare(
    property: Property,
    left: &[f64],
    right: &[f64],
    tolerance: f64,
) -> Result<(), CheckError> {
    if left.len() != right.len() {
        return Err(CheckError::Kind {
            property,
            left: format!("{} numbers", left.len()),
            right: format!("{} numbers", right.len()),
        });
    }
    let squares = left.iter().zip(right).map(|(l, r)| (l - r).powi(2));
    let distance = squares.sum::<f64>().sqrt();
    let norm = dot(right, right).sqrt();
    // Not `>`: a distance that is not a number is too large.
    if distance <= tolerance * norm.max(1e-3) {
        return Ok(());
    }
    Err(CheckError::Numbers {
        property,
        distance,
        norm,
    })
}
