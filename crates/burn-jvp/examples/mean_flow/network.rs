//! The network of the example: residual layers that the two times modulate.

use burn::module::Module;
use burn::nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::tensor::activation::silu;
use burn::tensor::{Device, Tensor};
use std::f64::consts::PI;

/// Frequencies of the embedding of a time.
const FREQUENCIES: usize = 6;

/// The mean velocity u(z, r, t) of pictures `[n, pixels]` between the times `[n]`.
#[derive(Module, Debug)]
pub struct Network {
    times: Linear,
    input: Linear,
    blocks: Vec<Block>,
    output: Linear,
}

impl Network {
    /// A network of `depth` blocks.
    pub fn new(pixels: usize, width: usize, depth: usize, device: &Device) -> Self {
        Self {
            times: LinearConfig::new(4 * FREQUENCIES, 128).init(device),
            input: LinearConfig::new(pixels, width).init(device),
            blocks: (0..depth).map(|_| Block::new(width, device)).collect(),
            output: LinearConfig::new(width, pixels).init(device),
        }
    }

    /// u(z, r, t), `[n, pixels]`.
    pub fn forward(&self, z: Tensor<2>, r: Tensor<1>, t: Tensor<1>) -> Tensor<2> {
        let level = t.clone().clamp_min(0.05).unsqueeze_dim(1);
        let times = Tensor::cat(vec![embed(t.clone()), embed(t - r)], 1);
        let times = silu(self.times.forward(times));
        let mut h = self.input.forward(z.clone());
        for block in &self.blocks {
            h = block.forward(h, times.clone());
        }
        (z - self.output.forward(h)) / level
    }
}

/// cos kπt and sin kπt for k = 1 …, `[n, 2·FREQUENCIES]`.
fn embed(t: Tensor<1>) -> Tensor<2> {
    let waves = (1..=FREQUENCIES).flat_map(|k| {
        let angle = t.clone() * (PI * k as f64);
        [angle.clone().cos(), angle.sin()]
    });
    Tensor::stack(waves.collect(), 1)
}

/// A residual block, whose normalised input is scaled and shifted by the times.
#[derive(Module, Debug)]
struct Block {
    norm: LayerNorm,
    modulation: Linear,
    first: Linear,
    second: Linear,
}

impl Block {
    fn new(width: usize, device: &Device) -> Self {
        Self {
            norm: LayerNormConfig::new(width).init(device),
            modulation: LinearConfig::new(128, 2 * width).init(device),
            first: LinearConfig::new(width, width).init(device),
            second: LinearConfig::new(width, width).init(device),
        }
    }

    fn forward(&self, h: Tensor<2>, times: Tensor<2>) -> Tensor<2> {
        let modulation = self.modulation.forward(times).chunk(2, 1);
        let [scale, shift] = modulation.try_into().expect("two chunks");
        let x = self.norm.forward(h.clone()) * (scale + 1.0) + shift;
        h + self.second.forward(silu(self.first.forward(x)))
    }
}
