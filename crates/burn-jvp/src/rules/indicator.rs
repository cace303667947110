//! Indicator functions, as floats of 0 and 1. They have no tangents.

use crate::dual::{RawTensor, neg, shift, sub};
use burn::backend::ops::{BoolTensorOps, FloatTensorOps};
use burn::backend::{BoolDType, Dispatch as D, TensorMetadata};
use burn::tensor::Device;

/// The type of booleans on the device of a tensor.
pub(super) fn bool_dtype(t: &RawTensor) -> BoolDType {
    Device::new(t.device()).settings().bool_dtype
}

/// 1 where `x = 0`, else 0.
pub(super) fn is_zero(x: RawTensor) -> RawTensor {
    shift(neg(D::float_abs(D::float_sign(x))), 1.0)
}

/// The derivative of clamping: 1 where `x = y`, else 0, with y the clamped x.
pub(super) fn inside(x: RawTensor, y: RawTensor) -> RawTensor {
    is_zero(sub(x, y))
}

/// 1 where `a = b`, infinities among them, else 0.
pub(super) fn is_equal(a: RawTensor, b: RawTensor) -> RawTensor {
    let dtype = a.dtype();
    let bool_dtype = bool_dtype(&a);
    D::bool_into_float(D::float_equal(a, b, bool_dtype), dtype.into())
}
