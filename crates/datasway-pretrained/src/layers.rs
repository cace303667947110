//! Layers built from the tensors of a file, in the layout of PyTorch.

use burn::module::Param;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{GroupNorm, GroupNormConfig, Linear, LinearConfig};

use crate::state_dict::Scope;

/// A linear map. PyTorch stores its weight as `[output, input]`, Burn as `[input, output]`.
pub fn linear(scope: &Scope<'_>, [input, output]: [usize; 2], bias: bool) -> Linear {
    let mut layer = LinearConfig::new(input, output)
        .with_bias(bias)
        .init(scope.device());
    layer.weight = Param::from_tensor(scope.tensor("weight", [output, input]).transpose());
    layer.bias = bias.then(|| scope.parameter("bias", [output]));
    layer
}

/// A convolution of this configuration. PyTorch and Burn store its weight alike.
pub fn conv(scope: &Scope<'_>, config: &Conv2dConfig) -> Conv2d {
    let mut layer = config.init(scope.device());
    let [input, output] = config.channels;
    let [height, width] = config.kernel_size;
    let shape = [output, input / config.groups, height, width];
    layer.weight = scope.parameter("weight", shape);
    layer.bias = config.bias.then(|| scope.parameter("bias", [output]));
    layer
}

/// An affine group normalisation.
pub fn group_norm(scope: &Scope<'_>, groups: usize, channels: usize, epsilon: f64) -> GroupNorm {
    let config = GroupNormConfig::new(groups, channels).with_epsilon(epsilon);
    let mut layer = config.init(scope.device());
    layer.gamma = Some(scope.parameter("weight", [channels]));
    layer.beta = Some(scope.parameter("bias", [channels]));
    layer
}
