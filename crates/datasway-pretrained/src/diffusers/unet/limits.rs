//! Checks of a configuration before anything is allocated.

use super::block_type::LevelStep;
use super::config::{TimeConditioning, TimeEmbeddingType, UNetConfig};
use crate::fields::check_count;

/// Largest number of weights.
const MAX_NUMBERS: u64 = 1 << 30;

/// Checks that the library could build the network, and that it is not too large.
pub fn check(config: &UNetConfig) -> Result<(), String> {
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

fn check_counts(config: &UNetConfig) -> Result<(), String> {
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
    if let Some(super::config::ClassEmbedding::Table(classes)) = config.classes {
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

fn check_embedding(config: &UNetConfig) -> Result<(), String> {
    let half = (config.block_out_channels[0] / 2) as f64;
    let positional = config.time_embedding_type == TimeEmbeddingType::Positional;
    if positional && !(config.freq_shift.is_finite() && half - config.freq_shift > 0.0) {
        return Err(format!(
            "the field freq_shift is {}: it must be less than {half}, half the channels of the first level",
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
fn check_divisors(config: &UNetConfig) -> Result<(), String> {
    let divides = |channels: usize, parts: usize, name: &str| {
        if parts > 0 && channels.is_multiple_of(parts) {
            return Ok(());
        }
        Err(format!(
            "a layer of {channels} channels cannot be divided by the field {name}, {parts}"
        ))
    };
    let channels = &config.block_out_channels;
    let levels = channels.len();
    for level in 0..levels {
        let output = channels[level];
        let up = levels - 1 - level;
        let kinds = [config.down_blocks[level], config.up_blocks[up]];
        let coarser = channels[(level + 1).min(levels - 1)];
        let finer = channels[level.saturating_sub(1)];
        let inputs = [finer, output, coarser + output, 2 * output, output + finer];
        for kind in kinds {
            if kind.step == LevelStep::Skip {
                // Fixed in the library: at most 32 groups, of four channels, and 32 before attention.
                let parts = 32.min(output / 4);
                divides(output, parts, "block_out_channels")?;
                for input in inputs {
                    divides(input, 32.min(input / 4), "block_out_channels")?;
                }
                if kind.attention {
                    divides(output, 32, "block_out_channels")?;
                }
            } else {
                let Some(groups) = config.norm_num_groups else {
                    return Err(
                        "the field norm_num_groups is null: only SkipDownBlock2D, SkipUpBlock2D and those with attention are \
                         built without it"
                            .to_owned(),
                    );
                };
                for input in inputs {
                    divides(input, groups, "norm_num_groups")?;
                }
            }
            if kind.attention {
                divides(output, config.head_channels(output), "attention_head_dim")?;
            }
        }
    }
    divides(channels[0], out_groups(config), "norm_num_groups")?;
    if config.mid_block {
        let last = channels[levels - 1];
        divides(last, mid_groups(config), "norm_num_groups")?;
        if config.add_attention {
            divides(last, config.head_channels(last), "attention_head_dim")?;
            if let Some(groups) = mid_attention_groups(config) {
                divides(last, groups, "attn_norm_num_groups")?;
            }
        }
    }
    Ok(())
}

/// Number of groups of the last normalisation.
pub fn out_groups(config: &UNetConfig) -> usize {
    let first = config.block_out_channels[0];
    config.norm_num_groups.unwrap_or(32.min(first / 4))
}

/// Number of groups of the residual blocks in the middle.
pub fn mid_groups(config: &UNetConfig) -> usize {
    let last = config.block_out_channels[config.block_out_channels.len() - 1];
    config.norm_num_groups.unwrap_or(32.min(last / 4))
}

/// Number of groups of the normalisation before the attention in the middle.
///
/// With the conditioning by scale and shift, there is no normalisation unless it is stated.
pub fn mid_attention_groups(config: &UNetConfig) -> Option<usize> {
    config
        .attn_norm_num_groups
        .or(match config.time_conditioning {
            TimeConditioning::Default => Some(mid_groups(config)),
            TimeConditioning::ScaleShift => None,
        })
}

/// The path of filtered pictures must be as fine as the level that it is added to, and has three channels in the library.
fn check_skips(config: &UNetConfig) -> Result<(), String> {
    let is_skip = |kind: &super::block_type::BlockType| kind.step == LevelStep::Skip;
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

/// An upper bound of the number of weights.
fn numbers(config: &UNetConfig) -> u64 {
    let widest = |level: usize| config.block_out_channels.get(level).copied().unwrap_or(0) as u64;
    let (embedding, layers) = (
        config.time_embedding_dim as u64,
        config.layers_per_block as u64,
    );
    let blocks: u64 = (0..config.block_out_channels.len())
        .map(|level| {
            let output = widest(level);
            let neighbour = widest(level + 1).max(if level > 0 { widest(level - 1) } else { 0 });
            let input = output + neighbour.max(output);
            // Two convolutions, the shortcut and the projection of the time embedding; attention; both ways and resampling.
            let block = 10 * input * output + 9 * output * output + 2 * embedding * output;
            (2 * layers + 4) * (block + 4 * output * output)
        })
        .sum();
    let rows = match config.classes {
        Some(super::config::ClassEmbedding::Table(classes)) => classes as u64,
        _ => 0,
    };
    let first = widest(0);
    let steps = config.num_train_timesteps.unwrap_or(0) as u64;
    let embeddings = (2 * embedding + 4 * first + rows) * embedding + steps * first;
    blocks + embeddings + 9 * first * 3 * config.in_channels as u64
}
