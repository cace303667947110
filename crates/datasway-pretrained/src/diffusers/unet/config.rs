//! The configuration of a `UNet2DModel`.

use serde::Deserialize;
use serde_json::{Value, json};

use super::block_type::BlockType;
use super::limits;
use crate::fields::Fields;
use crate::resampling::Direction;

/// Fields that have no effect on the results of a trained network.
const WITHOUT_EFFECT: [&str; 4] = [
    // Provenance.
    "_diffusers_version",
    "_name_or_path",
    // Off after training.
    "dropout",
    // Whether the attention is computed in slices, in old files. The result is the same.
    "attention_slice",
];

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

/// The resampling between the levels of an `AttnDownBlock2D` or `AttnUpBlock2D`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResamplingType {
    /// A convolution.
    Conv,
    /// A residual block.
    Resnet,
}

/// The classes of a conditional network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClassEmbedding {
    /// A table with a row for each of these classes.
    Table(usize),
    /// The embedding of a time step, applied to the number of the class.
    Timestep,
}

/// The height and width of a picture, as the library writes it.
#[derive(Deserialize)]
#[serde(untagged)]
enum SampleSize {
    Square(usize),
    Rectangle([usize; 2]),
}

/// The configuration of a `UNet2DModel`, each field of which is honoured.
#[derive(Debug, Clone, PartialEq)]
pub struct UNetConfig {
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

impl UNetConfig {
    /// The configuration in a `config.json`.
    ///
    /// # Errors
    /// A sentence that names the field that is not valid, not known or not supported.
    pub fn parse(config: &Value) -> Result<Self, String> {
        let mut fields = Fields::new(config)?;
        // The second is the name of the class in the first files.
        let classes = [json!("UNet2DModel"), json!("UNetUnconditionalModel")];
        fields.require("_class_name", &classes)?;
        fields.ignore(&WITHOUT_EFFECT);
        let in_channels = fields.take("in_channels", 3)?;
        let block_out_channels: Vec<usize> =
            fields.take("block_out_channels", vec![224, 448, 672, 896])?;
        // The library takes zero for absent.
        let embedding = fields.take("time_embedding_dim", None)?.filter(|n| *n != 0);
        let first = block_out_channels.first().copied().unwrap_or_default();
        let parsed = Self {
            sample_size: sample_size(&mut fields)?,
            in_channels,
            learned_variance: learned_variance(in_channels, &mut fields)?,
            center_input_sample: fields.take("center_input_sample", false)?,
            time_embedding_type: fields
                .take("time_embedding_type", TimeEmbeddingType::Positional)?,
            time_embedding_dim: embedding.unwrap_or(first.saturating_mul(4)),
            freq_shift: fields.take("freq_shift", 0.0)?,
            flip_sin_to_cos: fields.take("flip_sin_to_cos", true)?,
            num_train_timesteps: fields.take("num_train_timesteps", None)?,
            down_blocks: blocks(&mut fields, Direction::Down)?,
            mid_block: mid_block(&mut fields)?,
            up_blocks: blocks(&mut fields, Direction::Up)?,
            block_out_channels,
            layers_per_block: fields.take("layers_per_block", 2)?,
            mid_block_scale_factor: fields.take("mid_block_scale_factor", 1.0)?,
            downsample_padding: fields.take("downsample_padding", 1)?,
            activation: activation(&mut fields)?,
            attention_head_dim: fields.take("attention_head_dim", Some(8))?,
            norm_num_groups: fields.take("norm_num_groups", Some(32))?,
            attn_norm_num_groups: fields.take("attn_norm_num_groups", None)?,
            norm_eps: fields.take("norm_eps", 1e-5)?,
            time_conditioning: fields.take("resnet_time_scale_shift", TimeConditioning::Default)?,
            add_attention: fields.take("add_attention", true)?,
            classes: class_embedding(&mut fields)?,
        };
        fields.finish()?;
        limits::check(&parsed)?;
        Ok(parsed)
    }

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

fn sample_size(fields: &mut Fields) -> Result<Option<[usize; 2]>, String> {
    let size: Option<SampleSize> = fields.take("sample_size", None)?;
    Ok(size.map(|size| match size {
        SampleSize::Square(side) => [side, side],
        SampleSize::Rectangle(size) => size,
    }))
}

/// True if the output has twice the channels of the input.
fn learned_variance(in_channels: usize, fields: &mut Fields) -> Result<bool, String> {
    let output: usize = fields.take("out_channels", 3)?;
    if output == in_channels {
        return Ok(false);
    }
    if Some(output) == in_channels.checked_mul(2) {
        return Ok(true);
    }
    Err(format!(
        "the field out_channels is {output}: it must be in_channels, {in_channels}, or twice as many with a learned variance"
    ))
}

/// The blocks of one way.
fn blocks(fields: &mut Fields, direction: Direction) -> Result<Vec<BlockType>, String> {
    let (name, default, resampling) = match direction {
        Direction::Down => (
            "down_block_types",
            [
                "DownBlock2D",
                "AttnDownBlock2D",
                "AttnDownBlock2D",
                "AttnDownBlock2D",
            ],
            "downsample_type",
        ),
        Direction::Up => (
            "up_block_types",
            [
                "AttnUpBlock2D",
                "AttnUpBlock2D",
                "AttnUpBlock2D",
                "UpBlock2D",
            ],
            "upsample_type",
        ),
    };
    let names = fields.take(name, default.map(str::to_owned).to_vec())?;
    let resampling: Option<ResamplingType> = fields.take(resampling, None)?;
    // The library takes null for "conv".
    let resampling = resampling.unwrap_or(ResamplingType::Conv);
    let parse = |block: &String| BlockType::parse(block, direction, resampling);
    let blocks: Option<Vec<BlockType>> = names.iter().map(parse).collect();
    blocks.ok_or_else(|| {
        let unknown = names.iter().find(|block| parse(block).is_none());
        let unknown: String = unknown
            .into_iter()
            .flat_map(|name| name.chars().take(80))
            .collect();
        format!(
            "the field {name} has {unknown}, which is not supported: only {} are",
            BlockType::names(direction).join(", ")
        )
    })
}

fn mid_block(fields: &mut Fields) -> Result<bool, String> {
    let supported = "UNetMidBlock2D";
    let kind: Option<String> = fields.take("mid_block_type", Some(supported.to_owned()))?;
    match kind.as_deref() {
        None => Ok(false),
        Some(kind) if kind == supported => Ok(true),
        Some(kind) => {
            let kind: String = kind.chars().take(80).collect();
            Err(format!(
                "the field mid_block_type is {kind}, which is not supported: only {supported} and null are"
            ))
        }
    }
}

fn activation(fields: &mut Fields) -> Result<Activation, String> {
    let name: String = fields.take("act_fn", "silu".to_owned())?;
    // The library ignores the case.
    serde_json::from_value(json!(name.to_lowercase())).map_err(|_| {
        let name: String = name.chars().take(80).collect();
        format!("the field act_fn is {name}, which is not supported: only silu, swish, mish, gelu and relu are")
    })
}

/// The classes, from two fields.
fn class_embedding(fields: &mut Fields) -> Result<Option<ClassEmbedding>, String> {
    let classes: Option<usize> = fields.take("num_class_embeds", None)?;
    let kind: Option<String> = fields.take("class_embed_type", None)?;
    match kind.as_deref() {
        None => Ok(classes.map(ClassEmbedding::Table)),
        // The library does not read the number of classes then.
        Some("timestep") => Ok(Some(ClassEmbedding::Timestep)),
        Some("identity") => Err(
            "the field class_embed_type is identity: this network takes vectors of a second model, not the number of a class, \
             and is not supported without them"
                .to_owned(),
        ),
        Some(other) => {
            let other: String = other.chars().take(80).collect();
            Err(format!(
                "the field class_embed_type is {other}, which is not supported: only null and timestep are"
            ))
        }
    }
}
