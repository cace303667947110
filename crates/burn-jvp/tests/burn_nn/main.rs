//! Every module of `burn-nn` 0.22.1: its derivatives in its inputs and in its parameters against central differences in
//! double precision, or the reason why it has none.

#[path = "../common/mod.rs"]
mod common;

mod activations;
mod layers;
mod losses;
mod sequences;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, DeviceConfig, FloatDType, Int, Tensor, s};
use burn_jvp::check::random_tangents;
use burn_jvp::{DynTensor, Jvp, ParameterTangents, Tangents};
use common::{Scramble, close, numbers, random, uniform};
use std::collections::BTreeSet;
use std::sync::OnceLock;

/// A test for each module, and the list of their names.
macro_rules! modules {
    ($($name:ident: $module:expr, [$($input:expr),*], $forward:expr $(, $precision:expr)?;)*) => {
        /// The modules that are tested here.
        pub const TESTED: &[&str] = &[$(stringify!($name)),*];

        $(
            #[test]
            #[allow(non_snake_case, reason = "named as the module")]
            fn $name() {
                #[allow(unused_mut, unused_assignments, reason = "most are of double precision")]
                let mut precision = crate::DOUBLE;
                $(precision = $precision;)?
                crate::check(stringify!($name), $module, &[$($input.into()),*], $forward, precision);
            }
        )*
    };
}
pub(crate) use modules;

/// Replaces parameters by random ones between −0.3 and 0.3.
struct Randomize;

impl ModuleMapper for Randomize {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|t| uniform(t.dims(), -0.3, 0.3, &t.device()))
    }
}

/// Step and tolerance of central differences.
#[derive(Clone, Copy)]
struct Precision {
    step: f64,
    tolerance: f64,
}

/// Of a function in double precision.
const DOUBLE: Precision = Precision {
    step: 1e-6,
    tolerance: 1e-7,
};

/// Of a function that computes a part in single precision.
const SINGLE: Precision = Precision {
    step: 3e-3,
    tolerance: 1e-4,
};

/// Checks the derivatives of `forward` along two directions in the inputs, in the parameters and in both.
fn check<M: Module>(
    name: &str,
    module: M,
    inputs: &[DynTensor],
    forward: fn(&M, &[DynTensor]) -> DynTensor,
    precision: Precision,
) {
    let module = module.map(&mut Scramble);
    // `valid` first: mapping the running state of a module writes through to its clones.
    let directions = [(); 2].map(|()| module.valid().map(&mut Randomize));
    let all = Tangents {
        // Another sequence than that of the inputs: a norm does not move along its input.
        inputs: random_tangents(inputs, 2, 1),
        parameters: ParameterTangents::from_modules(&module, &directions).expect("one structure"),
    };
    let jvp = Jvp::new(forward);
    for tangents in parts(all) {
        let (y, t) = jvp
            .along(&module, inputs, &tangents)
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(
            numbers(&y),
            numbers(&forward(&module, inputs)),
            "{name}: the value"
        );
        let t = t.unwrap_or_else(|| panic!("{name}: no derivative"));
        let value = |k: usize, h: f64| {
            let module = tangents.parameters.displace(module.valid(), k, h);
            numbers(&forward(&module, &moved(inputs, &tangents.inputs, k, h)))
        };
        compare(name, &numbers(&t), &value, precision);
    }
}

/// The directions of inputs, those of parameters and both, as far as there are any.
fn parts(all: Tangents) -> Vec<Tangents> {
    let inputs = Tangents::of_inputs(all.inputs.clone());
    let parameters = Tangents::of_parameters(all.parameters.clone());
    let mut parts = vec![inputs, parameters, all];
    parts.retain(|tangents| tangents.k() > 0);
    parts
}

/// The inputs moved by `h` along direction `k`.
fn moved(inputs: &[DynTensor], tangents: &[Option<DynTensor>], k: usize, h: f64) -> Vec<DynTensor> {
    macro_rules! step {
        ($x:ident, $t:ident, $($rank:literal $stacked:literal),*) => {
            match $x.shape().len() {
                $($rank => {
                    let x = $x.get::<$rank>();
                    let t = $t.get::<$stacked>().slice(s![k..k + 1]).reshape(x.dims());
                    (x + t * h).into()
                })*
                rank => panic!("rank {rank}"),
            }
        };
    }
    let mut tangents = tangents.iter();
    let moved = inputs.iter().map(|x| match tangents.next() {
        Some(Some(t)) => step!(x, t, 1 2, 2 3, 3 4, 4 5, 5 6),
        _ => x.clone(),
    });
    moved.collect()
}

/// Compares stacked derivatives with central differences of `value(direction, step)`.
fn compare(
    name: &str,
    derivatives: &[f64],
    value: &dyn Fn(usize, f64) -> Vec<f64>,
    precision: Precision,
) {
    let n = derivatives.len() / 2;
    for (k, derivative) in derivatives.chunks(n).enumerate() {
        let h = precision.step;
        let (up, down) = (value(k, h), value(k, -h));
        let pairs = up.iter().zip(&down);
        let difference: Vec<f64> = pairs.map(|(up, down)| (up - down) / (2.0 * h)).collect();
        close(
            name,
            "a central difference",
            derivative,
            &difference,
            precision.tolerance,
        );
    }
}

/// The device of all tests. Some modules create tensors of its default type, which is double precision here.
fn device() -> Device {
    static CONFIGURED: OnceLock<Device> = OnceLock::new();
    let configure = || {
        let mut device = Device::flex();
        device
            .configure(DeviceConfig::default().float_dtype(FloatDType::F64))
            .expect("before the first tensor");
        device
    };
    CONFIGURED.get_or_init(configure).clone()
}

/// Numbers between 0.3 and 0.9.
fn positive<const R: usize>(shape: [usize; R]) -> Tensor<R> {
    random(shape, &device())
}

/// Numbers between −1.2 and 1.2.
fn centred<const R: usize>(shape: [usize; R]) -> Tensor<R> {
    uniform(shape, -1.2, 1.2, &device())
}

/// Integers.
fn integers<const R: usize>(values: &[i32], shape: [usize; R]) -> Tensor<R, Int> {
    Tensor::<1, Int>::from_ints(values, &device()).reshape(shape)
}

/// The modules that `burn-nn` 0.22.1 exports.
#[rustfmt::skip]
const EXPORTED: &[&str] = &[
    "Activation", "AdaptiveAvgPool1d", "AdaptiveAvgPool2d", "AdaptiveAvgPool3d", "AvgPool1d", "AvgPool2d", "BatchNorm",
    "BiGru", "BiLstm", "BiRnn", "BinaryCrossEntropyLoss", "CTCLoss", "Celu", "Conv1d", "Conv2d", "Conv3d",
    "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d", "CosineEmbeddingLoss", "CosineSimilarity",
    "CrossAttention", "CrossEntropyLoss", "DeformConv2d", "Dropout", "Elu", "Embedding", "Fold4d", "GLU",
    "GateController", "GaussianNLLLoss", "GaussianNoise", "Gelu", "GroupNorm", "Gru", "HardShrink", "HardSigmoid",
    "HardSwish", "Hardtanh", "HingeEmbeddingLoss", "HuberLoss", "Identity", "InstanceNorm", "Interpolate1d",
    "Interpolate2d", "KLDivLoss", "LayerNorm", "LeakyRelu", "Linear", "LocalResponseNorm", "LogSigmoid", "LpLoss",
    "Lstm", "MarginRankingLoss", "MaxPool1d", "MaxPool2d", "Mish", "MseLoss", "MultiHeadAttention", "MultiMarginLoss",
    "Normalization", "PRelu", "PairwiseDistance", "PixelShuffle", "PixelUnshuffle", "PoissonNllLoss",
    "PositionWiseFeedForward", "PositionalEncoding", "RNNTLoss", "RRelu", "Relu", "Relu6", "RmsNorm", "Rnn",
    "RotaryEncoding", "Selu", "Shrink", "SiLU", "Sigmoid", "SmoothL1Loss", "SoftMarginLoss", "SoftShrink", "Softplus",
    "Softsign", "SwiGlu", "Tanh", "Tanhshrink", "Threshold", "ThresholdedRelu", "TransformerDecoder",
    "TransformerDecoderLayer", "TransformerEncoder", "TransformerEncoderLayer", "TripletMarginLoss", "Unfold4d",
];

/// The modules that are not tested, with the reason.
const UNTESTED: &[(&str, &str)] = &[
    (
        "PoissonNllLoss",
        "it reads its targets to check them, and a recording has no values",
    ),
    (
        "TransformerDecoderLayer",
        "its result is private to burn-nn: it is tested as a part of the decoder",
    ),
];

#[test]
fn every_module_is_tested_or_has_a_reason_why_not() {
    let tested = [
        activations::TESTED,
        layers::TESTED,
        losses::TESTED,
        sequences::TESTED,
    ]
    .concat();
    let untested = UNTESTED.iter().map(|(name, _)| *name);
    let listed: BTreeSet<&str> = tested.into_iter().chain(untested).collect();
    let exported: BTreeSet<&str> = EXPORTED.iter().copied().collect();
    assert_eq!(listed, exported);
}
