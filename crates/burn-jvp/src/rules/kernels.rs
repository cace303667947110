//! The operations of the crate `kernels`, which record as one custom operation each.

use super::{Context, on_batch};
use crate::value::{T, Value, dims, expand, lift, zeros};
use burn::backend::ir::{CustomOpIr, ScalarIr, TensorIr};
use burn::backend::{Dispatch as D, TensorMetadata};
use kernels::{ATTENTION, CONV3X3, GROUP_NORM, KernelBackend, Norm, POINTWISE, SILU};

pub(super) fn apply(op: &CustomOpIr, cx: &mut Context) -> Option<()> {
    match (op.id.as_str(), op.inputs.as_slice(), op.outputs.as_slice()) {
        (SILU, [x], [out]) => {
            let x = cx.take(x);
            let tangent = x.tangent.map(|t| {
                let x = expand(lift(&x.primal), &dims(&t));
                D::silu_derivative(x, t)
            });
            let primal = D::silu(x.primal);
            cx.put(out, Value { primal, tangent });
        }
        (GROUP_NORM, [x, gamma, beta], [out]) => {
            let norm = Norm::of_scalars(&op.scalars)?;
            let (x, g, b) = (cx.take(x), cx.take(gamma), cx.take(beta));
            cx.fixed([&g, &b])?;
            let (x, g, b, tangent) = (x.primal, g.primal, b.primal, x.tangent);
            let tangent =
                tangent.map(|t| D::group_norm_tangent(x.clone(), g.clone(), b.clone(), t, norm));
            let primal = D::group_norm(x, g, b, norm);
            cx.put(out, Value { primal, tangent });
        }
        (CONV3X3, inputs, [out]) => return linear(inputs, out, cx, D::conv3x3),
        (POINTWISE, inputs, [out]) => return linear(inputs, out, cx, D::pointwise),
        (ATTENTION, [x], [out]) => {
            let [ScalarIr::UInt(heads)] = op.scalars.as_slice() else {
                return None;
            };
            let heads = *heads as usize;
            let x = cx.take(x);
            let primal = x.primal;
            let tangent = x
                .tangent
                .map(|t| D::self_attention_tangent(primal.clone(), t, heads));
            let primal = D::self_attention(primal, heads);
            cx.put(out, Value { primal, tangent });
        }
        _ => return None,
    }
    Some(())
}

/// A layer linear in x, of x, weight and bias: the tangents pass without the bias, which is `[o]` or `[n or 1, o]`.
fn linear(
    inputs: &[TensorIr],
    out: &TensorIr,
    cx: &mut Context,
    layer: fn(T, T, T) -> T,
) -> Option<()> {
    let [x, weight, bias] = inputs else {
        return None;
    };
    let (x, w, b) = (cx.take(x), cx.take(weight), cx.take(bias));
    cx.fixed([&w, &b])?;
    let tangent = x.tangent.map(|t| {
        let mut shape = dims(&b.primal);
        if shape.len() == 2 {
            shape[0] = 1;
        }
        let none = zeros(&shape, &cx.device, b.primal.dtype());
        on_batch(t, |t| layer(t, w.primal.clone(), none.clone()))
    });
    let primal = layer(x.primal, w.primal, b.primal);
    cx.put(out, Value { primal, tangent });
    Some(())
}
