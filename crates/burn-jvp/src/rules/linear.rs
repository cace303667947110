//! Rules of matrix products and convolutions.

use crate::dual::{Dual, RawTensor, add_tangents, dims, expand, lift, on_batch, reshape};
use crate::interpreter::Interpreter;
use crate::rule::{Refusal, require_constant};
use burn::backend::Dispatch as D;
use burn::backend::ir::{MatmulOpIr, ModuleOperationIr, TensorIr};
use burn::backend::ops::{FloatTensorOps, ModuleOps};

/// `Y = A·B`: `Y' = A'·B + A·B'`.
pub(super) fn matmul(op: &MatmulOpIr, interp: &mut Interpreter) {
    let (a, b) = (interp.take(&op.lhs), interp.take(&op.rhs));
    let shape = interp.stacked(&op.out);
    let tangent = add_tangents(
        a.tangent
            .map(|t| expand(times_matrix(t, &b.primal), &shape)),
        b.tangent
            .map(|t| expand(D::float_matmul(lift(&a.primal), t), &shape)),
    );
    let primal = D::float_matmul(a.primal, b.primal);
    interp.put(&op.out, Dual { primal, tangent });
}

/// `[K, …, m, n] · […, n, p]`; one flat product when the matrix is the same for the whole batch.
fn times_matrix(t: RawTensor, b: &RawTensor) -> RawTensor {
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

/// A convolution `y = f(x, w, b)` with constant weights: `y' = f(x', w, 0)`.
fn convolution(
    interp: &mut Interpreter,
    (x, weight, bias, out): (&TensorIr, &TensorIr, Option<&TensorIr>, &TensorIr),
    f: impl Fn(RawTensor, RawTensor, Option<RawTensor>) -> RawTensor,
) -> Result<(), Refusal> {
    let x = interp.take(x);
    let w = interp.take(weight);
    let b = bias.map(|b| interp.take(b));
    require_constant([&w].into_iter().chain(&b))?;
    let tangent = x
        .tangent
        .map(|t| on_batch(t, |t| f(t, w.primal.clone(), None)));
    let primal = f(x.primal, w.primal, b.map(|b| b.primal));
    interp.put(out, Dual { primal, tangent });
    Ok(())
}

/// Convolutions. (Burn 0.22.1 records `Linear` as a matrix product and a sum.)
pub(super) fn convolutions(
    op: &ModuleOperationIr,
    interp: &mut Interpreter,
) -> Result<(), Refusal> {
    use ModuleOperationIr as M;
    match op {
        M::Conv1d(op) => convolution(
            interp,
            (&op.x, &op.weight, op.bias.as_ref(), &op.out),
            |x, w, b| D::conv1d(x, w, b, op.options.clone().into()),
        ),
        M::Conv2d(op) => convolution(
            interp,
            (&op.x, &op.weight, op.bias.as_ref(), &op.out),
            |x, w, b| D::conv2d(x, w, b, op.options.clone().into()),
        ),
        M::Conv3d(op) => convolution(
            interp,
            (&op.x, &op.weight, op.bias.as_ref(), &op.out),
            |x, w, b| D::conv3d(x, w, b, op.options.clone().into()),
        ),
        M::ConvTranspose1d(op) => convolution(
            interp,
            (&op.x, &op.weight, op.bias.as_ref(), &op.out),
            |x, w, b| D::conv_transpose1d(x, w, b, op.options.clone().into()),
        ),
        M::ConvTranspose2d(op) => convolution(
            interp,
            (&op.x, &op.weight, op.bias.as_ref(), &op.out),
            |x, w, b| D::conv_transpose2d(x, w, b, op.options.clone().into()),
        ),
        M::ConvTranspose3d(op) => convolution(
            interp,
            (&op.x, &op.weight, op.bias.as_ref(), &op.out),
            |x, w, b| D::conv_transpose3d(x, w, b, op.options.clone().into()),
        ),
        _ => Err(Refusal::unknown()),
    }
}
