//! The file `edm.json`: arguments of the wrapper and of the network.

use serde::{Deserialize, Deserializer};

/// The file `edm.json`, as `scripts/edm_to_safetensors.py` writes it.
///
/// Every argument is in the file, also those that were left at their defaults, so no default is assumed here.
/// An argument that is missing or not known is an error.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EdmConfig {
    /// Class and arguments of the preconditioning.
    pub wrapper: Wrapper,
    /// Class and arguments of the network.
    pub network: Network,
}

/// The preconditioning by its class.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "class")]
pub enum Wrapper {
    /// Variance preserving.
    #[serde(rename = "VPPrecond")]
    Vp(VpWrapper),
    /// Variance exploding.
    #[serde(rename = "VEPrecond")]
    Ve(VeWrapper),
    /// Improved DDPM.
    #[serde(rename = "iDDPMPrecond")]
    Iddpm(IddpmWrapper),
    /// EDM.
    #[serde(rename = "EDMPrecond")]
    Edm(EdmWrapper),
}

/// Arguments of `VPPrecond`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VpWrapper {
    /// Height and width of a picture.
    pub img_resolution: usize,
    /// Colour channels.
    pub img_channels: usize,
    /// Number of classes, 0 if unconditional.
    pub label_dim: usize,
    /// Half precision on a GPU. Without effect: the precision is chosen where the model is loaded.
    pub use_fp16: bool,
    /// Extent `β_d` of the noise schedule.
    pub beta_d: f64,
    /// First slope `β_min` of the noise schedule.
    pub beta_min: f64,
    /// Number of time steps of the DDPM formulation.
    #[serde(rename = "M")]
    pub steps: usize,
    /// Smallest time of the training.
    pub epsilon_t: f64,
}

/// Arguments of `VEPrecond`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VeWrapper {
    /// Height and width of a picture.
    pub img_resolution: usize,
    /// Colour channels.
    pub img_channels: usize,
    /// Number of classes, 0 if unconditional.
    pub label_dim: usize,
    /// Half precision on a GPU. Without effect: the precision is chosen where the model is loaded.
    pub use_fp16: bool,
    /// Smallest noise level.
    pub sigma_min: f64,
    /// Largest noise level, or null if there is no limit.
    #[serde(deserialize_with = "required")]
    pub sigma_max: Option<f64>,
}

/// Arguments of `iDDPMPrecond`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IddpmWrapper {
    /// Height and width of a picture.
    pub img_resolution: usize,
    /// Colour channels.
    pub img_channels: usize,
    /// Number of classes, 0 if unconditional.
    pub label_dim: usize,
    /// Half precision on a GPU. Without effect: the precision is chosen where the model is loaded.
    pub use_fp16: bool,
    /// Smallest ratio of two successive `ᾱ`.
    #[serde(rename = "C_1")]
    pub c_1: f64,
    /// Offset of the cosine schedule.
    #[serde(rename = "C_2")]
    pub c_2: f64,
    /// Number of time steps of the DDPM formulation.
    #[serde(rename = "M")]
    pub steps: usize,
}

/// Arguments of `EDMPrecond`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EdmWrapper {
    /// Height and width of a picture.
    pub img_resolution: usize,
    /// Colour channels.
    pub img_channels: usize,
    /// Number of classes, 0 if unconditional.
    pub label_dim: usize,
    /// Half precision on a GPU. Without effect: the precision is chosen where the model is loaded.
    pub use_fp16: bool,
    /// Smallest noise level.
    pub sigma_min: f64,
    /// Largest noise level, or null if there is no limit.
    #[serde(deserialize_with = "required")]
    pub sigma_max: Option<f64>,
    /// Standard deviation of the training data.
    pub sigma_data: f64,
}

/// The network by its class.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "class")]
pub enum Network {
    /// DDPM++ or NCSN++.
    #[serde(rename = "SongUNet")]
    Song(Song),
    /// ADM.
    #[serde(rename = "DhariwalUNet")]
    Dhariwal(Dhariwal),
}

/// Arguments of `SongUNet`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Song {
    /// Height and width of a picture.
    pub img_resolution: usize,
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Number of classes, 0 if unconditional.
    pub label_dim: usize,
    /// Size of the augmentation's label. It is 0 at inference, where this has no effect.
    pub augment_dim: usize,
    /// Unit of the numbers of channels.
    pub model_channels: usize,
    /// Channels of each level, in units.
    pub channel_mult: Vec<usize>,
    /// Size of the embedding, in units.
    pub channel_mult_emb: usize,
    /// Blocks of a level.
    pub num_blocks: usize,
    /// Resolutions with attention.
    pub attn_resolutions: Vec<usize>,
    /// Dropout in training, without effect at inference.
    pub dropout: f64,
    /// Probability of the null label in training. If it is not 0, the network is also an unconditional one.
    pub label_dropout: f64,
    /// Embedding of the noise level.
    pub embedding_type: EmbeddingType,
    /// Size of the noise level's embedding, in units.
    pub channel_mult_noise: usize,
    /// Auxiliary path of the encoder.
    pub encoder_type: EncoderType,
    /// Auxiliary path of the decoder.
    pub decoder_type: DecoderType,
    /// Taps of the filter of resampling.
    pub resample_filter: Vec<f64>,
}

/// Arguments of `DhariwalUNet`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dhariwal {
    /// Height and width of a picture.
    pub img_resolution: usize,
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Number of classes, 0 if unconditional.
    pub label_dim: usize,
    /// Size of the augmentation's label. It is 0 at inference, where this has no effect.
    pub augment_dim: usize,
    /// Unit of the numbers of channels.
    pub model_channels: usize,
    /// Channels of each level, in units.
    pub channel_mult: Vec<usize>,
    /// Size of the embedding, in units.
    pub channel_mult_emb: usize,
    /// Blocks of a level.
    pub num_blocks: usize,
    /// Resolutions with attention.
    pub attn_resolutions: Vec<usize>,
    /// Dropout in training, without effect at inference.
    pub dropout: f64,
    /// Probability of the null label in training. If it is not 0, the network is also an unconditional one.
    pub label_dropout: f64,
}

/// Embedding of the noise level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EmbeddingType {
    /// Geometric frequencies.
    Positional,
    /// Random frequencies, which the file holds.
    Fourier,
}

/// Auxiliary path of the encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EncoderType {
    /// None.
    Standard,
    /// The resampled picture is added at each level.
    Skip,
    /// The resampled input of the level above is added.
    Residual,
}

/// Auxiliary path of the decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DecoderType {
    /// None.
    Standard,
    /// Each level adds a picture.
    Skip,
}

/// A field that may be null, and may not be missing.
fn required<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    Option::deserialize(deserializer)
}

impl Wrapper {
    /// Resolution, channels and number of classes.
    pub(super) fn interface(&self) -> [usize; 3] {
        match self {
            Self::Vp(w) => [w.img_resolution, w.img_channels, w.label_dim],
            Self::Ve(w) => [w.img_resolution, w.img_channels, w.label_dim],
            Self::Iddpm(w) => [w.img_resolution, w.img_channels, w.label_dim],
            Self::Edm(w) => [w.img_resolution, w.img_channels, w.label_dim],
        }
    }

    /// Channels of the network's output: iDDPM's also has a variance.
    pub(super) fn output_channels(&self) -> usize {
        let [_, channels, _] = self.interface();
        if matches!(self, Self::Iddpm(_)) {
            channels.saturating_mul(2)
        } else {
            channels
        }
    }
}
