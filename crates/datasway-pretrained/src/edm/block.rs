//! The residual block of both networks.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::nn::{GroupNorm, Linear};
use burn::tensor::Tensor;
use burn_cpu_kernels::silu;

use super::architecture::{Architecture, BlockPlan, group_norm};
use super::attention::EdmAttention;
use crate::layers::{self, Pointwise, conv3x3, convolve, normalize};
use crate::resampling::Resampling;
use crate::state_dict::StateScope;

/// A residual block with optional resampling, followed by optional self-attention.
#[derive(Module, Debug)]
pub struct EdmBlock {
    norm0: GroupNorm,
    resampling: Option<Resampling>,
    conv0: Conv2d,
    affine: Linear,
    scales: bool,
    norm1: GroupNorm,
    conv1: Conv2d,
    skip: Option<Pointwise>,
    skip_scale: f64,
    attention: Option<EdmAttention>,
}

impl EdmBlock {
    /// The block of a plan.
    pub fn new(scope: &StateScope<'_>, architecture: &Architecture, plan: &BlockPlan) -> Self {
        let scope = scope.at(&plan.name);
        let family = architecture.family;
        let (input, output, epsilon) = (plan.input, plan.output, family.epsilon());
        let affine = [architecture.embedding_channels, architecture.affine(output)];
        Self {
            norm0: group_norm(&scope.at("norm0"), input, epsilon),
            resampling: plan
                .direction
                .map(|direction| architecture.resampling(direction)),
            conv0: conv3x3(&scope.at("conv0"), [input, output]),
            affine: layers::linear(&scope.at("affine"), affine, true),
            scales: family.scales(),
            norm1: group_norm(&scope.at("norm1"), output, epsilon),
            conv1: conv3x3(&scope.at("conv1"), [output, output]),
            skip: plan
                .projects
                .then(|| Pointwise::new(&scope.at("skip"), [input, output])),
            skip_scale: family.skip_scale(),
            attention: (plan.heads > 0)
                .then(|| EdmAttention::new(&scope, output, plan.heads, epsilon)),
        }
    }

    /// Pictures `[n, input, h, w]` with embeddings `[n, channels]` to `[n, output, h', w']`.
    pub fn forward(&self, x: Tensor<4>, embedding: Tensor<2>) -> Tensor<4> {
        let h = self.resample(normalize(&self.norm0, x.clone(), true));
        let h = self.modulate(h, self.affine.forward(embedding));
        let h = convolve(&self.conv1, h, None);
        let x = self.resample(x);
        let x = match &self.skip {
            Some(skip) => skip.forward(x),
            None => x,
        };
        let x = self.scale(x + h);
        match &self.attention {
            Some(attention) => self.scale(x.clone() + attention.forward(x)),
            None => x,
        }
    }

    fn resample(&self, x: Tensor<4>) -> Tensor<4> {
        match &self.resampling {
            Some(resampling) => resampling.forward(x),
            None => x,
        }
    }

    /// The first convolution and the second normalisation: `SiLU(norm(h + shift))`, or `SiLU(norm(h)·(1 + scale) + shift)`.
    fn modulate(&self, h: Tensor<4>, parameters: Tensor<2>) -> Tensor<4> {
        if !self.scales {
            let h = convolve(&self.conv0, h, Some(parameters));
            return normalize(&self.norm1, h, true);
        }
        let h = normalize(&self.norm1, convolve(&self.conv0, h, None), false);
        let [n, c, _, _] = h.dims();
        let parameters = parameters.reshape([n, 2 * c, 1, 1]);
        let scale = parameters.clone().slice_dim(1, 0..c);
        let shift = parameters.slice_dim(1, c..2 * c);
        silu(h * (scale + 1.0) + shift)
    }

    fn scale(&self, x: Tensor<4>) -> Tensor<4> {
        if self.skip_scale == 1.0 {
            x
        } else {
            x * self.skip_scale
        }
    }
}
