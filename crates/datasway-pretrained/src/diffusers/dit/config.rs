//! The configuration of a `DiTTransformer2DModel`.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::fields::{Fields, check_count};

/// Largest number of weights.
const MAX_NUMBERS: u64 = 1 << 30;

/// Fields that have no effect on the results of a trained network.
const WITHOUT_EFFECT: [&str; 6] = [
    // Provenance.
    "_class_name",
    "_diffusers_version",
    "_name_or_path",
    // Off after training.
    "dropout",
    // No layer of this network is a group normalisation.
    "norm_num_groups",
    // The precision of the attention of a half-precision network. All computations have the precision of the weights.
    "upcast_attention",
];

/// The function between the two linear maps of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FeedForwardActivation {
    /// `x·Φ(x)`.
    Gelu,
    /// GELU by its approximation with tanh.
    GeluApproximate,
    /// `a·gelu(b)` with the halves a and b.
    Geglu,
    /// `x·s(1.702·x)`, s the logistic function. It has no halves, in spite of its name.
    GegluApproximate,
    /// `a·silu(b)` with the halves a and b.
    Swiglu,
    /// `silu(x)`.
    LinearSilu,
}

impl FeedForwardActivation {
    /// True if the function takes two halves.
    pub fn is_gated(self) -> bool {
        matches!(self, Self::Geglu | Self::Swiglu)
    }
}

/// The configuration of a `DiTTransformer2DModel`, each field of which is honoured.
#[derive(Debug, Clone, PartialEq)]
pub struct DiTConfig {
    /// Number of attention heads.
    pub heads: usize,
    /// Number of channels of a head.
    pub head_channels: usize,
    /// Number of channels of a picture: 1 or 3.
    pub image_channels: usize,
    /// True if the network also predicts variances, which are dropped.
    pub learned_variance: bool,
    /// Number of blocks.
    pub blocks: usize,
    /// True if the maps to queries, keys and values have a bias.
    pub attention_bias: bool,
    /// Height and width of a picture.
    pub image_size: usize,
    /// Height and width of a patch.
    pub patch_size: usize,
    /// The function inside a block.
    pub activation: FeedForwardActivation,
    /// Number of classes, without the null label.
    pub classes: usize,
    /// True if the second normalisation of a block has weights of its own.
    pub affine_norm: bool,
    /// Term added to the variance by the second normalisation of a block, if it is stated: 1e-5 by default.
    pub norm_epsilon: Option<f64>,
}

impl DiTConfig {
    /// The configuration in a `config.json`.
    ///
    /// # Errors
    /// A sentence that names the field that is not valid, not known or not supported.
    pub fn parse(config: &Value) -> Result<Self, String> {
        let mut fields = Fields::new(config)?;
        let classes = [json!("DiTTransformer2DModel"), json!("Transformer2DModel")];
        fields.require("_class_name", &classes)?;
        fields.require("norm_type", &[json!("ada_norm_zero")])?;
        refuse_other_transformers(&mut fields)?;
        fields.ignore(&WITHOUT_EFFECT);
        let image_channels = image_channels(&mut fields)?;
        let parsed = Self {
            heads: fields.take("num_attention_heads", 16)?,
            head_channels: fields.take("attention_head_dim", 72)?,
            image_channels,
            learned_variance: learned_variance(image_channels, &mut fields)?,
            blocks: fields.take("num_layers", 28)?,
            attention_bias: fields.take("attention_bias", true)?,
            image_size: fields.take("sample_size", 32)?,
            patch_size: fields.take("patch_size", 2)?,
            activation: fields.take("activation_fn", FeedForwardActivation::GeluApproximate)?,
            classes: fields
                .take("num_embeds_ada_norm", Some(1000))?
                .ok_or("the field num_embeds_ada_norm is null: it must be the number of classes")?,
            affine_norm: fields.take("norm_elementwise_affine", false)?,
            norm_epsilon: fields.take("norm_eps", None)?,
        };
        fields.finish()?;
        parsed.check()?;
        Ok(parsed)
    }

    /// Number of channels of a token.
    pub fn channels(&self) -> usize {
        self.heads * self.head_channels
    }

    /// Number of patches along a side.
    pub fn side(&self) -> usize {
        self.image_size / self.patch_size
    }

    /// Channels, height and width of a picture.
    pub fn shape(&self) -> [usize; 3] {
        [self.image_channels, self.image_size, self.image_size]
    }

    /// Number of channels of the network's output.
    pub fn output_channels(&self) -> usize {
        self.image_channels * (1 + usize::from(self.learned_variance))
    }

    /// The row of the table of classes for a class, or for the null label.
    ///
    /// # Errors
    /// If there is no such class.
    pub fn label(&self, class: Option<usize>) -> Result<usize, String> {
        match class {
            Some(class) if class >= self.classes => Err(format!(
                "there is no class {class}: the network has the classes 0 to {}",
                self.classes - 1
            )),
            // LabelEmbedding puts the null label behind the classes.
            class => Ok(class.unwrap_or(self.classes)),
        }
    }

    /// Checks the sizes, before anything is allocated.
    fn check(&self) -> Result<(), String> {
        check_count("num_attention_heads", self.heads, 1 << 10)?;
        check_count("attention_head_dim", self.head_channels, 1 << 12)?;
        check_count("num_layers", self.blocks, 1 << 10)?;
        check_count("sample_size", self.image_size, 1 << 12)?;
        check_count("patch_size", self.patch_size, self.image_size)?;
        check_count("num_embeds_ada_norm", self.classes, 1 << 24)?;
        if !self.image_size.is_multiple_of(self.patch_size) {
            return Err(format!(
                "the field sample_size, {}, is not a multiple of patch_size, {}",
                self.image_size, self.patch_size
            ));
        }
        if !self.channels().is_multiple_of(4) {
            return Err(format!(
                "num_attention_heads·attention_head_dim is {}: the embedding of positions needs a multiple of 4",
                self.channels()
            ));
        }
        if self.norm_epsilon.is_some_and(|e| !(0.0..1.0).contains(&e)) {
            return Err("the field norm_eps must be between 0 and 1".to_owned());
        }
        let numbers = self.numbers();
        if numbers > MAX_NUMBERS {
            return Err(format!(
                "a network of this configuration has {numbers} weights, more than {MAX_NUMBERS}: it is too large"
            ));
        }
        Ok(())
    }

    /// An upper bound of the number of weights, and of the entries of the embedding of positions.
    pub fn numbers(&self) -> u64 {
        let [c, classes, blocks] = [self.channels(), self.classes, self.blocks].map(|n| n as u64);
        let patch = (self.patch_size * self.patch_size * self.output_channels()) as u64;
        let tokens = (self.side() * self.side()) as u64;
        let conditioner = (classes + 1 + 256 + c + 2) * c;
        // Modulation 6, attention 4, both maps of a block 4 + 8.
        let block = (22 * c + 30) * c + conditioner;
        blocks * block + (2 * patch + 2 * c + tokens + 4) * c + patch
    }
}

/// The channels of a picture.
fn image_channels(fields: &mut Fields) -> Result<usize, String> {
    match fields.take("in_channels", 4)? {
        channels @ (1 | 3) => Ok(channels),
        other => Err(format!(
            "the field in_channels is {other}: this is a model of the latent space of an autoencoder, whose decoder and its \
             derivatives would be needed too; only models of pixels, with 1 or 3 channels, are supported"
        )),
    }
}

/// True if the output has twice the channels of the input.
fn learned_variance(image_channels: usize, fields: &mut Fields) -> Result<bool, String> {
    match fields.take("out_channels", None::<usize>)? {
        None => Ok(false),
        Some(output) if output == image_channels => Ok(false),
        Some(output) if Some(output) == image_channels.checked_mul(2) => Ok(true),
        Some(output) => Err(format!(
            "the field out_channels is {output}: it must be in_channels, {image_channels}, or twice as many with a learned variance"
        )),
    }
}

/// Fields of `Transformer2DModel`, the earlier name of the class: all but these values are of other networks.
fn refuse_other_transformers(fields: &mut Fields) -> Result<(), String> {
    let none = [Value::Null];
    let off = [json!(false)];
    for name in [
        "cross_attention_dim",
        "num_vector_embeds",
        "caption_channels",
        "interpolation_scale",
        "use_additional_conditions",
    ] {
        fields.require(name, &none)?;
    }
    for name in [
        "use_linear_projection",
        "only_cross_attention",
        "double_self_attention",
    ] {
        fields.require(name, &off)?;
    }
    fields.require("attention_type", &[json!("default")])
}
