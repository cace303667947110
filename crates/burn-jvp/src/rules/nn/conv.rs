//! Rules of convolutions and transposed convolutions.

use super::joined::Axis;
use crate::dual::{Dual, RawTensor, add, add_tangents, dims, expand, on_batch, reshape};
use crate::interpreter::Interpreter;
use burn::backend::Dispatch as D;
use burn::backend::ir::{
    Conv1dOpIr, Conv2dOpIr, Conv3dOpIr, ConvTranspose1dOpIr, ConvTranspose2dOpIr,
    ConvTranspose3dOpIr, TensorIr,
};
use burn::backend::ops::ModuleOps;

/// Input, weight, bias and output of a convolution.
type ConvTensors<'a> = (
    &'a TensorIr,
    &'a TensorIr,
    Option<&'a TensorIr>,
    &'a TensorIr,
);

/// A convolution `y = f(x, w) + b`: `y' = f(x', w) + f(x, w') + b'`.
///
/// The K weights w' are one convolution with K times the output channels, for which the columns of x are made once.
/// `outputs` is the axis of output channels in the weight, and `groups` are those of the output channels in y.
fn convolution(
    interp: &mut Interpreter,
    (x, weight, bias, out): ConvTensors,
    (outputs, groups): (Axis, usize),
    f: impl Fn(RawTensor, RawTensor, Option<RawTensor>) -> RawTensor,
) {
    let x = interp.take(x);
    let w = interp.take(weight);
    let b = bias.map(|b| interp.take(b));
    let k = interp.k;
    let mut bias_tangent = b.as_ref().and_then(|b| b.tangent.clone());
    let data = x
        .tangent
        .map(|t| on_batch(t, |t| f(t, w.primal.clone(), None)));
    let weights = w.tangent.map(|t| {
        let b = bias_tangent
            .take()
            .map(|b| Axis { index: 0, groups }.join(b));
        let y = f(x.primal.clone(), outputs.join(t), b);
        Axis { index: 1, groups }.separate(y, k)
    });
    let tangent = add_bias(
        add_tangents(data, weights),
        bias_tangent,
        &interp.stacked(out),
    );
    let primal = interp.primal(out, || f(x.primal, w.primal, b.map(|b| b.primal)));
    interp.put(out, Dual { primal, tangent });
}

/// The sum of tangents `[K, n, c, …]` and of those of a bias, `[K, c]`.
pub(super) fn add_bias(
    t: Option<RawTensor>,
    bias: Option<RawTensor>,
    shape: &[usize],
) -> Option<RawTensor> {
    let Some(bias) = bias else { return t };
    let mut per_channel = vec![1; shape.len()];
    (per_channel[0], per_channel[2]) = (dims(&bias)[0], dims(&bias)[1]);
    let bias = reshape(bias, &per_channel);
    Some(match t {
        Some(t) => add(t, bias),
        None => expand(bias, shape),
    })
}

/// The output channels of the weight of a convolution, `[out, in/g, …]`, and their groups.
fn forward(groups: usize) -> (Axis, usize) {
    (Axis { index: 0, groups }, groups)
}

/// The output channels of the weight of a transposed convolution, `[in, out/g, …]`, and their groups in the output.
fn transposed(groups: usize) -> (Axis, usize) {
    (Axis::whole(1), groups)
}

/// `y = conv1d(x, w) + b`.
pub(super) fn conv1d(op: &Conv1dOpIr, interp: &mut Interpreter) {
    let tensors = (&op.x, &op.weight, op.bias.as_ref(), &op.out);
    convolution(interp, tensors, forward(op.options.groups), |x, w, b| {
        D::conv1d(x, w, b, op.options.clone().into())
    });
}

/// `y = conv2d(x, w) + b`.
pub(super) fn conv2d(op: &Conv2dOpIr, interp: &mut Interpreter) {
    let tensors = (&op.x, &op.weight, op.bias.as_ref(), &op.out);
    convolution(interp, tensors, forward(op.options.groups), |x, w, b| {
        D::conv2d(x, w, b, op.options.clone().into())
    });
}

/// `y = conv3d(x, w) + b`.
pub(super) fn conv3d(op: &Conv3dOpIr, interp: &mut Interpreter) {
    let tensors = (&op.x, &op.weight, op.bias.as_ref(), &op.out);
    convolution(interp, tensors, forward(op.options.groups), |x, w, b| {
        D::conv3d(x, w, b, op.options.clone().into())
    });
}

/// `y = conv_transpose1d(x, w) + b`.
pub(super) fn conv_transpose1d(op: &ConvTranspose1dOpIr, interp: &mut Interpreter) {
    let tensors = (&op.x, &op.weight, op.bias.as_ref(), &op.out);
    convolution(interp, tensors, transposed(op.options.groups), |x, w, b| {
        D::conv_transpose1d(x, w, b, op.options.clone().into())
    });
}

/// `y = conv_transpose2d(x, w) + b`.
pub(super) fn conv_transpose2d(op: &ConvTranspose2dOpIr, interp: &mut Interpreter) {
    let tensors = (&op.x, &op.weight, op.bias.as_ref(), &op.out);
    convolution(interp, tensors, transposed(op.options.groups), |x, w, b| {
        D::conv_transpose2d(x, w, b, op.options.clone().into())
    });
}

/// `y = conv_transpose3d(x, w) + b`.
pub(super) fn conv_transpose3d(op: &ConvTranspose3dOpIr, interp: &mut Interpreter) {
    let tensors = (&op.x, &op.weight, op.bias.as_ref(), &op.out);
    convolution(interp, tensors, transposed(op.options.groups), |x, w, b| {
        D::conv_transpose3d(x, w, b, op.options.clone().into())
    });
}
