//! Dual numbers of tensors: a primal with K stacked tangents, and the tensor functions that rules are written with.
//!
//! A [`RawTensor`] is Burn's tensor without rank and kind. `Tensor::from_dispatch` and `into_dispatch` convert from and
//! to [`burn::tensor::Tensor`], so that a rule can be written in either.

use std::ops::Range;

use burn::backend::ops::FloatTensorOps;
use burn::backend::{
    DType, Dispatch, DispatchDevice, DispatchTensor, Shape, Slice, TensorMetadata,
};

/// A tensor of any rank and kind on any device.
pub type RawTensor = DispatchTensor;

/// A tensor with K directional derivatives: the dual number `primal + ε·tangent`.
#[derive(Clone, Debug)]
pub struct Dual {
    /// The value.
    pub primal: RawTensor,
    /// The K derivatives, stacked as `[K, *primal.shape]`. `None` is zero.
    pub tangent: Option<RawTensor>,
}

impl Dual {
    /// A value that depends on no differentiated input.
    pub fn constant(primal: RawTensor) -> Self {
        Self {
            primal,
            tangent: None,
        }
    }

    /// The K tangents, explicit zeros `[k, *primal.shape]` where there are none.
    pub fn tangent_or_zeros(&self, k: usize) -> RawTensor {
        self.tangent.clone().unwrap_or_else(|| {
            zeros(
                &stacked(k, &dims(&self.primal)),
                &self.primal.device(),
                self.primal.dtype(),
            )
        })
    }
}

/// The shape of a tensor.
pub fn dims(t: &RawTensor) -> Vec<usize> {
    t.shape().to_vec()
}

/// The number of entries of a tensor.
pub fn num_elements(t: &RawTensor) -> usize {
    t.shape().num_elements()
}

/// The shape `[k, *shape]` of K tangents.
pub fn stacked(k: usize, shape: &[usize]) -> Vec<usize> {
    let mut out = Vec::with_capacity(shape.len() + 1);
    out.push(k);
    out.extend_from_slice(shape);
    out
}

/// A float tensor in another shape with as many entries.
pub fn reshape(t: RawTensor, shape: &[usize]) -> RawTensor {
    if dims(&t) == shape {
        return t;
    }
    Dispatch::float_reshape(t, Shape::from(shape.to_vec()))
}

/// A float tensor with its axes of one entry repeated up to `shape`.
pub fn expand(t: RawTensor, shape: &[usize]) -> RawTensor {
    if dims(&t) == shape {
        return t;
    }
    Dispatch::float_expand(t, Shape::from(shape.to_vec()))
}

/// A float tensor as `[1, *shape]`, which broadcasts against K tangents.
pub fn lift(t: &RawTensor) -> RawTensor {
    let shape = stacked(1, &dims(t));
    reshape(t.clone(), &shape)
}

/// Float tensors joined along the first axis.
pub fn concat(tensors: Vec<RawTensor>) -> RawTensor {
    Dispatch::float_cat(tensors, 0)
}

/// The given entries of the first axis of a float tensor.
pub fn narrow(t: RawTensor, entries: Range<usize>) -> RawTensor {
    Dispatch::float_slice(t, &[Slice::from(entries)])
}

/// A float tensor of zeros.
pub fn zeros(shape: &[usize], device: &DispatchDevice, dtype: DType) -> RawTensor {
    Dispatch::float_zeros(Shape::from(shape.to_vec()), device, dtype.into())
}

/// Applies a function of a batch to K batches at once: `f` maps `[K·n, …]` to `[K·n, …]`, the tangents and the result
/// are `[K, n, …]`.
pub fn on_batch(t: RawTensor, f: impl Fn(RawTensor) -> RawTensor) -> RawTensor {
    let shape = dims(&t);
    let (k, n) = (shape[0], shape[1]);
    let mut joined = vec![k * n];
    joined.extend_from_slice(&shape[2..]);
    let y = f(reshape(t, &joined));
    let mut separate = vec![k, n];
    separate.extend_from_slice(&dims(&y)[1..]);
    reshape(y, &separate)
}

pub(crate) fn add(a: RawTensor, b: RawTensor) -> RawTensor {
    Dispatch::float_add(a, b)
}

pub(crate) fn sub(a: RawTensor, b: RawTensor) -> RawTensor {
    Dispatch::float_sub(a, b)
}

pub(crate) fn mul(a: RawTensor, b: RawTensor) -> RawTensor {
    Dispatch::float_mul(a, b)
}

pub(crate) fn div(a: RawTensor, b: RawTensor) -> RawTensor {
    Dispatch::float_div(a, b)
}

pub(crate) fn neg(a: RawTensor) -> RawTensor {
    Dispatch::float_neg(a)
}

/// `s·a`.
pub(crate) fn scale(a: RawTensor, s: f64) -> RawTensor {
    Dispatch::float_mul_scalar(a, s.into())
}

/// `a + s`.
pub(crate) fn shift(a: RawTensor, s: f64) -> RawTensor {
    Dispatch::float_add_scalar(a, s.into())
}

/// The sum of two optional tangents, `None` being zero.
pub(crate) fn add_tangents(a: Option<RawTensor>, b: Option<RawTensor>) -> Option<RawTensor> {
    match (a, b) {
        (Some(a), Some(b)) => Some(add(a, b)),
        (a, b) => a.or(b),
    }
}
