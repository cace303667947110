//! The configuration of a `UNet2DModel`.

use serde::Deserialize;

use super::block_type::BlockType;

/// The embedding of the time step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TimeEmbeddingType {
    /// Sines and cosines of fixed frequencies.
    Positional,
    /// Sines and cosines of `ln t` with drawn frequencies. The output is divided by t.
    Fourier,
    /// A table with a row for each whole time step.
    Learned,
}

/// The effect of the time embedding on a residual block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeConditioning {
    /// A shift before the second normalisation.
    Default,
    /// A scale and a shift after the second normalisation.
    ScaleShift,
}

/// The activation function of the residual blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// `x·s(x)`, s the logistic function.
    #[serde(alias = "swish")]
    Silu,
    /// `x·tanh(ln(1 + eˣ))`.
    Mish,
    /// `x·Φ(x)`.
    Gelu,
    /// `max(x, 0)`.
    Relu,
}

/// The classes of a conditional network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClassEmbedding {
    /// A table with a row for each of these classes.
    Table(usize),
    /// The embedding of a time step, applied to the number of the class.
    Timestep,
}

/// The configuration of a `UNet2DModel`, each field of which is honoured.
#[derive(Debug, Clone, PartialEq)]
pub struct UNet2DConfig {
    /// Height and width of a picture, if it is stated.
    pub sample_size: Option<[usize; 2]>,
    /// Number of channels of a picture.
    pub in_channels: usize,
    /// True if the network also predicts variances, which are dropped.
    pub learned_variance: bool,
    /// True if the network sees `2x − 1` in the place of x.
    pub center_input_sample: bool,
    /// The embedding of the time step.
    pub time_embedding_type: TimeEmbeddingType,
    /// Number of channels of the time embedding.
    pub time_embedding_dim: usize,
    /// Subtracted from the number of frequencies in their exponents.
    pub freq_shift: f64,
    /// True if cosines come before sines.
    pub flip_sin_to_cos: bool,
    /// Number of rows of a table of time steps.
    pub num_train_timesteps: Option<usize>,
    /// The blocks of the way down.
    pub down_blocks: Vec<BlockType>,
    /// True if there is a block in the middle.
    pub mid_block: bool,
    /// The blocks of the way up.
    pub up_blocks: Vec<BlockType>,
    /// Number of channels of each level.
    pub block_out_channels: Vec<usize>,
    /// Number of residual blocks of a level of the way down. There is one more on the way up.
    pub layers_per_block: usize,
    /// Divisor of the sums in the middle.
    pub mid_block_scale_factor: f64,
    /// Pixels of zeros around a convolution with stride 2. Zero stands for one at the right and the bottom.
    pub downsample_padding: usize,
    /// The activation function of the residual blocks.
    pub activation: Activation,
    /// Number of channels of a head. Without it, there is one head.
    pub attention_head_dim: Option<usize>,
    /// Number of groups of the normalisations.
    pub norm_num_groups: Option<usize>,
    /// Number of groups of the normalisation before the attention in the middle.
    pub attn_norm_num_groups: Option<usize>,
    /// Term added to the variance by the normalisations.
    pub norm_eps: f64,
    /// The effect of the time embedding on a residual block.
    pub time_conditioning: TimeConditioning,
    /// True if the middle has self-attention.
    pub add_attention: bool,
    /// The classes, if the network is conditional.
    pub classes: Option<ClassEmbedding>,
}

impl UNet2DConfig {
    /// Number of channels of the network's output in the file.
    pub fn out_channels(&self) -> usize {
        self.in_channels * (1 + usize::from(self.learned_variance))
    }

    /// Number of channels of a head of an attention over `channels`.
    pub fn head_channels(&self, channels: usize) -> usize {
        self.attention_head_dim.unwrap_or(channels)
    }

    /// Checks that pictures of this size can be halved at each level but the last.
    ///
    /// # Errors
    /// A sentence with the size that would be needed.
    pub fn check_size(&self, [height, width]: [usize; 2]) -> Result<(), String> {
        let multiple = 1 << (self.block_out_channels.len() - 1);
        let fits = |pixels: usize| pixels > 0 && pixels.is_multiple_of(multiple);
        if fits(height) && fits(width) {
            return Ok(());
        }
        Err(format!(
            "the height and width of a picture, {height}×{width}, must be multiples of {multiple}, \
             because the network has {} levels",
            self.block_out_channels.len()
        ))
    }
}
