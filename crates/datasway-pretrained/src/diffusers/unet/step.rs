//! The step from a level to the next one.

use burn::module::Module;
use burn::nn::GroupNorm;
use burn::nn::conv::Conv2d;
use burn::tensor::Tensor;
use burn_cpu_kernels::Stride;

use super::block_type::LevelStep;
use super::config::UNet2DConfig;
use super::plan::{BOX, FILTER, ResnetPlan, UNetLevelPlan};
use super::resnet::ResnetBlock;
use crate::layers::{Pointwise, conv3x3, convolve, group_norm, halve, normalize};
use crate::resampling::{Resampling, ScaleChange};
use crate::state_dict::StateScope;

/// The step to the next coarser level.
#[derive(Module, Debug)]
pub struct StepDown {
    conv: Option<Conv2d>,
    resnet: Option<ResnetBlock>,
    /// From the filtered picture to the channels of the level.
    skip: Option<Pointwise>,
    picture: Resampling,
    /// The stride of the convolution.
    #[module(skip)]
    stride: Stride,
}

impl StepDown {
    /// Takes the tensors of the step of a level, with a residual block of this plan if it has one.
    pub fn load(
        scope: &StateScope<'_>,
        config: &UNet2DConfig,
        level: &UNetLevelPlan,
        step: &ResnetPlan,
    ) -> Self {
        let channels = level.channels;
        let is_skip = level.kind.step == LevelStep::Skip;
        let downsampler = scope.at("downsamplers.0");
        let resnet = match level.kind.step {
            LevelStep::Conv => None,
            LevelStep::Resnet => Some(downsampler.clone()),
            LevelStep::Skip => Some(scope.at("resnet_down")),
        };
        Self {
            conv: (level.kind.step == LevelStep::Conv)
                .then(|| conv3x3(&downsampler.at("conv"), [channels, channels])),
            resnet: resnet.map(|scope| ResnetBlock::load(&scope, config, step)),
            skip: is_skip.then(|| Pointwise::new(&scope.at("skip_conv"), [3, channels])),
            picture: Resampling::new(FILTER.to_vec(), ScaleChange::Down),
            stride: match config.downsample_padding {
                0 => Stride::TwoFromCorner,
                _ => Stride::Two,
            },
        }
    }

    /// The coarser level, and the picture for it.
    pub fn forward(
        &self,
        x: Tensor<4>,
        embedding: Tensor<2>,
        picture: Tensor<4>,
    ) -> (Tensor<4>, Tensor<4>) {
        if let Some(conv) = &self.conv {
            return (halve(conv, x, self.stride), picture);
        }
        let resnet = self.resnet.as_ref().expect("a convolution or a block");
        let x = resnet.forward(x, embedding);
        let Some(skip) = &self.skip else {
            return (x, picture);
        };
        let picture = self.picture.forward(picture);
        (skip.forward(picture.clone()) + x, picture)
    }
}

/// The step to the next finer level.
#[derive(Module, Debug)]
pub struct StepUp {
    conv: Option<Conv2d>,
    resnet: Option<ResnetBlock>,
    skip: Option<SkipOutput>,
    nearest: Resampling,
}

/// The part of the output that a level adds to the path of pictures.
#[derive(Module, Debug)]
struct SkipOutput {
    norm: GroupNorm,
    conv: Conv2d,
}

impl StepUp {
    /// Takes the tensors of the step of a level, with a residual block of this plan if it has one.
    pub fn load(
        scope: &StateScope<'_>,
        config: &UNet2DConfig,
        level: &UNetLevelPlan,
        step: &ResnetPlan,
    ) -> Self {
        let channels = level.channels;
        let is_skip = level.kind.step == LevelStep::Skip;
        let upsampler = scope.at("upsamplers.0");
        let resnet = match level.kind.step {
            LevelStep::Conv => None,
            LevelStep::Resnet => Some(upsampler.clone()),
            LevelStep::Skip => Some(scope.at("resnet_up")),
        };
        let skip = || SkipOutput {
            norm: group_norm(
                &scope.at("skip_norm"),
                level.groups,
                channels,
                config.norm_eps,
            ),
            conv: conv3x3(&scope.at("skip_conv"), [channels, 3]),
        };
        Self {
            conv: (level.kind.step == LevelStep::Conv)
                .then(|| conv3x3(&upsampler.at("conv"), [channels, channels])),
            resnet: resnet.map(|scope| ResnetBlock::load(&scope, config, step)),
            skip: is_skip.then(skip),
            nearest: Resampling::new(BOX.to_vec(), ScaleChange::Up),
        }
    }

    /// Contribution of the level to the path of pictures.
    pub fn picture(&self, x: &Tensor<4>) -> Option<Tensor<4>> {
        let SkipOutput { norm, conv } = self.skip.as_ref()?;
        Some(convolve(conv, normalize(norm, x.clone(), true), None))
    }

    /// The finer level.
    pub fn forward(&self, x: Tensor<4>, embedding: Tensor<2>) -> Tensor<4> {
        if let Some(conv) = &self.conv {
            return convolve(conv, self.nearest.forward(x), None);
        }
        let resnet = self.resnet.as_ref().expect("a convolution or a block");
        resnet.forward(x, embedding)
    }
}
