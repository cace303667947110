//! Rules of matrix products and linear layers.

use crate::dual::{Dual, RawTensor, add_tangents, dims, expand, lift, reshape};
use crate::interpreter::Interpreter;
use burn::backend::Dispatch as D;
use burn::backend::ir::{
    LinearBiasBackwardOpIr, LinearOpIr, LinearWeightBackwardOpIr, LinearXBackwardOpIr, MatmulOpIr,
};
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

/// The gradient in x, `y = g·Wᵀ`: `y' = g'·Wᵀ + g·W'ᵀ`.
pub(super) fn linear_x_backward(op: &LinearXBackwardOpIr, interp: &mut Interpreter) {
    let (w, g) = (interp.take(&op.weight), interp.take(&op.output_grad));
    let tangent = add_tangents(
        g.tangent
            .map(|t| times_matrix(t, &D::float_transpose(w.primal.clone()))),
        w.tangent
            .map(|t| times_matrices(&g.primal, D::float_transpose(t))),
    );
    let primal = interp.primal(&op.out, || D::linear_x_backward(w.primal, g.primal));
    interp.put(&op.out, Dual { primal, tangent });
}

/// The gradient in W, `y = Xᵀ·G` with all rows of the batch in X and G: `y' = X'ᵀ·G + Xᵀ·G'`.
pub(super) fn linear_weight_backward(op: &LinearWeightBackwardOpIr, interp: &mut Interpreter) {
    let (x, g) = (interp.take(&op.x), interp.take(&op.output_grad));
    let tangent = add_tangents(
        x.tangent
            .map(|t| D::float_matmul(D::float_transpose(all_rows(t)), all_rows(lift(&g.primal)))),
        g.tangent
            .map(|t| D::float_matmul(D::float_transpose(all_rows(lift(&x.primal))), all_rows(t))),
    );
    let primal = interp.primal(&op.out, || D::linear_weight_backward(x.primal, g.primal));
    interp.put(&op.out, Dual { primal, tangent });
}

/// The gradient in b, `y = Σ G` over the rows of the batch: `y' = Σ G'`.
pub(super) fn linear_bias_backward(op: &LinearBiasBackwardOpIr, interp: &mut Interpreter) {
    let g = interp.take(&op.output_grad);
    let shape = interp.stacked(&op.out);
    let tangent = g
        .tangent
        .map(|t| reshape(D::float_sum_dim(all_rows(t), 1), &shape));
    let primal = interp.primal(&op.out, || D::linear_bias_backward(g.primal));
    interp.put(&op.out, Dual { primal, tangent });
}

/// `[K, …, n]` as `[K, rows, n]`.
fn all_rows(t: RawTensor) -> RawTensor {
    let shape = dims(&t);
    let last = shape.len() - 1;
    reshape(t, &[shape[0], shape[1..last].iter().product(), shape[last]])
}
