//! The residual blocks of a network, by size.

use super::block_type::{BlockType, LevelStep};
use super::config::UNet2DConfig;
use crate::resampling::{Resampling, ScaleChange};

/// Averages of two pixels, and nearest neighbours.
pub const BOX: [f64; 2] = [0.5, 0.5];

/// The filter of NCSN++.
pub const FILTER: [f64; 4] = [0.125, 0.375, 0.375, 0.125];

/// Properties that distinguish a residual block from others of its network.
#[derive(Debug, Clone)]
pub struct ResnetPlan {
    /// Number of channels of the input and the output.
    pub channels: [usize; 2],
    /// Numbers of groups of the two normalisations.
    pub groups: [usize; 2],
    /// Divisor of the sum of both paths.
    pub scale: f64,
    /// Resampling of both paths.
    pub resampling: Option<Resampling>,
    /// True if the input passes a 1×1 convolution.
    pub shortcut: bool,
}

/// The sizes of the blocks of a level.
#[derive(Debug, Clone)]
pub struct UNetLevelPlan {
    /// Kind of the blocks.
    pub kind: BlockType,
    /// Number of channels of the output.
    pub channels: usize,
    /// Number of groups of the normalisation of the output.
    pub groups: usize,
    /// Divisor of the sums.
    pub scale: f64,
    /// The residual blocks.
    pub resnets: Vec<ResnetPlan>,
    /// Number of attentions. If it is less than that of blocks, they are after the last ones.
    pub attentions: usize,
    /// Number of groups of the normalisation of an attention.
    pub attention_groups: usize,
    /// The residual block to the next level, for a step by one. None at the last level.
    pub step: Option<ResnetPlan>,
}

impl UNetLevelPlan {
    /// The blocks of a level of the way down, the finest first.
    pub fn down(config: &UNet2DConfig, level: usize) -> Self {
        let channels = &config.block_out_channels;
        let (finer, output) = (channels[level.saturating_sub(1)], channels[level]);
        let inputs = (0..config.layers_per_block).map(|i| if i > 0 { output } else { finer });
        let kind = config.down_blocks[level];
        let mut plan = Self::new(config, kind, output, inputs.map(|input| [input, 0]));
        if level + 1 < channels.len() {
            plan.step = Some(plan.resampling(config, ScaleChange::Down));
        }
        plan
    }

    /// The blocks of a level of the way up, the coarsest first.
    pub fn up(config: &UNet2DConfig, index: usize) -> Self {
        let channels = &config.block_out_channels;
        let level = channels.len() - 1 - index;
        let (finer, output) = (channels[level.saturating_sub(1)], channels[level]);
        let coarser = channels[(level + 1).min(channels.len() - 1)];
        let layers = config.layers_per_block + 1;
        // The last block takes the first skip of the level, which has the channels of the finer one.
        let inputs = (0..layers).map(|i| {
            [
                if i > 0 { output } else { coarser },
                if i + 1 < layers { output } else { finer },
            ]
        });
        let kind = config.up_blocks[index];
        let mut plan = Self::new(config, kind, output, inputs.clone());
        if kind.attention && kind.step == LevelStep::Skip {
            plan.attentions = 1;
            for (resnet, [input, skip]) in plan.resnets.iter_mut().zip(inputs) {
                // In AttnSkipUpBlock2D, the library divides only one of both numbers by four.
                resnet.groups[0] = 32.min(input + skip / 4);
            }
        }
        if level > 0 {
            plan.step = Some(plan.resampling(config, ScaleChange::Up));
        }
        plan
    }

    /// Blocks with these numbers of channels of the input and of a skip connection.
    fn new(
        config: &UNet2DConfig,
        kind: BlockType,
        channels: usize,
        inputs: impl Iterator<Item = [usize; 2]>,
    ) -> Self {
        let is_skip = kind.step == LevelStep::Skip;
        let scale = if is_skip { 2.0_f64.sqrt() } else { 1.0 };
        let resnets: Vec<ResnetPlan> = inputs
            .map(|[input, skip]| resnet(config, kind, [input + skip, channels], scale))
            .collect();
        let groups = groups(config, kind, channels);
        Self {
            kind,
            channels,
            groups,
            scale,
            attentions: if kind.attention { resnets.len() } else { 0 },
            // 32 groups are fixed in the library.
            attention_groups: if is_skip { 32 } else { groups },
            resnets,
            step: None,
        }
    }

    /// The residual block between two levels.
    fn resampling(&self, config: &UNet2DConfig, direction: ScaleChange) -> ResnetPlan {
        let is_skip = self.kind.step == LevelStep::Skip;
        let taps = if is_skip {
            FILTER.to_vec()
        } else {
            BOX.to_vec()
        };
        ResnetPlan {
            resampling: Some(Resampling::new(taps, direction)),
            shortcut: is_skip,
            ..resnet(config, self.kind, [self.channels; 2], self.scale)
        }
    }
}

fn resnet(config: &UNet2DConfig, kind: BlockType, channels: [usize; 2], scale: f64) -> ResnetPlan {
    ResnetPlan {
        channels,
        groups: channels.map(|channels| groups(config, kind, channels)),
        scale,
        resampling: None,
        shortcut: channels[0] != channels[1],
    }
}

/// Number of groups of the normalisation of a residual block. Skip blocks have their own; others need it in the configuration.
fn groups(config: &UNet2DConfig, kind: BlockType, channels: usize) -> usize {
    match config.norm_num_groups {
        Some(groups) if kind.step != LevelStep::Skip => groups,
        _ => 32.min(channels / 4),
    }
}

/// The residual blocks of the middle.
pub fn middle(config: &UNet2DConfig) -> ResnetPlan {
    let channels = config.block_out_channels[config.block_out_channels.len() - 1];
    let groups = config.norm_num_groups.unwrap_or(32.min(channels / 4));
    ResnetPlan {
        channels: [channels; 2],
        groups: [groups; 2],
        scale: config.mid_block_scale_factor,
        resampling: None,
        shortcut: false,
    }
}
