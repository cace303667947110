//! Rules of average pooling, interpolation and windows, and of their gradients.

use super::conv_backward::shape_only;
use crate::dual::{Dual, RawTensor, on_batch};
use crate::interpreter::Interpreter;
use crate::rule::Refusal;
use burn::backend::Dispatch as D;
use burn::backend::ir::{ModuleOperationIr, TensorIr};
use burn::backend::ops::{ModuleOps, UnfoldOptions};

/// Linear functions of a batch, and their gradients, which are linear too.
pub(super) fn pool(op: &ModuleOperationIr, interp: &mut Interpreter) -> Result<(), Refusal> {
    use ModuleOperationIr as M;
    match op {
        M::AvgPool1d(op) => interp.batched(&op.x, &op.out, |x| {
            D::avg_pool1d(
                x,
                op.kernel_size,
                op.stride,
                op.padding,
                op.count_include_pad,
                op.ceil_mode,
            )
        }),
        M::AvgPool2d(op) => interp.batched(&op.x, &op.out, |x| {
            D::avg_pool2d(
                x,
                op.kernel_size,
                op.stride,
                op.padding,
                op.count_include_pad,
                op.ceil_mode,
            )
        }),
        M::AdaptiveAvgPool1d(op) => interp.batched(&op.x, &op.out, |x| {
            D::adaptive_avg_pool1d(x, op.output_size)
        }),
        M::AdaptiveAvgPool2d(op) => interp.batched(&op.x, &op.out, |x| {
            D::adaptive_avg_pool2d(x, op.output_size)
        }),
        M::AdaptiveAvgPool3d(op) => interp.batched(&op.x, &op.out, |x| {
            D::adaptive_avg_pool3d(x, op.output_size)
        }),
        M::Interpolate(op) => interp.batched(&op.x, &op.out, |x| {
            D::interpolate(x, op.output_size, op.options.clone().into())
        }),
        M::Unfold4d(op) => interp.batched(&op.x, &op.out, |x| {
            let o = &op.options;
            D::unfold4d(
                x,
                op.kernel_size,
                UnfoldOptions::new(o.stride, o.padding, o.dilation),
            )
        }),
        M::AvgPool1dBackward(o) => gradient(interp, [&o.x, &o.grad, &o.out], |x, g| {
            D::avg_pool1d_backward(
                x,
                g,
                o.kernel_size,
                o.stride,
                o.padding,
                o.count_include_pad,
                o.ceil_mode,
            )
        }),
        M::AvgPool2dBackward(o) => gradient(interp, [&o.x, &o.grad, &o.out], |x, g| {
            D::avg_pool2d_backward(
                x,
                g,
                o.kernel_size,
                o.stride,
                o.padding,
                o.count_include_pad,
                o.ceil_mode,
            )
        }),
        M::AdaptiveAvgPool1dBackward(o) => {
            gradient(
                interp,
                [&o.x, &o.grad, &o.out],
                D::adaptive_avg_pool1d_backward,
            );
        }
        M::AdaptiveAvgPool2dBackward(o) => {
            gradient(
                interp,
                [&o.x, &o.grad, &o.out],
                D::adaptive_avg_pool2d_backward,
            );
        }
        M::AdaptiveAvgPool3dBackward(o) => {
            gradient(
                interp,
                [&o.x, &o.grad, &o.out],
                D::adaptive_avg_pool3d_backward,
            );
        }
        M::InterpolateBackward(o) => gradient(interp, [&o.x, &o.grad, &o.out], |x, g| {
            D::interpolate_backward(x, g, o.output_size, o.options.clone().into())
        }),
        _ => return Err(Refusal::unknown()),
    }
    Ok(())
}

/// The gradient of a linear function of a batch, `y = f(g)`: `y' = f(g')`. Of x only the shape is read.
fn gradient(
    interp: &mut Interpreter,
    [x, grad, out]: [&TensorIr; 3],
    f: impl Fn(RawTensor, RawTensor) -> RawTensor,
) {
    let x = interp.take_primal(x);
    let g = interp.take(grad);
    let k = interp.k;
    let tangent = g.tangent.map(|t| {
        let x = shape_only(&x, 0, k);
        on_batch(t, |t| f(x.clone(), t))
    });
    let primal = interp.primal(out, || f(x, g.primal));
    interp.put(out, Dual { primal, tangent });
}
