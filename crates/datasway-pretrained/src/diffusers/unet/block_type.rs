//! The kinds of blocks of a level.

use serde::Deserialize;

use crate::resampling::ScaleChange;

/// The resampling between the levels of an `AttnDownBlock2D` or `AttnUpBlock2D`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResamplingType {
    /// A convolution.
    Conv,
    /// A residual block.
    Resnet,
}

/// The step from a level to the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LevelStep {
    /// A convolution: with stride 2, or after nearest-neighbour upsampling.
    Conv,
    /// A residual block that resamples by averages or nearest neighbours.
    Resnet,
    /// A residual block that resamples by a filter, beside a path of filtered pictures from level to level (NCSN++).
    Skip,
}

/// The kind of the blocks of a level: attention, and the step to the next level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockType {
    /// True if residual blocks are followed by self-attention.
    pub attention: bool,
    /// The step to the next level.
    pub step: LevelStep,
}

/// Prefix of names in old files, which the library drops too.
const OLD_PREFIX: &str = "UNetRes";

impl BlockType {
    /// The kind with this name, if it is supported. `resampling` is that of plain blocks with attention.
    pub fn parse(name: &str, direction: ScaleChange, resampling: ResamplingType) -> Option<Self> {
        let name = name.strip_prefix(OLD_PREFIX).unwrap_or(name);
        let [plain, attention, resnet, skip, attention_skip] = Self::names(direction);
        let with_attention = match resampling {
            ResamplingType::Conv => LevelStep::Conv,
            ResamplingType::Resnet => LevelStep::Resnet,
        };
        let kinds = [
            (plain, false, LevelStep::Conv),
            (attention, true, with_attention),
            (resnet, false, LevelStep::Resnet),
            (skip, false, LevelStep::Skip),
            (attention_skip, true, LevelStep::Skip),
        ];
        let kind = kinds.into_iter().find(|kind| kind.0 == name);
        kind.map(|(_, attention, step)| Self { attention, step })
    }

    /// The names of the supported kinds.
    pub fn names(direction: ScaleChange) -> [&'static str; 5] {
        match direction {
            ScaleChange::Down => [
                "DownBlock2D",
                "AttnDownBlock2D",
                "ResnetDownsampleBlock2D",
                "SkipDownBlock2D",
                "AttnSkipDownBlock2D",
            ],
            ScaleChange::Up => [
                "UpBlock2D",
                "AttnUpBlock2D",
                "ResnetUpsampleBlock2D",
                "SkipUpBlock2D",
                "AttnSkipUpBlock2D",
            ],
        }
    }
}
