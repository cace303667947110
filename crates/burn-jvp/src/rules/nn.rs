//! Rules of the operations of neural networks that Burn records whole: layers and activations.

mod activation;
mod conv;
mod embedding;
mod joined;
mod norm;
mod pool;

use super::{attention, linear};
use crate::interpreter::Interpreter;
use crate::rule::Refusal;
pub(super) use activation::activation;
use burn::backend::ir::ModuleOperationIr;

/// Layers, in their data and their weights.
pub(super) fn module(op: &ModuleOperationIr, interp: &mut Interpreter) -> Result<(), Refusal> {
    use ModuleOperationIr as M;
    match op {
        M::Linear(op) => linear::linear(op, interp),
        M::Embedding(op) => embedding::embedding(op, interp),
        M::LayerNorm(op) => norm::layer_norm(op, interp),
        M::BatchNorm(op) => norm::batch_norm(op, interp),
        M::Attention(op) => attention::attention(op, interp),
        M::Conv1d(op) => conv::conv1d(op, interp),
        M::Conv2d(op) => conv::conv2d(op, interp),
        M::Conv3d(op) => conv::conv3d(op, interp),
        M::ConvTranspose1d(op) => conv::conv_transpose1d(op, interp),
        M::ConvTranspose2d(op) => conv::conv_transpose2d(op, interp),
        M::ConvTranspose3d(op) => conv::conv_transpose3d(op, interp),
        _ => return pool::pool(op, interp),
    }
    Ok(())
}
