//! Rules of the operations of neural networks that Burn records whole: layers and activations.

mod activation;
mod conv;
mod conv_backward;
mod deformable;
mod embedding;
mod joined;
mod max_pool;
mod norm;
mod pool;

use super::{attention, linear, refusals};
use crate::interpreter::Interpreter;
use crate::rule::Refusal;
pub(super) use activation::activation;
use burn::backend::ir::ModuleOperationIr;

/// Layers, in their data and their weights, and their gradients.
pub(super) fn module(op: &ModuleOperationIr, interp: &mut Interpreter) -> Result<(), Refusal> {
    use ModuleOperationIr as M;
    match op {
        M::Linear(op) => linear::linear(op, interp),
        M::LinearXBackward(op) => linear::linear_x_backward(op, interp),
        M::LinearWeightBackward(op) => linear::linear_weight_backward(op, interp),
        M::LinearBiasBackward(op) => linear::linear_bias_backward(op, interp),
        M::Embedding(op) => embedding::embedding(op, interp),
        M::EmbeddingBackward(op) => embedding::embedding_backward(op, interp),
        M::LayerNorm(op) => norm::layer_norm(op, interp),
        M::BatchNorm(op) => norm::batch_norm(op, interp),
        M::Attention(op) => attention::attention(op, interp),
        M::Conv1d(op) => conv::conv1d(op, interp),
        M::Conv2d(op) => conv::conv2d(op, interp),
        M::Conv3d(op) => conv::conv3d(op, interp),
        M::ConvTranspose1d(op) => conv::conv_transpose1d(op, interp),
        M::ConvTranspose2d(op) => conv::conv_transpose2d(op, interp),
        M::ConvTranspose3d(op) => conv::conv_transpose3d(op, interp),
        M::Conv1dXBackward(_)
        | M::Conv1dWeightBackward(_)
        | M::Conv1dBiasBackward(_)
        | M::Conv2dXBackward(_)
        | M::Conv2dWeightBackward(_)
        | M::Conv2dBiasBackward(_)
        | M::Conv3dXBackward(_)
        | M::Conv3dWeightBackward(_)
        | M::Conv3dBiasBackward(_)
        | M::ConvTranspose1dWeightBackward(_)
        | M::ConvTranspose1dBiasBackward(_)
        | M::ConvTranspose2dWeightBackward(_)
        | M::ConvTranspose2dBiasBackward(_)
        | M::ConvTranspose3dWeightBackward(_)
        | M::ConvTranspose3dBiasBackward(_) => return conv_backward::conv_backward(op, interp),
        M::AvgPool1d(_)
        | M::AvgPool1dBackward(_)
        | M::AvgPool2d(_)
        | M::AvgPool2dBackward(_)
        | M::AdaptiveAvgPool1d(_)
        | M::AdaptiveAvgPool1dBackward(_)
        | M::AdaptiveAvgPool2d(_)
        | M::AdaptiveAvgPool2dBackward(_)
        | M::AdaptiveAvgPool3d(_)
        | M::AdaptiveAvgPool3dBackward(_)
        | M::Interpolate(_)
        | M::InterpolateBackward(_)
        | M::Unfold4d(_) => return pool::pool(op, interp),
        M::MaxPool1d(_)
        | M::MaxPool1dWithIndices(_)
        | M::MaxPool1dWithIndicesBackward(_)
        | M::MaxPool2d(_)
        | M::MaxPool2dWithIndices(_)
        | M::MaxPool2dWithIndicesBackward(_) => return max_pool::max_pool(op, interp),
        M::DeformableConv2d(op) => deformable::deform_conv2d(op, interp),
        M::DeformableConv2dBackward(op) => {
            return deformable::deform_conv2d_backward(op, interp);
        }
        M::CtcLoss(_) | M::CtcLossBackward(_) => {
            return Err(Refusal::new(refusals::CTC));
        }
    }
    Ok(())
}
