//! The shape of the network.

use serde::{Deserialize, Serialize};

use crate::DiffusionError;

/// A DDPM-style U-Net (Ho et al. 2020).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UNetConfig {
    /// Colour channels of the images.
    pub image_channels: usize,
    /// Height and width of the (square) images, in pixels.
    pub image_size: usize,
    /// Channels of the finest level.
    pub channels: usize,
    /// Channels of each level, as multiples of `channels`; each level halves the resolution.
    pub multipliers: Vec<usize>,
    /// Residual blocks on each level.
    pub blocks: usize,
    /// Resolutions at which self-attention follows every residual block.
    pub attention: Vec<usize>,
    /// Channels in each attention head.
    pub head_channels: usize,
}

impl UNetConfig {
    /// Number of entries of one image.
    pub fn dim(&self) -> usize {
        self.image_channels * self.image_size * self.image_size
    }

    /// Checks that the levels fit the image and the heads fit the channels.
    pub fn validate(&self) -> Result<(), DiffusionError> {
        let bad = |message: String| Err(DiffusionError::Config(message));
        if self.image_channels == 0 || self.image_size == 0 || self.channels == 0 {
            return bad("image channels, image size and channels must be at least 1".into());
        }
        if self.multipliers.is_empty() || self.multipliers.contains(&0) || self.blocks == 0 {
            return bad(
                "a U-Net needs at least one level, no multiplier of 0, and one block".into(),
            );
        }
        let halvings = self.multipliers.len() - 1;
        if !self.image_size.is_multiple_of(1 << halvings) {
            return bad(format!(
                "an image of {0}×{0} cannot be halved {halvings} times: use fewer multipliers or another size",
                self.image_size
            ));
        }
        for (level, multiplier) in self.multipliers.iter().enumerate() {
            let channels = self.channels * multiplier;
            if self.attention.contains(&(self.image_size >> level))
                && !channels.is_multiple_of(self.head_channels.max(1))
            {
                return bad(format!(
                    "{channels} channels cannot be split into heads of {}",
                    self.head_channels
                ));
            }
        }
        Ok(())
    }
}
