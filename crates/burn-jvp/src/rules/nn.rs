//! Rules of the operations of neural networks that Burn records whole: activations, normalisations, pooling,
//! interpolation, embedding.

use super::reduce::gather;
use super::{attention, linear};
use crate::dual::{
    Dual, RawTensor, add, dims, div, lift, mul, neg, reshape, scale, shift, stacked, sub,
};
use crate::interpreter::Interpreter;
use crate::rule::{Refusal, require_constant};
use burn::backend::ir::{ActivationOperationIr, LayerNormOpIr, ModuleOperationIr, TensorIr};
use burn::backend::ops::{ActivationOps, FloatTensorOps, IntTensorOps, ModuleOps};
use burn::backend::{Dispatch as D, IntDType, Scalar, Shape};
use std::f64::consts::{PI, SQRT_2};

/// Activation functions.
pub(super) fn activation(
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
        A::PRelu(op) => {
            let x = interp.take(&op.lhs);
            let slope = interp.take(&op.rhs);
            require_constant([&slope])?;
            let tangent = x.tangent.map(|t| {
                // Broadcast to the shape of x by the function itself: prelu(−1) = −slope.
                let minus_one = shift(scale(x.primal.clone(), 0.0), -1.0);
                let below = neg(D::prelu(minus_one, slope.primal.clone()));
                let above = D::float_sign(D::relu(x.primal.clone()));
                let gap = shift(neg(below.clone()), 1.0);
                mul(t, lift(&add(below, mul(above, gap))))
            });
            let primal = D::prelu(x.primal, slope.primal);
            interp.put(&op.out, Dual { primal, tangent });
        }
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
    let primal = f(x.primal, dim);
    let tangent = x.tangent.map(|t| tangent(t, lift(&primal), dim + 1));
    interp.put(out, Dual { primal, tangent });
}

/// `p = softmax(x)`: `p' = p·(x' − Σ p·x')`.
pub(super) fn softmax_tangent(t: RawTensor, p: RawTensor, dim: usize) -> RawTensor {
    let pt = mul(p.clone(), t);
    let total = D::float_sum_dim(pt.clone(), dim);
    sub(pt, mul(p, total))
}

/// Layers with constant weights.
pub(super) fn module(op: &ModuleOperationIr, interp: &mut Interpreter) -> Result<(), Refusal> {
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
                burn::backend::ops::UnfoldOptions::new(o.stride, o.padding, o.dilation),
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
        M::Embedding(op) => {
            let w = interp.take(&op.weights);
            let indices = interp.take_primal(&op.indices);
            require_constant([&w])?;
            interp.put_constant(&op.out, D::embedding(w.primal, indices));
        }
        M::LayerNorm(op) => return layer_norm(op, interp),
        // Inference: the running statistics are constants, so the layer is affine.
        M::BatchNorm(op) => {
            let x = interp.take(&op.x);
            let [gamma, beta, mean, variance] =
                [&op.gamma, &op.beta, &op.mean, &op.variance].map(|t| interp.take(t));
            require_constant([&gamma, &beta, &mean, &variance])?;
            let epsilon: f64 = op.epsilon.elem();
            let tangent = x.tangent.map(|t| {
                let slope = div(
                    gamma.primal.clone(),
                    D::float_sqrt(shift(variance.primal.clone(), epsilon)),
                );
                let mut shape = vec![1; dims(&t).len()];
                shape[2] = dims(&slope).iter().product();
                mul(t, reshape(slope, &shape))
            });
            let primal = D::batch_norm(
                x.primal,
                gamma.primal,
                beta.primal,
                mean.primal,
                variance.primal,
                epsilon,
            );
            interp.put(&op.out, Dual { primal, tangent });
        }
        M::Attention(op) => attention::attention(op, interp),
        _ => return linear::convolutions(op, interp),
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
    let primal = f(x.primal);
    interp.put(out, Dual { primal, tangent });
}

/// `y = x̂·γ + β` with `x̂ = (x − mean)/√(var + ε)`: `y' = γ·(x' − mean(x') − x̂·mean(x̂·x'))/√(var + ε)`.
fn layer_norm(op: &LayerNormOpIr, interp: &mut Interpreter) -> Result<(), Refusal> {
    let x = interp.take(&op.input);
    let gamma = interp.take(&op.gamma);
    let beta = op.beta.as_ref().map(|b| interp.take(b));
    require_constant([&gamma].into_iter().chain(&beta))?;
    let epsilon: f64 = op.epsilon.elem();
    let tangent = x.tangent.map(|t| {
        let last = dims(&x.primal).len() - 1;
        let mean = |t: RawTensor, dim| D::float_mean_dim(t, dim);
        let centred = sub(x.primal.clone(), mean(x.primal.clone(), last));
        let variance = mean(mul(centred.clone(), centred.clone()), last);
        let rate = D::float_recip(D::float_sqrt(shift(variance, epsilon)));
        let hat = lift(&mul(centred, rate.clone()));
        let along = mul(hat.clone(), mean(mul(hat, t.clone()), last + 1));
        let centred = sub(t.clone(), mean(t, last + 1));
        let mut shape = vec![1; last + 2];
        shape[last + 1] = dims(&gamma.primal).iter().product();
        mul(
            mul(sub(centred, along), lift(&rate)),
            reshape(gamma.primal.clone(), &shape),
        )
    });
    let primal = D::layer_norm(x.primal, gamma.primal, beta.map(|b| b.primal), epsilon);
    interp.put(&op.out, Dual { primal, tangent });
    Ok(())
}
