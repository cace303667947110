//! The network: levels down, the middle, and levels up.

use burn::module::{Module, Param};
use burn::nn::GroupNorm;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::{Tensor, TensorData};

use super::config::{Activation, ClassEmbedding, TimeEmbeddingType, UNet2DConfig};
use super::embedding::{Perceptron, TimeFeatures};
use super::levels::{Down, Middle, Up};
use super::resnet::activate;
use super::{keys, limits};
use crate::layers::{conv3x3, convolve, group_norm, normalize};
use crate::state_dict::{StateDict, StateScope};

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

impl DiffusersUNet {
    /// Takes the tensors of the network.
    ///
    /// A conditional network needs the class that it shall generate.
    ///
    /// # Errors
    /// If there is no such class, or two copies of a tensor differ.
    /// [`StateDict::finish`] has the tensors that are missing or left over.
    pub fn load(
        config: &UNet2DConfig,
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

    /// Quantity that the network was trained to predict, `[n, c, h, w]`, without the variances, from pictures `[n, c, h, w]` and time
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
fn output(scope: &StateScope<'_>, config: &UNet2DConfig) -> Conv2d {
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
fn check_class(config: &UNet2DConfig, class: Option<usize>) -> Result<(), String> {
    let is_fourier = config.time_embedding_type == TimeEmbeddingType::Fourier;
    match (config.classes, class) {
        (Some(ClassEmbedding::Timestep), Some(0)) if is_fourier => Err(
            "there is no class 0: the network takes the logarithm of the class, as it does of the noise level".to_owned(),
        ),
        (None, None) | (Some(ClassEmbedding::Timestep), Some(_)) => Ok(()),
        (None, Some(class)) => Err(format!(
            "there is no class {class}: the network has no classes, so leave the class out"
        )),
        (Some(ClassEmbedding::Table(classes)), None) => Err(format!(
            "the network has {classes} classes: choose class 0 to {}",
            classes - 1
        )),
        (Some(ClassEmbedding::Timestep), None) => Err(
            "the network has classes, whose number its configuration does not state: choose a class"
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
    scope: &StateScope<'_>,
    config: &UNet2DConfig,
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
