//! Layers of these networks on the CPU kernels.

use burn::module::{Module, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{GroupNorm, PaddingConfig2d};
use burn::tensor::Tensor;
use burn_cpu_kernels::GroupNormOptions;

use super::architecture::groups;
use crate::layers;
use crate::state_dict::Scope;

/// A 3×3 convolution with one pixel of zeros around.
pub fn conv3x3(scope: &Scope<'_>, channels: [usize; 2]) -> Conv2d {
    let padding = PaddingConfig2d::Explicit(1, 1, 1, 1);
    let config = Conv2dConfig::new(channels, [3, 3]).with_padding(padding);
    layers::conv(scope, &config)
}

/// The convolution of [`conv3x3`], with a shift `[n, outputs]` of each picture beside its bias.
pub fn convolve(conv: &Conv2d, x: Tensor<4>, shift: Option<Tensor<2>>) -> Tensor<4> {
    let bias = conv.bias.as_ref().expect("every convolution has a bias");
    let bias = bias.val().unsqueeze();
    let bias = match shift {
        Some(shift) => bias + shift,
        None => bias,
    };
    burn_cpu_kernels::conv3x3(x, conv.weight.val(), bias)
}

/// A normalisation of groups of these channels.
pub fn group_norm(scope: &Scope<'_>, channels: usize, epsilon: f64) -> GroupNorm {
    layers::group_norm(scope, groups(channels), channels, epsilon)
}

/// The normalisation of [`group_norm`], optionally followed by SiLU.
pub fn normalize(norm: &GroupNorm, x: Tensor<4>, silu: bool) -> Tensor<4> {
    let [gamma, beta] = [&norm.gamma, &norm.beta].map(|weight| {
        let weight = weight.as_ref().expect("every normalisation is affine");
        weight.val()
    });
    let options = GroupNormOptions {
        groups: norm.num_groups,
        epsilon: norm.epsilon,
        silu,
    };
    burn_cpu_kernels::group_norm(x, gamma, beta, options)
}

/// A 1×1 convolution.
#[derive(Module, Debug)]
pub struct Pointwise {
    /// `[input, output]`.
    weight: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
}

impl Pointwise {
    /// A 1×1 convolution of a file.
    pub fn new(scope: &Scope<'_>, [input, output]: [usize; 2]) -> Self {
        let weight = scope.tensor("weight", [output, input, 1, 1]);
        let bias = scope.tensor("bias", [output]);
        Self::from_rows(weight.reshape([output, input]), bias)
    }

    /// A linear map of the channels by a weight `[output, input]`.
    pub fn from_rows(weight: Tensor<2>, bias: Tensor<1>) -> Self {
        let options = (&weight.device(), weight.dtype());
        // In the kernel's order, so that it is not reordered at every call.
        let transposed = Tensor::from_data(weight.transpose().into_data(), options);
        Self {
            weight: Param::from_tensor(transposed),
            bias: Param::from_tensor(bias),
        }
    }

    /// Pictures `[n, input, h, w]` to `[n, output, h, w]`.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        burn_cpu_kernels::pointwise(x, self.weight.val(), self.bias.val())
    }
}
