//! Configuration of the U-Net.

use serde::{Deserialize, Serialize};

use crate::{DiffusionError, range};

/// Largest number of image channels.
const MAX_IMAGE_CHANNELS: usize = 64;
/// Largest height and width of an image, in pixels.
const MAX_SIZE: usize = 4096;
/// Largest number of channels of a level.
const MAX_CHANNELS: usize = 16_384;
/// Largest number of levels. An image of the largest size is then a single pixel.
const MAX_LEVELS: usize = 13;
/// Largest number of residual blocks of a level.
const MAX_BLOCKS: usize = 64;

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
    /// Groups of every normalisation. Without it, each has as many as divide its channels, at most 32, each of at least four channels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<usize>,
}

impl UNetConfig {
    /// Number of entries of one image.
    pub fn dim(&self) -> usize {
        self.image_channels * self.image_size * self.image_size
    }

    /// Checks that every number is in its range, the levels fit the image and the heads fit the channels.
    ///
    /// # Errors
    /// A sentence that names the field.
    pub fn validate(&self) -> Result<(), DiffusionError> {
        let bad = |message: String| Err(DiffusionError::Invalid(message));
        let bounds = [
            ("image_channels", self.image_channels, MAX_IMAGE_CHANNELS),
            ("image_size", self.image_size, MAX_SIZE),
            ("channels", self.channels, MAX_CHANNELS),
            (
                "the number of multipliers",
                self.multipliers.len(),
                MAX_LEVELS,
            ),
            ("blocks", self.blocks, MAX_BLOCKS),
            ("head_channels", self.head_channels, MAX_CHANNELS),
            ("groups", self.groups.unwrap_or(1), MAX_CHANNELS),
        ];
        let multipliers = self.multipliers.iter();
        let multipliers = multipliers.map(|m| ("each of multipliers", *m, MAX_CHANNELS));
        let attention = self.attention.iter();
        let attention = attention.map(|size| ("each size of attention", *size, MAX_SIZE));
        for (name, value, most) in bounds.into_iter().chain(multipliers).chain(attention) {
            range::check(name, value, 1..=most)?;
        }
        let levels = self.multipliers.iter().map(|m| self.channels * m);
        let groups = self.groups.unwrap_or(1);
        if let Some(channels) = levels
            .chain([self.channels])
            .find(|c| !c.is_multiple_of(groups))
        {
            return bad(format!(
                "groups is {groups}, which does not divide {channels} channels"
            ));
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
            if channels > MAX_CHANNELS {
                return bad(format!(
                    "channels {} times multiplier {multiplier} is more than {MAX_CHANNELS}",
                    self.channels
                ));
            }
            if self.attention.contains(&(self.image_size >> level))
                && !channels.is_multiple_of(self.head_channels)
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
