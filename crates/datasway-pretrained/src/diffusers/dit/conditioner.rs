//! The conditioning of a block on the time step and the class.

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::{Tensor, TensorData};
use burn_cpu_kernels::silu;

use crate::layers::linear;
use crate::state_dict::StateScope;

/// Number of sines and cosines of a time step.
const WAVES: usize = 256;

/// The embedding of the time step plus that of the class.
#[derive(Module, Debug)]
pub struct Conditioner {
    linear_1: Linear,
    linear_2: Linear,
    /// The row of the network's class, `[1, channels]`.
    label: Param<Tensor<2>>,
    /// Subtracted from the number of frequencies in their exponents.
    frequency_shift: usize,
}

impl Conditioner {
    /// Takes the tensors below `norm1.emb` of a block, for the class in row `label` of `rows`.
    pub fn load(
        scope: &StateScope<'_>,
        channels: usize,
        [label, rows]: [usize; 2],
        frequency_shift: usize,
    ) -> Self {
        let embedder = scope.at("timestep_embedder");
        let table: Tensor<2> =
            scope.tensor("class_embedder.embedding_table.weight", [rows, channels]);
        Self {
            linear_1: linear(&embedder.at("linear_1"), [WAVES, channels], true),
            linear_2: linear(&embedder.at("linear_2"), [channels, channels], true),
            label: Param::from_tensor(table.slice_dim(0, label..label + 1)),
            frequency_shift,
        }
    }

    /// True if another conditioner has the same weights.
    pub fn equals(&self, other: &Self) -> bool {
        let data = |conditioner: &Self| {
            let [first, second] = [&conditioner.linear_1, &conditioner.linear_2].map(|linear| {
                let bias = linear.bias.as_ref().map(|bias| bias.val().into_data());
                (linear.weight.val().into_data(), bias)
            });
            (first, second, conditioner.label.val().into_data())
        };
        data(self) == data(other)
    }

    /// `silu(embedding of t + embedding of the class)`, `[n, 1, channels]`, for time steps t `[n]`.
    pub fn forward(&self, time: Tensor<1>) -> Tensor<3> {
        let waves = self.waves(time);
        let embedding = self.linear_2.forward(silu(self.linear_1.forward(waves)));
        silu(embedding + self.label.val()).unsqueeze_dim(1)
    }

    /// Cosines, then sines, of `t·10000^(−i/(half − shift))`, `[n, WAVES]`.
    fn waves(&self, time: Tensor<1>) -> Tensor<2> {
        let half = WAVES / 2;
        let last = (half - self.frequency_shift) as f64;
        let frequencies: Vec<f64> = (0..half)
            .map(|i| 10000_f64.powf(-(i as f64) / last))
            .collect();
        let frequencies = Tensor::<2>::from_data(
            TensorData::new(frequencies, [1, half]),
            (&time.device(), time.dtype()),
        );
        let phase = time.unsqueeze_dim::<2>(1) * frequencies;
        Tensor::cat(vec![phase.clone().cos(), phase.sin()], 1)
    }
}
