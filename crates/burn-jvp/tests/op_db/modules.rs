//! PyTorch's modules in terms of `burn::nn`.

use crate::arguments::{Arguments, lacks, widen_bool};
use crate::at_rank;
use crate::fixture::{Call, Case, cast, numbers, spread};
use burn::module::{Module, Param, RunningState};
use burn::nn;
use burn::nn::activation::{Activation, ActivationConfig};
use burn::nn::attention::{MhaInput, MultiHeadAttention, MultiHeadAttentionConfig};
use burn::nn::conv::{
    Conv1d, Conv1dConfig, Conv2d, Conv2dConfig, Conv3d, Conv3dConfig, ConvTranspose1d,
    ConvTranspose1dConfig, ConvTranspose2d, ConvTranspose2dConfig, ConvTranspose3d,
    ConvTranspose3dConfig,
};
use burn::nn::pool::{
    AdaptiveAvgPool1d, AdaptiveAvgPool1dConfig, AdaptiveAvgPool2d, AdaptiveAvgPool2dConfig,
    AdaptiveAvgPool3d, AdaptiveAvgPool3dConfig, AvgPool1d, AvgPool1dConfig, AvgPool2d,
    AvgPool2dConfig, MaxPool1d, MaxPool1dConfig, MaxPool2d, MaxPool2dConfig,
};
use burn::nn::{
    BiGru, BiGruConfig, BiLstm, BiLstmConfig, BiRnn, BiRnnConfig, Gru, GruConfig, Lstm, LstmConfig,
    LstmState, Rnn, RnnConfig, RnnState,
};
use burn::nn::{PaddingConfig1d, PaddingConfig2d, PaddingConfig3d};
use burn::tensor::{Bool, Device, Float, FloatDType, Int, Tensor, s};
use burn_jvp::{DynTensor, JvpError, ParameterTangents};
use std::collections::BTreeMap;

/// The module of a case.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant, reason = "one at a time")]
pub enum Layer {
    Operation(nn::Identity),
    Activation(Activation),
    AdaptiveAvgPool1d(AdaptiveAvgPool1d),
    AdaptiveAvgPool2d(AdaptiveAvgPool2d),
    AdaptiveAvgPool3d(AdaptiveAvgPool3d),
    AvgPool1d(AvgPool1d),
    AvgPool2d(AvgPool2d),
    MaxPool1d(MaxPool1d),
    MaxPool2d(MaxPool2d),
    BatchNorm(nn::BatchNorm),
    GroupNorm(nn::GroupNorm),
    InstanceNorm(nn::InstanceNorm),
    LayerNorm(nn::LayerNorm),
    LocalResponseNorm(nn::LocalResponseNorm),
    RmsNorm(nn::RmsNorm),
    Conv1d(Conv1d),
    Conv2d(Conv2d),
    Conv3d(Conv3d),
    ConvTranspose1d(ConvTranspose1d),
    ConvTranspose2d(ConvTranspose2d),
    ConvTranspose3d(ConvTranspose3d),
    Linear(nn::Linear),
    Embedding(nn::Embedding),
    Attention(MultiHeadAttention),
    Rnn(Vec<Rnn>),
    Gru(Vec<Gru>),
    Lstm(Vec<Lstm>),
    BiRnn(Vec<BiRnn>),
    BiGru(Vec<BiGru>),
    BiLstm(Vec<BiLstm>),
}

/// True if a case is computed in a precision: the recurrent layers of Burn create their state in the device's default
/// type, which is f32.
pub fn has_precision(case: &Case, precision: FloatDType) -> bool {
    let recurrent = ["module.RNN", "module.GRU", "module.LSTM"];
    precision == FloatDType::F32 || !recurrent.contains(&case.name.as_str())
}

/// Parameters and arguments from which a module is built.
struct Builder<'a> {
    case: &'a Case,
    state: &'a BTreeMap<String, DynTensor>,
    /// True if the module is a direction: what stands for an absent parameter does not move.
    is_direction: bool,
    precision: FloatDType,
    device: Device,
}

impl Builder<'_> {
    /// A parameter or buffer, if the module has it.
    fn find<const R: usize>(&self, name: &str) -> Option<Tensor<R>> {
        let tensor = self.state.get(name)?;
        Some(cast(tensor, self.precision).get())
    }

    fn param<const R: usize>(&self, name: &str) -> Param<Tensor<R>> {
        let tensor = self.find(name);
        Param::from_tensor(tensor.unwrap_or_else(|| panic!("no parameter {name}")))
    }

    fn optional<const R: usize>(&self, name: &str) -> Option<Param<Tensor<R>>> {
        self.find(name).map(Param::from_tensor)
    }

    /// A vector parameter, or the constant that stands for it.
    fn vector_or(&self, name: &str, n: usize, constant: f64) -> Tensor<1> {
        let value = if self.is_direction { 0.0 } else { constant };
        let options = (&self.device, self.precision.into());
        self.find(name)
            .unwrap_or_else(|| Tensor::full([n], value, options))
    }

    /// A linear layer. Burn keeps `[in, out]`, PyTorch `[out, in]`.
    fn linear(&self, weight: Tensor<2>, bias: Option<Tensor<1>>) -> nn::Linear {
        let [to, from] = weight.dims();
        let mut layer = nn::LinearConfig::new(from, to).init(&self.device);
        layer.weight = Param::from_tensor(weight.transpose());
        layer.bias = bias.map(Param::from_tensor);
        layer
    }

    /// One gate of the recurrent layer with the key `layer`: block `block` of the rows of its weights.
    fn gate(&self, layer: &str, block: usize, hidden: usize) -> [nn::Linear; 2] {
        let rows = block * hidden..(block + 1) * hidden;
        ["ih", "hh"].map(|side| {
            let weight: Tensor<2> = self.param(&format!("weight_{side}_l{layer}")).val();
            let bias: Option<Tensor<1>> = self.find(&format!("bias_{side}_l{layer}"));
            let bias = bias.map(|b| b.slice_dim(0, rows.clone()));
            self.linear(weight.slice_dim(0, rows.clone()), bias)
        })
    }
}

/// A stack of one tensor as that tensor.
fn without_first_axis(stack: &DynTensor) -> DynTensor {
    match stack.shape().len() {
        2 => stack.get::<2>().squeeze_dim::<1>(0).into(),
        3 => stack.get::<3>().squeeze_dim::<2>(0).into(),
        4 => stack.get::<4>().squeeze_dim::<3>(0).into(),
        5 => stack.get::<5>().squeeze_dim::<4>(0).into(),
        6 => stack.get::<6>().squeeze_dim::<5>(0).into(),
        rank => panic!("parameters of rank {rank}"),
    }
}

fn set_gate(gate: &mut nn::GateController, [input, hidden]: [nn::Linear; 2]) {
    gate.input_transform = input;
    gate.hidden_transform = hidden;
}

fn padding1([p]: [usize; 1]) -> PaddingConfig1d {
    PaddingConfig1d::Explicit(p, p)
}

fn padding2([y, x]: [usize; 2]) -> PaddingConfig2d {
    PaddingConfig2d::Explicit(y, x, y, x)
}

/// The arguments of a convolution's constructor.
struct ConvArguments<const N: usize> {
    channels: [usize; 2],
    kernel: [usize; N],
    stride: [usize; N],
    padding: [usize; N],
    padding_out: [usize; N],
    dilation: [usize; N],
    groups: usize,
}

impl<const N: usize> ConvArguments<N> {
    fn new(call: &Call, transposed: bool) -> Self {
        if call.text(4, "padding").is_some() {
            lacks::<()>("padding by name with a dilation or an even kernel");
        }
        let mode = call.text(if transposed { 9 } else { 8 }, "padding_mode");
        if mode.is_some_and(|mode| mode != "zeros") {
            lacks::<()>("convolutions that pad with other than zeros");
        }
        let size = |position, name| call.number(position, name).unwrap_or(1.0) as usize;
        let kernel = call.sizes(2, "kernel_size").unwrap_or([1; N]);
        let (dilation, groups) = if transposed { (8, 6) } else { (5, 6) };
        Self {
            channels: [size(0, "in_channels"), size(1, "out_channels")],
            kernel,
            stride: call.sizes(3, "stride").unwrap_or([1; N]),
            padding: call.sizes(4, "padding").unwrap_or([0; N]),
            padding_out: if transposed {
                call.sizes(5, "output_padding").unwrap_or([0; N])
            } else {
                [0; N]
            },
            dilation: call.sizes(dilation, "dilation").unwrap_or([1; N]),
            groups: call.number(groups, "groups").unwrap_or(1.0) as usize,
        }
    }
}

impl Layer {
    /// The module with the parameters of the case.
    pub fn new(case: &Case, precision: FloatDType) -> Self {
        Self::with_state(case, precision, &case.state, false)
    }

    /// Tangents `[K, …]` of the parameters in the directions `rows` of the case, for those parameters that move.
    ///
    /// A direction is a module whose parameters are the tangents, in the layout of Burn: the maps between the layouts
    /// (transposition, gates of one matrix) are linear.
    pub fn tangents(
        &self,
        case: &Case,
        precision: FloatDType,
        rows: &[usize],
    ) -> Result<ParameterTangents, JvpError> {
        let direction = |row: &usize| {
            let buffers = case.state.iter().map(|(name, value)| {
                let zeros = at_rank!(value, Float, x => x.zeros_like().into());
                (name.clone(), zeros)
            });
            let mut state: BTreeMap<String, DynTensor> = buffers.collect();
            for (name, t) in &case.parameters {
                let tangent = spread(&t.stack, &t.directions, &[*row]);
                let tangent = without_first_axis(&tangent);
                state.insert(name.clone(), tangent);
            }
            Self::with_state(case, precision, &state, true)
        };
        let directions: Vec<Self> = rows.iter().map(direction).collect();
        let all = ParameterTangents::from_modules(self, &directions)?;
        let moving = all
            .iter()
            .filter(|(_, t)| numbers(t).iter().any(|n| *n != 0.0));
        Ok(moving.map(|(id, t)| (id, t.clone())).collect())
    }

    /// The module with the values of `state`.
    fn with_state(
        case: &Case,
        precision: FloatDType,
        state: &BTreeMap<String, DynTensor>,
        is_direction: bool,
    ) -> Self {
        let Some(name) = case.name.strip_prefix("module.") else {
            return Self::Operation(nn::Identity::new());
        };
        let builder = Builder {
            case,
            state,
            is_direction,
            precision,
            device: Device::flex(),
        };
        None.or_else(|| builder.activation(name).map(Self::Activation))
            .or_else(|| builder.pool(name))
            .or_else(|| builder.norm(name))
            .or_else(|| builder.convolution(name))
            .or_else(|| builder.recurrent(name))
            .or_else(|| builder.attention(name))
            .unwrap_or_else(|| panic!("no counterpart of {name} in this test"))
    }

    /// The first output of the module.
    pub fn forward(&self, a: &Arguments) -> DynTensor {
        let x = || a.required(0, "input");
        match self {
            Self::Operation(_) => x(),
            Self::Activation(layer) => at_rank!(x(), Float, x => layer.forward(x).into()),
            Self::AdaptiveAvgPool1d(layer) => layer.forward(a.ranked(0, "input")).into(),
            Self::AdaptiveAvgPool2d(layer) => layer.forward(a.ranked(0, "input")).into(),
            Self::AdaptiveAvgPool3d(layer) => layer.forward(a.ranked(0, "input")).into(),
            Self::AvgPool1d(layer) => layer.forward(a.ranked(0, "input")).into(),
            Self::AvgPool2d(layer) => layer.forward(a.ranked(0, "input")).into(),
            Self::MaxPool1d(layer) => layer.forward(a.ranked(0, "input")).into(),
            Self::MaxPool2d(layer) => layer.forward(a.ranked(0, "input")).into(),
            Self::BatchNorm(layer) => at_rank!(x(), Float, x => layer.forward(x).into()),
            Self::GroupNorm(layer) => at_rank!(x(), Float, x => layer.forward(x).into()),
            Self::InstanceNorm(layer) if x().shape().get(1) != Some(&layer.num_channels) => {
                lacks("an instance norm without a batch")
            }
            Self::InstanceNorm(layer) => at_rank!(x(), Float, x => layer.forward(x).into()),
            Self::LayerNorm(layer) => at_rank!(x(), Float, x => layer.forward(x).into()),
            Self::LocalResponseNorm(layer) => at_rank!(x(), Float, x => layer.forward(x).into()),
            Self::RmsNorm(layer) => at_rank!(x(), Float, x => layer.forward(x).into()),
            Self::Conv1d(layer) => layer.forward(a.ranked(0, "input")).into(),
            Self::Conv2d(layer) => layer.forward(a.ranked(0, "input")).into(),
            Self::Conv3d(layer) => layer.forward(a.ranked(0, "input")).into(),
            Self::ConvTranspose1d(layer) => layer.forward(a.ranked(0, "input")).into(),
            Self::ConvTranspose2d(layer) => layer.forward(a.ranked(0, "input")).into(),
            Self::ConvTranspose3d(layer) => layer.forward(a.ranked(0, "input")).into(),
            Self::Linear(layer) => at_rank!(x(), Float, x => layer.forward(x).into()),
            Self::Embedding(layer) => layer.forward(x().get_kind::<2, Int>()).into(),
            Self::Attention(layer) => attention(layer, a),
            Self::Rnn(layers) => recurrent(a, layers.len(), 1, |i, x, [hidden]| {
                let state = hidden.map(|t| RnnState::new(t.squeeze_dim(0)));
                layers[i].forward(x, state).0
            }),
            Self::Gru(layers) => recurrent(a, layers.len(), 1, |i, x, [hidden]| {
                layers[i].forward(x, hidden.map(|t| t.squeeze_dim(0)))
            }),
            Self::Lstm(layers) => recurrent(a, layers.len(), 1, |i, x, [hidden, cell]| {
                let state = hidden.zip(cell);
                let state = state.map(|(h, c)| LstmState::new(c.squeeze_dim(0), h.squeeze_dim(0)));
                layers[i].forward(x, state).0
            }),
            Self::BiRnn(layers) => recurrent(a, layers.len(), 2, |i, x, [hidden]| {
                layers[i].forward(x, hidden.map(RnnState::new)).0
            }),
            Self::BiGru(layers) => recurrent(a, layers.len(), 2, |i, x, [hidden]| {
                layers[i].forward(x, hidden).0
            }),
            Self::BiLstm(layers) => recurrent(a, layers.len(), 2, |i, x, [hidden, cell]| {
                let state = hidden.zip(cell).map(|(h, c)| LstmState::new(c, h));
                layers[i].forward(x, state).0
            }),
        }
    }
}

/// Layers one upon the other, on `[batch, time, width]`. The state of PyTorch is `[layers·directions, batch, width]`.
fn recurrent<const S: usize>(
    a: &Arguments,
    count: usize,
    directions: usize,
    layer: impl Fn(usize, Tensor<3>, [Option<Tensor<3>>; S]) -> Tensor<3>,
) -> DynTensor {
    let batch_first = a.case.call.flag(9, "batch_first", false);
    let batched = a.required(0, "input").shape().len() == 3;
    let turn = |t: Tensor<3>| {
        if batch_first || !batched {
            t
        } else {
            t.swap_dims(0, 1)
        }
    };
    let states: [Option<Tensor<3>>; S] = {
        let indices = match a.call.tensor(1, "hx") {
            Some(index) => vec![index],
            None => a.call.tensors(1, "hx"),
        };
        std::array::from_fn(|i| {
            let state = &a.tensors[*indices.get(i)?];
            Some(match state.shape().len() {
                2 => state.get::<2>().unsqueeze_dim(1),
                _ => state.get(),
            })
        })
    };
    let mut x = turn(a.ranked(0, "input"));
    for i in 0..count {
        let rows = directions * i..directions * (i + 1);
        let state = states.clone().map(|t| Some(t?.slice_dim(0, rows.clone())));
        x = layer(i, x, state);
    }
    turn(x).into()
}

/// Attention on `[batch, tokens, width]`.
fn attention(layer: &MultiHeadAttention, a: &Arguments) -> DynTensor {
    let batch_first = a.case.call.flag(7, "batch_first", false);
    let batched = a.required(0, "query").shape().len() == 3;
    let turn = |t: Tensor<3>| {
        if batch_first || !batched {
            t
        } else {
            t.swap_dims(0, 1)
        }
    };
    let [q, k, v] =
        [(0, "query"), (1, "key"), (2, "value")].map(|(i, name)| turn(a.ranked(i, name)));
    let [batch, queries, _] = q.dims();
    let keys = k.dims()[1];
    let mut input = MhaInput::new(q, k, v);
    if let Some(mask) = a.tensor(3, "key_padding_mask") {
        if mask.dtype().is_float() {
            return lacks("masks of floats in its attention module");
        }
        input = input.mask_pad(widen_bool(&mask));
    }
    if let Some(mask) = a.tensor(5, "attn_mask") {
        if mask.dtype().is_float() || mask.shape().len() != 2 {
            return lacks("masks of floats in its attention module");
        }
        let mask = mask.get_kind::<2, Bool>().unsqueeze::<3>();
        input = input.mask_attn(mask.expand([batch, queries, keys]));
    }
    turn(layer.forward(input).context).into()
}

impl Builder<'_> {
    fn number_or(&self, position: usize, name: &str, default: f64) -> f64 {
        let number = self.case.call.number(position, name);
        number.unwrap_or(default)
    }

    fn size(&self, position: usize, name: &str) -> usize {
        self.number_or(position, name, 1.0) as usize
    }

    fn activation(&self, name: &str) -> Option<Activation> {
        use ActivationConfig as A;
        let alpha = || self.number_or(0, "alpha", 1.0);
        let lambda = || self.number_or(0, "lambd", 0.5);
        let config = match name {
            "CELU" => A::Celu(nn::CeluConfig::new().with_alpha(alpha())),
            "ELU" => A::Elu(nn::EluConfig::new().with_alpha(alpha())),
            "GELU" if self.case.call.text(0, "approximate") == Some("tanh") => A::GeluApproximate,
            "GELU" => A::Gelu,
            "Hardshrink" => A::HardShrink(nn::HardShrinkConfig::new().with_lambda(lambda())),
            "Hardswish" => A::HardSwish,
            "LeakyReLU" => {
                let slope = self.number_or(0, "negative_slope", 0.01);
                A::LeakyRelu(nn::LeakyReluConfig::new().with_negative_slope(slope))
            }
            "PReLU" => {
                let mut layer = nn::PReluConfig::new().init(&self.device);
                layer.alpha = self.param("weight");
                return Some(Activation::PRelu(layer));
            }
            "ReLU" => A::Relu,
            "SELU" => A::Selu,
            "Sigmoid" => A::Sigmoid,
            "Softplus" => {
                if self.number_or(1, "threshold", 20.0) != 20.0 {
                    return lacks("another threshold in its Softplus module");
                }
                A::Softplus(nn::SoftplusConfig::new().with_beta(self.number_or(0, "beta", 1.0)))
            }
            "Softshrink" => A::SoftShrink(nn::SoftShrinkConfig::new().with_lambda(lambda())),
            "Softsign" => A::Softsign,
            "Tanh" => A::Tanh,
            _ => return None,
        };
        Some(config.init(&self.device))
    }

    fn pool(&self, name: &str) -> Option<Layer> {
        let call = &self.case.call;
        if name.starts_with("AvgPool") && call.get(5, "divisor_override").is_some() {
            return lacks("a divisor of average pooling");
        }
        if name.starts_with("MaxPool") && call.flag(4, "return_indices", false) {
            return lacks("a pooling module that returns its indices");
        }
        let flag = |position, name, default| call.flag(position, name, default);
        Some(match name {
            "AdaptiveAvgPool1d" => {
                let [size] = call.sizes(0, "output_size")?;
                Layer::AdaptiveAvgPool1d(AdaptiveAvgPool1dConfig::new(size).init())
            }
            "AdaptiveAvgPool2d" => {
                let size = call.sizes(0, "output_size");
                let size = size.unwrap_or_else(|| lacks("an output size that is the input's"));
                Layer::AdaptiveAvgPool2d(AdaptiveAvgPool2dConfig::new(size).init())
            }
            "AdaptiveAvgPool3d" => {
                let size = call.sizes(0, "output_size");
                let size = size.unwrap_or_else(|| lacks("an output size that is the input's"));
                Layer::AdaptiveAvgPool3d(AdaptiveAvgPool3dConfig::new(size).init())
            }
            "AvgPool1d" => {
                let [kernel] = call.sizes(0, "kernel_size")?;
                let [stride] = call.sizes(1, "stride").unwrap_or([kernel]);
                let config = AvgPool1dConfig::new(kernel)
                    .with_stride(stride)
                    .with_padding(padding1(call.sizes(2, "padding").unwrap_or([0])))
                    .with_ceil_mode(flag(3, "ceil_mode", false))
                    .with_count_include_pad(flag(4, "count_include_pad", true));
                Layer::AvgPool1d(config.init())
            }
            "AvgPool2d" => {
                let kernel = call.sizes(0, "kernel_size")?;
                let config = AvgPool2dConfig::new(kernel)
                    .with_strides(call.sizes(1, "stride").unwrap_or(kernel))
                    .with_padding(padding2(call.sizes(2, "padding").unwrap_or([0; 2])))
                    .with_ceil_mode(flag(3, "ceil_mode", false))
                    .with_count_include_pad(flag(4, "count_include_pad", true));
                Layer::AvgPool2d(config.init())
            }
            "MaxPool1d" => {
                let [kernel] = call.sizes(0, "kernel_size")?;
                let [stride] = call.sizes(1, "stride").unwrap_or([kernel]);
                let [dilation] = call.sizes(3, "dilation").unwrap_or([1]);
                let config = MaxPool1dConfig::new(kernel)
                    .with_stride(stride)
                    .with_padding(padding1(call.sizes(2, "padding").unwrap_or([0])))
                    .with_dilation(dilation)
                    .with_ceil_mode(flag(5, "ceil_mode", false));
                Layer::MaxPool1d(config.init())
            }
            "MaxPool2d" => {
                let kernel = call.sizes(0, "kernel_size")?;
                let config = MaxPool2dConfig::new(kernel)
                    .with_strides(call.sizes(1, "stride").unwrap_or(kernel))
                    .with_padding(padding2(call.sizes(2, "padding").unwrap_or([0; 2])))
                    .with_dilation(call.sizes(3, "dilation").unwrap_or([1; 2]))
                    .with_ceil_mode(flag(5, "ceil_mode", false));
                Layer::MaxPool2d(config.init())
            }
            _ => return None,
        })
    }

    fn norm(&self, name: &str) -> Option<Layer> {
        let device = &self.device;
        Some(match name {
            "BatchNorm1d" | "BatchNorm2d" | "BatchNorm3d" => {
                let n = self.size(0, "num_features");
                if self.find::<1>("running_mean").is_none() {
                    return lacks("a batch norm in training that can be recorded");
                }
                let mut layer = nn::BatchNormConfig::new(n)
                    .with_epsilon(self.number_or(1, "eps", 1e-5))
                    .init(device);
                layer.gamma = Param::from_tensor(self.vector_or("weight", n, 1.0));
                layer.beta = Param::from_tensor(self.vector_or("bias", n, 0.0));
                layer.running_mean = RunningState::new(self.vector_or("running_mean", n, 0.0));
                layer.running_var = RunningState::new(self.vector_or("running_var", n, 1.0));
                Layer::BatchNorm(layer.valid())
            }
            "GroupNorm" => {
                let (groups, n) = (self.size(0, "num_groups"), self.size(1, "num_channels"));
                let mut layer = nn::GroupNormConfig::new(groups, n)
                    .with_epsilon(self.number_or(2, "eps", 1e-5))
                    .init(device);
                layer.gamma = Some(Param::from_tensor(self.vector_or("weight", n, 1.0)));
                layer.beta = Some(Param::from_tensor(self.vector_or("bias", n, 0.0)));
                Layer::GroupNorm(layer)
            }
            "InstanceNorm1d" | "InstanceNorm2d" | "InstanceNorm3d" => {
                if self.find::<1>("running_mean").is_some() {
                    return lacks("an instance norm with running statistics");
                }
                let n = self.size(0, "num_features");
                let mut layer = nn::InstanceNormConfig::new(n)
                    .with_epsilon(self.number_or(1, "eps", 1e-5))
                    .init(device);
                layer.gamma = Some(Param::from_tensor(self.vector_or("weight", n, 1.0)));
                layer.beta = Some(Param::from_tensor(self.vector_or("bias", n, 0.0)));
                Layer::InstanceNorm(layer)
            }
            "LayerNorm" => {
                let shape = self.case.call.integers(0, "normalized_shape")?;
                if shape.len() != 1 {
                    return lacks("a layer norm over several axes");
                }
                let n = shape[0] as usize;
                let mut layer = nn::LayerNormConfig::new(n)
                    .with_epsilon(self.number_or(1, "eps", 1e-5))
                    .init(device);
                layer.gamma = Param::from_tensor(self.vector_or("weight", n, 1.0));
                layer.beta = self.optional("bias");
                Layer::LayerNorm(layer)
            }
            "RMSNorm" => {
                let shape = self.case.call.integers(0, "normalized_shape")?;
                if shape.len() != 1 {
                    return lacks("an RMS norm over several axes");
                }
                let n = shape[0] as usize;
                let epsilon = match self.precision {
                    FloatDType::F64 => f64::EPSILON,
                    _ => f64::from(f32::EPSILON),
                };
                Layer::RmsNorm(nn::RmsNorm {
                    gamma: Param::from_tensor(self.vector_or("weight", n, 1.0)),
                    epsilon: self.number_or(1, "eps", epsilon),
                })
            }
            "LocalResponseNorm" => {
                let layer = nn::LocalResponseNormConfig::new(self.size(0, "size"))
                    .with_alpha(self.number_or(1, "alpha", 1e-4))
                    .with_beta(self.number_or(2, "beta", 0.75))
                    .with_k(self.number_or(3, "k", 1.0));
                Layer::LocalResponseNorm(layer.init())
            }
            _ => return None,
        })
    }

    fn convolution(&self, name: &str) -> Option<Layer> {
        let call = &self.case.call;
        let device = &self.device;
        Some(match name {
            "Linear" => Layer::Linear(self.linear(self.param("weight").val(), self.find("bias"))),
            "Embedding" => {
                let config = nn::EmbeddingConfig::new(
                    self.size(0, "num_embeddings"),
                    self.size(1, "embedding_dim"),
                );
                let mut layer = config.init(device);
                layer.weight = self.param("weight");
                Layer::Embedding(layer)
            }
            "Conv1d" => {
                let c = ConvArguments::<1>::new(call, false);
                let mut layer = Conv1dConfig::new(c.channels[0], c.channels[1], c.kernel[0])
                    .with_stride(c.stride[0])
                    .with_padding(padding1(c.padding))
                    .with_dilation(c.dilation[0])
                    .with_groups(c.groups)
                    .init(device);
                (layer.weight, layer.bias) = (self.param("weight"), self.optional("bias"));
                Layer::Conv1d(layer)
            }
            "Conv2d" => {
                let c = ConvArguments::<2>::new(call, false);
                let mut layer = Conv2dConfig::new(c.channels, c.kernel)
                    .with_stride(c.stride)
                    .with_padding(padding2(c.padding))
                    .with_dilation(c.dilation)
                    .with_groups(c.groups)
                    .init(device);
                (layer.weight, layer.bias) = (self.param("weight"), self.optional("bias"));
                Layer::Conv2d(layer)
            }
            "Conv3d" => {
                let c = ConvArguments::<3>::new(call, false);
                let [z, y, x] = c.padding;
                let mut layer = Conv3dConfig::new(c.channels, c.kernel)
                    .with_stride(c.stride)
                    .with_padding(PaddingConfig3d::Explicit(z, y, x))
                    .with_dilation(c.dilation)
                    .with_groups(c.groups)
                    .init(device);
                (layer.weight, layer.bias) = (self.param("weight"), self.optional("bias"));
                Layer::Conv3d(layer)
            }
            "ConvTranspose1d" => {
                let c = ConvArguments::<1>::new(call, true);
                let mut layer = ConvTranspose1dConfig::new(c.channels, c.kernel[0])
                    .with_stride(c.stride[0])
                    .with_padding(c.padding[0])
                    .with_padding_out(c.padding_out[0])
                    .with_dilation(c.dilation[0])
                    .with_groups(c.groups)
                    .init(device);
                (layer.weight, layer.bias) = (self.param("weight"), self.optional("bias"));
                Layer::ConvTranspose1d(layer)
            }
            "ConvTranspose2d" => {
                let c = ConvArguments::<2>::new(call, true);
                let mut layer = ConvTranspose2dConfig::new(c.channels, c.kernel)
                    .with_stride(c.stride)
                    .with_padding(c.padding)
                    .with_padding_out(c.padding_out)
                    .with_dilation(c.dilation)
                    .with_groups(c.groups)
                    .init(device);
                (layer.weight, layer.bias) = (self.param("weight"), self.optional("bias"));
                Layer::ConvTranspose2d(layer)
            }
            "ConvTranspose3d" => {
                let c = ConvArguments::<3>::new(call, true);
                let mut layer = ConvTranspose3dConfig::new(c.channels, c.kernel)
                    .with_stride(c.stride)
                    .with_padding(c.padding)
                    .with_padding_out(c.padding_out)
                    .with_dilation(c.dilation)
                    .with_groups(c.groups)
                    .init(device);
                (layer.weight, layer.bias) = (self.param("weight"), self.optional("bias"));
                Layer::ConvTranspose3d(layer)
            }
            _ => return None,
        })
    }

    fn recurrent(&self, name: &str) -> Option<Layer> {
        let call = &self.case.call;
        let (input, hidden) = (self.size(0, "input_size"), self.size(1, "hidden_size"));
        let both_ways = call.flag(6, "bidirectional", false);
        let layers = 0..self.size(2, "num_layers");
        let width = |layer: usize| match (layer, both_ways) {
            (0, _) => input,
            (_, true) => 2 * hidden,
            (_, false) => hidden,
        };
        let device = &self.device;
        let bias = call.flag(3, "bias", true);
        let relu = call.text(9, "nonlinearity") == Some("relu");
        let activation = || {
            if relu {
                ActivationConfig::Relu
            } else {
                ActivationConfig::Tanh
            }
        };
        Some(match (name, both_ways) {
            ("RNN", false) => Layer::Rnn(Vec::from_iter(layers.map(|i| {
                let config = RnnConfig::new(width(i), hidden, bias);
                let layer = config.with_hidden_activation(activation()).init(device);
                self.rnn(layer, &i.to_string())
            }))),
            ("RNN", true) => Layer::BiRnn(Vec::from_iter(layers.map(|i| {
                let config = BiRnnConfig::new(width(i), hidden, bias);
                let mut layer = config.with_hidden_activation(activation()).init(device);
                layer.forward = self.rnn(layer.forward, &i.to_string());
                layer.reverse = self.rnn(layer.reverse, &format!("{i}_reverse"));
                layer
            }))),
            ("GRU", false) => Layer::Gru(Vec::from_iter(layers.map(|i| {
                let layer = GruConfig::new(width(i), hidden, bias).init(device);
                self.gru(layer, &i.to_string())
            }))),
            ("GRU", true) => Layer::BiGru(Vec::from_iter(layers.map(|i| {
                let mut layer = BiGruConfig::new(width(i), hidden, bias).init(device);
                layer.forward = self.gru(layer.forward, &i.to_string());
                layer.reverse = self.gru(layer.reverse, &format!("{i}_reverse"));
                layer
            }))),
            ("LSTM", false) => Layer::Lstm(Vec::from_iter(layers.map(|i| {
                let layer = LstmConfig::new(width(i), hidden, bias).init(device);
                self.lstm(layer, &i.to_string())
            }))),
            ("LSTM", true) => Layer::BiLstm(Vec::from_iter(layers.map(|i| {
                let mut layer = BiLstmConfig::new(width(i), hidden, bias).init(device);
                layer.forward = self.lstm(layer.forward, &i.to_string());
                layer.reverse = self.lstm(layer.reverse, &format!("{i}_reverse"));
                layer
            }))),
            _ => return None,
        })
    }

    fn rnn(&self, mut layer: Rnn, key: &str) -> Rnn {
        set_gate(&mut layer.gate, self.gate(key, 0, layer.d_hidden));
        layer
    }

    fn gru(&self, mut layer: Gru, key: &str) -> Gru {
        let gates = [
            &mut layer.reset_gate,
            &mut layer.update_gate,
            &mut layer.new_gate,
        ];
        for (block, gate) in gates.into_iter().enumerate() {
            set_gate(gate, self.gate(key, block, layer.d_hidden));
        }
        layer
    }

    fn lstm(&self, mut layer: Lstm, key: &str) -> Lstm {
        let forget = layer
            .forget_gate
            .as_mut()
            .expect("a forget gate by default");
        let gates = [
            &mut layer.input_gate,
            forget,
            &mut layer.cell_gate,
            &mut layer.output_gate,
        ];
        for (block, gate) in gates.into_iter().enumerate() {
            set_gate(gate, self.gate(key, block, layer.d_hidden));
        }
        layer
    }

    fn attention(&self, name: &str) -> Option<Layer> {
        if name != "MultiheadAttention" {
            return None;
        }
        let (width, heads) = (self.size(0, "embed_dim"), self.size(1, "num_heads"));
        let Some(weight) = self.find::<2>("in_proj_weight") else {
            return lacks("keys and values of other widths");
        };
        let bias: Option<Tensor<1>> = self.find("in_proj_bias");
        let projection = |block: usize| {
            let rows = block * width..(block + 1) * width;
            let bias = bias.clone().map(|b| b.slice(s![rows.clone()]));
            self.linear(weight.clone().slice(s![rows]), bias)
        };
        let mut layer = MultiHeadAttentionConfig::new(width, heads)
            .with_dropout(0.0)
            .init(&self.device);
        layer.query = projection(0);
        layer.key = projection(1);
        layer.value = projection(2);
        layer.output = self.linear(
            self.param("out_proj.weight").val(),
            self.find("out_proj.bias"),
        );
        Some(Layer::Attention(layer))
    }
}
