//! Rules of activation functions.

use crate::dual::{
    Dual, RawTensor, add, add_tangents, dims, expand, lift, mul, neg, scale, shift, sub,
};
use crate::interpreter::Interpreter;
use crate::rule::Refusal;
use crate::rules::softmax::softmax_tangent;
use burn::backend::ir::{ActivationOperationIr, BinaryOpIr, TensorIr};
use burn::backend::ops::{ActivationOps, FloatTensorOps};
use burn::backend::{Dispatch as D, Scalar};
use std::f64::consts::{PI, SQRT_2};

/// Activation functions.
pub(in crate::rules) fn activation(
    op: &ActivationOperationIr,
    interp: &mut Interpreter,
) -> Result<(), Refusal> {
    use ActivationOperationIr as A;
    match op {
        A::Relu(op) => interp.unary(&op.input, &op.out, D::relu, |_, y| D::float_sign(y)),
        A::LeakyRelu(op) => {
            let (slope, s): (f64, Scalar) = (op.rhs.elem(), op.rhs.into());
            interp.unary(
                &op.lhs,
                &op.out,
                |x| D::leaky_relu(x, s),
                |x, _| shift(scale(D::float_sign(D::relu(x)), 1.0 - slope), slope),
            );
        }
        A::PRelu(op) => prelu(op, interp),
        A::Sigmoid(op) => interp.unary(&op.input, &op.out, D::sigmoid, |_, y| sigmoid_slope(y)),
        A::LogSigmoid(op) => interp.unary(&op.input, &op.out, D::log_sigmoid, |x, _| {
            D::sigmoid(neg(x))
        }),
        A::HardSigmoid(op) => {
            let slope: f64 = op.alpha.elem();
            let (alpha, beta): (Scalar, Scalar) = (op.alpha.into(), op.beta.into());
            interp.unary(
                &op.tensor,
                &op.out,
                |x| D::hard_sigmoid(x, alpha, beta),
                |_, y| {
                    let inside = mul(D::float_sign(y.clone()), D::float_sign(shift(neg(y), 1.0)));
                    scale(inside, slope)
                },
            );
        }
        A::Gelu(op) => interp.unary(&op.input, &op.out, D::gelu, |x, _| gelu_slope(x)),
        A::Softmax(op) => along(
            interp,
            (&op.input, &op.out),
            op.axis,
            D::softmax,
            softmax_tangent,
        ),
        A::Softmin(op) => along(
            interp,
            (&op.input, &op.out),
            op.axis,
            D::softmin,
            |t, y, d| softmax_tangent(neg(t), y, d),
        ),
        A::LogSoftmax(op) => along(
            interp,
            (&op.input, &op.out),
            op.axis,
            D::log_softmax,
            |t, y, d| {
                let mean = D::float_sum_dim(mul(t.clone(), D::float_exp(y)), d);
                sub(t, mean)
            },
        ),
        A::ReluBackward(op) => relu_backward(op, interp),
        // d/dx (Φ(x) + x·φ(x)) = φ(x)·(2 − x²).
        A::GeluBackward(op) => gradient(interp, op, D::gelu_backward, gelu_slope, |x| {
            let square = mul(x.clone(), x.clone());
            mul(normal_density(x), shift(neg(square), 2.0))
        }),
        // The operation holds the output s of the sigmoid: d/ds s·(1 − s) = 1 − 2s.
        A::SigmoidBackward(op) => gradient(interp, op, D::sigmoid_backward, sigmoid_slope, |s| {
            shift(scale(s, -2.0), 1.0)
        }),
        // d/dx σ(−x) = −σ(−x)·σ(x).
        A::LogSigmoidBackward(op) => gradient(
            interp,
            op,
            D::log_sigmoid_backward,
            |x| D::sigmoid(neg(x)),
            |x| neg(sigmoid_slope(D::sigmoid(x))),
        ),
    }
    Ok(())
}

/// A function `y = f(x)` along one axis: `y' = tangent(x', y, axis)`, where y and the axis are those of `[K, …]`.
fn along(
    interp: &mut Interpreter,
    (input, out): (&TensorIr, &TensorIr),
    dim: usize,
    f: fn(RawTensor, usize) -> RawTensor,
    tangent: impl Fn(RawTensor, RawTensor, usize) -> RawTensor,
) {
    let x = interp.take(input);
    let primal = interp.primal(out, || f(x.primal, dim));
    let tangent = x.tangent.map(|t| tangent(t, lift(&primal), dim + 1));
    interp.put(out, Dual { primal, tangent });
}

/// `y = max(x, 0) + a·min(x, 0)`: `y' = x'·(1 or a) + a'·min(x, 0)`.
fn prelu(op: &BinaryOpIr, interp: &mut Interpreter) {
    let x = interp.take(&op.lhs);
    let slope = interp.take(&op.rhs);
    let data = x.tangent.map(|t| {
        // Broadcast to the shape of x by the function itself: prelu(−1) = −slope.
        let minus_one = shift(scale(x.primal.clone(), 0.0), -1.0);
        let below = neg(D::prelu(minus_one, slope.primal.clone()));
        let above = D::float_sign(D::relu(x.primal.clone()));
        let gap = shift(neg(below.clone()), 1.0);
        mul(t, lift(&add(below, mul(above, gap))))
    });
    let slopes = slope
        .tangent
        .map(|t| mul(lift(&neg(D::relu(neg(x.primal.clone())))), t));
    let tangent = add_tangents(data, slopes);
    let primal = interp.primal(&op.out, || D::prelu(x.primal, slope.primal));
    interp.put(&op.out, Dual { primal, tangent });
}

/// The slope of `gelu(x) = x·Φ(x)`, `Φ(x) + x·φ(x)`.
fn gelu_slope(x: RawTensor) -> RawTensor {
    let cdf = scale(
        shift(D::float_erf(scale(x.clone(), 1.0 / SQRT_2)), 1.0),
        0.5,
    );
    let pdf = normal_density(x.clone());
    add(cdf, mul(x, pdf))
}

/// The density φ of the standard normal distribution.
fn normal_density(x: RawTensor) -> RawTensor {
    scale(
        D::float_exp(scale(mul(x.clone(), x), -0.5)),
        1.0 / (2.0 * PI).sqrt(),
    )
}

/// The slope of the sigmoid at its value s, `s·(1 − s)`.
fn sigmoid_slope(s: RawTensor) -> RawTensor {
    mul(s.clone(), shift(neg(s), 1.0))
}

/// The gradient of an activation, `y = f(x)·g` with `lhs` x and `rhs` g: `y' = f(x)·g' + f'(x)·g·x'`.
fn gradient(
    interp: &mut Interpreter,
    op: &BinaryOpIr,
    value: fn(RawTensor, RawTensor) -> RawTensor,
    f: impl Fn(RawTensor) -> RawTensor,
    df: impl Fn(RawTensor) -> RawTensor,
) {
    let [x, g] = [&op.lhs, &op.rhs].map(|t| interp.take(t));
    let tangent = add_tangents(
        g.tangent.map(|t| mul(t, lift(&f(x.primal.clone())))),
        x.tangent.map(|t| {
            let slope = mul(df(x.primal.clone()), g.primal.clone());
            mul(t, lift(&slope))
        }),
    );
    let primal = interp.primal(&op.out, || value(x.primal, g.primal));
    interp.put(&op.out, Dual { primal, tangent });
}

/// The gradient of ReLU, `y = (0 or 1)·g` by the sign of its output: `y' = (0 or 1)·g'`.
fn relu_backward(op: &BinaryOpIr, interp: &mut Interpreter) {
    let output = interp.take_primal(&op.lhs);
    let g = interp.take(&op.rhs);
    let tangent = g
        .tangent
        .map(|t| D::relu_backward(expand(lift(&output), &dims(&t)), t));
    let primal = interp.primal(&op.out, || D::relu_backward(output, g.primal));
    interp.put(&op.out, Dual { primal, tangent });
}
