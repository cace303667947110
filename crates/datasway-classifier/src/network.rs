//! The network: 3×3 convolutions at decreasing resolutions, a global mean and a linear map.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::pool::{AvgPool2d, AvgPool2dConfig};
use burn::nn::{GroupNorm, GroupNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::{Device, Tensor};
use burn_cpu_kernels::{GroupNormOptions, Stride};
use datasway_data::Shape;

/// Resolution at or below which it is no longer halved.
const COARSEST: usize = 4;
/// Largest number of doublings of the channels.
const DOUBLINGS: usize = 2;
/// Channels in a group of the normalisation.
const GROUP: usize = 8;

/// `[n, c, h, w] → [n, labels]`.
#[derive(Module, Debug)]
pub struct Classifier {
    levels: Vec<Level>,
    head: Linear,
}

/// Two convolutions, each with its normalisation and SiLU.
#[derive(Module, Debug)]
struct Level {
    conv1: Conv2d,
    norm1: GroupNorm,
    conv2: Conv2d,
    norm2: GroupNorm,
}

impl Classifier {
    /// A new network with random weights from the device's generator, for images of this shape.
    pub fn new(shape: Shape, channels: usize, labels: usize, device: &Device) -> Self {
        let mut size = shape.height.min(shape.width);
        let (mut input, mut levels) = (shape.channels, Vec::new());
        loop {
            let output = channels << levels.len().min(DOUBLINGS);
            levels.push(Level {
                conv1: conv(input, output, device),
                norm1: norm(output, device),
                conv2: conv(output, output, device),
                norm2: norm(output, device),
            });
            input = output;
            if size <= COARSEST {
                break;
            }
            size /= 2;
        }
        Self {
            levels,
            head: LinearConfig::new(input, labels).init(device),
        }
    }

    /// The outputs, `[n, labels]`, at images `[n, c, h, w]`.
    pub fn forward(&self, mut x: Tensor<4>) -> Tensor<2> {
        for (l, level) in self.levels.iter().enumerate() {
            if l > 0 {
                x = halve().forward(x);
            }
            x = normalize(&level.norm1, convolve(&level.conv1, x));
            x = normalize(&level.norm2, convolve(&level.conv2, x));
        }
        let pooled = x.mean_dim(3).mean_dim(2).flatten::<2>(1, 3);
        self.head.forward(pooled)
    }
}

fn conv(input: usize, output: usize, device: &Device) -> Conv2d {
    Conv2dConfig::new([input, output], [3, 3])
        .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
        .init(device)
}

fn convolve(conv: &Conv2d, x: Tensor<4>) -> Tensor<4> {
    let bias = conv.bias.as_ref().expect("every convolution has a bias");
    burn_cpu_kernels::conv3x3(x, conv.weight.val(), bias.val().unsqueeze(), Stride::One)
}

fn norm(channels: usize, device: &Device) -> GroupNorm {
    let groups = if channels.is_multiple_of(GROUP) {
        channels / GROUP
    } else {
        1
    };
    GroupNormConfig::new(groups, channels).init(device)
}

fn normalize(norm: &GroupNorm, x: Tensor<4>) -> Tensor<4> {
    let [gamma, beta] = [&norm.gamma, &norm.beta].map(|weight| {
        let weight = weight.as_ref().expect("every normalisation is affine");
        weight.val()
    });
    let norm = GroupNormOptions {
        groups: norm.num_groups,
        epsilon: norm.epsilon,
        silu: true,
    };
    burn_cpu_kernels::group_norm(x, gamma, beta, norm)
}

/// The mean of two by two pixels.
fn halve() -> AvgPool2d {
    AvgPool2dConfig::new([2, 2]).with_strides([2, 2]).init()
}
