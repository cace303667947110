//! Rules of pooling and interpolation.

use crate::dual::{Dual, RawTensor, dims, reshape, stacked};
use crate::interpreter::Interpreter;
use crate::rule::Refusal;
use crate::rules::reduce::gather;
use burn::backend::ir::{ModuleOperationIr, TensorIr};
use burn::backend::ops::{IntTensorOps, ModuleOps, UnfoldOptions};
use burn::backend::{Dispatch as D, IntDType, Shape};

/// Pooling, interpolation and windows, each on a batch.
pub(super) fn pool(op: &ModuleOperationIr, interp: &mut Interpreter) -> Result<(), Refusal> {
    use ModuleOperationIr as M;
    match op {
        // Linear on a batch.
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
        M::MaxPool1d(op) => max_pool(
            interp,
            (&op.x, &op.out),
            |x| {
                D::max_pool1d(
                    x,
                    op.kernel_size,
                    op.stride,
                    op.padding,
                    op.dilation,
                    op.ceil_mode,
                )
            },
            |x| {
                D::max_pool1d_with_indices(
                    x,
                    op.kernel_size,
                    op.stride,
                    op.padding,
                    op.dilation,
                    op.ceil_mode,
                    IntDType::I64,
                )
                .indices
            },
        ),
        M::MaxPool2d(op) => max_pool(
            interp,
            (&op.x, &op.out),
            |x| {
                D::max_pool2d(
                    x,
                    op.kernel_size,
                    op.stride,
                    op.padding,
                    op.dilation,
                    op.ceil_mode,
                )
            },
            |x| {
                D::max_pool2d_with_indices(
                    x,
                    op.kernel_size,
                    op.stride,
                    op.padding,
                    op.dilation,
                    op.ceil_mode,
                    IntDType::I64,
                )
                .indices
            },
        ),
        _ => return Err(Refusal::unknown()),
    }
    Ok(())
}

/// `y = x[i]`: `y' = x'[i]`, with i the places of the maxima, counted within one channel of `[n, c, …]`.
fn max_pool(
    interp: &mut Interpreter,
    (input, out): (&TensorIr, &TensorIr),
    f: impl Fn(RawTensor) -> RawTensor,
    indices: impl Fn(RawTensor) -> RawTensor,
) {
    let x = interp.take(input);
    let tangent = x.tangent.map(|t| {
        let winners = indices(x.primal.clone());
        let (shape, picked) = (dims(&t), dims(&winners));
        let (k, n, c) = (shape[0], shape[1], shape[2]);
        let winners = D::int_reshape(
            winners,
            Shape::from(vec![n, c, picked[2..].iter().product()]),
        );
        let flat = reshape(t, &[k, n, c, shape[3..].iter().product()]);
        reshape(gather(flat, 2, winners), &stacked(k, &picked))
    });
    let primal = interp.primal(out, || f(x.primal));
    interp.put(out, Dual { primal, tangent });
}
