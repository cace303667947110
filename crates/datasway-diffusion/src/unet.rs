//! The U-Net in plain Burn modules: residual blocks, self-attention and skip connections.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::interpolate::{Interpolate2d, Interpolate2dConfig, InterpolateMode};
use burn::nn::{GroupNorm, GroupNormConfig, Initializer, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::{Device, Tensor, TensorData};
use burn_cpu_kernels::{GroupNormOptions, Stride, silu};

use crate::DiffusionError;
use crate::config::UNetConfig;
use crate::weights;

/// Largest number of weights of a network: 4 GiB, and four times that for training.
const MAX_NUMBERS: u64 = 1 << 30;

/// The network `F` of the preconditioning: `(x [n, c, h, w], c_noise [n]) → [n, c, h, w]`.
#[derive(Module, Debug)]
pub struct UNet {
    embedding: NoiseEmbedding,
    input: Conv2d,
    down: Vec<Level>,
    middle: Vec<Block>,
    up: Vec<Level>,
    output_norm: GroupNorm,
    output: Conv2d,
}

impl UNet {
    /// A new network with random weights from the device's generator (see [`Device::seed`]).
    ///
    /// # Errors
    /// If the configuration contradicts itself.
    pub fn new(config: &UNetConfig, device: &Device) -> Result<Self, DiffusionError> {
        config.validate()?;
        let embedding_channels = 4 * config.channels;
        let levels = config.multipliers.len();
        let attends = |resolution: usize| config.attention.contains(&resolution);
        let block = |input, output, attention: bool| {
            Block::new(
                [input, output],
                embedding_channels,
                attention.then_some(config.head_channels),
                config.groups,
                device,
            )
        };

        let mut channels = config.channels;
        let mut skips = vec![channels];
        let mut down = Vec::new();
        for (level, multiplier) in config.multipliers.iter().enumerate() {
            let output = config.channels * multiplier;
            let resolution = config.image_size >> level;
            let mut blocks = Vec::new();
            for _ in 0..config.blocks {
                blocks.push(block(channels, output, attends(resolution)));
                channels = output;
                skips.push(channels);
            }
            let resample = (level + 1 < levels).then(|| {
                skips.push(channels);
                conv(channels, channels).with_stride([2, 2]).init(device)
            });
            down.push(Level { blocks, resample });
        }

        let coarsest = config.image_size >> (levels - 1);
        let middle = vec![
            block(channels, channels, attends(coarsest)),
            block(channels, channels, false),
        ];

        let mut up = Vec::new();
        for (level, multiplier) in config.multipliers.iter().enumerate().rev() {
            let output = config.channels * multiplier;
            let resolution = config.image_size >> level;
            let mut blocks = Vec::new();
            for _ in 0..=config.blocks {
                let skip = skips.pop().expect("one skip for every block of the way up");
                blocks.push(block(channels + skip, output, attends(resolution)));
                channels = output;
            }
            let resample = (level > 0).then(|| conv(channels, channels).init(device));
            up.push(Level { blocks, resample });
        }

        let network = Self {
            embedding: NoiseEmbedding::new(config.channels, embedding_channels, device),
            input: conv(config.image_channels, config.channels).init(device),
            down,
            middle,
            up,
            output_norm: group_norm(channels, config.groups, device),
            output: conv(channels, config.image_channels)
                .with_initializer(Initializer::Zeros)
                .init(device),
        };
        // Weights are drawn when they are first read, so no memory has been used yet.
        let shapes = weights::shapes(&network);
        let numbers: u64 = shapes
            .values()
            .map(|s| s.iter().product::<usize>() as u64)
            .sum();
        if numbers <= MAX_NUMBERS {
            Ok(network)
        } else {
            Err(DiffusionError::Invalid(format!(
                "a network of this configuration has {numbers} weights, more than {MAX_NUMBERS}: use fewer channels or blocks"
            )))
        }
    }

    /// `F(x, c_noise)`: `x` is `[n, c, h, w]`, `c_noise` is `[n]`.
    pub fn forward(&self, x: Tensor<4>, c_noise: Tensor<1>) -> Tensor<4> {
        let embedding = self.embedding.forward(c_noise);
        let mut x = convolve(&self.input, x);
        let mut skips = vec![x.clone()];
        for level in &self.down {
            for block in &level.blocks {
                x = block.forward(x, embedding.clone());
                skips.push(x.clone());
            }
            if let Some(halve) = &level.resample {
                x = burn_cpu_kernels::conv3x3(x, halve.weight.val(), bias(halve), Stride::Two);
                skips.push(x.clone());
            }
        }
        for block in &self.middle {
            x = block.forward(x, embedding.clone());
        }
        for level in &self.up {
            for block in &level.blocks {
                let skip = skips.pop().expect("one skip for every block of the way up");
                x = block.forward(Tensor::cat(vec![x, skip], 1), embedding.clone());
            }
            if let Some(conv) = &level.resample {
                x = convolve(conv, double().forward(x));
            }
        }
        convolve(&self.output, normalize(&self.output_norm, x, true))
    }
}

/// The blocks of one resolution and the convolution to the next one: with stride 2 on the way down, after upsampling on the way
/// up.
#[derive(Module, Debug)]
struct Level {
    blocks: Vec<Block>,
    resample: Option<Conv2d>,
}

/// A residual block, followed by self-attention at the configured resolutions.
#[derive(Module, Debug)]
struct Block {
    norm1: GroupNorm,
    conv1: Conv2d,
    embedding: Linear,
    norm2: GroupNorm,
    conv2: Conv2d,
    skip: Option<Pointwise>,
    attention: Option<Attention>,
}

impl Block {
    fn new(
        [input, output]: [usize; 2],
        embedding: usize,
        head_channels: Option<usize>,
        groups: Option<usize>,
        device: &Device,
    ) -> Self {
        Self {
            norm1: group_norm(input, groups, device),
            conv1: conv(input, output).init(device),
            embedding: LinearConfig::new(embedding, output).init(device),
            norm2: group_norm(output, groups, device),
            conv2: conv(output, output)
                .with_initializer(Initializer::Zeros)
                .init(device),
            skip: (input != output)
                .then(|| Pointwise::new(LinearConfig::new(input, output), device)),
            attention: head_channels.map(|head| Attention::new(output, head, groups, device)),
        }
    }

    fn forward(&self, x: Tensor<4>, embedding: Tensor<2>) -> Tensor<4> {
        let shift = self.embedding.forward(embedding);
        let h = normalize(&self.norm1, x.clone(), true);
        let h = burn_cpu_kernels::conv3x3(
            h,
            self.conv1.weight.val(),
            bias(&self.conv1) + shift,
            Stride::One,
        );
        let h = convolve(&self.conv2, normalize(&self.norm2, h, true));
        let x = match &self.skip {
            Some(skip) => skip.forward(x),
            None => x,
        } + h;
        match &self.attention {
            Some(attention) => attention.forward(x),
            None => x,
        }
    }
}

/// Multi-head self-attention over the pixels, added to its input.
#[derive(Module, Debug)]
struct Attention {
    norm: GroupNorm,
    qkv: Pointwise,
    output: Pointwise,
    heads: usize,
}

impl Attention {
    fn new(channels: usize, head_channels: usize, groups: Option<usize>, device: &Device) -> Self {
        Self {
            norm: group_norm(channels, groups, device),
            qkv: Pointwise::new(LinearConfig::new(channels, 3 * channels), device),
            output: Pointwise::new(
                LinearConfig::new(channels, channels).with_initializer(Initializer::Zeros),
                device,
            ),
            heads: channels / head_channels,
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let qkv = self.qkv.forward(normalize(&self.norm, x.clone(), false));
        x + self
            .output
            .forward(burn_cpu_kernels::attention(qkv, self.heads))
    }
}

/// A 1×1 convolution as one matrix product.
#[derive(Module, Debug)]
struct Pointwise {
    linear: Linear,
}

impl Pointwise {
    fn new(linear: LinearConfig, device: &Device) -> Self {
        Self {
            linear: linear.init(device),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let bias = self.linear.bias.as_ref();
        let bias = bias.expect("every linear map has a bias");
        burn_cpu_kernels::pointwise(x, self.linear.weight.val(), bias.val())
    }
}

/// Embedding of the noise level: sinusoids through a two-layer perceptron.
#[derive(Module, Debug)]
struct NoiseEmbedding {
    linear1: Linear,
    linear2: Linear,
    frequencies: usize,
}

/// Frequency of the fastest sinusoid: a period of 0.2 in `ln(σ)/4`, about a factor of 2 in `σ`.
pub const MAX_FREQUENCY: f64 = 32.0;

impl NoiseEmbedding {
    fn new(channels: usize, output: usize, device: &Device) -> Self {
        let frequencies = channels.div_ceil(2);
        Self {
            linear1: LinearConfig::new(2 * frequencies, output).init(device),
            linear2: LinearConfig::new(output, output).init(device),
            frequencies,
        }
    }

    fn forward(&self, c_noise: Tensor<1>) -> Tensor<2> {
        let last = self.frequencies.saturating_sub(1).max(1) as f64;
        let frequencies: Vec<f64> = (0..self.frequencies)
            .map(|i| MAX_FREQUENCY.powf(i as f64 / last))
            .collect();
        let frequencies = Tensor::<2>::from_data(
            TensorData::new(frequencies, [1, self.frequencies]),
            (&c_noise.device(), c_noise.dtype()),
        );
        let n = c_noise.dims()[0];
        let phase = c_noise.reshape([n, 1]) * frequencies;
        let waves = Tensor::cat(vec![phase.clone().cos(), phase.sin()], 1);
        silu(self.linear2.forward(silu(self.linear1.forward(waves))))
    }
}

/// A 3×3 convolution that keeps the resolution, or halves it with stride 2.
fn conv(input: usize, output: usize) -> Conv2dConfig {
    Conv2dConfig::new([input, output], [3, 3]).with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
}

/// A [`conv`] with stride 1.
fn convolve(conv: &Conv2d, x: Tensor<4>) -> Tensor<4> {
    burn_cpu_kernels::conv3x3(x, conv.weight.val(), bias(conv), Stride::One)
}

/// The bias of a convolution, `[1, channels]`.
fn bias(conv: &Conv2d) -> Tensor<2> {
    let bias = conv.bias.as_ref().expect("every convolution has a bias");
    bias.val().unsqueeze()
}

/// A group normalisation, optionally followed by SiLU, computed by its CPU kernel.
fn normalize(norm: &GroupNorm, x: Tensor<4>, silu: bool) -> Tensor<4> {
    let [gamma, beta] = [&norm.gamma, &norm.beta].map(|weight| {
        let weight = weight.as_ref().expect("every normalisation is affine");
        weight.val()
    });
    let norm = GroupNormOptions {
        groups: norm.num_groups,
        epsilon: norm.epsilon,
        silu,
    };
    burn_cpu_kernels::group_norm(x, gamma, beta, norm)
}

/// Number of groups of a normalisation without a setting for it: at most 32, each of at least four channels, a divisor of the channels.
pub fn default_groups(channels: usize) -> usize {
    (1..=32.min(channels.div_ceil(4)))
        .rev()
        .find(|groups| channels.is_multiple_of(*groups))
        .unwrap_or(1)
}

fn group_norm(channels: usize, groups: Option<usize>, device: &Device) -> GroupNorm {
    let groups = groups.unwrap_or_else(|| default_groups(channels));
    GroupNormConfig::new(groups, channels).init(device)
}

/// Nearest-neighbour upsampling by a factor of 2.
fn double() -> Interpolate2d {
    Interpolate2dConfig::new()
        .with_scale_factor(Some([2.0, 2.0]))
        .with_mode(InterpolateMode::Nearest)
        .init()
}
