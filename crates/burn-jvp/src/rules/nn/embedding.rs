//! Rules of embeddings and of their gradient.

use super::conv_backward::shape_only;
use super::joined::Axis;
use crate::dual::{Dual, num_elements, reshape};
use crate::interpreter::Interpreter;
use burn::backend::Dispatch as D;
use burn::backend::ir::{EmbeddingBackwardOpIr, EmbeddingOpIr};
use burn::backend::ops::{FloatTensorOps, IntTensorOps, ModuleOps};

/// `y = W[i]`: `y' = W'[i]`.
pub(super) fn embedding(op: &EmbeddingOpIr, interp: &mut Interpreter) {
    let w = interp.take(&op.weights);
    let indices = interp.take_primal(&op.indices);
    let shape = interp.stacked(&op.out);
    let tangent = w.tangent.map(|t| {
        let flat = D::int_reshape(indices.clone(), [num_elements(&indices)].into());
        reshape(D::float_select(t, 1, flat), &shape)
    });
    let primal = interp.primal(&op.out, || D::embedding(w.primal, indices));
    interp.put(&op.out, Dual { primal, tangent });
}

/// The gradient `y[i] += g` in W: `y'[i] += g'`. Of W only the shape is read.
pub(super) fn embedding_backward(op: &EmbeddingBackwardOpIr, interp: &mut Interpreter) {
    let [w, indices] = [&op.weights, &op.indices].map(|t| interp.take_primal(t));
    let g = interp.take(&op.out_grad);
    let k = interp.k;
    let tangent = g.tangent.map(|t| {
        // The K tangents join the features.
        let w = shape_only(&w, 1, k);
        let y = D::embedding_backward(w, Axis::whole(2).join(t), indices.clone());
        Axis::whole(1).separate(y, k)
    });
    let primal = interp.primal(&op.out, || D::embedding_backward(w, g.primal, indices));
    interp.put(&op.out, Dual { primal, tangent });
}
