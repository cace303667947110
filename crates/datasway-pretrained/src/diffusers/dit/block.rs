//! A transformer block with adaptive normalisation.

use burn::module::{Module, Param};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::activation::{gelu, sigmoid};
use burn::tensor::module::layer_norm;
use burn::tensor::{Tensor, TensorData};
use burn_cpu_kernels::silu;

use super::config::{DiTConfig, FeedForwardActivation};
use crate::layers::linear;
use crate::state_dict::StateScope;

/// Term added to the variance by normalisations without a setting for it.
pub const EPSILON: f64 = 1e-6;

/// Self-attention of the tokens and a perceptron of each, both added to their input.
#[derive(Module, Debug)]
pub struct DiTBlock {
    /// From the conditioning to shift, scale and gate of the attention, then of the perceptron.
    modulation: Linear,
    /// Queries, keys and values, one after the other.
    qkv: Linear,
    attended: Linear,
    /// Weight and bias of the second normalisation.
    affine: Option<[Param<Tensor<1>>; 2]>,
    input: Linear,
    output: Linear,
    heads: usize,
    epsilon: f64,
    #[module(skip)]
    activation: FeedForwardActivation,
}

impl DiTBlock {
    /// Takes the tensors of a block. `epsilon` is that of the second normalisation.
    pub fn load(scope: &StateScope<'_>, config: &DiTConfig, epsilon: f64) -> Self {
        let c = config.channels();
        let attention = scope.at("attn1");
        let norm = scope.at("norm3");
        let inner = 4 * c;
        let gates = 1 + usize::from(config.activation.is_gated());
        Self {
            modulation: linear(&scope.at("norm1.linear"), [c, 6 * c], true),
            qkv: queries_keys_values(&attention, c, config.attention_bias),
            attended: linear(&attention.at("to_out.0"), [c, c], true),
            affine: config
                .affine_norm
                .then(|| ["weight", "bias"].map(|name| norm.parameter(name, [c]))),
            input: linear(&scope.at("ff.net.0.proj"), [c, gates * inner], true),
            output: linear(&scope.at("ff.net.2"), [inner, c], true),
            heads: config.heads,
            epsilon,
            activation: config.activation,
        }
    }

    /// The tokens after this block, `[n, side·side, channels]`, from those before it and the conditioning `[n, 1, channels]`.
    pub fn forward(&self, x: Tensor<3>, conditioning: Tensor<3>, side: usize) -> Tensor<3> {
        let modulation = self.modulation.forward(conditioning);
        let c = modulation.dims()[2] / 6;
        let part = |i: usize| modulation.clone().slice_dim(2, i * c..(i + 1) * c);
        let h = modulated(normalized(x.clone(), None, EPSILON), part(0), part(1));
        let x = x + part(2) * self.attend(h, side);
        let affine = self
            .affine
            .as_ref()
            .map(|[weight, bias]| [weight.val(), bias.val()]);
        let h = modulated(
            normalized(x.clone(), affine, self.epsilon),
            part(3),
            part(4),
        );
        let h = self
            .output
            .forward(activate(self.activation, self.input.forward(h)));
        x + part(5) * h
    }

    /// Self-attention of the tokens.
    fn attend(&self, x: Tensor<3>, side: usize) -> Tensor<3> {
        let [n, tokens, c] = x.dims();
        let qkv = self
            .qkv
            .forward(x)
            .swap_dims(1, 2)
            .reshape([n, 3 * c, side, side]);
        let mixed = burn_cpu_kernels::attention(qkv, self.heads).reshape([n, c, tokens]);
        self.attended.forward(mixed.swap_dims(1, 2))
    }
}

/// The maps to queries, keys and values as one: three tensors in diffusers, one in the original implementation.
fn queries_keys_values(scope: &StateScope<'_>, c: usize, bias: bool) -> Linear {
    let (weight, shift) = if scope.has("qkv.weight") {
        let weight = scope.tensor("qkv.weight", [3 * c, c]);
        (weight, bias.then(|| scope.tensor("qkv.bias", [3 * c])))
    } else {
        let names = ["to_q", "to_k", "to_v"];
        let weights = names.map(|name| scope.at(name).tensor::<2>("weight", [c, c]));
        let biases = || names.map(|name| scope.at(name).tensor::<1>("bias", [c]));
        let weight = Tensor::cat(weights.to_vec(), 0);
        (weight, bias.then(|| Tensor::cat(biases().to_vec(), 0)))
    };
    let mut layer = LinearConfig::new(c, 3 * c)
        .with_bias(bias)
        .init(scope.device());
    layer.weight = Param::from_tensor(weight.transpose());
    layer.bias = shift.map(Param::from_tensor);
    layer
}

/// `x·(1 + scale) + shift`.
pub fn modulated(x: Tensor<3>, shift: Tensor<3>, scale: Tensor<3>) -> Tensor<3> {
    x * (scale + 1.0) + shift
}

/// Layer normalisation of each token, with or without weight and bias.
pub fn normalized(x: Tensor<3>, affine: Option<[Tensor<1>; 2]>, epsilon: f64) -> Tensor<3> {
    let (weight, bias) = match affine {
        Some([weight, bias]) => (weight, Some(bias)),
        None => {
            let c = x.dims()[2];
            let ones = TensorData::new(vec![1.0_f32; c], [c]);
            (Tensor::from_data(ones, (&x.device(), x.dtype())), None)
        }
    };
    layer_norm(x, weight, bias, epsilon)
}

/// The function between the two linear maps of the perceptron.
fn activate(activation: FeedForwardActivation, x: Tensor<3>) -> Tensor<3> {
    let halves = |x: Tensor<3>| {
        let half = x.dims()[2] / 2;
        [0, half].map(|start| x.clone().slice_dim(2, start..start + half))
    };
    match activation {
        FeedForwardActivation::Gelu => gelu(x),
        FeedForwardActivation::GeluApproximate => {
            // x/2·(1 + tanh(u)) = x·s(2u), u = √(2/π)·(x + 0.044715·x³).
            let slope = 2.0 * (2.0 / std::f64::consts::PI).sqrt();
            let u = x.clone() * ((x.clone() * x.clone()) * (0.044715 * slope) + slope);
            x * sigmoid(u)
        }
        FeedForwardActivation::Geglu => {
            let [a, b] = halves(x);
            a * gelu(b)
        }
        FeedForwardActivation::GegluApproximate => x.clone() * sigmoid(x * 1.702),
        FeedForwardActivation::Swiglu => {
            let [a, b] = halves(x);
            a * silu(b)
        }
        FeedForwardActivation::LinearSilu => silu(x),
    }
}
