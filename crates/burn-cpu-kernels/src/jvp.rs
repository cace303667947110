//! Forward-mode rules of the kernels, for [`burn_jvp::Jvp::with_rules`].

mod gradients;
mod patterns;

use patterns::{added, take};

use burn::backend::ir::{CustomOpIr, ScalarIr};
use burn::backend::ops::FloatTensorOps;
use burn::backend::{Dispatch, TensorMetadata};
use burn_jvp::dual::{
    concat, dims, expand, lift, narrow, num_elements, on_batch, reshape, stacked, zeros,
};
use burn_jvp::{CustomRule, Dual, RawTensor, Refusal};

use crate::backend::KernelBackend;
use crate::capture::{ATTENTION, CONV3X3, GROUP_NORM, POINTWISE, SILU};
use crate::norm::GroupNormOptions;
use crate::norm_directions::NormDirections;
use crate::stride::Stride;

use gradients::{
    ChannelSumsRule, Conv3x3InputGradientRule, Conv3x3WeightGradientRule, GroupNormGradientRule,
    PointwiseInputGradientRule, PointwiseWeightGradientRule,
};

/// The rules of all operations of this crate and of the gradients that it has kernels for.
pub static RULES: &[&dyn CustomRule] = &[
    &SiluRule,
    &GroupNormRule,
    &Conv3x3Rule,
    &PointwiseRule,
    &AttentionRule,
    &GroupNormGradientRule,
    &Conv3x3InputGradientRule,
    &Conv3x3WeightGradientRule,
    &PointwiseInputGradientRule,
    &PointwiseWeightGradientRule,
    &ChannelSumsRule,
];

/// `y = silu(x)`: `y' = silu'(x)·x'`.
struct SiluRule;

impl CustomRule for SiluRule {
    fn id(&self) -> &str {
        SILU
    }

    fn jvp(&self, _op: &CustomOpIr, inputs: Vec<Dual>, _k: usize) -> Result<Vec<Dual>, Refusal> {
        let [x] = take(inputs)?;
        let tangent = x.tangent.map(|t| {
            let x = expand(lift(&x.primal), &dims(&t));
            Dispatch::silu_derivative(x, t)
        });
        let primal = Dispatch::silu(x.primal);
        Ok(vec![Dual { primal, tangent }])
    }
}

/// `y = γ·x̂ + β`: `y' = γ·rate·(x' − mean(x') − x̂·mean(x̂·x')) + γ'·x̂ + β'`, times the slope of SiLU where it follows.
struct GroupNormRule;

impl CustomRule for GroupNormRule {
    fn id(&self) -> &str {
        GROUP_NORM
    }

    fn jvp(&self, op: &CustomOpIr, inputs: Vec<Dual>, k: usize) -> Result<Vec<Dual>, Refusal> {
        let options = GroupNormOptions::from_scalars(&op.scalars).ok_or_else(Refusal::unknown)?;
        let [x, gamma, beta] = take(inputs)?;
        let weights = (gamma.tangent.is_some() || beta.tangent.is_some())
            .then(|| [&gamma, &beta].map(|weight| weight.tangent_or_zeros(k)));
        let directions = match (x.tangent, weights) {
            (None, None) => None,
            (Some(x), None) => Some(NormDirections::Data(x)),
            (None, Some([gamma, beta])) => Some(NormDirections::Weights { gamma, beta }),
            (Some(x), Some([gamma, beta])) => Some(NormDirections::All { x, gamma, beta }),
        };
        let tangent = directions.map(|directions| {
            let [x, gamma, beta] = [&x.primal, &gamma.primal, &beta.primal].map(RawTensor::clone);
            Dispatch::group_norm_tangent(x, gamma, beta, directions, options)
        });
        let primal = Dispatch::group_norm(x.primal, gamma.primal, beta.primal, options);
        Ok(vec![Dual { primal, tangent }])
    }
}

/// `y = conv(x, w) + b`: `y' = conv(x', w) + conv(x, w') + b'`.
struct Conv3x3Rule;

impl CustomRule for Conv3x3Rule {
    fn id(&self) -> &str {
        CONV3X3
    }

    fn jvp(&self, op: &CustomOpIr, inputs: Vec<Dual>, k: usize) -> Result<Vec<Dual>, Refusal> {
        let stride = Stride::from_scalars(&op.scalars).ok_or_else(Refusal::unknown)?;
        let [x, weight, bias] = take(inputs)?;
        let (x, w, b, tangent) = (x.primal, weight.primal, bias.primal, x.tangent);
        let shape = dims(&w);
        let (n, outputs) = (dims(&x)[0], shape[0]);
        let (device, dtype) = (x.device(), b.dtype());
        let no_bias = |rows, columns| zeros(&[rows, columns], &device, dtype);
        let biases = bias.tangent.clone();
        let along_weights = weight.tangent.map(|t| {
            // One convolution with K times the outputs, so that the images are transformed once.
            let weights = reshape(t, &[k * outputs, shape[1], shape[2], shape[3]]);
            let biases = bias.tangent.map_or_else(|| no_bias(1, k * outputs), joined);
            separated(Dispatch::conv3x3(x.clone(), weights, biases, stride), k)
        });
        // Without tangents of the weights those of the biases are the same at every pixel.
        let along_biases = biases.filter(|_| along_weights.is_none()).map(|t| {
            let rows = dims(&t)[1];
            reshape(t, &[k, rows, outputs, 1, 1])
        });
        let y = match tangent {
            None => Dual::constant(Dispatch::conv3x3(x, w, b, stride)),
            // The weights are transformed at every call: where they outnumber the pixels, once for primal and tangents.
            Some(t) if num_elements(&x) < num_elements(&w) => {
                let bias = concat(vec![
                    expand(b.clone(), &[n, outputs]),
                    no_bias(k * n, outputs),
                ]);
                let stack = concat(vec![lift(&x), t]);
                let y = on_batch(stack, |x| {
                    Dispatch::conv3x3(x, w.clone(), bias.clone(), stride)
                });
                Dual {
                    primal: reshape(narrow(y.clone(), 0..1), &op.outputs[0].shape.to_vec()),
                    tangent: Some(narrow(y, 1..1 + k)),
                }
            }
            Some(t) => Dual {
                tangent: Some(on_batch(t, |t| {
                    Dispatch::conv3x3(t, w.clone(), no_bias(1, outputs), stride)
                })),
                primal: Dispatch::conv3x3(x, w, b, stride),
            },
        };
        let tangent = sum([y.tangent, along_weights, along_biases], op, k);
        let primal = y.primal;
        Ok(vec![Dual { primal, tangent }])
    }
}

/// `y = wᵀx + b` at every pixel: `y' = wᵀx' + w'ᵀx + b'`.
struct PointwiseRule;

impl CustomRule for PointwiseRule {
    fn id(&self) -> &str {
        POINTWISE
    }

    fn jvp(&self, op: &CustomOpIr, inputs: Vec<Dual>, k: usize) -> Result<Vec<Dual>, Refusal> {
        let [x, weight, bias] = take(inputs)?;
        let (w, b) = (weight.primal, bias.primal);
        let outputs = dims(&w)[1];
        let (device, dtype) = (x.primal.device(), b.dtype());
        let no_bias = |outputs| zeros(&[outputs], &device, dtype);
        let data = x.tangent.map(|t| {
            let no_bias = no_bias(outputs);
            on_batch(t, |t| Dispatch::pointwise(t, w.clone(), no_bias.clone()))
        });
        let biases = bias.tangent.clone();
        let along_weights = weight.tangent.map(|t| {
            // One map with K times the outputs, so that the images are read once.
            let biases = bias
                .tangent
                .map_or_else(|| no_bias(k * outputs), |t| reshape(t, &[k * outputs]));
            let y = Dispatch::pointwise(x.primal.clone(), joined(t), biases);
            separated(y, k)
        });
        let along_biases = biases
            .filter(|_| along_weights.is_none())
            .map(|t| reshape(t, &[k, 1, outputs, 1, 1]));
        let tangent = sum([data, along_weights, along_biases], op, k);
        let primal = Dispatch::pointwise(x.primal, w, b);
        Ok(vec![Dual { primal, tangent }])
    }
}

/// `y = v·Aᵀ`, `A = softmax(qᵀk/√c)`: `y' = v'·Aᵀ + v·A'ᵀ`.
struct AttentionRule;

impl CustomRule for AttentionRule {
    fn id(&self) -> &str {
        ATTENTION
    }

    fn jvp(&self, op: &CustomOpIr, inputs: Vec<Dual>, _k: usize) -> Result<Vec<Dual>, Refusal> {
        let [ScalarIr::UInt(heads)] = op.scalars.as_slice() else {
            return Err(Refusal::unknown());
        };
        let heads = *heads as usize;
        let [qkv] = take(inputs)?;
        let tangent = qkv
            .tangent
            .map(|t| Dispatch::self_attention_tangent(qkv.primal.clone(), t, heads));
        let primal = Dispatch::self_attention(qkv.primal, heads);
        Ok(vec![Dual { primal, tangent }])
    }
}

/// `[k, rows, c]` as `[rows, k·c]`.
fn joined(t: RawTensor) -> RawTensor {
    let shape = dims(&t);
    let (k, rows, columns) = (shape[0], shape[1], shape[2]);
    reshape(Dispatch::float_swap_dims(t, 0, 1), &[rows, k * columns])
}

/// Images of `k` times the channels, `[n, k·c, h, w]`, as k tangents `[k, n, c, h, w]`.
fn separated(y: RawTensor, k: usize) -> RawTensor {
    let shape = dims(&y);
    let (n, channels, h, w) = (shape[0], shape[1] / k, shape[2], shape[3]);
    if k == 1 {
        return reshape(y, &[1, n, channels, h, w]);
    }
    Dispatch::float_swap_dims(reshape(y, &[n, k, channels, h, w]), 0, 1)
}

/// The sum of the terms of the tangents of an operation's output, which may broadcast to it.
fn sum(terms: [Option<RawTensor>; 3], op: &CustomOpIr, k: usize) -> Option<RawTensor> {
    let total = added(terms)?;
    Some(expand(total, &stacked(k, &op.outputs[0].shape.to_vec())))
}
