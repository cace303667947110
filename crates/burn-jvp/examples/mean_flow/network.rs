//! The network of the example: residual layers that are modulated by the two times.

use super::faces::SIDE;
use burn::module::Module;
use burn::nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::tensor::activation::silu;
use burn::tensor::{Device, Tensor};
use std::f64::consts::PI;

/// Pixels of a picture.
const PIXELS: usize = SIDE * SIDE;
/// Width of the residual layers.
const WIDTH: usize = 256;
/// Number of residual blocks.
const DEPTH: usize = 4;
/// Width of the embedding of the times.
const TIMES_WIDTH: usize = 128;
/// Frequencies of the waves of a time.
const FREQUENCIES: usize = 6;
/// Smallest time by which the network divides.
const MIN_TIME: f64 = 0.05;

/// The mean velocity u(z, r, t) of pictures between two times.
#[derive(Module, Debug)]
pub struct Network {
    times: Linear,
    input: Linear,
    blocks: Vec<Block>,
    output: Linear,
}

impl Network {
    /// A network with random weights.
    pub fn new(device: &Device) -> Self {
        Self {
            times: LinearConfig::new(4 * FREQUENCIES, TIMES_WIDTH).init(device),
            input: LinearConfig::new(PIXELS, WIDTH).init(device),
            blocks: (0..DEPTH).map(|_| Block::new(device)).collect(),
            output: LinearConfig::new(WIDTH, PIXELS).init(device),
        }
    }

    /// u(z, r, t), `[n, pixels]`, for z `[n, pixels]` and the times `[n]`.
    ///
    /// The last layer gives a picture x̂ and `u = (z − x̂)/t`: a sample in one step is x̂ itself, which needs fewer hidden
    /// units than noise does.
    pub fn forward(&self, z: Tensor<2>, r: Tensor<1>, t: Tensor<1>) -> Tensor<2> {
        let times = Tensor::cat(vec![waves(t.clone()), waves(t.clone() - r)], 1);
        let times = silu(self.times.forward(times));
        let mut h = self.input.forward(z.clone());
        for block in &self.blocks {
            h = block.forward(h, times.clone());
        }
        (z - self.output.forward(h)) / t.clamp_min(MIN_TIME).unsqueeze_dim(1)
    }
}

/// cos kπt and sin kπt for k = 1 …, `[n, 2·FREQUENCIES]`.
fn waves(t: Tensor<1>) -> Tensor<2> {
    let waves = (1..=FREQUENCIES).flat_map(|k| {
        let angle = t.clone() * (PI * k as f64);
        [angle.clone().cos(), angle.sin()]
    });
    Tensor::stack(waves.collect(), 1)
}

/// A residual block, whose normalised input is scaled and shifted by functions of the times.
#[derive(Module, Debug)]
struct Block {
    norm: LayerNorm,
    modulation: Linear,
    first: Linear,
    second: Linear,
}

impl Block {
    fn new(device: &Device) -> Self {
        Self {
            norm: LayerNormConfig::new(WIDTH).init(device),
            modulation: LinearConfig::new(TIMES_WIDTH, 2 * WIDTH).init(device),
            first: LinearConfig::new(WIDTH, WIDTH).init(device),
            second: LinearConfig::new(WIDTH, WIDTH).init(device),
        }
    }

    fn forward(&self, h: Tensor<2>, times: Tensor<2>) -> Tensor<2> {
        let modulation = self.modulation.forward(times);
        let scale = modulation.clone().slice_dim(1, 0..WIDTH);
        let shift = modulation.slice_dim(1, WIDTH..2 * WIDTH);
        let x = self.norm.forward(h.clone()) * (scale + 1.0) + shift;
        h + self.second.forward(silu(self.first.forward(x)))
    }
}
