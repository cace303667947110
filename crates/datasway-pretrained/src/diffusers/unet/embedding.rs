//! The embedding of the time step.

use std::f64::consts::PI;

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::{Int, Tensor, TensorData};
use burn_cpu_kernels::silu;

use super::config::{TimeEmbeddingType, UNet2DConfig};
use crate::layers::linear;
use crate::state_dict::StateScope;

/// Longest period of the sinusoids, divided by 2π.
const MAX_PERIOD: f64 = 10000.0;

/// The features of a time step, before the perceptron.
#[derive(Module, Debug)]
pub struct TimeFeatures {
    /// Drawn frequencies `[channels]`.
    fourier: Option<Param<Tensor<1>>>,
    /// A row for each whole time step, `[steps, channels]`.
    table: Option<Param<Tensor<2>>>,
    channels: usize,
    frequency_shift: f64,
    cosines_first: bool,
}

impl TimeFeatures {
    /// Takes the tensors of `time_proj`.
    pub fn load(scope: &StateScope<'_>, config: &UNet2DConfig) -> Self {
        let channels = config.block_out_channels[0];
        let kind = config.time_embedding_type;
        let steps = config.num_train_timesteps.unwrap_or(0);
        Self {
            fourier: (kind == TimeEmbeddingType::Fourier)
                .then(|| scope.parameter("weight", [channels])),
            table: (kind == TimeEmbeddingType::Learned)
                .then(|| scope.parameter("weight", [steps, channels])),
            channels,
            frequency_shift: config.freq_shift,
            cosines_first: config.flip_sin_to_cos,
        }
    }

    /// Number of features.
    pub fn count(&self) -> usize {
        self.channels * if self.fourier.is_some() { 2 } else { 1 }
    }

    /// Features `[n, count]` of time steps `[n]`.
    pub fn forward(&self, time: Tensor<1>) -> Tensor<2> {
        if let Some(frequencies) = &self.fourier {
            // sin(2π·w·ln t), cos(2π·w·ln t), whatever the order of the others.
            let phase =
                time.log().unsqueeze_dim::<2>(1) * frequencies.val().unsqueeze() * (2.0 * PI);
            return Tensor::cat(vec![phase.clone().sin(), phase.cos()], 1);
        }
        if let Some(table) = &self.table {
            let table = table.val();
            let last = (table.dims()[0] - 1) as f64;
            let rows: Tensor<1, Int> = time.round().clamp(0.0, last).int();
            return table.select(0, rows);
        }
        self.waves(time)
    }

    /// Sines and cosines of `t·10000^(−i/(half − shift))`, and a zero if the number of features is odd.
    fn waves(&self, time: Tensor<1>) -> Tensor<2> {
        let half = self.channels / 2;
        let last = half as f64 - self.frequency_shift;
        let frequencies: Vec<f64> = (0..half)
            .map(|i| MAX_PERIOD.powf(-(i as f64) / last))
            .collect();
        let options = (&time.device(), time.dtype());
        let frequencies = Tensor::<2>::from_data(TensorData::new(frequencies, [1, half]), options);
        let n = time.dims()[0];
        let phase = time.unsqueeze_dim::<2>(1) * frequencies;
        let (sines, cosines) = (phase.clone().sin(), phase.cos());
        let mut waves = if self.cosines_first {
            vec![cosines, sines]
        } else {
            vec![sines, cosines]
        };
        if !self.channels.is_multiple_of(2) {
            waves.push(Tensor::zeros([n, 1], options));
        }
        Tensor::cat(waves, 1)
    }
}

/// The perceptron of two layers after the features.
#[derive(Module, Debug)]
pub struct Perceptron {
    linear_1: Linear,
    linear_2: Linear,
}

impl Perceptron {
    /// Takes the tensors of a `TimestepEmbedding`.
    pub fn load(scope: &StateScope<'_>, [input, output]: [usize; 2]) -> Self {
        Self {
            linear_1: linear(&scope.at("linear_1"), [input, output], true),
            linear_2: linear(&scope.at("linear_2"), [output, output], true),
        }
    }

    /// `W₂·silu(W₁·x)`. This function is SiLU whatever that of the residual blocks is.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        self.linear_2.forward(silu(self.linear_1.forward(x)))
    }
}
