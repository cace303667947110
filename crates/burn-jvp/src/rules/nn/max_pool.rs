//! Rules of maximum pooling and of its gradient.

use super::conv_backward::shape_only;
use crate::dual::{Dual, RawTensor, dims, on_batch, reshape, stacked};
use crate::interpreter::Interpreter;
use crate::rule::Refusal;
use crate::rules::reduce::gather;
use burn::backend::ir::{ModuleOperationIr, TensorIr};
use burn::backend::ops::{IntTensorOps, ModuleOps};
use burn::backend::{Dispatch as D, IntDType, Shape};

/// Maximum pooling, with the places of the maxima or without, and its gradient.
pub(super) fn max_pool(op: &ModuleOperationIr, interp: &mut Interpreter) -> Result<(), Refusal> {
    use ModuleOperationIr as M;
    match op {
        M::MaxPool1d(op) => maxima(
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
        M::MaxPool2d(op) => maxima(
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
        M::MaxPool1dWithIndices(op) => {
            maxima_and_places(interp, [&op.x, &op.out, &op.out_indices], |x| {
                let y = D::max_pool1d_with_indices(
                    x,
                    op.kernel_size,
                    op.stride,
                    op.padding,
                    op.dilation,
                    op.ceil_mode,
                    op.out_indices.dtype.into(),
                );
                (y.output, y.indices)
            });
        }
        M::MaxPool2dWithIndices(op) => {
            maxima_and_places(interp, [&op.x, &op.out, &op.out_indices], |x| {
                let y = D::max_pool2d_with_indices(
                    x,
                    op.kernel_size,
                    op.stride,
                    op.padding,
                    op.dilation,
                    op.ceil_mode,
                    op.out_indices.dtype.into(),
                );
                (y.output, y.indices)
            });
        }
        M::MaxPool1dWithIndicesBackward(op) => {
            gradient(
                interp,
                [&op.x, &op.grad, &op.indices, &op.out],
                |x, g, i| {
                    D::max_pool1d_with_indices_backward(
                        x,
                        op.kernel_size,
                        op.stride,
                        op.padding,
                        op.dilation,
                        op.ceil_mode,
                        g,
                        i,
                    )
                    .x_grad
                },
            );
        }
        M::MaxPool2dWithIndicesBackward(op) => {
            gradient(
                interp,
                [&op.x, &op.grad, &op.indices, &op.out],
                |x, g, i| {
                    D::max_pool2d_with_indices_backward(
                        x,
                        op.kernel_size,
                        op.stride,
                        op.padding,
                        op.dilation,
                        op.ceil_mode,
                        g,
                        i,
                    )
                    .x_grad
                },
            );
        }
        _ => return Err(Refusal::unknown()),
    }
    Ok(())
}

/// `y = x[i]`: `y' = x'[i]`, with i the places of the maxima.
fn maxima(
    interp: &mut Interpreter,
    (input, out): (&TensorIr, &TensorIr),
    f: impl Fn(RawTensor) -> RawTensor,
    indices: impl Fn(RawTensor) -> RawTensor,
) {
    let x = interp.take(input);
    let tangent = x.tangent.map(|t| picked(t, indices(x.primal.clone())));
    let primal = interp.primal(out, || f(x.primal));
    interp.put(out, Dual { primal, tangent });
}

/// `(y, i)` with `y = x[i]`: `y' = x'[i]`, and i is constant.
fn maxima_and_places(
    interp: &mut Interpreter,
    [input, out, out_indices]: [&TensorIr; 3],
    f: impl Fn(RawTensor) -> (RawTensor, RawTensor),
) {
    let x = interp.take(input);
    let mut maxima = None;
    let indices = interp.primal(out_indices, || {
        let (y, indices) = f(x.primal);
        maxima = Some(y);
        indices
    });
    let primal = interp.primal(out, || {
        maxima.expect("an earlier evaluation kept both outputs or none")
    });
    let tangent = x.tangent.map(|t| picked(t, indices.clone()));
    interp.put(out, Dual { primal, tangent });
    interp.put_constant(out_indices, indices);
}

/// The entries of `[K, n, c, …]` at places that are counted within one channel of `[n, c, …]`.
fn picked(t: RawTensor, places: RawTensor) -> RawTensor {
    let (shape, picked) = (dims(&t), dims(&places));
    let (k, n, c) = (shape[0], shape[1], shape[2]);
    let places = D::int_reshape(
        places,
        Shape::from(vec![n, c, picked[2..].iter().product()]),
    );
    let flat = reshape(t, &[k, n, c, shape[3..].iter().product()]);
    reshape(gather(flat, 2, places), &stacked(k, &picked))
}

/// The gradient `y[i] += g`: `y'[i] += g'`. Of x only the shape is read.
fn gradient(
    interp: &mut Interpreter,
    [x, grad, indices, out]: [&TensorIr; 4],
    f: impl Fn(RawTensor, RawTensor, RawTensor) -> RawTensor,
) {
    let [x, indices] = [x, indices].map(|t| interp.take_primal(t));
    let g = interp.take(grad);
    let k = interp.k;
    let tangent = g.tangent.map(|t| {
        let (x, shape) = (shape_only(&x, 0, k), dims(&indices));
        let lifted = D::int_reshape(indices.clone(), Shape::from(stacked(1, &shape)));
        let copies = D::int_expand(lifted, Shape::from(stacked(k, &shape)));
        let mut joined = shape;
        joined[0] *= k;
        let copies = D::int_reshape(copies, Shape::from(joined));
        on_batch(t, |t| f(x.clone(), t, copies.clone()))
    });
    let primal = interp.primal(out, || f(x, g.primal, indices));
    interp.put(out, Dual { primal, tangent });
}
