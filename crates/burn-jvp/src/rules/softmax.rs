//! The derivative of the softmax.

use crate::dual::{RawTensor, mul, sub};
use burn::backend::Dispatch as D;
use burn::backend::ops::FloatTensorOps;

/// `p = softmax(x)`: `p' = p·(x' − Σ p·x')`.
pub(super) fn softmax_tangent(t: RawTensor, p: RawTensor, dim: usize) -> RawTensor {
    let pt = mul(p.clone(), t);
    let total = D::float_sum_dim(pt.clone(), dim);
    sub(pt, mul(p, total))
}
