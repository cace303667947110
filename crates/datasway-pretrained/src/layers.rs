//! Layers built from the tensors of a file, in the layout of PyTorch, and their functions on the CPU kernels.

use burn::module::{Module, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{GroupNorm, GroupNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::Tensor;
use burn_cpu_kernels::{GroupNormOptions, Stride};

use crate::state_dict::StateScope;

/// A linear map. PyTorch stores its weight as `[output, input]`, Burn as `[input, output]`.
pub fn linear(scope: &StateScope<'_>, [input, output]: [usize; 2], bias: bool) -> Linear {
    let mut layer = LinearConfig::new(input, output)
        .with_bias(bias)
        .init(scope.device());
    layer.weight = Param::from_tensor(scope.tensor("weight", [output, input]).transpose());
    layer.bias = bias.then(|| scope.parameter("bias", [output]));
    layer
}

/// A convolution of this configuration. PyTorch and Burn store its weight alike.
pub fn conv(scope: &StateScope<'_>, config: &Conv2dConfig) -> Conv2d {
    let mut layer = config.init(scope.device());
    let [input, output] = config.channels;
    let [height, width] = config.kernel_size;
    let shape = [output, input / config.groups, height, width];
    layer.weight = scope.parameter("weight", shape);
    layer.bias = config.bias.then(|| scope.parameter("bias", [output]));
    layer
}

/// An affine group normalisation.
pub fn group_norm(
    scope: &StateScope<'_>,
    groups: usize,
    channels: usize,
    epsilon: f64,
) -> GroupNorm {
    let config = GroupNormConfig::new(groups, channels).with_epsilon(epsilon);
    let mut layer = config.init(scope.device());
    layer.gamma = Some(scope.parameter("weight", [channels]));
    layer.beta = Some(scope.parameter("bias", [channels]));
    layer
}

/// A 3×3 convolution with one pixel of zeros around.
pub fn conv3x3(scope: &StateScope<'_>, channels: [usize; 2]) -> Conv2d {
    let padding = PaddingConfig2d::Explicit(1, 1, 1, 1);
    let config = Conv2dConfig::new(channels, [3, 3]).with_padding(padding);
    conv(scope, &config)
}

/// The convolution of [`conv3x3`], with a shift `[n, outputs]` of each picture beside its bias.
pub fn convolve(conv: &Conv2d, x: Tensor<4>, shift: Option<Tensor<2>>) -> Tensor<4> {
    let bias = match shift {
        Some(shift) => bias(conv) + shift,
        None => bias(conv),
    };
    burn_cpu_kernels::conv3x3(x, conv.weight.val(), bias, Stride::One)
}

/// A convolution with weights of [`conv3x3`] that halves the resolution.
pub fn halve(conv: &Conv2d, x: Tensor<4>, stride: Stride) -> Tensor<4> {
    burn_cpu_kernels::conv3x3(x, conv.weight.val(), bias(conv), stride)
}

/// The bias of a convolution, `[1, outputs]`.
fn bias(conv: &Conv2d) -> Tensor<2> {
    let bias = conv.bias.as_ref().expect("every convolution has a bias");
    bias.val().unsqueeze()
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
    pub fn new(scope: &StateScope<'_>, [input, output]: [usize; 2]) -> Self {
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
