//! The layers of a network, resolved from its arguments and checked before anything is allocated.

use std::ops::RangeInclusive;

use datasway_diffusion::range;

use super::config::{DecoderType, Dhariwal, EdmConfig, EmbeddingType, EncoderType, Network, Song};
use super::resampling::{Direction, Resampling};

/// What distinguishes the blocks of the two networks.
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
    fn heads(self, channels: usize) -> usize {
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
    pub direction: Option<Direction>,
    /// Heads of the attention, 0 if there is none.
    pub heads: usize,
    /// True if the skip has a 1×1 convolution.
    pub projects: bool,
}

/// The layers of one resolution.
#[derive(Debug, Clone)]
pub struct LevelPlan {
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
    pub encoder: Vec<LevelPlan>,
    /// The decoder, from the coarsest level.
    pub decoder: Vec<LevelPlan>,
    /// Taps of the filter of resampling, with sum 1.
    pub filter: Vec<f64>,
}

impl Architecture {
    /// The layers of a configuration.
    ///
    /// # Errors
    /// A clause that names the argument.
    pub fn new(config: &EdmConfig) -> Result<Self, String> {
        let arguments = Arguments::new(&config.network);
        let network = &arguments.song;
        let [resolution, channels, classes] = config.wrapper.interface();
        let pairs = [
            ("img_resolution", network.img_resolution, resolution),
            ("in_channels", network.in_channels, channels),
            (
                "out_channels",
                network.out_channels,
                config.wrapper.output_channels(),
            ),
            ("label_dim", network.label_dim, classes),
        ];
        for (name, value, needed) in pairs {
            if value != needed {
                return Err(format!(
                    "network.{name} is {value}, and the wrapper needs {needed}"
                ));
            }
        }
        arguments.check()?;
        let architecture = arguments.layers()?;
        architecture.check_groups()?;
        Ok(architecture)
    }

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
        let level = |level: &LevelPlan| {
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
    pub fn resampling(&self, direction: Direction) -> Resampling {
        Resampling::new(self.filter.clone(), direction)
    }

    /// Checks that groups of normalisation and heads of attention divide the channels.
    fn check_groups(&self) -> Result<(), String> {
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
pub fn groups(channels: usize) -> usize {
    32.min(channels / 4)
}

fn check_divisor(channels: usize, parts: usize, noun: &str, name: &str) -> Result<(), String> {
    if parts > 0 && channels.is_multiple_of(parts) {
        return Ok(());
    }
    Err(format!(
        "model_channels and channel_mult give {name} {channels} channels, which are not divisible into {parts} {noun}"
    ))
}

/// The arguments of either network, in the form of those of [`Song`].
struct Arguments {
    family: Family,
    song: Song,
}

impl Arguments {
    fn new(network: &Network) -> Self {
        match network {
            Network::Song(song) => Self {
                family: Family::Song,
                song: song.clone(),
            },
            Network::Dhariwal(dhariwal) => Self {
                family: Family::Dhariwal,
                song: as_song(dhariwal),
            },
        }
    }

    /// Checks ranges, so that no number of the plan overflows.
    fn check(&self) -> Result<(), String> {
        let a = &self.song;
        let one = |name: &str, value: usize, allowed: RangeInclusive<usize>| {
            let checked = range::check(&format!("network.{name}"), value, allowed);
            checked.map_err(|error| error.to_string())
        };
        one("img_resolution", a.img_resolution, 1..=4096)?;
        one("in_channels", a.in_channels, 1..=64)?;
        one("label_dim", a.label_dim, 0..=1_000_000)?;
        one("augment_dim", a.augment_dim, 0..=1024)?;
        one("model_channels", a.model_channels, 4..=8192)?;
        one("the length of channel_mult", a.channel_mult.len(), 1..=12)?;
        for multiplier in &a.channel_mult {
            one("channel_mult", *multiplier, 1..=64)?;
        }
        one("channel_mult_emb", a.channel_mult_emb, 1..=64)?;
        one("channel_mult_noise", a.channel_mult_noise, 1..=64)?;
        one("num_blocks", a.num_blocks, 1..=64)?;
        one(
            "the length of resample_filter",
            a.resample_filter.len(),
            2..=16,
        )?;
        for (name, value) in [("dropout", a.dropout), ("label_dropout", a.label_dropout)] {
            let checked = range::check(&format!("network.{name}"), value, 0.0..=1.0);
            checked.map_err(|error| error.to_string())?;
        }
        let halvings = a.channel_mult.len() - 1;
        if !a.img_resolution.is_multiple_of(1 << halvings) {
            return Err(format!(
                "network.img_resolution is {}, which the {} levels of channel_mult cannot halve {halvings} times",
                a.img_resolution,
                a.channel_mult.len()
            ));
        }
        let noise = a.model_channels * a.channel_mult_noise;
        if !noise.is_multiple_of(2) {
            return Err(format!(
                "network.model_channels · channel_mult_noise is {noise}, and a pair of sine and cosine needs an even number"
            ));
        }
        if !a.resample_filter.len().is_multiple_of(2) {
            return Err(format!(
                "network.resample_filter has {} taps, and resampling by 2 needs an even number",
                a.resample_filter.len()
            ));
        }
        Ok(())
    }

    /// The taps divided by their sum.
    fn filter(&self) -> Result<Vec<f64>, String> {
        let taps = &self.song.resample_filter;
        let sum: f64 = taps.iter().sum();
        let filter: Vec<f64> = taps.iter().map(|tap| tap / sum).collect();
        if filter.iter().all(|tap| tap.is_finite()) {
            Ok(filter)
        } else {
            Err(format!(
                "network.resample_filter has taps {taps:?}, whose sum cannot be made 1"
            ))
        }
    }

    fn layers(&self) -> Result<Architecture, String> {
        let a = &self.song;
        let song = self.family == Family::Song;
        // The first convolution of ADM already has the channels of its level.
        let first = if song {
            a.model_channels
        } else {
            a.model_channels * a.channel_mult[0]
        };
        let (encoder, skips) = self.encoder(first);
        Ok(Architecture {
            family: self.family,
            input: a.in_channels,
            output: a.out_channels,
            first,
            first_name: format!("{0}x{0}_conv", a.img_resolution),
            noise_channels: a.model_channels * a.channel_mult_noise,
            embedding: a.embedding_type,
            embedding_channels: a.model_channels * a.channel_mult_emb,
            classes: a.label_dim,
            null_label: a.label_dropout > 0.0,
            augmentation: a.augment_dim,
            encoder_type: a.encoder_type,
            decoder: self.decoder(skips),
            encoder,
            filter: self.filter()?,
        })
    }

    /// The encoder's levels, and the channels of its skips.
    fn encoder(&self, first: usize) -> (Vec<LevelPlan>, Vec<usize>) {
        let a = &self.song;
        let (mut channels, mut auxiliary) = (first, a.in_channels);
        let mut skips = vec![channels];
        let mut levels = Vec::new();
        for (level, multiplier) in a.channel_mult.iter().enumerate() {
            let resolution = a.img_resolution >> level;
            let name = format!("{resolution}x{resolution}");
            let mut entry = Vec::new();
            let mut path = None;
            if level > 0 {
                entry.push(self.block(
                    format!("{name}_down"),
                    [channels; 2],
                    Some(Direction::Down),
                    false,
                ));
                skips.push(channels);
                if a.encoder_type != EncoderType::Standard {
                    path = Some([auxiliary, channels]);
                }
                if a.encoder_type == EncoderType::Residual {
                    auxiliary = channels;
                }
            }
            let mut blocks = Vec::new();
            for index in 0..a.num_blocks {
                let output = a.model_channels * multiplier;
                let attends = a.attn_resolutions.contains(&resolution);
                blocks.push(self.block(
                    format!("{name}_block{index}"),
                    [channels, output],
                    None,
                    attends,
                ));
                channels = output;
                skips.push(channels);
            }
            levels.push(LevelPlan {
                name,
                entry,
                auxiliary: path,
                blocks,
                output: None,
            });
        }
        (levels, skips)
    }

    /// The decoder's levels.
    fn decoder(&self, mut skips: Vec<usize>) -> Vec<LevelPlan> {
        let a = &self.song;
        let mut channels = *skips.last().expect("the first convolution has a skip");
        let mut levels = Vec::new();
        for (level, multiplier) in a.channel_mult.iter().enumerate().rev() {
            let resolution = a.img_resolution >> level;
            let name = format!("{resolution}x{resolution}");
            let entry = if level + 1 == a.channel_mult.len() {
                vec![
                    self.block(format!("{name}_in0"), [channels; 2], None, true),
                    self.block(format!("{name}_in1"), [channels; 2], None, false),
                ]
            } else {
                vec![self.block(
                    format!("{name}_up"),
                    [channels; 2],
                    Some(Direction::Up),
                    false,
                )]
            };
            let mut blocks = Vec::new();
            for index in 0..=a.num_blocks {
                let skip = skips.pop().expect("one skip for every block of the way up");
                let output = a.model_channels * multiplier;
                // Of Song's blocks only the last one attends.
                let turn = self.family == Family::Dhariwal || index == a.num_blocks;
                let attends = turn && a.attn_resolutions.contains(&resolution);
                let name = format!("{name}_block{index}");
                blocks.push(self.block(name, [channels + skip, output], None, attends));
                channels = output;
            }
            levels.push(LevelPlan {
                name,
                entry,
                auxiliary: None,
                blocks,
                output: (a.decoder_type == DecoderType::Skip || level == 0).then_some(channels),
            });
        }
        levels
    }

    fn block(
        &self,
        name: String,
        [input, output]: [usize; 2],
        direction: Option<Direction>,
        attends: bool,
    ) -> BlockPlan {
        // Song also projects where it resamples.
        let projects = input != output || (self.family == Family::Song && direction.is_some());
        BlockPlan {
            name,
            input,
            output,
            direction,
            heads: if attends {
                self.family.heads(output)
            } else {
                0
            },
            projects,
        }
    }
}

/// ADM's arguments, with Song's that have its constants.
fn as_song(dhariwal: &Dhariwal) -> Song {
    let Dhariwal {
        img_resolution,
        in_channels,
        out_channels,
        label_dim,
        augment_dim,
        model_channels,
        channel_mult,
        channel_mult_emb,
        num_blocks,
        attn_resolutions,
        dropout,
        label_dropout,
    } = dhariwal.clone();
    Song {
        img_resolution,
        in_channels,
        out_channels,
        label_dim,
        augment_dim,
        model_channels,
        channel_mult,
        channel_mult_emb,
        num_blocks,
        attn_resolutions,
        dropout,
        label_dropout,
        embedding_type: EmbeddingType::Positional,
        channel_mult_noise: 1,
        encoder_type: EncoderType::Standard,
        decoder_type: DecoderType::Standard,
        resample_filter: vec![1.0, 1.0],
    }
}
