//! The network: patches, blocks and the way back to pixels.

use burn::module::{Module, Param};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Tensor, TensorData};

use super::block::{DiTBlock, EPSILON, modulated, normalized};
use super::conditioner::Conditioner;
use super::config::DiTConfig;
use super::names;
use super::positions::positions;
use crate::layers::linear;
use crate::state_dict::{StateDict, StateScope};

/// A `DiTTransformer2DModel` for one class.
///
/// The files hold a copy of the time and class embedding for every block. If the copies are equal, as they are after training
/// with the original code, the conditioning is computed once.
#[derive(Module, Debug)]
pub struct DiT {
    patches: Linear,
    /// One for all blocks, or one for each.
    conditioners: Vec<Conditioner>,
    blocks: Vec<DiTBlock>,
    /// From the conditioning to shift and scale of the last normalisation.
    modulation: Linear,
    pixels: Linear,
    /// The embedding of positions, `[side·side, channels]`.
    #[module(skip)]
    positions: Vec<f64>,
    image_channels: usize,
    image_size: usize,
    patch_size: usize,
}

impl DiT {
    /// Takes the tensors of the network from a file of diffusers or of the original implementation.
    ///
    /// Without a class, it has the null label, which stands for all classes if a part of the labels was dropped in training,
    /// as is done for classifier-free guidance.
    ///
    /// # Errors
    /// If there is no such class, or the file is of the original implementation and the configuration contradicts it.
    /// [`StateDict::finish`] has the tensors that are missing or left over.
    pub fn load(
        config: &DiTConfig,
        dict: &StateDict,
        class: Option<usize>,
    ) -> Result<Self, String> {
        let label = [config.label(class)?, config.classes + 1];
        let original = dict.root().has(names::ORIGINAL);
        if original {
            dict.rename(|name| Some(names::from_original(name)));
        }
        let epsilon = norm_epsilon(config, original)?;
        let root = dict.root();
        let c = config.channels();
        let tokens = config.side() * config.side();
        let blocks = root.at("transformer_blocks");
        // diffusers divides the exponents by half − 1, the original implementation by half.
        let frequency_shift = usize::from(!original);
        let conditioner = |i: usize| {
            let scope = blocks.index(i).at("norm1.emb");
            Conditioner::load(&scope, c, label, frequency_shift)
        };
        let copies = if original { 1 } else { config.blocks };
        Ok(Self {
            patches: patches(&root.at("pos_embed.proj"), config),
            conditioners: distinct((0..copies).map(conditioner)),
            blocks: (0..config.blocks)
                .map(|i| DiTBlock::load(&blocks.index(i), config, epsilon))
                .collect(),
            modulation: linear(&root.at("proj_out_1"), [c, 2 * c], true),
            pixels: pixels(&root.at("proj_out_2"), config),
            positions: if original {
                let stored: Tensor<3> = root.tensor("pos_embed", [1, tokens, c]);
                stored.into_data().iter::<f64>().collect()
            } else {
                positions(config.side(), c)
            },
            image_channels: config.image_channels,
            image_size: config.image_size,
            patch_size: config.patch_size,
        })
    }

    /// The raw network on flat points `[n, d]` and time steps `[n]`: what it was trained to predict, without the variances.
    pub fn forward(&self, x: Tensor<2>, time: Tensor<1>) -> Tensor<2> {
        let side = self.image_size / self.patch_size;
        let conditionings: Vec<Tensor<3>> = self
            .conditioners
            .iter()
            .map(|conditioner| conditioner.forward(time.clone()))
            .collect();
        let tokens = self.patches.forward(self.split(x));
        let [_, count, c] = tokens.dims();
        let positions = TensorData::new(self.positions.clone(), [1, count, c]);
        let positions = Tensor::<3>::from_data(positions, (&tokens.device(), tokens.dtype()));
        let mut tokens = tokens + positions;
        for (i, block) in self.blocks.iter().enumerate() {
            let conditioning = conditionings.get(i).unwrap_or(&conditionings[0]);
            tokens = block.forward(tokens, conditioning.clone(), side);
        }
        let modulation = self.modulation.forward(conditionings[0].clone());
        let part = |i: usize| modulation.clone().slice_dim(2, i * c..(i + 1) * c);
        let tokens = modulated(normalized(tokens, None, EPSILON), part(0), part(1));
        self.join(self.pixels.forward(tokens))
    }

    /// The patches of flat pictures, `[n, side·side, channels·patch·patch]`.
    fn split(&self, x: Tensor<2>) -> Tensor<3> {
        let (n, c, p) = (x.dims()[0], self.image_channels, self.patch_size);
        let side = self.image_size / p;
        x.reshape([n, c, side, p, side, p])
            .permute([0, 2, 4, 1, 3, 5])
            .reshape([n, side * side, c * p * p])
    }

    /// The flat pictures of patches `[n, side·side, patch·patch·channels]`.
    fn join(&self, patches: Tensor<3>) -> Tensor<2> {
        let (n, c, p) = (patches.dims()[0], self.image_channels, self.patch_size);
        let side = self.image_size / p;
        patches
            .reshape([n, side, side, p, p, c])
            .permute([0, 5, 1, 3, 2, 4])
            .reshape([n, c * self.image_size * self.image_size])
    }
}

/// The term of the second normalisation of a block. The original implementation has one for all.
fn norm_epsilon(config: &DiTConfig, original: bool) -> Result<f64, String> {
    let default = if original { EPSILON } else { 1e-5 };
    let epsilon = config.norm_epsilon.unwrap_or(default);
    if original && (epsilon != EPSILON || config.affine_norm) {
        return Err(
            "the file has the names of the original implementation of DiT, whose norm_eps is 1e-6 and \
             norm_elementwise_affine is false: correct the configuration"
                .to_owned(),
        );
    }
    Ok(epsilon)
}

/// The first conditioner if all are equal, else all.
fn distinct(conditioners: impl Iterator<Item = Conditioner>) -> Vec<Conditioner> {
    let mut all: Vec<Conditioner> = conditioners.collect();
    if all.iter().skip(1).all(|other| other.equals(&all[0])) {
        all.truncate(1);
    }
    all
}

/// The linear map of a patch to a token: a convolution `[channels, image channels, patch, patch]` whose stride is its size.
fn patches(scope: &StateScope<'_>, config: &DiTConfig) -> Linear {
    let (c, p) = (config.channels(), config.patch_size);
    let inputs = config.image_channels * p * p;
    let weight: Tensor<4> = scope.tensor("weight", [c, config.image_channels, p, p]);
    let mut layer = LinearConfig::new(inputs, c).init(scope.device());
    layer.weight = Param::from_tensor(weight.reshape([c, inputs]).transpose());
    layer.bias = Some(scope.parameter("bias", [c]));
    layer
}

/// The linear map of a token to the pixels of its patch, without those of the variances.
fn pixels(scope: &StateScope<'_>, config: &DiTConfig) -> Linear {
    let (c, p) = (config.channels(), config.patch_size);
    let [kept, all] = [config.image_channels, config.output_channels()];
    let weight: Tensor<2> = scope.tensor("weight", [p * p * all, c]);
    let bias: Tensor<1> = scope.tensor("bias", [p * p * all]);
    let weight = weight.reshape([p * p, all, c]).slice_dim(1, 0..kept);
    let bias = bias.reshape([p * p, all]).slice_dim(1, 0..kept);
    let mut layer = LinearConfig::new(c, p * p * kept).init(scope.device());
    layer.weight = Param::from_tensor(weight.reshape([p * p * kept, c]).transpose());
    layer.bias = Some(Param::from_tensor(bias.reshape([p * p * kept])));
    layer
}
