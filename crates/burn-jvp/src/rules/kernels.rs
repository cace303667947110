//! The operations of the crate `kernels`, which record as one custom operation each.

use super::{Context, on_batch};
use crate::value::{Value, concat, count, dims, expand, lift, part, reshape, zeros};
use burn::backend::ir::{CustomOpIr, ScalarIr, TensorIr};
use burn::backend::{Dispatch as D, TensorMetadata};
use burn_cpu_kernels::{ATTENTION, CONV3X3, GROUP_NORM, KernelBackend, Norm, POINTWISE, SILU};

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
        (CONV3X3, inputs, [out]) => return conv3x3(inputs, out, cx),
        (POINTWISE, inputs, [out]) => return pointwise(inputs, out, cx),
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

/// The inputs x, weight and bias, of which the last two have no tangent.
fn affine(inputs: &[TensorIr], cx: &mut Context) -> Option<[Value; 3]> {
    let [x, weight, bias] = inputs else {
        return None;
    };
    let [x, w, b] = [x, weight, bias].map(|input| cx.take(input));
    cx.fixed([&w, &b])?;
    Some([x, w, b])
}

/// A 3×3 convolution in x, with a bias `[o]` or `[n or 1, o]`; the tangents pass without it.
fn conv3x3(inputs: &[TensorIr], out: &TensorIr, cx: &mut Context) -> Option<()> {
    let [x, w, b] = affine(inputs, cx)?;
    let (x, w, b, tangent) = (x.primal, w.primal, b.primal, x.tangent);
    let (n, outputs) = (dims(&x)[0], dims(&w)[0]);
    let no_bias = |rows| zeros(&[rows, outputs], &cx.device, b.dtype());
    let value = match tangent {
        None => Value::constant(D::conv3x3(x, w, b)),
        // The weights are transformed at every call: where they outnumber the pixels, once for primal and tangents.
        Some(t) if count(&x) < count(&w) => {
            let k = dims(&t)[0];
            let bias = concat(vec![expand(b.clone(), &[n, outputs]), no_bias(k * n)]);
            let stack = concat(vec![lift(&x), t]);
            let y = on_batch(stack, |x| D::conv3x3(x, w.clone(), bias.clone()));
            Value {
                primal: reshape(part(y.clone(), 0..1), &out.shape.to_vec()),
                tangent: Some(part(y, 1..1 + k)),
            }
        }
        Some(t) => Value {
            tangent: Some(on_batch(t, |t| D::conv3x3(t, w.clone(), no_bias(1)))),
            primal: D::conv3x3(x, w, b),
        },
    };
    cx.put(out, value);
    Some(())
}

/// A 1×1 map of the channels of x, with a bias `[o]`; the tangents pass without it.
fn pointwise(inputs: &[TensorIr], out: &TensorIr, cx: &mut Context) -> Option<()> {
    let [x, w, b] = affine(inputs, cx)?;
    let tangent = x.tangent.map(|t| {
        let no_bias = zeros(&dims(&b.primal), &cx.device, b.primal.dtype());
        on_batch(t, |t| D::pointwise(t, w.primal.clone(), no_bias.clone()))
    });
    let primal = D::pointwise(x.primal, w.primal, b.primal);
    cx.put(out, Value { primal, tangent });
    Some(())
}
