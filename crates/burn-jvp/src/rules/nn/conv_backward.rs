//! Rules of the gradients of convolutions, which are bilinear in the gradient of the output and in weight or data.
//!
//! A gradient sums over the batch (that of a weight) or over the output channels (that of the data), so K tangents join
//! an axis that is not summed.

use super::joined::Axis;
use crate::dual::{Dual, RawTensor, add_tangents, dims, expand, on_batch, zeros};
use crate::interpreter::Interpreter;
use crate::rule::Refusal;
use burn::backend::ir::{ModuleOperationIr, TensorIr};
use burn::backend::ops::ModuleOps;
use burn::backend::{Dispatch as D, TensorMetadata};

/// A tensor of which an operation reads only the shape: `t` with `count` times the entries along an axis.
pub(super) fn shape_only(t: &RawTensor, axis: usize, count: usize) -> RawTensor {
    let mut shape = dims(t);
    shape[axis] *= count;
    let zero = zeros(&vec![1; shape.len()], &t.device(), t.dtype());
    expand(zero, &shape)
}

/// The gradient of a convolution in its data, `y = f(w, g)`: `y' = f(w, g') + f(w', g)`.
fn in_data(
    interp: &mut Interpreter,
    [x, weight, grad, out]: [&TensorIr; 4],
    groups: usize,
    f: impl Fn(RawTensor, RawTensor, RawTensor) -> RawTensor,
) {
    let x = interp.take_primal(x);
    let [w, g] = [weight, grad].map(|t| interp.take(t));
    let k = interp.k;
    let gradients = g.tangent.map(|t| {
        let x = shape_only(&x, 0, k);
        on_batch(t, |t| f(x.clone(), w.primal.clone(), t))
    });
    let weights = w.tangent.map(|t| {
        let x = shape_only(&x, 1, k);
        let y = f(x, Axis::whole(1).join(t), g.primal.clone());
        Axis { index: 1, groups }.separate(y, k)
    });
    let tangent = add_tangents(gradients, weights);
    let primal = interp.primal(out, || f(x, w.primal, g.primal));
    interp.put(out, Dual { primal, tangent });
}

/// The gradient of a convolution in its weight, `y = f(x, g)`: `y' = f(x', g) + f(x, g')`.
///
/// `inputs` and `outputs` are the axes of the weight that belong to the channels of x and of g.
fn in_weight(
    interp: &mut Interpreter,
    [x, weight, grad, out]: [&TensorIr; 4],
    (inputs, outputs, groups): (Axis, Axis, usize),
    f: impl Fn(RawTensor, RawTensor, RawTensor) -> RawTensor,
) {
    let w = interp.take_primal(weight);
    let [x, g] = [x, grad].map(|t| interp.take(t));
    let k = interp.k;
    let channels = Axis { index: 1, groups };
    let data = x.tangent.map(|t| {
        let w = shape_only(&w, inputs.index, k);
        inputs.separate(f(channels.join(t), w, g.primal.clone()), k)
    });
    let gradients = g.tangent.map(|t| {
        let w = shape_only(&w, outputs.index, k);
        outputs.separate(f(x.primal.clone(), w, channels.join(t)), k)
    });
    let tangent = add_tangents(data, gradients);
    let primal = interp.primal(out, || f(x.primal, w, g.primal));
    interp.put(out, Dual { primal, tangent });
}

/// The gradient of a convolution in its bias, the sum of g over batch and pixels: `y' = f(g')`.
fn in_bias(
    interp: &mut Interpreter,
    [x, bias, grad, out]: [&TensorIr; 4],
    f: impl Fn(RawTensor, RawTensor, RawTensor) -> RawTensor,
) {
    let [x, b] = [x, bias].map(|t| interp.take_primal(t));
    let g = interp.take(grad);
    let k = interp.k;
    let tangent = g.tangent.map(|t| {
        let y = f(x.clone(), shape_only(&b, 0, k), Axis::whole(1).join(t));
        Axis::whole(0).separate(y, k)
    });
    let primal = interp.primal(out, || f(x, b, g.primal));
    interp.put(out, Dual { primal, tangent });
}

/// The axes of input and of output channels in the weight of a convolution, `[out, in/g, …]`.
fn forward(groups: usize) -> (Axis, Axis, usize) {
    (Axis::whole(1), Axis { index: 0, groups }, groups)
}

/// The axes of input and of output channels in the weight of a transposed convolution, `[in, out/g, …]`.
fn transposed(groups: usize) -> (Axis, Axis, usize) {
    (Axis { index: 0, groups }, Axis::whole(1), groups)
}

/// Input, weight or bias, gradient and result of an operation.
macro_rules! tensors {
    ($op:expr, $weight:ident) => {
        [&$op.x, &$op.$weight, &$op.output_grad, &$op.out]
    };
}

/// Gradients of convolutions and of transposed convolutions.
pub(super) fn conv_backward(
    op: &ModuleOperationIr,
    interp: &mut Interpreter,
) -> Result<(), Refusal> {
    use ModuleOperationIr as M;
    match op {
        M::Conv1dXBackward(op) => {
            let options = || op.options.clone().into();
            in_data(
                interp,
                tensors!(op, weight),
                op.options.groups,
                |x, w, g| D::conv1d_x_backward(x, w, g, options()),
            );
        }
        M::Conv2dXBackward(op) => {
            let options = || op.options.clone().into();
            in_data(
                interp,
                tensors!(op, weight),
                op.options.groups,
                |x, w, g| D::conv2d_x_backward(x, w, g, options()),
            );
        }
        M::Conv3dXBackward(op) => {
            let options = || op.options.clone().into();
            in_data(
                interp,
                tensors!(op, weight),
                op.options.groups,
                |x, w, g| D::conv3d_x_backward(x, w, g, options()),
            );
        }
        M::Conv1dWeightBackward(op) => {
            let (axes, options) = (forward(op.options.groups), || op.options.clone().into());
            in_weight(interp, tensors!(op, weight), axes, |x, w, g| {
                D::conv1d_weight_backward(x, w, g, options())
            });
        }
        M::Conv2dWeightBackward(op) => {
            let (axes, options) = (forward(op.options.groups), || op.options.clone().into());
            in_weight(interp, tensors!(op, weight), axes, |x, w, g| {
                D::conv2d_weight_backward(x, w, g, options())
            });
        }
        M::Conv3dWeightBackward(op) => {
            let (axes, options) = (forward(op.options.groups), || op.options.clone().into());
            in_weight(interp, tensors!(op, weight), axes, |x, w, g| {
                D::conv3d_weight_backward(x, w, g, options())
            });
        }
        M::ConvTranspose1dWeightBackward(op) => {
            let (axes, options) = (transposed(op.options.groups), || op.options.clone().into());
            in_weight(interp, tensors!(op, weight), axes, |x, w, g| {
                D::conv_transpose1d_weight_backward(x, w, g, options())
            });
        }
        M::ConvTranspose2dWeightBackward(op) => {
            let (axes, options) = (transposed(op.options.groups), || op.options.clone().into());
            in_weight(interp, tensors!(op, weight), axes, |x, w, g| {
                D::conv_transpose2d_weight_backward(x, w, g, options())
            });
        }
        M::ConvTranspose3dWeightBackward(op) => {
            let (axes, options) = (transposed(op.options.groups), || op.options.clone().into());
            in_weight(interp, tensors!(op, weight), axes, |x, w, g| {
                D::conv_transpose3d_weight_backward(x, w, g, options())
            });
        }
        M::Conv1dBiasBackward(op) => in_bias(interp, tensors!(op, bias), D::conv1d_bias_backward),
        M::Conv2dBiasBackward(op) => in_bias(interp, tensors!(op, bias), D::conv2d_bias_backward),
        M::Conv3dBiasBackward(op) => in_bias(interp, tensors!(op, bias), D::conv3d_bias_backward),
        M::ConvTranspose1dBiasBackward(op) => {
            in_bias(
                interp,
                tensors!(op, bias),
                D::conv_transpose1d_bias_backward,
            );
        }
        M::ConvTranspose2dBiasBackward(op) => {
            in_bias(
                interp,
                tensors!(op, bias),
                D::conv_transpose2d_bias_backward,
            );
        }
        M::ConvTranspose3dBiasBackward(op) => {
            in_bias(
                interp,
                tensors!(op, bias),
                D::conv_transpose3d_bias_backward,
            );
        }
        _ => return Err(Refusal::unknown()),
    }
    Ok(())
}
