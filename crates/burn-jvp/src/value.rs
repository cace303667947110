//! Values of the interpreter: a primal and, if it depends on a differentiated input, K tangents.

use std::ops::Range;

use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::backend::{DType, Dispatch, DispatchDevice, FloatDType, Shape, Slice, TensorMetadata};

/// A rank-free tensor of any kind.
pub(crate) type T = FloatTensor<Dispatch>;

/// A tensor with its K tangents, stacked as `[K, *shape]`. `None` is a symbolic zero.
#[derive(Clone)]
pub(crate) struct Value {
    pub primal: T,
    pub tangent: Option<T>,
}

impl Value {
    /// A value that depends on no differentiated input.
    pub fn constant(primal: T) -> Self {
        Self {
            primal,
            tangent: None,
        }
    }
}

pub(crate) fn dims(t: &T) -> Vec<usize> {
    t.shape().to_vec()
}

/// Number of entries.
pub(crate) fn count(t: &T) -> usize {
    t.shape().num_elements()
}

pub(crate) fn reshape(t: T, shape: &[usize]) -> T {
    if dims(&t) == shape {
        return t;
    }
    Dispatch::float_reshape(t, Shape::from(shape.to_vec()))
}

pub(crate) fn expand(t: T, shape: &[usize]) -> T {
    if dims(&t) == shape {
        return t;
    }
    Dispatch::float_expand(t, Shape::from(shape.to_vec()))
}

/// `[k, *shape]`.
pub(crate) fn stacked(k: usize, shape: &[usize]) -> Vec<usize> {
    let mut out = Vec::with_capacity(shape.len() + 1);
    out.push(k);
    out.extend_from_slice(shape);
    out
}

/// A primal as `[1, *shape]`, so that it broadcasts against tangents.
pub(crate) fn lift(t: &T) -> T {
    let shape = stacked(1, &dims(t));
    reshape(t.clone(), &shape)
}

/// Joined along the first axis.
pub(crate) fn concat(parts: Vec<T>) -> T {
    Dispatch::float_cat(parts, 0)
}

/// Entries of the first axis.
pub(crate) fn part(t: T, entries: Range<usize>) -> T {
    Dispatch::float_slice(t, &[Slice::from(entries)])
}

pub(crate) fn add(a: T, b: T) -> T {
    Dispatch::float_add(a, b)
}

pub(crate) fn sub(a: T, b: T) -> T {
    Dispatch::float_sub(a, b)
}

pub(crate) fn mul(a: T, b: T) -> T {
    Dispatch::float_mul(a, b)
}

pub(crate) fn div(a: T, b: T) -> T {
    Dispatch::float_div(a, b)
}

pub(crate) fn neg(a: T) -> T {
    Dispatch::float_neg(a)
}

pub(crate) fn scale(a: T, s: f64) -> T {
    Dispatch::float_mul_scalar(a, s.into())
}

pub(crate) fn shift(a: T, s: f64) -> T {
    Dispatch::float_add_scalar(a, s.into())
}

/// Sum of two optional tangents, `None` being zero.
pub(crate) fn add_maybe(a: Option<T>, b: Option<T>) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(add(a, b)),
        (a, b) => a.or(b),
    }
}

pub(crate) fn float_dtype(dtype: DType) -> FloatDType {
    dtype.into()
}

pub(crate) fn zeros(shape: &[usize], device: &DispatchDevice, dtype: DType) -> T {
    Dispatch::float_zeros(Shape::from(shape.to_vec()), device, float_dtype(dtype))
}

/// The tangent of `v`, or explicit zeros where a rule needs a tensor.
pub(crate) fn tangent_or_zeros(v: &Value, k: usize) -> T {
    v.tangent.clone().unwrap_or_else(|| {
        zeros(
            &stacked(k, &dims(&v.primal)),
            &v.primal.device(),
            v.primal.dtype(),
        )
    })
}
