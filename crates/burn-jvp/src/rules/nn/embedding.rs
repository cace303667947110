//! The rule of embeddings.

use crate::dual::{Dual, num_elements, reshape};
use crate::interpreter::Interpreter;
use burn::backend::Dispatch as D;
use burn::backend::ir::EmbeddingOpIr;
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
