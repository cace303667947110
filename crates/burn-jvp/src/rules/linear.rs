//! Rules of matrix products and linear layers.

use crate::dual::{Dual, RawTensor, add_tangents, dims, expand, lift, reshape};
use crate::interpreter::Interpreter;
use burn::backend::Dispatch as D;
use burn::backend::ir::{LinearOpIr, MatmulOpIr};
use burn::backend::ops::{FloatTensorOps, ModuleOps};

/// `Y = A·B`: `Y' = A'·B + A·B'`.
pub(super) fn matmul(op: &MatmulOpIr, interp: &mut Interpreter) {
    let (a, b) = (interp.take(&op.lhs), interp.take(&op.rhs));
    let shape = interp.stacked(&op.out);
    let tangent = add_tangents(
        a.tangent
            .map(|t| expand(times_matrix(t, &b.primal), &shape)),
        b.tangent
            .map(|t| expand(times_matrices(&a.primal, t), &shape)),
    );
    let primal = interp.primal(&op.out, || D::float_matmul(a.primal, b.primal));
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

/// `[…, m, n] · [K, …, n, p]`; K products with all rows at once when the matrices are the same for the whole batch.
fn times_matrices(a: &RawTensor, t: RawTensor) -> RawTensor {
    let (shape, matrices) = (dims(a), dims(&t));
    let batch = matrices.len() - 2;
    if matrices[1..batch].iter().any(|n| *n != 1) {
        return D::float_matmul(lift(a), t);
    }
    let (k, n, p) = (matrices[0], matrices[batch], matrices[batch + 1]);
    let leading = &shape[..shape.len() - 1];
    let rows = leading.iter().product();
    let y = D::float_matmul(reshape(a.clone(), &[1, rows, n]), reshape(t, &[k, n, p]));
    reshape(y, &[&[k], leading, &[p]].concat())
}

/// `y = x·W + b`: `y' = x'·W + x·W' + b'`. (Burn 0.22.1 records its own layer as a matrix product and a sum.)
pub(super) fn linear(op: &LinearOpIr, interp: &mut Interpreter) {
    let (x, w) = (interp.take(&op.x), interp.take(&op.weight));
    let b = op.bias.as_ref().map(|b| interp.take(b));
    let shape = interp.stacked(&op.out);
    let bias = b.as_ref().and_then(|b| b.tangent.clone()).map(|t| {
        let mut along_last = vec![1; shape.len()];
        (along_last[0], along_last[shape.len() - 1]) = (dims(&t)[0], dims(&t)[1]);
        expand(reshape(t, &along_last), &shape)
    });
    let product = add_tangents(
        x.tangent.map(|t| times_matrix(t, &w.primal)),
        w.tangent.map(|t| times_matrices(&x.primal, t)),
    );
    let tangent = add_tangents(product, bias);
    let primal = interp.primal(&op.out, || {
        D::linear(x.primal, w.primal, b.map(|b| b.primal))
    });
    interp.put(&op.out, Dual { primal, tangent });
}
