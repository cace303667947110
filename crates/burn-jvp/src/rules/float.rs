//! The operations of floats alone, with the derivative beside each.

use super::elementwise::binary;
use super::{grid_sample, linear, power, product, refusals};
use crate::dual::{RawTensor, add, div, mul, neg, scale, shift};
use crate::interpreter::Interpreter;
use crate::rule::Refusal;
use burn::backend::Dispatch as D;
use burn::backend::ir::FloatOperationIr;
use burn::backend::ops::FloatTensorOps;
use std::f64::consts::PI;

/// Elementwise functions of floats, products of matrices and of vectors, and sampling of images.
pub(super) fn float(op: &FloatOperationIr, interp: &mut Interpreter) -> Result<(), Refusal> {
    use FloatOperationIr as F;
    let square = |x: RawTensor| mul(x.clone(), x);
    match op {
        F::Exp(op) => interp.unary(&op.input, &op.out, D::float_exp, |_, y| y),
        F::Log(op) => interp.unary(&op.input, &op.out, D::float_log, |x, _| D::float_recip(x)),
        F::Log1p(op) => interp.unary(&op.input, &op.out, D::float_log1p, |x, _| {
            D::float_recip(shift(x, 1.0))
        }),
        F::Erf(op) => interp.unary(&op.input, &op.out, D::float_erf, |x, _| {
            scale(D::float_exp(neg(square(x))), 2.0 / PI.sqrt())
        }),
        F::Sqrt(op) => interp.unary(&op.input, &op.out, D::float_sqrt, |_, y| {
            scale(D::float_recip(y), 0.5)
        }),
        F::Recip(op) => interp.unary(&op.input, &op.out, D::float_recip, |_, y| neg(square(y))),
        F::Sin(op) => interp.unary(&op.input, &op.out, D::float_sin, |x, _| D::float_cos(x)),
        F::Cos(op) => interp.unary(&op.input, &op.out, D::float_cos, |x, _| {
            neg(D::float_sin(x))
        }),
        F::Tan(op) => interp.unary(&op.input, &op.out, D::float_tan, |_, y| {
            shift(square(y), 1.0)
        }),
        F::Sinh(op) => interp.unary(&op.input, &op.out, D::float_sinh, |x, _| D::float_cosh(x)),
        F::Cosh(op) => interp.unary(&op.input, &op.out, D::float_cosh, |x, _| D::float_sinh(x)),
        F::Tanh(op) => interp.unary(&op.input, &op.out, D::float_tanh, |_, y| {
            shift(neg(square(y)), 1.0)
        }),
        F::ArcTan(op) => interp.unary(&op.input, &op.out, D::float_atan, |x, _| {
            D::float_recip(shift(square(x), 1.0))
        }),
        F::ArcSin(op) => interp.unary(&op.input, &op.out, D::float_asin, |x, _| {
            D::float_recip(D::float_sqrt(shift(neg(square(x)), 1.0)))
        }),
        F::ArcCos(op) => interp.unary(&op.input, &op.out, D::float_acos, |x, _| {
            neg(D::float_recip(D::float_sqrt(shift(neg(square(x)), 1.0))))
        }),
        F::ArcSinh(op) => interp.unary(&op.input, &op.out, D::float_asinh, |x, _| {
            D::float_recip(D::float_sqrt(shift(square(x), 1.0)))
        }),
        F::ArcCosh(op) => interp.unary(&op.input, &op.out, D::float_acosh, |x, _| {
            D::float_recip(D::float_sqrt(shift(square(x), -1.0)))
        }),
        F::ArcTanh(op) => interp.unary(&op.input, &op.out, D::float_atanh, |x, _| {
            D::float_recip(shift(neg(square(x)), 1.0))
        }),
        F::PowfScalar(op) => power::powf_scalar(interp, op),
        F::Powf(op) => power::powf(interp, op),
        F::Hypot(op) => binary(
            interp,
            op,
            D::float_hypot,
            |t, a, _, y| div(mul(t, a), y),
            |t, _, b, y| div(mul(t, b), y),
        ),
        // atan2(a, b)' = (a'b − ab') / (a² + b²).
        F::ArcTan2(op) => binary(
            interp,
            op,
            D::float_atan2,
            |t, a, b, _| div(mul(t, b.clone()), add(mul(a.clone(), a), mul(b.clone(), b))),
            |t, a, b, _| {
                neg(div(
                    mul(t, a.clone()),
                    add(mul(a.clone(), a), mul(b.clone(), b)),
                ))
            },
        ),
        F::Matmul(op) => linear::matmul(op, interp),
        F::Cross(op) => product::cross(interp, op),
        F::GridSample2d(op) => grid_sample::grid_sample(interp, op)?,
        // Piecewise constant.
        F::Round(op) => interp.zero_tangent(&op.input, &op.out, D::float_round),
        F::Floor(op) => interp.zero_tangent(&op.input, &op.out, D::float_floor),
        F::Ceil(op) => interp.zero_tangent(&op.input, &op.out, D::float_ceil),
        F::Trunc(op) => interp.zero_tangent(&op.input, &op.out, D::float_trunc),
        // Integers and booleans have no tangent.
        F::IntoInt(op) => interp.zero_tangent(&op.input, &op.out, |x| {
            D::float_into_int(x, op.out.dtype.into())
        }),
        F::IsNan(op) => interp.zero_tangent(&op.input, &op.out, |x| {
            D::float_is_nan(x, op.out.dtype.into())
        }),
        F::IsInf(op) => interp.zero_tangent(&op.input, &op.out, |x| {
            D::float_is_inf(x, op.out.dtype.into())
        }),
        F::Random(_) => return Err(Refusal::new(refusals::RANDOM)),
        F::Quantize(_) => return Err(Refusal::new(refusals::QUANTIZE)),
        F::Dequantize(_) => return Err(Refusal::new(refusals::DEQUANTIZE)),
    }
    Ok(())
}
