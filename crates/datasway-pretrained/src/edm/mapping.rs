//! The embedding of the noise level, with the class's label in it.

use std::f64::consts::TAU;

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::{Tensor, TensorData};
use burn_cpu_kernels::silu;

use super::architecture::{Architecture, Family};
use super::config::EmbeddingType;
use crate::layers;
use crate::state_dict::StateScope;

/// Longest period of the geometric frequencies, in units of `2π`.
const MAX_POSITIONS: f64 = 10_000.0;

/// Sinusoids of the noise level through a two-layer perceptron. The label of a class is part of the biases.
#[derive(Module, Debug)]
pub struct Mapping {
    /// Angular frequencies, which are not weights.
    frequencies: Vec<f64>,
    /// True if the sines come first.
    sines_first: bool,
    layer0: Linear,
    layer1: Linear,
}

impl Mapping {
    /// The mapping of a file, with the label of this class, or with the null label.
    pub fn new(scope: &StateScope<'_>, architecture: &Architecture, class: Option<usize>) -> Self {
        let [noise, embedding] = [architecture.noise_channels, architecture.embedding_channels];
        if architecture.augmentation > 0 {
            // The label of the augmentation is 0 at inference, and this map has no bias.
            scope.tensor("map_augment.weight", [noise, architecture.augmentation]);
        }
        let mut layer0 = layers::linear(&scope.at("map_layer0"), [noise, embedding], true);
        let mut layer1 = layers::linear(&scope.at("map_layer1"), [embedding, embedding], true);
        if architecture.classes > 0 {
            let scope = scope.at("map_label");
            match architecture.family {
                // W₀(e + l) + b₀ = W₀e + (b₀ + W₀l)
                Family::Song => {
                    let label = label(&scope, [architecture.classes, noise], class);
                    let factor = (architecture.classes as f64).sqrt();
                    let label = label * factor + scope.tensor("bias", [noise]).unsqueeze();
                    let label = label.matmul(layer0.weight.val());
                    add_to_bias(&mut layer0, label);
                }
                Family::Dhariwal => {
                    let label = label(&scope, [architecture.classes, embedding], class);
                    add_to_bias(&mut layer1, label);
                }
            }
        }
        Self {
            frequencies: frequencies(scope, architecture),
            sines_first: architecture.family == Family::Song,
            layer0,
            layer1,
        }
    }

    /// Embeddings `[n, channels]` of noise levels `[n]`.
    pub fn forward(&self, c_noise: Tensor<1>) -> Tensor<2> {
        let (n, count) = (c_noise.dims()[0], self.frequencies.len());
        let frequencies = TensorData::new(self.frequencies.clone(), [1, count]);
        let frequencies = Tensor::from_data(frequencies, (&c_noise.device(), c_noise.dtype()));
        let phase = c_noise.reshape([n, 1]) * frequencies;
        let (sines, cosines) = (phase.clone().sin(), phase.cos());
        let waves = if self.sines_first {
            vec![sines, cosines]
        } else {
            vec![cosines, sines]
        };
        let hidden = silu(self.layer0.forward(Tensor::cat(waves, 1)));
        silu(self.layer1.forward(hidden))
    }
}

/// The row of a label's map for a one-hot label, or zeros for the null label, `[1, outputs]`.
fn label(
    scope: &StateScope<'_>,
    [classes, outputs]: [usize; 2],
    class: Option<usize>,
) -> Tensor<2> {
    let weight = scope.tensor("weight", [outputs, classes]).transpose();
    match class {
        Some(class) => weight.slice_dim(0, class..class + 1),
        None => weight.slice_dim(0, 0..1).zeros_like(),
    }
}

fn add_to_bias(layer: &mut Linear, label: Tensor<2>) {
    let bias = layer.bias.as_ref().expect("both layers have a bias").val();
    layer.bias = Some(Param::from_tensor(bias + label.squeeze_dim::<1>(0)));
}

/// `2π` times the file's frequencies, or `10000^(−i/last)`. Song's last frequency is 1/10000, ADM's is one step above.
fn frequencies(scope: &StateScope<'_>, architecture: &Architecture) -> Vec<f64> {
    let half = architecture.noise_channels / 2;
    match architecture.embedding {
        EmbeddingType::Fourier => {
            let stored = scope.tensor("map_noise.freqs", [half]).into_data();
            stored.iter::<f64>().map(|f| TAU * f).collect()
        }
        EmbeddingType::Positional => {
            let last = match architecture.family {
                Family::Song => half - 1,
                Family::Dhariwal => half,
            };
            let exponent = |i: usize| i as f64 / last as f64;
            (0..half)
                .map(|i| MAX_POSITIONS.powf(-exponent(i)))
                .collect()
        }
    }
}
