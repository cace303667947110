//! The operations of the crate `kernels`, which record as one custom operation each.

use super::{Context, on_batch};
use crate::value::{Value, dims, expand, lift, zeros};
use burn::backend::ir::CustomOpIr;
use burn::backend::{Dispatch as D, TensorMetadata};
use kernels::{CONV3X3, GROUP_NORM, KernelBackend, Norm, SILU};

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
        (CONV3X3, [x, weight, bias], [out]) => {
            let (x, w, b) = (cx.take(x), cx.take(weight), cx.take(bias));
            cx.fixed([&w, &b])?;
            // Linear in x: the tangents pass without the bias.
            let none = zeros(&dims(&b.primal), &cx.device, b.primal.dtype());
            let tangent = x
                .tangent
                .map(|t| on_batch(t, |t| D::conv3x3(t, w.primal.clone(), none.clone())));
            let primal = D::conv3x3(x.primal, w.primal, b.primal);
            cx.put(out, Value { primal, tangent });
        }
        _ => return None,
    }
    Some(())
}
