//! Self-attention of the pixels.

use burn::module::Module;
use burn::nn::GroupNorm;
use burn::tensor::Tensor;

use super::config::UNet2DConfig;
use super::resnet::divided;
use crate::layers::{Pointwise, group_norm, normalize};
use crate::state_dict::StateScope;

/// Multi-head self-attention over the pixels, added to its input: `(x + W·attention(norm(x)))/s`.
#[derive(Module, Debug)]
pub struct UNetAttention {
    norm: Option<GroupNorm>,
    qkv: Pointwise,
    output: Pointwise,
    heads: usize,
    scale: f64,
}

impl UNetAttention {
    /// Takes the tensors of an attention after a normalisation of `groups`, if any, with the divisor `scale`.
    pub fn load(
        scope: &StateScope<'_>,
        config: &UNet2DConfig,
        channels: usize,
        groups: Option<usize>,
        scale: f64,
    ) -> Self {
        let [q, k, v] = ["to_q", "to_k", "to_v"].map(|name| {
            let scope = scope.at(name);
            let weight: Tensor<2> = scope.tensor("weight", [channels, channels]);
            let bias: Tensor<1> = scope.tensor("bias", [channels]);
            (weight, bias)
        });
        let output = scope.at("to_out.0");
        let norm = |groups| group_norm(&scope.at("group_norm"), groups, channels, config.norm_eps);
        Self {
            norm: groups.map(norm),
            qkv: Pointwise::from_rows(
                Tensor::cat(vec![q.0, k.0, v.0], 0),
                Tensor::cat(vec![q.1, k.1, v.1], 0),
            ),
            output: Pointwise::from_rows(
                output.tensor("weight", [channels, channels]),
                output.tensor("bias", [channels]),
            ),
            heads: channels / config.head_channels(channels),
            scale,
        }
    }

    /// The pictures after the attention.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let h = match &self.norm {
            Some(norm) => normalize(norm, x.clone(), false),
            None => x.clone(),
        };
        let mixed = burn_cpu_kernels::attention(self.qkv.forward(h), self.heads);
        divided(x + self.output.forward(mixed), self.scale)
    }
}
