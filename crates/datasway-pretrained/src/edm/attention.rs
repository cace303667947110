//! Self-attention of the pixels.

use burn::module::Module;
use burn::nn::GroupNorm;
use burn::tensor::Tensor;

use super::architecture::group_norm;
use crate::layers::{Pointwise, normalize};
use crate::state_dict::StateScope;

/// Multi-head self-attention over the pixels.
#[derive(Module, Debug)]
pub struct EdmAttention {
    norm: GroupNorm,
    qkv: Pointwise,
    output: Pointwise,
    heads: usize,
}

impl EdmAttention {
    /// The attention of a block.
    pub fn new(scope: &StateScope<'_>, channels: usize, heads: usize, epsilon: f64) -> Self {
        let size = channels / heads;
        // The file's row h·3s + 3c + j is the channel c of size s of the head h of q, k or v (j = 0, 1, 2).
        // The kernel's row is j·channels + h·s + c.
        let qkv = scope.at("qkv");
        let weight = qkv.tensor("weight", [3 * channels, channels, 1, 1]);
        let weight = weight.reshape([heads, size, 3, channels]);
        let weight = weight
            .permute([2, 0, 1, 3])
            .reshape([3 * channels, channels]);
        let bias = qkv.tensor("bias", [3 * channels]);
        let bias = bias.reshape([heads, size, 3]).permute([2, 0, 1]);
        Self {
            norm: group_norm(&scope.at("norm2"), channels, epsilon),
            qkv: Pointwise::from_rows(weight, bias.reshape([3 * channels])),
            output: Pointwise::new(&scope.at("proj"), [channels, channels]),
            heads,
        }
    }

    /// The term that is added to x.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let qkv = self.qkv.forward(normalize(&self.norm, x, false));
        self.output
            .forward(burn_cpu_kernels::attention(qkv, self.heads))
    }
}
