//! The rule of attention, exact and without a materialised Jacobian.

use super::softmax::softmax_tangent;
use crate::dual::{
    Dual, RawTensor, add, add_tangents, dims, div, expand, lift, mul, neg, scale, shift, stacked,
    sub,
};
use crate::interpreter::Interpreter;
use burn::backend::ir::AttentionOpIr;
use burn::backend::ops::{AttentionModuleOptions, FloatTensorOps, ModuleOps};
use burn::backend::{Dispatch as D, TensorData, TensorMetadata};

/// `Y = P·V`, `P = softmax(S)`, `S = scale·Q·Kᵀ` (capped, masked, biased): `Y' = P'·V + P·V'`.
pub(super) fn attention(op: &AttentionOpIr, interp: &mut Interpreter) {
    let [query, key, value] = [&op.query, &op.key, &op.value].map(|t| interp.take(t));
    let mask = op.mask.as_ref().map(|t| interp.take_primal(t));
    let bias = op.attn_bias.as_ref().map(|t| interp.take(t));
    let options: AttentionModuleOptions = op.options.clone().into();

    let active = [&query, &key, &value]
        .into_iter()
        .chain(&bias)
        .any(|input| input.tangent.is_some());
    let tangent = if active {
        let weights = attention_weights(
            (&query, &key),
            mask.clone(),
            bias.as_ref(),
            &options,
            interp.k,
        );
        add_tangents(
            weights
                .tangent
                .map(|t| D::float_matmul(t, lift(&value.primal))),
            value
                .tangent
                .map(|t| D::float_matmul(lift(&weights.primal), t)),
        )
    } else {
        None
    };
    let primal = interp.primal(&op.out, || {
        D::attention(
            query.primal,
            key.primal,
            value.primal,
            mask,
            bias.map(|b| b.primal),
            options,
        )
    });
    interp.put(&op.out, Dual { primal, tangent });
}

/// The attention weights P with `P' = P·(S' − Σ P·S')` and `S' = scale·(Q'·Kᵀ + Q·K'ᵀ)·slope + bias'`, where the slope is
/// that of capping, `s ↦ c·tanh(s/c)`.
fn attention_weights(
    (query, key): (&Dual, &Dual),
    mask: Option<RawTensor>,
    bias: Option<&Dual>,
    options: &AttentionModuleOptions,
    k: usize,
) -> Dual {
    let (query_shape, key_shape) = (dims(&query.primal), dims(&key.primal));
    let last = query_shape.len() - 1;
    let factor = options
        .scale
        .unwrap_or_else(|| 1.0 / (query_shape[last] as f64).sqrt());
    let transposed = D::float_transpose(key.primal.clone());
    let scores = scale(
        D::float_matmul(query.primal.clone(), transposed.clone()),
        factor,
    );
    let (scores, slope) = match options.softcap {
        None => (scores, None),
        Some(cap) => {
            let tanh = D::float_tanh(scale(scores, 1.0 / cap));
            let slope = shift(neg(mul(tanh.clone(), tanh.clone())), 1.0);
            (scale(tanh, cap), Some(slope))
        }
    };
    let weights = probabilities(scores, mask, bias, options.is_causal);

    let score_tangent = add_tangents(
        query
            .tangent
            .clone()
            .map(|t| D::float_matmul(t, lift(&transposed))),
        key.tangent
            .clone()
            .map(|t| D::float_matmul(lift(&query.primal), D::float_transpose(t))),
    )
    .map(|t| scale(t, factor))
    .map(|t| match &slope {
        Some(slope) => mul(t, lift(slope)),
        None => t,
    });
    let mut shape = dims(&weights);
    shape[last] = key_shape[last - 1];
    let shape = stacked(k, &shape);
    let bias_tangent = bias
        .and_then(|bias| bias.tangent.clone())
        .map(|t| expand(t, &shape));
    let tangent = add_tangents(score_tangent, bias_tangent)
        .map(|t| softmax_tangent(t, lift(&weights), last + 1));
    Dual {
        primal: weights,
        tangent,
    }
}

/// The attention weights `softmax(scores + bias)` over the last axis, zero in rows that are masked entirely.
fn probabilities(
    scores: RawTensor,
    mask: Option<RawTensor>,
    bias: Option<&Dual>,
    causal: bool,
) -> RawTensor {
    let shape = dims(&scores);
    let (rows, columns) = (shape[2], shape[3]);
    let mut scores = scores;
    if let Some(mask) = mask {
        scores = D::float_mask_fill(scores, mask, f64::NEG_INFINITY.into());
    }
    if causal {
        // The last query sees every key: the boundary ends in the lower right corner.
        let data: Vec<f32> = (0..rows * columns)
            .map(|i| {
                if i % columns + rows > i / columns + columns {
                    f32::NEG_INFINITY
                } else {
                    0.0
                }
            })
            .collect();
        let future = TensorData::new(data, [1, 1, rows, columns]).convert_dtype(scores.dtype());
        let future = D::float_from_data(future, &scores.device());
        scores = add(scores, future);
    }
    if let Some(bias) = bias {
        scores = add(scores, bias.primal.clone());
    }
    let limits = scores.dtype().finfo().expect("scores are floats");
    let top = D::float_clamp_min(D::float_max_dim(scores.clone(), 3), limits.min.into());
    let weights = D::float_exp(sub(scores, top));
    let total = D::float_sum_dim(weights.clone(), 3);
    div(
        weights,
        D::float_clamp_min(total, limits.min_positive.into()),
    )
}
