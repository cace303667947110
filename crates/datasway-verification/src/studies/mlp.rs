//! A multilayer perceptron as the network of a score model of points.

use burn::module::Module;
use burn::nn::{Initializer, Linear, LinearConfig};
use burn::tensor::activation::silu;
use burn::tensor::{Device, Tensor, TensorData};
use datasway_diffusion::network::NetworkDenoiser;
use datasway_diffusion::parameterization::Parameterization;
use datasway_diffusion::precondition::Precondition;

/// Frequencies of the sinusoids of the noise level, in units of π over `ln(σ)/4`.
const FREQUENCIES: [f64; 4] = [0.5, 1.0, 2.0, 4.0];

/// The network `F` of the preconditioning: three hidden layers on the point and the noise level.
#[derive(Module, Debug)]
pub struct Mlp {
    input: Linear,
    hidden: Vec<Linear>,
    output: Linear,
}

impl Mlp {
    /// A network of points with d entries, with random weights from the device's generator and output 0.
    pub fn new(d: usize, width: usize, device: &Device) -> Self {
        let layer = |input, output| LinearConfig::new(input, output);
        Self {
            input: layer(d + 2 * FREQUENCIES.len(), width).init(device),
            hidden: (0..2).map(|_| layer(width, width).init(device)).collect(),
            output: layer(width, d)
                .with_initializer(Initializer::Zeros)
                .init(device),
        }
    }

    /// `F(x, c_noise)` of points `[n, d]` and noise levels `[n]`, `[n, d]`.
    pub fn forward(&self, x: Tensor<2>, c_noise: Tensor<1>) -> Tensor<2> {
        let frequencies = FREQUENCIES.map(|f| f * std::f64::consts::PI).to_vec();
        let count = frequencies.len();
        let frequencies = TensorData::new(frequencies, [1, count]);
        let phase = c_noise.clone().unsqueeze_dim::<2>(1)
            * Tensor::<2>::from_data(frequencies, (&c_noise.device(), c_noise.dtype()));
        let waves = vec![x, phase.clone().cos(), phase.sin()];
        let mut h = silu(self.input.forward(Tensor::cat(waves, 1)));
        for layer in &self.hidden {
            h = h.clone() + silu(layer.forward(h));
        }
        self.output.forward(h)
    }

    /// Denoising loss of EDM of clean points `[n, d]` and noise `[n, d]`, one σ for each row.
    /// [`denoising_loss`](datasway_diffusion::loss::denoising_loss) is the same for images.
    pub fn loss(
        &self,
        precondition: &Precondition,
        clean: Tensor<2>,
        noise: Tensor<2>,
        sigmas: &[f64],
    ) -> Tensor<1> {
        let column = |f: &dyn Fn(f64) -> f64| {
            let values: Vec<f64> = sigmas.iter().map(|sigma| f(*sigma)).collect();
            let data = TensorData::new(values, [sigmas.len(), 1]);
            Tensor::<2>::from_data(data, (&clean.device(), clean.dtype()))
        };
        let noisy = clean.clone() + noise * column(&|sigma| sigma);
        let level = column(&|sigma| precondition.c_noise(sigma)).squeeze_dim::<1>(1);
        let raw = self.forward(
            noisy.clone() * column(&|sigma| precondition.c_in(sigma)),
            level,
        );
        let denoised = noisy * column(&|sigma| precondition.c_skip(sigma))
            + raw * column(&|sigma| precondition.c_out(sigma));
        let weight = column(&|sigma| precondition.loss_weight(sigma));
        ((denoised - clean).powi_scalar(2) * weight).mean()
    }

    /// The denoiser `D = c_skip·x + c_out·F(c_in·x, c_noise)` of points with d entries.
    pub fn denoiser(self, d: usize, precondition: Precondition) -> NetworkDenoiser<Self> {
        NetworkDenoiser::flat(self, d, precondition, Self::forward)
    }
}
