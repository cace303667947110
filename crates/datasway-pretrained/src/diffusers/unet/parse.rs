//! The configuration of a `UNet2DModel` from its file, field by field.

use serde::Deserialize;
use serde_json::{Value, json};

use super::block_type::{BlockType, ResamplingType};
use super::config::{
    Activation, ClassEmbedding, TimeConditioning, TimeEmbeddingType, UNet2DConfig,
};
use super::limits;
use crate::fields::Fields;
use crate::resampling::ScaleChange;

/// Fields that have no effect on the results of a trained network.
const WITHOUT_EFFECT: [&str; 11] = [
    // Provenance.
    "_diffusers_version",
    "_name_or_path",
    // Off after training.
    "dropout",
    // Whether the attention is computed in slices, in old files. The result is the same.
    "attention_slice",
    // The state of the average of the weights, which `EMAModel.save_pretrained` writes beside the configuration.
    "decay",
    "min_decay",
    "optimization_step",
    "update_after_step",
    "use_ema_warmup",
    "inv_gamma",
    "power",
];

/// The height and width of a picture, as the library writes it.
#[derive(Deserialize)]
#[serde(untagged)]
enum SampleSize {
    Square(usize),
    Rectangle([usize; 2]),
}

impl UNet2DConfig {
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
            down_blocks: blocks(&mut fields, ScaleChange::Down)?,
            mid_block: mid_block(&mut fields)?,
            up_blocks: blocks(&mut fields, ScaleChange::Up)?,
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
fn blocks(fields: &mut Fields, direction: ScaleChange) -> Result<Vec<BlockType>, String> {
    let (name, default, resampling) = match direction {
        ScaleChange::Down => (
            "down_block_types",
            [
                "DownBlock2D",
                "AttnDownBlock2D",
                "AttnDownBlock2D",
                "AttnDownBlock2D",
            ],
            "downsample_type",
        ),
        ScaleChange::Up => (
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
