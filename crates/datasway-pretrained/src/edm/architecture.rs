//! The layers of a network, by name and size.

use burn::nn::GroupNorm;

use super::config::{EmbeddingType, EncoderType};
use crate::layers;
use crate::resampling::{Resampling, ScaleChange};
use crate::state_dict::StateScope;

/// Network family, which decides the form of the blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// DDPM++ and NCSN++.
    Song,
    /// ADM.
    Dhariwal,
}

impl Family {
    /// Term added to the variance by every normalisation.
    pub fn epsilon(self) -> f64 {
        match self {
            Self::Song => 1e-6,
            Self::Dhariwal => 1e-5,
        }
    }

    /// Factor after every residual sum.
    pub fn skip_scale(self) -> f64 {
        match self {
            Self::Song => 0.5_f64.sqrt(),
            Self::Dhariwal => 1.0,
        }
    }

    /// True if the embedding scales and shifts after the second normalisation. Otherwise it shifts before.
    pub fn scales(self) -> bool {
        self == Self::Dhariwal
    }

    /// Heads of an attention. Channels that are fewer than those of a head have none, so there is no attention.
    pub fn heads(self, channels: usize) -> usize {
        match self {
            Self::Song => 1,
            Self::Dhariwal => channels / 64,
        }
    }
}

/// A residual block.
#[derive(Debug, Clone)]
pub struct BlockPlan {
    /// Name among the blocks of its path.
    pub name: String,
    /// Channels of the input.
    pub input: usize,
    /// Channels of the output.
    pub output: usize,
    /// Resampling before the first convolution.
    pub direction: Option<ScaleChange>,
    /// Heads of the attention, 0 if there is none.
    pub heads: usize,
    /// True if the skip has a 1×1 convolution.
    pub projects: bool,
}

/// The layers of one resolution.
#[derive(Debug, Clone)]
pub struct EdmLevelPlan {
    /// Beginning of the names: `16x16`.
    pub name: String,
    /// The block from the level before, or the two blocks of the middle.
    pub entry: Vec<BlockPlan>,
    /// Channels of the encoder's auxiliary path: input and output.
    pub auxiliary: Option<[usize; 2]>,
    /// The blocks.
    pub blocks: Vec<BlockPlan>,
    /// Channels of the decoder's output at this level.
    pub output: Option<usize>,
}

/// The layers of a network.
#[derive(Debug, Clone)]
pub struct Architecture {
    /// Which network.
    pub family: Family,
    /// Channels of a picture.
    pub input: usize,
    /// Channels of the output.
    pub output: usize,
    /// Channels after the first convolution.
    pub first: usize,
    /// Name of the first convolution.
    pub first_name: String,
    /// Size of the noise level's embedding.
    pub noise_channels: usize,
    /// Embedding of the noise level.
    pub embedding: EmbeddingType,
    /// Size of the embedding that the blocks see.
    pub embedding_channels: usize,
    /// Number of classes.
    pub classes: usize,
    /// True if the network has learned a null label.
    pub null_label: bool,
    /// Size of the augmentation's label.
    pub augmentation: usize,
    /// Auxiliary path of the encoder.
    pub encoder_type: EncoderType,
    /// The encoder, from the finest level.
    pub encoder: Vec<EdmLevelPlan>,
    /// The decoder, from the coarsest level.
    pub decoder: Vec<EdmLevelPlan>,
    /// Taps of the filter of resampling, with sum 1.
    pub filter: Vec<f64>,
}

impl Architecture {
    /// Number of the weights in the file.
    ///
    /// It is a floating-point number, which does not overflow.
    pub fn weights(&self) -> f64 {
        let linear = |i: usize, o: usize| (i as f64 + 1.0) * o as f64;
        let conv = |i: usize, o: usize| (9.0 * i as f64 + 1.0) * o as f64;
        let block = |b: &BlockPlan| {
            let (i, o) = (b.input, b.output);
            let affine = linear(self.embedding_channels, self.affine(o));
            let skip = if b.projects { linear(i, o) } else { 0.0 };
            let attention = if b.heads > 0 {
                linear(o, 4 * o) + 2.0 * o as f64
            } else {
                0.0
            };
            let norms = 2.0 * (i + o) as f64;
            norms + conv(i, o) + affine + conv(o, o) + skip + attention
        };
        let level = |level: &EdmLevelPlan| {
            let blocks: f64 = level.entry.iter().chain(&level.blocks).map(block).sum();
            let auxiliary = level.auxiliary.map_or(0.0, |[i, o]| conv(i, o));
            let output = level
                .output
                .map_or(0.0, |c| conv(c, self.output) + 2.0 * c as f64);
            blocks + auxiliary + output
        };
        let levels: f64 = self.encoder.iter().chain(&self.decoder).map(level).sum();
        let [noise, embedding] = [self.noise_channels, self.embedding_channels];
        let labels = linear(self.classes + self.augmentation, noise.max(embedding));
        let mapping = linear(noise, embedding) + linear(embedding, embedding) + labels;
        levels + mapping + conv(self.input, self.first)
    }

    /// Rows of the map from the embedding to the shift, or to scale and shift, of `channels`.
    pub fn affine(&self, channels: usize) -> usize {
        if self.family.scales() {
            2 * channels
        } else {
            channels
        }
    }

    /// The resampling of a block.
    pub fn resampling(&self, direction: ScaleChange) -> Resampling {
        Resampling::new(self.filter.clone(), direction)
    }

    /// Checks that groups of normalisation and heads of attention divide the channels.
    ///
    /// # Errors
    /// A clause that names the block.
    pub fn check_groups(&self) -> Result<(), String> {
        for level in self.encoder.iter().chain(&self.decoder) {
            for block in level.entry.iter().chain(&level.blocks) {
                for channels in [block.input, block.output] {
                    check_divisor(channels, groups(channels), "groups", &block.name)?;
                }
                check_divisor(block.output, block.heads.max(1), "heads", &block.name)?;
            }
        }
        Ok(())
    }
}

/// Number of groups of a normalisation: at most 32, of four channels at least.
fn groups(channels: usize) -> usize {
    32.min(channels / 4)
}

/// A normalisation of groups of these channels.
pub fn group_norm(scope: &StateScope<'_>, channels: usize, epsilon: f64) -> GroupNorm {
    layers::group_norm(scope, groups(channels), channels, epsilon)
}

fn check_divisor(channels: usize, parts: usize, noun: &str, name: &str) -> Result<(), String> {
    if parts > 0 && channels.is_multiple_of(parts) {
        return Ok(());
    }
    Err(format!(
        "model_channels and channel_mult give {name} {channels} channels, which are not divisible into {parts} {noun}"
    ))
}
