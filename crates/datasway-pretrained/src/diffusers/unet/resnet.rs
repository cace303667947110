//! The residual block.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::nn::{GroupNorm, Linear};
use burn::tensor::{Tensor, activation};
use burn_cpu_kernels::silu;

use super::config::{Activation, TimeConditioning, UNet2DConfig};
use super::plan::ResnetPlan;
use crate::layers::{Pointwise, conv3x3, convolve, group_norm, linear, normalize};
use crate::resampling::Resampling;
use crate::state_dict::StateScope;

/// The residual block `(x + conv₂(a(norm₂(conv₁(a(norm₁(x))) + W·a(e)))))/s`, with the activation function a and the time
/// embedding e.
#[derive(Module, Debug)]
pub struct ResnetBlock {
    norm1: GroupNorm,
    conv1: Conv2d,
    embedding: Linear,
    norm2: GroupNorm,
    conv2: Conv2d,
    shortcut: Option<Pointwise>,
    resampling: Option<Resampling>,
    scale: f64,
    #[module(skip)]
    activation: Activation,
    #[module(skip)]
    conditioning: TimeConditioning,
}

impl ResnetBlock {
    /// Takes the tensors of a block.
    pub fn load(scope: &StateScope<'_>, config: &UNet2DConfig, plan: &ResnetPlan) -> Self {
        let [input, output] = plan.channels;
        let rows = match config.time_conditioning {
            TimeConditioning::Default => output,
            TimeConditioning::ScaleShift => 2 * output,
        };
        let norm = |name: &str, groups, channels| {
            group_norm(&scope.at(name), groups, channels, config.norm_eps)
        };
        Self {
            norm1: norm("norm1", plan.groups[0], input),
            conv1: conv3x3(&scope.at("conv1"), [input, output]),
            embedding: linear(
                &scope.at("time_emb_proj"),
                [config.time_embedding_dim, rows],
                true,
            ),
            norm2: norm("norm2", plan.groups[1], output),
            conv2: conv3x3(&scope.at("conv2"), [output, output]),
            shortcut: plan
                .shortcut
                .then(|| Pointwise::new(&scope.at("conv_shortcut"), [input, output])),
            resampling: plan.resampling.clone(),
            scale: plan.scale,
            activation: config.activation,
            conditioning: config.time_conditioning,
        }
    }

    /// The block's output; `embedding` is `a(e)`, `[n, channels of the embedding]`.
    pub fn forward(&self, x: Tensor<4>, embedding: Tensor<2>) -> Tensor<4> {
        let mut h = normalize_and_activate(&self.norm1, x.clone(), self.activation);
        let mut x = x;
        if let Some(resampling) = &self.resampling {
            h = resampling.forward(h);
            x = resampling.forward(x);
        }
        let projected = self.embedding.forward(embedding);
        let h = match self.conditioning {
            TimeConditioning::Default => {
                let h = convolve(&self.conv1, h, Some(projected));
                normalize_and_activate(&self.norm2, h, self.activation)
            }
            TimeConditioning::ScaleShift => {
                let h = normalize(&self.norm2, convolve(&self.conv1, h, None), false);
                activate(scaled_and_shifted(h, projected), self.activation)
            }
        };
        let h = convolve(&self.conv2, h, None);
        let x = match &self.shortcut {
            Some(shortcut) => shortcut.forward(x),
            None => x,
        };
        divided(x + h, self.scale)
    }
}

/// `h·(1 + s) + b`, with s and b the halves of `[n, 2·c]`.
fn scaled_and_shifted(h: Tensor<4>, projected: Tensor<2>) -> Tensor<4> {
    let [n, c, _, _] = h.dims();
    let half = |i: usize| {
        let half = projected.clone().slice_dim(1, i * c..(i + 1) * c);
        half.reshape([n, c, 1, 1])
    };
    h * (half(0) + 1.0) + half(1)
}

/// `x/s`, without an operation for `s = 1`.
pub fn divided(x: Tensor<4>, scale: f64) -> Tensor<4> {
    // Burn's gradient of a quotient rounds 1/scale to single precision.
    if scale == 1.0 { x } else { x * scale.recip() }
}

fn normalize_and_activate(norm: &GroupNorm, x: Tensor<4>, activation: Activation) -> Tensor<4> {
    if activation == Activation::Silu {
        normalize(norm, x, true)
    } else {
        activate(normalize(norm, x, false), activation)
    }
}

/// The activation function of the residual blocks.
pub fn activate<const D: usize>(x: Tensor<D>, activation: Activation) -> Tensor<D> {
    match activation {
        Activation::Silu => silu(x),
        Activation::Mish => activation::mish(x),
        Activation::Gelu => activation::gelu(x),
        Activation::Relu => activation::relu(x),
    }
}
