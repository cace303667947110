//! Products with weights: matrix products and convolutions.

use super::{Context, on_batch};
use crate::value::{T, Value, add_maybe, dims, expand, lift, reshape};
use burn::backend::Dispatch as D;
use burn::backend::ir::{FloatOperationIr, ModuleOperationIr, TensorIr};
use burn::backend::ops::{FloatTensorOps, ModuleOps};

/// `A·B`, where the tangents are `A'·B + A·B'`.
pub(super) fn matmul(op: &FloatOperationIr, cx: &mut Context) -> Option<()> {
    let FloatOperationIr::Matmul(op) = op else {
        return None;
    };
    let (a, b) = (cx.take(&op.lhs), cx.take(&op.rhs));
    let shape = cx.stacked(&op.out);
    let tangent = add_maybe(
        a.tangent
            .map(|t| expand(times_matrix(t, &b.primal), &shape)),
        b.tangent
            .map(|t| expand(D::float_matmul(lift(&a.primal), t), &shape)),
    );
    let primal = D::float_matmul(a.primal, b.primal);
    cx.put(&op.out, Value { primal, tangent });
    Some(())
}

/// `[K, …, m, n] · […, n, p]`; one flat product when the matrix is the same for the whole batch.
fn times_matrix(t: T, b: &T) -> T {
    let (shape, matrix) = (dims(&t), dims(b));
    let batch = matrix.len() - 2;
    if matrix[..batch].iter().any(|n| *n != 1) {
        return D::float_matmul(t, lift(b));
    }
    let (n, p) = (matrix[batch], matrix[batch + 1]);
    let rows = shape[..shape.len() - 1].iter().product();
    let y = D::float_matmul(reshape(t, &[rows, n]), reshape(b.clone(), &[n, p]));
    let mut out = shape[..shape.len() - 1].to_vec();
    out.push(p);
    reshape(y, &out)
}

/// A convolution in `x`. Weights and bias must not depend on a differentiated input.
fn convolution(
    cx: &mut Context,
    (x, weight, bias, out): (&TensorIr, &TensorIr, Option<&TensorIr>, &TensorIr),
    f: impl Fn(T, T, Option<T>) -> T,
) -> Option<()> {
    let x = cx.take(x);
    let w = cx.take(weight);
    let b = bias.map(|b| cx.take(b));
    cx.fixed([&w].into_iter().chain(&b))?;
    let tangent = x
        .tangent
        .map(|t| on_batch(t, |t| f(t, w.primal.clone(), None)));
    let primal = f(x.primal, w.primal, b.map(|b| b.primal));
    cx.put(out, Value { primal, tangent });
    Some(())
}

/// Convolutions. (Burn 0.22.1 records `Linear` as a matrix product and a sum.)
pub(super) fn module(op: &ModuleOperationIr, cx: &mut Context) -> Option<()> {
    use ModuleOperationIr as M;
    match op {
        M::Conv1d(op) => convolution(
            cx,
            (&op.x, &op.weight, op.bias.as_ref(), &op.out),
            |x, w, b| D::conv1d(x, w, b, op.options.clone().into()),
        ),
        M::Conv2d(op) => convolution(
            cx,
            (&op.x, &op.weight, op.bias.as_ref(), &op.out),
            |x, w, b| D::conv2d(x, w, b, op.options.clone().into()),
        ),
        M::Conv3d(op) => convolution(
            cx,
            (&op.x, &op.weight, op.bias.as_ref(), &op.out),
            |x, w, b| D::conv3d(x, w, b, op.options.clone().into()),
        ),
        M::ConvTranspose1d(op) => convolution(
            cx,
            (&op.x, &op.weight, op.bias.as_ref(), &op.out),
            |x, w, b| D::conv_transpose1d(x, w, b, op.options.clone().into()),
        ),
        M::ConvTranspose2d(op) => convolution(
            cx,
            (&op.x, &op.weight, op.bias.as_ref(), &op.out),
            |x, w, b| D::conv_transpose2d(x, w, b, op.options.clone().into()),
        ),
        M::ConvTranspose3d(op) => convolution(
            cx,
            (&op.x, &op.weight, op.bias.as_ref(), &op.out),
            |x, w, b| D::conv_transpose3d(x, w, b, op.options.clone().into()),
        ),
        _ => None,
    }
}
