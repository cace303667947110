//! The network: levels down, the middle, and levels up.

use burn::module::{Module, Param};
use burn::nn::GroupNorm;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::{Tensor, TensorData};

use super::attention::Attention;
use super::block_type::LevelStep;
use super::config::{Activation, ClassEmbedding, TimeEmbeddingType, UNetConfig};
use super::embedding::{Perceptron, TimeFeatures};
use super::level::{BlockRules, StepDown, StepUp, picture_filter};
use super::resnet::{ResnetBlock, ResnetPlan, activate};
use super::{keys, limits};
use crate::layers::{conv3x3, convolve, group_norm, normalize};
use crate::resampling::Resampling;
use crate::state_dict::{Scope, StateDict};

/// A `UNet2DModel`, for one class if it is conditional.
#[derive(Module, Debug)]
pub struct DiffusersUNet {
    features: TimeFeatures,
    time: Perceptron,
    /// The embedding of the network's class, `[1, channels]`.
    class: Option<Param<Tensor<2>>>,
    input: Conv2d,
    down: Vec<Down>,
    middle: Option<Middle>,
    up: Vec<Up>,
    output_norm: GroupNorm,
    output: Conv2d,
    /// True if the network sees `2x − 1`.
    center: bool,
    /// True if the output is divided by the time step.
    over_time: bool,
    #[module(skip)]
    activation: Activation,
}

/// The blocks of a level of the way down.
#[derive(Module, Debug)]
struct Down {
    resnets: Vec<ResnetBlock>,
    /// One after each block, or none.
    attentions: Vec<Attention>,
    step: Option<StepDown>,
}

/// The middle.
#[derive(Module, Debug)]
struct Middle {
    resnets: Vec<ResnetBlock>,
    attention: Option<Attention>,
}

/// The blocks of a level of the way up.
#[derive(Module, Debug)]
struct Up {
    resnets: Vec<ResnetBlock>,
    /// One after each block, one after the last, or none.
    attentions: Vec<Attention>,
    step: Option<StepUp>,
    /// The filter of the path of pictures.
    picture: Option<Resampling>,
}

impl DiffusersUNet {
    /// Takes the tensors of the network.
    ///
    /// A conditional network needs the class that it shall generate.
    ///
    /// # Errors
    /// If there is no such class, or two copies of a tensor differ.
    /// [`StateDict::finish`] has the tensors that are missing or left over.
    pub fn load(
        config: &UNetConfig,
        dict: &StateDict,
        class: Option<usize>,
    ) -> Result<Self, String> {
        check_class(config, class)?;
        dict.replace(keys::current)?;
        let root = dict.root();
        let channels = &config.block_out_channels;
        let first = channels[0];
        let features = TimeFeatures::load(&root.at("time_proj"), config);
        let sizes = [features.count(), config.time_embedding_dim];
        let middle = || Middle::load(&root.at("mid_block"), config);
        Ok(Self {
            time: Perceptron::load(&root.at("time_embedding"), sizes),
            class: class.map(|class| {
                let scope = root.at("class_embedding");
                Param::from_tensor(class_vector(&scope, config, &features, class))
            }),
            input: conv3x3(&root.at("conv_in"), [config.in_channels, first]),
            down: (0..channels.len())
                .map(|i| Down::load(&root.at("down_blocks").index(i), config, i))
                .collect(),
            middle: config.mid_block.then(middle),
            up: (0..channels.len())
                .map(|i| Up::load(&root.at("up_blocks").index(i), config, i))
                .collect(),
            output_norm: group_norm(
                &root.at("conv_norm_out"),
                limits::out_groups(config),
                first,
                config.norm_eps,
            ),
            output: output(&root.at("conv_out"), config),
            features,
            center: config.center_input_sample,
            over_time: config.time_embedding_type == TimeEmbeddingType::Fourier,
            activation: config.activation,
        })
    }

    /// What the network was trained to predict, `[n, c, h, w]`, without the variances, from pictures `[n, c, h, w]` and time
    /// steps `[n]`.
    pub fn forward(&self, x: Tensor<4>, time: Tensor<1>) -> Tensor<4> {
        let mut embedding = self.time.forward(self.features.forward(time.clone()));
        if let Some(class) = &self.class {
            embedding = embedding + class.val();
        }
        // All blocks take a(e): it is computed once.
        let embedding = activate(embedding, self.activation);
        let x = if self.center { x * 2.0 - 1.0 } else { x };
        let mut picture = x.clone();
        let mut h = convolve(&self.input, x, None);
        let mut skips = vec![h.clone()];
        for level in &self.down {
            (h, picture) = level.forward(h, embedding.clone(), picture, &mut skips);
        }
        if let Some(middle) = &self.middle {
            h = middle.forward(h, embedding.clone());
        }
        let mut picture = None;
        for level in &self.up {
            (h, picture) = level.forward(h, embedding.clone(), picture, &mut skips);
        }
        let mut output = convolve(&self.output, normalize(&self.output_norm, h, true), None);
        if let Some(picture) = picture {
            output = output + picture;
        }
        if self.over_time {
            let n = time.dims()[0];
            output = output / time.reshape([n, 1, 1, 1]);
        }
        output
    }
}

/// The last convolution, without the rows of the variances.
fn output(scope: &Scope<'_>, config: &UNetConfig) -> Conv2d {
    let [first, kept] = [config.block_out_channels[0], config.in_channels];
    let mut layer = conv3x3(scope, [first, config.out_channels()]);
    if !config.learned_variance {
        return layer;
    }
    let weight = layer.weight.val().slice_dim(0, 0..kept);
    let bias = layer.bias.map(|bias| bias.val().slice_dim(0, 0..kept));
    let plan = Conv2dConfig::new([first, kept], [3, 3]).with_padding(layer.padding.clone());
    layer = plan.init(scope.device());
    layer.weight = Param::from_tensor(weight);
    layer.bias = bias.map(Param::from_tensor);
    layer
}

/// Checks that a class is given where one is needed, and is there.
fn check_class(config: &UNetConfig, class: Option<usize>) -> Result<(), String> {
    match (config.classes, class) {
        (None, None) | (Some(ClassEmbedding::Timestep), Some(_)) => Ok(()),
        (None, Some(class)) => Err(format!(
            "there is no class {class}: the network has no classes, give none"
        )),
        (Some(ClassEmbedding::Table(classes)), None) => Err(format!(
            "the network has {classes} classes: give one of 0 to {}",
            classes - 1
        )),
        (Some(ClassEmbedding::Timestep), None) => Err(
            "the network has classes, whose number its configuration does not state: give one"
                .to_owned(),
        ),
        (Some(ClassEmbedding::Table(classes)), Some(class)) if class >= classes => Err(format!(
            "there is no class {class}: the network has the classes 0 to {}",
            classes - 1
        )),
        (Some(ClassEmbedding::Table(_)), Some(_)) => Ok(()),
    }
}

/// The vector that a class adds to the time embedding, `[1, channels]`.
fn class_vector(
    scope: &Scope<'_>,
    config: &UNetConfig,
    features: &TimeFeatures,
    class: usize,
) -> Tensor<2> {
    let channels = config.time_embedding_dim;
    match config.classes {
        Some(ClassEmbedding::Table(classes)) => {
            let table: Tensor<2> = scope.tensor("weight", [classes, channels]);
            table.slice_dim(0, class..class + 1)
        }
        _ => {
            let perceptron = Perceptron::load(scope, [features.count(), channels]);
            let dtype = scope.dtype();
            let data = TensorData::new(vec![class as f64], [1]);
            let number = Tensor::<1>::from_data(data, (scope.device(), dtype));
            perceptron.forward(features.forward(number))
        }
    }
}

impl Down {
    fn load(scope: &Scope<'_>, config: &UNetConfig, level: usize) -> Self {
        let channels = &config.block_out_channels;
        let output = channels[level];
        let kind = config.down_blocks[level];
        let rules = BlockRules::new(kind, config);
        let resnet = |i: usize| {
            let input = if i > 0 {
                output
            } else {
                channels[level.saturating_sub(1)]
            };
            let plan = rules.resnet([input, output]);
            ResnetBlock::load(&scope.at("resnets").index(i), config, &plan)
        };
        let attention =
            |i: usize| rules.attention(&scope.at("attentions").index(i), config, output);
        let attentions = if kind.attention {
            config.layers_per_block
        } else {
            0
        };
        Self {
            resnets: (0..config.layers_per_block).map(resnet).collect(),
            attentions: (0..attentions).map(attention).collect(),
            step: (level + 1 < channels.len())
                .then(|| StepDown::load(scope, config, rules, output)),
        }
    }

    fn forward(
        &self,
        x: Tensor<4>,
        embedding: Tensor<2>,
        picture: Tensor<4>,
        skips: &mut Vec<Tensor<4>>,
    ) -> (Tensor<4>, Tensor<4>) {
        let mut x = x;
        for (i, resnet) in self.resnets.iter().enumerate() {
            x = resnet.forward(x, embedding.clone());
            if let Some(attention) = self.attentions.get(i) {
                x = attention.forward(x);
            }
            skips.push(x.clone());
        }
        let Some(step) = &self.step else {
            return (x, picture);
        };
        let (x, picture) = step.forward(x, embedding, picture);
        skips.push(x.clone());
        (x, picture)
    }
}

impl Middle {
    fn load(scope: &Scope<'_>, config: &UNetConfig) -> Self {
        let channels = config.block_out_channels[config.block_out_channels.len() - 1];
        let scale = config.mid_block_scale_factor;
        let plan = ResnetPlan {
            scale,
            ..ResnetPlan::new([channels, channels], limits::mid_groups(config))
        };
        let attention = || {
            let groups = limits::mid_attention_groups(config);
            Attention::load(&scope.at("attentions.0"), config, channels, groups, scale)
        };
        Self {
            resnets: (0..2)
                .map(|i| ResnetBlock::load(&scope.at("resnets").index(i), config, &plan))
                .collect(),
            attention: config.add_attention.then(attention),
        }
    }

    fn forward(&self, x: Tensor<4>, embedding: Tensor<2>) -> Tensor<4> {
        let mut x = self.resnets[0].forward(x, embedding.clone());
        if let Some(attention) = &self.attention {
            x = attention.forward(x);
        }
        self.resnets[1].forward(x, embedding)
    }
}

impl Up {
    fn load(scope: &Scope<'_>, config: &UNetConfig, index: usize) -> Self {
        let channels = &config.block_out_channels;
        let level = channels.len() - 1 - index;
        let (output, finer) = (channels[level], channels[level.saturating_sub(1)]);
        let coarser = channels[(level + 1).min(channels.len() - 1)];
        let kind = config.up_blocks[index];
        let rules = BlockRules::new(kind, config);
        let layers = config.layers_per_block + 1;
        let resnet = |i: usize| {
            // The last block takes the first skip of this level, which has the channels of the finer one.
            let skip = if i + 1 < layers { output } else { finer };
            let input = if i > 0 { output } else { coarser };
            let mut plan = rules.resnet([input + skip, output]);
            if kind.step == LevelStep::Skip && kind.attention {
                // In AttnSkipUpBlock2D, the library divides only one of both numbers by four.
                plan.groups[0] = 32.min(input + skip / 4);
            }
            ResnetBlock::load(&scope.at("resnets").index(i), config, &plan)
        };
        let attentions = match (kind.attention, kind.step) {
            (false, _) => 0,
            (true, LevelStep::Skip) => 1,
            (true, _) => layers,
        };
        let attention =
            |i: usize| rules.attention(&scope.at("attentions").index(i), config, output);
        Self {
            resnets: (0..layers).map(resnet).collect(),
            attentions: (0..attentions).map(attention).collect(),
            step: (level > 0).then(|| StepUp::load(scope, config, rules, output)),
            picture: (kind.step == LevelStep::Skip).then(picture_filter),
        }
    }

    fn forward(
        &self,
        x: Tensor<4>,
        embedding: Tensor<2>,
        picture: Option<Tensor<4>>,
        skips: &mut Vec<Tensor<4>>,
    ) -> (Tensor<4>, Option<Tensor<4>>) {
        let mut x = x;
        let after_last = self.resnets.len() - self.attentions.len();
        for (i, resnet) in self.resnets.iter().enumerate() {
            let skip = skips.pop().expect("one skip for every block of the way up");
            x = resnet.forward(Tensor::cat(vec![x, skip], 1), embedding.clone());
            let attention = i.checked_sub(after_last).map(|i| &self.attentions[i]);
            if let Some(attention) = attention {
                x = attention.forward(x);
            }
        }
        let mut picture = picture;
        if let (Some(filter), Some(coarse)) = (&self.picture, picture.take()) {
            picture = Some(filter.forward(coarse));
        }
        let Some(step) = &self.step else {
            return (x, picture);
        };
        if let Some(added) = step.picture(&x) {
            picture = Some(match picture {
                Some(picture) => picture + added,
                None => added,
            });
        }
        (step.forward(x, embedding), picture)
    }
}
