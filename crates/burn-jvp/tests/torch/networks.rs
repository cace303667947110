//! The networks of `scripts/torch_second_order_fixture.py` in Burn's modules.

use crate::fixture::Fixture;
use burn::module::Module;
use burn::nn::attention::{MhaInput, MultiHeadAttention};
use burn::nn::conv::Conv2d;
use burn::nn::interpolate::{Interpolate2dConfig, InterpolateMode};
use burn::nn::{Embedding, GroupNorm, LayerNorm, Linear};
use burn::tensor::activation::{gelu, log_softmax, silu};
use burn::tensor::{Int, Tensor};

/// Self-attention of tokens `[n, t, c]`.
fn attend(attention: &MultiHeadAttention, tokens: Tensor<3>) -> Tensor<3> {
    attention.forward(MhaInput::self_attn(tokens)).context
}

/// A U-Net of one level.
#[derive(Module, Debug)]
pub struct UNet {
    embed: Linear,
    shift: Linear,
    enter: Conv2d,
    norm1: GroupNorm,
    conv1: Conv2d,
    down: Conv2d,
    norm2: GroupNorm,
    attention: MultiHeadAttention,
    up: Conv2d,
    join: Conv2d,
    norm3: GroupNorm,
    leave: Conv2d,
}

impl UNet {
    /// The network whose weights are those of the fixture.
    pub fn new(fixture: &Fixture) -> Self {
        Self {
            embed: fixture.linear("embed"),
            shift: fixture.linear("shift"),
            enter: fixture.conv("enter", 1),
            norm1: fixture.norm("norm1", 4),
            conv1: fixture.conv("conv1", 1),
            down: fixture.conv("down", 2),
            norm2: fixture.norm("norm2", 2),
            attention: fixture.attention("attention."),
            up: fixture.conv("up", 1),
            join: fixture.conv("join", 1),
            norm3: fixture.norm("norm3", 4),
            leave: fixture.conv("leave", 1),
        }
    }

    /// The image `[n, 2, h, w]` at noise levels `[n]`.
    pub fn forward(&self, x: Tensor<4>, noise: Tensor<1>) -> Tensor<4> {
        let waves = Tensor::stack::<2>(vec![noise.clone().sin(), noise.cos()], 1);
        let shift = self.shift.forward(silu(self.embed.forward(waves)));
        let shift = shift.unsqueeze_dims::<4>(&[2, 3]);
        let x = self.enter.forward(x);
        let h = silu(self.norm1.forward(x.clone()) + shift);
        let skip = x + self.conv1.forward(h);
        let x = self.down.forward(skip.clone());
        let [n, c, height, width] = x.dims();
        let tokens = self.norm2.forward(x.clone());
        let tokens = tokens.reshape([n, c, height * width]).swap_dims(1, 2);
        let seen = attend(&self.attention, tokens).swap_dims(1, 2);
        let x = x + seen.reshape([n, c, height, width]);
        let double = Interpolate2dConfig::new()
            .with_scale_factor(Some([2.0, 2.0]))
            .with_mode(InterpolateMode::Nearest)
            .init();
        let x = self.up.forward(double.forward(x));
        let x = self.join.forward(Tensor::cat(vec![x, skip], 1));
        self.leave.forward(silu(self.norm3.forward(x)))
    }

    /// The mean square error.
    pub fn loss(y: Tensor<4>, target: Tensor<4>) -> Tensor<1> {
        (y - target).powi_scalar(2).mean()
    }
}

/// A pre-norm layer of a transformer encoder.
#[derive(Module, Debug)]
struct Layer {
    norm1: LayerNorm,
    attention: MultiHeadAttention,
    norm2: LayerNorm,
    inner: Linear,
    outer: Linear,
}

impl Layer {
    fn new(fixture: &Fixture, name: &str) -> Self {
        Self {
            norm1: fixture.layer_norm(&format!("{name}.norm1")),
            attention: fixture.attention(&format!("{name}.attention.")),
            norm2: fixture.layer_norm(&format!("{name}.norm2")),
            inner: fixture.linear(&format!("{name}.inner")),
            outer: fixture.linear(&format!("{name}.outer")),
        }
    }

    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let x = x.clone() + attend(&self.attention, self.norm1.forward(x));
        let h = gelu(self.inner.forward(self.norm2.forward(x.clone())));
        x + self.outer.forward(h)
    }
}

/// A transformer of two layers.
#[derive(Module, Debug)]
pub struct Transformer {
    embedding: Embedding,
    layer1: Layer,
    layer2: Layer,
    norm: LayerNorm,
    head: Linear,
}

impl Transformer {
    /// The network whose weights are those of the fixture.
    pub fn new(fixture: &Fixture) -> Self {
        Self {
            embedding: fixture.embedding("embedding"),
            layer1: Layer::new(fixture, "layer1"),
            layer2: Layer::new(fixture, "layer2"),
            norm: fixture.layer_norm("norm"),
            head: fixture.linear("head"),
        }
    }

    /// Tokens `[n, t]` to the logits of classes `[n, t, classes]`.
    pub fn forward(&self, tokens: Tensor<2, Int>) -> Tensor<3> {
        let x = self.embedding.forward(tokens);
        let x = self.layer2.forward(self.layer1.forward(x));
        self.head.forward(self.norm.forward(x))
    }

    /// The cross-entropy of the classes `[n, t]`.
    pub fn loss(y: Tensor<3>, target: Tensor<2, Int>) -> Tensor<1> {
        log_softmax(y, 2)
            .gather(2, target.unsqueeze_dim(2))
            .mean()
            .neg()
    }
}
