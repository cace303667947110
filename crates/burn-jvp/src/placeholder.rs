//! Tensors on Burn's capture device.

use crate::dual::RawTensor;
use burn::backend::capture::TensorId;
use burn::backend::ops::{BoolTensorOps, FloatTensorOps, IntTensorOps};
use burn::backend::{
    BackendTensor, Capture, DType, Dispatch, DispatchKindConversion, DispatchTensor, Shape,
};
use burn::tensor::Device;

/// A tensor of zeros on the capture device.
pub(crate) fn placeholder(shape: &[usize], dtype: DType, device: &Device) -> RawTensor {
    let shape = Shape::from(shape.to_vec());
    let device = device.as_dispatch();
    if dtype.is_float() {
        Dispatch::float_zeros(shape, device, dtype.into())
    } else if dtype.is_bool() {
        Dispatch::bool_zeros(shape, device, dtype.into())
    } else {
        Dispatch::int_zeros(shape, device, dtype.into())
    }
}

/// The id under which a tensor on a capture device is recorded. `None` for a tensor on another device.
pub(crate) fn recorded_id(t: &RawTensor) -> Option<TensorId> {
    match <DispatchTensor as DispatchKindConversion<Capture>>::try_into_backend(t.clone()) {
        Ok(BackendTensor::Float(t)) => Some(t.id()),
        Ok(BackendTensor::Int(t)) => Some(t.id()),
        Ok(BackendTensor::Bool(t)) => Some(t.id()),
        _ => None,
    }
}

/// The id under which a result of the function is recorded.
///
/// # Panics
/// If it was not recorded. The panic is the reason that recording reports.
pub(crate) fn capture_id(t: &RawTensor) -> TensorId {
    recorded_id(t).unwrap_or_else(|| {
        panic!("the function's result was not computed from its inputs or its module")
    })
}
