//! Rules of activation functions.

use crate::dual::{Dual, RawTensor, add, add_tangents, lift, mul, neg, scale, shift, sub};
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
        A::Sigmoid(op) => interp.unary(&op.input, &op.out, D::sigmoid, |_, y| {
            mul(y.clone(), shift(neg(y), 1.0))
        }),
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
        // gelu(x) = x·Φ(x), so gelu' = Φ(x) + x·φ(x).
        A::Gelu(op) => interp.unary(&op.input, &op.out, D::gelu, |x, _| {
            let cdf = scale(
                shift(D::float_erf(scale(x.clone(), 1.0 / SQRT_2)), 1.0),
                0.5,
            );
            let pdf = scale(
                D::float_exp(scale(mul(x.clone(), x.clone()), -0.5)),
                1.0 / (2.0 * PI).sqrt(),
            );
            add(cdf, mul(x, pdf))
        }),
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
        _ => return Err(Refusal::unknown()),
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
