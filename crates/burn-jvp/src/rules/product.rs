//! Rules of products along an axis and of the vector product.
//!
//! No rule divides by a factor, so that factors of zero are no exception.

use super::reduce::rows;
use crate::dual::{
    Dual, RawTensor, add, add_tangents, dims, expand, lift, mul, num_elements, reshape, zeros,
};
use crate::interpreter::Interpreter;
use burn::backend::ir::{CrossOpIr, DimOpIr, ReduceDimOpIr, ReduceOpIr};
use burn::backend::ops::FloatTensorOps;
use burn::backend::{Dispatch as D, Shape, Slice, TensorMetadata};

/// `y = ∏ᵢ xᵢ` of all entries: `y' = Σᵢ xᵢ'·∏_{l≠i} x_l`.
pub(super) fn product(interp: &mut Interpreter, op: &ReduceOpIr) {
    let shape = interp.stacked(&op.out);
    let x = interp.take(&op.input);
    let primal = interp.primal(&op.out, || D::float_prod(x.primal.clone()));
    let tangent = x.tangent.map(|t| {
        let line = reshape(x.primal.clone(), &[num_elements(&x.primal)]);
        let terms = mul(rows(t), lift(&product_of_others(line, 0)));
        reshape(D::float_sum_dim(terms, 1), &shape)
    });
    interp.put(&op.out, Dual { primal, tangent });
}

/// `y = ∏ᵢ xᵢ` along an axis: `y' = Σᵢ xᵢ'·∏_{l≠i} x_l`.
pub(super) fn product_dim(interp: &mut Interpreter, op: &ReduceDimOpIr) {
    let x = interp.take(&op.input);
    let primal = interp.primal(&op.out, || D::float_prod_dim(x.primal.clone(), op.axis));
    let tangent = x.tangent.map(|t| {
        let others = product_of_others(x.primal, op.axis);
        D::float_sum_dim(mul(t, lift(&others)), op.axis + 1)
    });
    interp.put(&op.out, Dual { primal, tangent });
}

/// `y_k = ∏_{i≤k} x_i`: the recurrence `y_k' = y_{k−1}'·x_k + y_{k−1}·x_k'`, evaluated by doubling.
pub(super) fn cumulative_product(interp: &mut Interpreter, op: &DimOpIr) {
    let x = interp.take(&op.input);
    let primal = interp.primal(&op.out, || D::float_cumprod(x.primal.clone(), op.axis));
    let tangent = x
        .tangent
        .map(|t| prefix_product(lift(&x.primal), t, op.axis + 1));
    interp.put(&op.out, Dual { primal, tangent });
}

/// The vector product along an axis of three entries: `(a×b)' = a'×b + a×b'`.
pub(super) fn cross(interp: &mut Interpreter, op: &CrossOpIr) {
    let shape = interp.stacked(&op.out);
    let (a, b) = (interp.take(&op.lhs), interp.take(&op.rhs));
    let primal = interp.primal(&op.out, || {
        D::float_cross(a.primal.clone(), b.primal.clone(), op.dim)
    });
    let ta = a.tangent.map(|t| {
        let b = expand(lift(&b.primal), &shape);
        D::float_cross(expand(t, &shape), b, op.dim + 1)
    });
    let tb = b.tangent.map(|t| {
        let a = expand(lift(&a.primal), &shape);
        D::float_cross(a, expand(t, &shape), op.dim + 1)
    });
    let tangent = add_tangents(ta, tb);
    interp.put(&op.out, Dual { primal, tangent });
}

/// `∏_{l≠i} x_l` along an axis: the product of the entries before i times the product of those after it.
fn product_of_others(x: RawTensor, dim: usize) -> RawTensor {
    // Burn's arithmetic on the CPU fails on flipped tensors without entries.
    if num_elements(&x) == 0 {
        return x;
    }
    let before = product_of_those_before(x.clone(), dim);
    let reversed = D::float_flip(x, &[dim]);
    let after = D::float_flip(product_of_those_before(reversed, dim), &[dim]);
    mul(before, after)
}

/// `∏_{l<i} x_l` along an axis.
fn product_of_those_before(x: RawTensor, dim: usize) -> RawTensor {
    shifted(D::float_cumprod(x, dim), dim, 1, 1.0)
}

/// The tangents of the products of all factors up to each, from factors p and their tangents t.
///
/// A step of width s joins the products of s factors to those of 2s (Hillis and Steele, *Data parallel algorithms*,
/// 1986): `(p, t)_k ← (p_{k−s}·p_k, t_{k−s}·p_k + p_{k−s}·t_k)`.
fn prefix_product(mut p: RawTensor, mut t: RawTensor, dim: usize) -> RawTensor {
    let count = dims(&t)[dim];
    let mut width = 1;
    while width < count {
        let p_before = shifted(p.clone(), dim, width, 1.0);
        let t_before = shifted(t.clone(), dim, width, 0.0);
        t = add(mul(t_before, p.clone()), mul(p_before.clone(), t));
        p = mul(p_before, p);
        width *= 2;
    }
    t
}

/// The entries moved `by` places back along an axis, with `fill` in the first places.
fn shifted(x: RawTensor, dim: usize, by: usize, fill: f64) -> RawTensor {
    let mut shape = dims(&x);
    let count = shape[dim];
    if count == 0 {
        return x;
    }
    shape[dim] = by.min(count);
    let (device, dtype) = (x.device(), x.dtype());
    let first = if fill == 0.0 {
        zeros(&shape, &device, dtype)
    } else {
        D::float_full(
            Shape::from(shape.clone()),
            fill.into(),
            &device,
            dtype.into(),
        )
    };
    if by >= count {
        return first;
    }
    let mut kept = vec![Slice::new(0, None, 1); shape.len()];
    kept[dim] = Slice::from(0..count - by);
    D::float_cat(vec![first, D::float_slice(x, &kept)], dim)
}
