//! Checks of a configuration before anything is allocated.

use super::block_type::{BlockType, LevelStep};
use super::config::{ClassEmbedding, TimeConditioning, TimeEmbeddingType, UNet2DConfig};
use super::plan::{self, ResnetPlan, UNetLevelPlan};
use crate::fields::check_count;

/// Largest number of weights.
const MAX_NUMBERS: u64 = 1 << 30;

/// Checks that the library could build the network, and that it is not too large.
pub fn check(config: &UNet2DConfig) -> Result<(), String> {
    check_counts(config)?;
    check_embedding(config)?;
    check_divisors(config)?;
    check_skips(config)?;
    if let Some(size) = config.sample_size {
        config.check_size(size)?;
    }
    let numbers = numbers(config);
    if numbers > MAX_NUMBERS {
        return Err(format!(
            "a network of this configuration has about {numbers} weights, more than {MAX_NUMBERS}: it is too large"
        ));
    }
    Ok(())
}

fn check_counts(config: &UNet2DConfig) -> Result<(), String> {
    let levels = config.block_out_channels.len();
    check_count("block_out_channels: its length", levels, 16)?;
    for (name, blocks) in [
        ("down_block_types", &config.down_blocks),
        ("up_block_types", &config.up_blocks),
    ] {
        if blocks.len() != levels {
            return Err(format!(
                "the field {name} has {} entries: it must have one for each of the {levels} of block_out_channels",
                blocks.len()
            ));
        }
    }
    for channels in &config.block_out_channels {
        check_count("block_out_channels", *channels, 1 << 14)?;
    }
    check_count("in_channels", config.in_channels, 1 << 10)?;
    check_count("layers_per_block", config.layers_per_block, 1 << 10)?;
    check_count("time_embedding_dim", config.time_embedding_dim, 1 << 16)?;
    for side in config.sample_size.into_iter().flatten() {
        check_count("sample_size", side, 1 << 14)?;
    }
    let optional = [
        ("attention_head_dim", config.attention_head_dim, 1 << 14),
        ("norm_num_groups", config.norm_num_groups, 1 << 14),
        ("attn_norm_num_groups", config.attn_norm_num_groups, 1 << 14),
        ("num_train_timesteps", config.num_train_timesteps, 1 << 20),
    ];
    for (name, value, most) in optional {
        value.map_or(Ok(()), |value| check_count(name, value, most))?;
    }
    if let Some(ClassEmbedding::Table(classes)) = config.classes {
        check_count("num_class_embeds", classes, 1 << 24)?;
    }
    if config.downsample_padding > 1 {
        return Err(format!(
            "the field downsample_padding is {}: only 0 and 1 are supported, with which a level has half the pixels",
            config.downsample_padding
        ));
    }
    if !(config.norm_eps > 0.0 && config.norm_eps < 1.0) {
        return Err("the field norm_eps must be between 0 and 1".to_owned());
    }
    let factor = config.mid_block_scale_factor;
    if !(factor.is_finite() && factor > 0.0) {
        return Err("the field mid_block_scale_factor must be a positive number".to_owned());
    }
    Ok(())
}

fn check_embedding(config: &UNet2DConfig) -> Result<(), String> {
    let half = (config.block_out_channels[0] / 2) as f64;
    let positional = config.time_embedding_type == TimeEmbeddingType::Positional;
    // Above half, the frequencies rise, as those of an exported network of Datasway.
    if positional && !(config.freq_shift.is_finite() && config.freq_shift != half) {
        return Err(format!(
            "the field freq_shift is {}: it must be another number than {half}, half the channels of the first level",
            config.freq_shift
        ));
    }
    let learned = config.time_embedding_type == TimeEmbeddingType::Learned;
    if learned && config.num_train_timesteps.is_none() {
        return Err(
            "the field num_train_timesteps is null: a network with time_embedding_type learned needs it".to_owned(),
        );
    }
    Ok(())
}

/// Numbers of channels that are no multiples of the groups or heads.
fn check_divisors(config: &UNet2DConfig) -> Result<(), String> {
    let first = config.block_out_channels[0];
    divides(first, out_groups(config), "norm_num_groups")?;
    for level in levels(config) {
        let is_skip = level.kind.step == LevelStep::Skip;
        if !is_skip && config.norm_num_groups.is_none() {
            return Err(
                "the field norm_num_groups is null: only blocks with Skip in their names are built without it".to_owned(),
            );
        }
        let name = if is_skip {
            "block_out_channels (Skip blocks: at most 32 groups)"
        } else {
            "norm_num_groups"
        };
        for resnet in &level.resnets {
            for (channels, groups) in resnet.channels.into_iter().zip(resnet.groups) {
                divides(channels, groups, name)?;
            }
        }
        if level.attentions > 0 {
            divides(level.channels, level.attention_groups, name)?;
            divides(
                level.channels,
                config.head_channels(level.channels),
                "attention_head_dim",
            )?;
        }
    }
    if !config.mid_block {
        return Ok(());
    }
    let middle = plan::middle(config);
    divides(middle.channels[0], middle.groups[0], "norm_num_groups")?;
    if !config.add_attention {
        return Ok(());
    }
    if let Some(groups) = mid_attention_groups(config) {
        divides(middle.channels[0], groups, "attn_norm_num_groups")?;
    }
    divides(
        middle.channels[0],
        config.head_channels(middle.channels[0]),
        "attention_head_dim",
    )
}

fn divides(channels: usize, parts: usize, name: &str) -> Result<(), String> {
    if parts > 0 && channels.is_multiple_of(parts) {
        return Ok(());
    }
    Err(format!(
        "a layer of {channels} channels cannot be divided by {parts}: see the field {name}"
    ))
}

/// The levels of both ways.
fn levels(config: &UNet2DConfig) -> impl Iterator<Item = UNetLevelPlan> {
    let count = config.block_out_channels.len();
    let down = (0..count).map(|level| UNetLevelPlan::down(config, level));
    down.chain((0..count).map(|index| UNetLevelPlan::up(config, index)))
}

/// Number of groups of the last normalisation.
pub fn out_groups(config: &UNet2DConfig) -> usize {
    let first = config.block_out_channels[0];
    config.norm_num_groups.unwrap_or(32.min(first / 4))
}

/// Number of groups of the normalisation before the attention in the middle.
///
/// With the conditioning by scale and shift, there is no normalisation unless it is stated.
pub fn mid_attention_groups(config: &UNet2DConfig) -> Option<usize> {
    config
        .attn_norm_num_groups
        .or(match config.time_conditioning {
            TimeConditioning::Default => Some(plan::middle(config).groups[0]),
            TimeConditioning::ScaleShift => None,
        })
}

/// The path of filtered pictures must be as fine as the level that it is added to, and has three channels in the library.
fn check_skips(config: &UNet2DConfig) -> Result<(), String> {
    let is_skip = |kind: &BlockType| kind.step == LevelStep::Skip;
    let down = &config.down_blocks[..config.down_blocks.len() - 1];
    let down_skips = down.iter().filter(|kind| is_skip(kind)).count();
    if !down[..down_skips].iter().all(is_skip) {
        return Err(
            "the field down_block_types has a Skip block after one of another kind: the library cannot run such a network"
                .to_owned(),
        );
    }
    let up = &config.up_blocks;
    let up_skips = up.iter().filter(|kind| is_skip(kind)).count();
    if !up[up.len() - up_skips..].iter().all(is_skip) {
        return Err(
            "the field up_block_types has a block of another kind after a Skip block: the library cannot run such a network"
                .to_owned(),
        );
    }
    if down_skips > 0 && config.in_channels != 3 {
        return Err(format!(
            "the field in_channels is {}: a network with Skip blocks on the way down needs 3",
            config.in_channels
        ));
    }
    if up_skips > 1 && config.out_channels() != 3 {
        return Err(format!(
            "the field out_channels is {}: a network with Skip blocks on the way up needs 3",
            config.out_channels()
        ));
    }
    Ok(())
}

impl UNet2DConfig {
    /// The number of weights of the network, approximately.
    pub fn numbers(&self) -> u64 {
        numbers(self)
    }
}

/// The number of weights of the matrices and convolutions of the network, and somewhat more.
fn numbers(config: &UNet2DConfig) -> u64 {
    let embedding = config.time_embedding_dim as u64;
    let resnet = |plan: &ResnetPlan| {
        let [input, output] = plan.channels.map(|n| n as u64);
        // Two convolutions, the shortcut, and the projection of the time embedding to scales and shifts.
        (10 * input + 9 * output + 2 * embedding) * output
    };
    let level = |plan: UNetLevelPlan| {
        let c = plan.channels as u64;
        let attentions = 4 * plan.attentions as u64 * c * c;
        plan.resnets
            .iter()
            .chain(&plan.step)
            .map(resnet)
            .sum::<u64>()
            + attentions
    };
    let middle = plan::middle(config);
    let channels = middle.channels[0] as u64;
    let blocks: u64 = levels(config).map(level).sum();
    let rows = match config.classes {
        Some(ClassEmbedding::Table(classes)) => classes as u64,
        _ => 0,
    };
    let first = config.block_out_channels[0] as u64;
    let steps = config.num_train_timesteps.unwrap_or(0) as u64;
    let embeddings = (2 * embedding + 4 * first + rows) * embedding + steps * first;
    let ends = 9 * first * (config.in_channels + config.out_channels()) as u64;
    blocks + 2 * resnet(&middle) + 4 * channels * channels + embeddings + ends
}
