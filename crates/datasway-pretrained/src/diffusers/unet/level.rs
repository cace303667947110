//! The blocks of a level, and the step to the next one.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{GroupNorm, PaddingConfig2d};
use burn::tensor::{Tensor, TensorData};

use super::attention::Attention;
use super::block_type::{BlockType, LevelStep};
use super::config::UNetConfig;
use super::resnet::{ResnetBlock, ResnetPlan};
use crate::layers::{self, Pointwise, conv3x3, convolve, group_norm, normalize};
use crate::resampling::{Direction, Resampling};
use crate::state_dict::Scope;

/// The constants of the library in blocks of one kind.
#[derive(Debug, Clone, Copy)]
pub struct BlockRules {
    kind: BlockType,
    groups: Option<usize>,
}

impl BlockRules {
    /// The constants of a kind of blocks.
    pub fn new(kind: BlockType, config: &UNetConfig) -> Self {
        Self {
            kind,
            groups: config.norm_num_groups,
        }
    }

    fn is_skip(self) -> bool {
        self.kind.step == LevelStep::Skip
    }

    /// Divisor of the sums.
    pub fn scale(self) -> f64 {
        if self.is_skip() { 2.0_f64.sqrt() } else { 1.0 }
    }

    /// Number of groups of the normalisation of a residual block.
    fn groups(self, channels: usize) -> usize {
        match self.groups {
            Some(groups) if !self.is_skip() => groups,
            _ => 32.min(channels / 4),
        }
    }

    /// The residual block of these channels.
    pub fn resnet(self, [input, output]: [usize; 2]) -> ResnetPlan {
        ResnetPlan {
            groups: [self.groups(input), self.groups(output)],
            scale: self.scale(),
            ..ResnetPlan::new([input, output], 1)
        }
    }

    /// The residual block between two levels.
    fn resampling_resnet(self, channels: usize, direction: Direction) -> ResnetPlan {
        let taps = if self.is_skip() {
            FILTER.to_vec()
        } else {
            BOX.to_vec()
        };
        ResnetPlan {
            resampling: Some(Resampling::new(taps, direction)),
            shortcut: self.is_skip(),
            ..self.resnet([channels, channels])
        }
    }

    /// The attention of a level.
    pub fn attention(self, scope: &Scope<'_>, config: &UNetConfig, channels: usize) -> Attention {
        // 32 groups are fixed in the library.
        let groups = if self.is_skip() {
            Some(32)
        } else {
            self.groups
        };
        Attention::load(scope, config, channels, groups, self.scale())
    }
}

/// Averages of two pixels, and nearest neighbours.
const BOX: [f64; 2] = [0.5, 0.5];

/// The filter of NCSN++.
const FILTER: [f64; 4] = [0.125, 0.375, 0.375, 0.125];

/// The step to the next coarser level.
#[derive(Module, Debug)]
pub struct StepDown {
    conv: Option<Conv2d>,
    resnet: Option<ResnetBlock>,
    /// From the filtered picture to the channels of the level.
    skip: Option<Pointwise>,
    picture: Resampling,
    /// True if zeros are only at the right and the bottom of the convolution.
    asymmetric: bool,
}

impl StepDown {
    /// Takes the tensors of the step of a block.
    pub fn load(
        scope: &Scope<'_>,
        config: &UNetConfig,
        rules: BlockRules,
        channels: usize,
    ) -> Self {
        let downsampler = scope.at("downsamplers.0");
        let padding = config.downsample_padding;
        let resnet = match rules.kind.step {
            LevelStep::Conv => None,
            LevelStep::Resnet => Some(downsampler.clone()),
            LevelStep::Skip => Some(scope.at("resnet_down")),
        };
        let plan = rules.resampling_resnet(channels, Direction::Down);
        Self {
            conv: (rules.kind.step == LevelStep::Conv).then(|| {
                let config = Conv2dConfig::new([channels, channels], [3, 3])
                    .with_stride([2, 2])
                    .with_padding(PaddingConfig2d::Explicit(
                        padding, padding, padding, padding,
                    ));
                layers::conv(&downsampler.at("conv"), &config)
            }),
            resnet: resnet.map(|scope| ResnetBlock::load(&scope, config, &plan)),
            skip: (rules.is_skip()).then(|| Pointwise::new(&scope.at("skip_conv"), [3, channels])),
            picture: Resampling::new(FILTER.to_vec(), Direction::Down),
            asymmetric: padding == 0,
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
            let x = if self.asymmetric { padded(x) } else { x };
            return (conv.forward(x), picture);
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

/// A pixel of zeros at the right and the bottom.
fn padded(x: Tensor<4>) -> Tensor<4> {
    let [n, c, h, w] = x.dims();
    let zeros = |shape: [usize; 4]| -> Tensor<4> {
        let data = TensorData::zeros::<f32, _>(shape);
        Tensor::from_data(data, (&x.device(), x.dtype()))
    };
    let (right, bottom) = (zeros([n, c, h, 1]), zeros([n, c, 1, w + 1]));
    Tensor::cat(vec![Tensor::cat(vec![x, right], 3), bottom], 2)
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
    /// Takes the tensors of the step of a block.
    pub fn load(
        scope: &Scope<'_>,
        config: &UNetConfig,
        rules: BlockRules,
        channels: usize,
    ) -> Self {
        let upsampler = scope.at("upsamplers.0");
        let resnet = match rules.kind.step {
            LevelStep::Conv => None,
            LevelStep::Resnet => Some(upsampler.clone()),
            LevelStep::Skip => Some(scope.at("resnet_up")),
        };
        let plan = rules.resampling_resnet(channels, Direction::Up);
        let skip = || SkipOutput {
            norm: group_norm(
                &scope.at("skip_norm"),
                rules.groups(channels),
                channels,
                config.norm_eps,
            ),
            conv: conv3x3(&scope.at("skip_conv"), [channels, 3]),
        };
        Self {
            conv: (rules.kind.step == LevelStep::Conv)
                .then(|| conv3x3(&upsampler.at("conv"), [channels, channels])),
            resnet: resnet.map(|scope| ResnetBlock::load(&scope, config, &plan)),
            skip: rules.is_skip().then(skip),
            nearest: Resampling::new(BOX.to_vec(), Direction::Up),
        }
    }

    /// What the level adds to the path of pictures.
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

/// The filter of the path of pictures on the way up.
pub fn picture_filter() -> Resampling {
    Resampling::new(FILTER.to_vec(), Direction::Up)
}
