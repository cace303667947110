//! The U-Net of both classes: an encoder, a decoder, and auxiliary paths of small pictures.

use burn::module::Module;
use burn::nn::GroupNorm;
use burn::nn::conv::Conv2d;
use burn::tensor::Tensor;

use super::architecture::{Architecture, BlockPlan, EdmLevelPlan, Family, group_norm};
use super::block::EdmBlock;
use super::config::EncoderType;
use super::mapping::Mapping;
use crate::layers::{Pointwise, conv3x3, convolve, normalize};
use crate::resampling::{Resampling, ScaleChange};
use crate::state_dict::StateScope;

/// SongUNet or DhariwalUNet: `(x [n, c, h, w], c_noise [n]) → [n, c, h, w]`, without the variances.
#[derive(Module, Debug)]
pub struct EdmNetwork {
    mapping: Mapping,
    first: Conv2d,
    encoder: Vec<EncoderLevel>,
    decoder: Vec<DecoderLevel>,
    double: Resampling,
}

impl EdmNetwork {
    /// The network of a file.
    pub(super) fn new(
        scope: &StateScope<'_>,
        architecture: &Architecture,
        class: Option<usize>,
    ) -> Self {
        let (encoder, decoder) = (scope.at("enc"), scope.at("dec"));
        let first = encoder.at(&architecture.first_name);
        Self {
            mapping: Mapping::new(scope, architecture, class),
            first: conv3x3(&first, [architecture.input, architecture.first]),
            encoder: architecture
                .encoder
                .iter()
                .map(|level| EncoderLevel::new(&encoder, architecture, level))
                .collect(),
            decoder: architecture
                .decoder
                .iter()
                .map(|level| DecoderLevel {
                    entry: blocks(&decoder, architecture, &level.entry),
                    blocks: blocks(&decoder, architecture, &level.blocks),
                    output: level
                        .output
                        .map(|channels| Output::new(scope, architecture, level, channels)),
                })
                .collect(),
            double: architecture.resampling(ScaleChange::Up),
        }
    }

    /// `F(x, c_noise)`: `x` is `[n, c, h, w]`, `c_noise` is `[n]`.
    pub fn forward(&self, x: Tensor<4>, c_noise: Tensor<1>) -> Tensor<4> {
        let channels = x.dims()[1];
        let embedding = self.mapping.forward(c_noise);
        let mut auxiliary = x.clone();
        let mut x = convolve(&self.first, x, None);
        let mut skips = vec![x.clone()];
        for level in &self.encoder {
            if let Some(down) = &level.down {
                x = down.forward(x, embedding.clone());
                (x, auxiliary) = level.join(x, auxiliary);
                skips.push(x.clone());
            }
            for block in &level.blocks {
                x = block.forward(x, embedding.clone());
                skips.push(x.clone());
            }
        }
        let mut picture: Option<Tensor<4>> = None;
        for level in &self.decoder {
            for block in &level.entry {
                x = block.forward(x, embedding.clone());
            }
            for block in &level.blocks {
                let skip = skips.pop().expect("one skip for every block of the way up");
                x = block.forward(Tensor::cat(vec![x, skip], 1), embedding.clone());
            }
            if let Some(output) = &level.output {
                let finer = output.forward(x.clone());
                picture = Some(match picture {
                    Some(coarse) => finer + self.double.forward(coarse),
                    None => finer,
                });
            }
        }
        let output = picture.expect("the finest level has an output");
        // iDDPM's other half is a variance.
        output.slice_dim(1, 0..channels)
    }
}

fn blocks(
    scope: &StateScope<'_>,
    architecture: &Architecture,
    plans: &[BlockPlan],
) -> Vec<EdmBlock> {
    let blocks = plans.iter();
    blocks
        .map(|plan| EdmBlock::new(scope, architecture, plan))
        .collect()
}

/// A level of the encoder.
#[derive(Module, Debug)]
struct EncoderLevel {
    down: Option<EdmBlock>,
    /// Half the resolution of the auxiliary path.
    halve: Resampling,
    /// The auxiliary picture is halved and added.
    skip: Option<Pointwise>,
    /// The auxiliary input is convolved, halved and added.
    residual: Option<Conv2d>,
    blocks: Vec<EdmBlock>,
}

impl EncoderLevel {
    fn new(scope: &StateScope<'_>, architecture: &Architecture, plan: &EdmLevelPlan) -> Self {
        let path = |kind: EncoderType| plan.auxiliary.filter(|_| architecture.encoder_type == kind);
        let named = |suffix: &str| scope.at(&format!("{}_{suffix}", plan.name));
        Self {
            down: blocks(scope, architecture, &plan.entry).pop(),
            halve: architecture.resampling(ScaleChange::Down),
            skip: path(EncoderType::Skip)
                .map(|channels| Pointwise::new(&named("aux_skip"), channels)),
            residual: path(EncoderType::Residual)
                .map(|channels| conv3x3(&named("aux_residual"), channels)),
            blocks: blocks(scope, architecture, &plan.blocks),
        }
    }

    /// x with the auxiliary path, and the auxiliary path at this resolution.
    fn join(&self, x: Tensor<4>, auxiliary: Tensor<4>) -> (Tensor<4>, Tensor<4>) {
        if let Some(skip) = &self.skip {
            let auxiliary = self.halve.forward(auxiliary);
            return (x + skip.forward(auxiliary.clone()), auxiliary);
        }
        let Some(residual) = &self.residual else {
            return (x, auxiliary);
        };
        // The filter also sees the convolution's values around the picture. It keeps a constant bias.
        let p = self.halve.padding();
        let padded = if p > 0 {
            auxiliary.pad((p, p, p, p), 0.0)
        } else {
            auxiliary
        };
        let halved = self.halve.down_padded(convolve(residual, padded, None));
        let x = (x + halved) * 0.5_f64.sqrt();
        (x.clone(), x)
    }
}

/// A level of the decoder.
#[derive(Module, Debug)]
struct DecoderLevel {
    entry: Vec<EdmBlock>,
    blocks: Vec<EdmBlock>,
    output: Option<Output>,
}

/// A normalisation with SiLU and a convolution to a picture.
#[derive(Module, Debug)]
struct Output {
    norm: GroupNorm,
    conv: Conv2d,
}

impl Output {
    fn new(
        scope: &StateScope<'_>,
        architecture: &Architecture,
        level: &EdmLevelPlan,
        channels: usize,
    ) -> Self {
        let (norm, conv) = match architecture.family {
            Family::Song => {
                let prefix = format!("dec.{}_aux", level.name);
                (format!("{prefix}_norm"), format!("{prefix}_conv"))
            }
            Family::Dhariwal => ("out_norm".to_owned(), "out_conv".to_owned()),
        };
        let epsilon = architecture.family.epsilon();
        Self {
            norm: group_norm(&scope.at(&norm), channels, epsilon),
            conv: conv3x3(&scope.at(&conv), [channels, architecture.output]),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        convolve(&self.conv, normalize(&self.norm, x, true), None)
    }
}
