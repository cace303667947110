//! Every module of `burn-nn` 0.22.1: its derivatives in its inputs and in its parameters against central differences in
//! double precision, or the reason why it has none.

#[path = "../common/mod.rs"]
mod common;

mod activations;
mod layers;
mod losses;
mod sequences;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, FloatDType, Int, Tensor};
use burn_jvp::check::{CheckOptions, check_along, random_tangents};
use burn_jvp::{DynTensor, Jvp, ParameterTangents, Tangents};
use common::{Precision, Scramble, random, uniform};
use std::collections::BTreeSet;

/// A test for each module, and the list of their names.
macro_rules! modules {
    ($($name:ident: $module:expr, [$($input:expr),*], $forward:expr $(, $options:expr)?;)*) => {
        /// The modules that are tested here.
        pub const TESTED: &[&str] = &[$(stringify!($name)),*];

        $(
            #[test]
            #[allow(non_snake_case, reason = "named as the module")]
            fn $name() {
                #[allow(unused_mut, unused_assignments, reason = "most have no options of their own")]
                let mut options = burn_jvp::check::CheckOptions::default();
                $(options = $options;)?
                crate::check(stringify!($name), $module, &[$($input.into()),*], $forward, &options);
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

/// Checks the derivatives of `forward` along two directions in all inputs and parameters, together and one at a time.
fn check<M: Module>(
    name: &str,
    module: M,
    inputs: &[DynTensor],
    forward: impl Fn(&M, &[DynTensor]) -> DynTensor,
    options: &CheckOptions,
) {
    let module = module
        .map(&mut Precision(FloatDType::F64))
        .map(&mut Scramble);
    let directions = [module.clone(), module.clone()].map(|m| m.map(&mut Randomize));
    let tangents = Tangents {
        inputs: random_tangents(inputs, 2, 0),
        parameters: ParameterTangents::from_modules(&module, &directions).expect("one structure"),
    };
    check_along(&Jvp::new(forward), &module, inputs, &tangents, options)
        .unwrap_or_else(|e| panic!("{name}: {e}"));
}

/// Without the comparison with autodiff, which has no backward of the module, or draws random numbers in it.
fn forward_only() -> CheckOptions {
    CheckOptions {
        adjoint: None,
        ..CheckOptions::default()
    }
}

/// The device of all tests.
fn device() -> Device {
    Device::flex()
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
    let tested = [activations::TESTED, layers::TESTED, losses::TESTED, sequences::TESTED].concat();
    let untested = UNTESTED.iter().map(|(name, _)| *name);
    let listed: BTreeSet<&str> = tested.into_iter().chain(untested).collect();
    let exported: BTreeSet<&str> = EXPORTED.iter().copied().collect();
    assert_eq!(listed, exported);
}
