//! From the arguments of a network to its layers.

use std::ops::RangeInclusive;

use datasway_diffusion::range;

use super::architecture::{Architecture, BlockPlan, EdmLevelPlan, Family};
use super::config::{DecoderType, Dhariwal, EdmConfig, EmbeddingType, EncoderType, Network, Song};
use crate::resampling::ScaleChange;

/// The layers of a configuration, checked before anything is allocated.
///
/// # Errors
/// A clause that names the argument.
pub fn architecture(config: &EdmConfig) -> Result<Architecture, String> {
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
    fn encoder(&self, first: usize) -> (Vec<EdmLevelPlan>, Vec<usize>) {
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
                    Some(ScaleChange::Down),
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
            levels.push(EdmLevelPlan {
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
    fn decoder(&self, mut skips: Vec<usize>) -> Vec<EdmLevelPlan> {
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
                    Some(ScaleChange::Up),
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
            levels.push(EdmLevelPlan {
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
        direction: Option<ScaleChange>,
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
