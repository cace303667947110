//! Rules of arithmetic and of elementwise functions, with the derivative beside each.

use super::reduce;
use crate::dual::{
    Dual, RawTensor, add, add_tangents, dims, div, expand, lift, mul, neg, scale, shift, stacked,
    sub,
};
use crate::interpreter::Interpreter;
use crate::rule::Refusal;
use burn::backend::ir::{BinaryOpIr, FloatOperationIr, NumericOperationIr};
use burn::backend::ops::FloatTensorOps;
use burn::backend::{BoolDType, Dispatch as D, Scalar};
use std::f64::consts::PI;

/// An elementwise function `y = f(a, b)`: `y' = fa(a', a, b, y) + fb(b', a, b, y)`.
fn binary(
    interp: &mut Interpreter,
    op: &BinaryOpIr,
    f: impl Fn(RawTensor, RawTensor) -> RawTensor,
    fa: impl Fn(RawTensor, RawTensor, RawTensor, RawTensor) -> RawTensor,
    fb: impl Fn(RawTensor, RawTensor, RawTensor, RawTensor) -> RawTensor,
) {
    let (a, b) = (interp.take(&op.lhs), interp.take(&op.rhs));
    if a.tangent.is_none() && b.tangent.is_none() {
        interp.put_constant(&op.out, f(a.primal, b.primal));
        return;
    }
    let y = f(a.primal.clone(), b.primal.clone());
    let (pa, pb, py) = (lift(&a.primal), lift(&b.primal), lift(&y));
    let shape = stacked(interp.k, &dims(&y));
    let ta = a
        .tangent
        .map(|t| expand(fa(t, pa.clone(), pb.clone(), py.clone()), &shape));
    let tb = b.tangent.map(|t| expand(fb(t, pa, pb, py), &shape));
    interp.put(
        &op.out,
        Dual {
            primal: y,
            tangent: add_tangents(ta, tb),
        },
    );
}

/// The derivative of clamping: 1 where `x = y`, else 0, with y the clamped x.
fn inside(x: RawTensor, y: RawTensor) -> RawTensor {
    shift(neg(D::float_abs(D::float_sign(sub(x, y)))), 1.0)
}

/// Arithmetic and comparisons of floats.
pub(super) fn numeric(op: &NumericOperationIr, interp: &mut Interpreter) -> Result<(), Refusal> {
    use NumericOperationIr as N;
    match op {
        // Linear functions.
        N::Add(op) => binary(interp, op, D::float_add, |t, _, _, _| t, |t, _, _, _| t),
        N::Sub(op) => binary(
            interp,
            op,
            D::float_sub,
            |t, _, _, _| t,
            |t, _, _, _| neg(t),
        ),
        N::Neg(op) => interp.linear(&op.input, &op.out, |t, _| neg(t)),
        N::MulScalar(op) => {
            let s: Scalar = op.rhs.into();
            interp.linear(&op.lhs, &op.out, |t, _| D::float_mul_scalar(t, s));
        }
        N::DivScalar(op) => {
            let s: Scalar = op.rhs.into();
            interp.linear(&op.lhs, &op.out, |t, _| D::float_div_scalar(t, s));
        }
        // Affine: the constant leaves the tangent.
        N::AddScalar(op) => {
            let s: Scalar = op.rhs.into();
            interp.linear(&op.lhs, &op.out, |t, lead| match lead {
                0 => D::float_add_scalar(t, s),
                _ => t,
            });
        }
        N::SubScalar(op) => {
            let s: Scalar = op.rhs.into();
            interp.linear(&op.lhs, &op.out, |t, lead| match lead {
                0 => D::float_sub_scalar(t, s),
                _ => t,
            });
        }
        // Product rule: (ab)' = a'b + ab'.
        N::Mul(op) => binary(
            interp,
            op,
            D::float_mul,
            |t, _, b, _| mul(t, b),
            |t, a, _, _| mul(t, a),
        ),
        // Quotient rule: (a/b)' = a'/b − (a/b)·b'/b.
        N::Div(op) => binary(
            interp,
            op,
            D::float_div,
            |t, _, b, _| div(t, b),
            |t, _, b, y| neg(div(mul(t, y), b)),
        ),
        N::Abs(op) => interp.unary(&op.input, &op.out, D::float_abs, |x, _| D::float_sign(x)),
        N::Sign(op) => interp.zero_tangent(&op.input, &op.out, D::float_sign),
        N::PowiScalar(op) => {
            let n: f64 = op.rhs.elem();
            let s: Scalar = op.rhs.into();
            interp.unary(
                &op.lhs,
                &op.out,
                |x| D::float_powi_scalar(x, s),
                |x, _| scale(D::float_powi_scalar(x, Scalar::from(n as i64 - 1)), n),
            );
        }
        N::Clamp(op) => {
            let (lo, hi): (Scalar, Scalar) = (op.min.into(), op.max.into());
            interp.unary(&op.tensor, &op.out, |x| D::float_clamp(x, lo, hi), inside);
        }
        N::ClampMin(op) => {
            let s: Scalar = op.rhs.into();
            interp.unary(&op.lhs, &op.out, |x| D::float_clamp_min(x, s), inside);
        }
        N::ClampMax(op) => {
            let s: Scalar = op.rhs.into();
            interp.unary(&op.lhs, &op.out, |x| D::float_clamp_max(x, s), inside);
        }
        N::Full(op) => {
            let t = D::float_full(
                op.out.shape.clone(),
                op.value.into(),
                &interp.device,
                op.out.dtype.into(),
            );
            interp.put_constant(&op.out, t);
        }
        // Comparisons give booleans, which have no tangent.
        N::Greater(op) => compare(interp, op, D::float_greater),
        N::GreaterEqual(op) => compare(interp, op, D::float_greater_equal),
        N::Lower(op) => compare(interp, op, D::float_lower),
        N::LowerEqual(op) => compare(interp, op, D::float_lower_equal),
        N::GreaterElem(op) => interp.zero_tangent(&op.lhs, &op.out, |x| {
            D::float_greater_elem(x, op.rhs.into(), op.out.dtype.into())
        }),
        N::GreaterEqualElem(op) => interp.zero_tangent(&op.lhs, &op.out, |x| {
            D::float_greater_equal_elem(x, op.rhs.into(), op.out.dtype.into())
        }),
        N::LowerElem(op) => interp.zero_tangent(&op.lhs, &op.out, |x| {
            D::float_lower_elem(x, op.rhs.into(), op.out.dtype.into())
        }),
        N::LowerEqualElem(op) => interp.zero_tangent(&op.lhs, &op.out, |x| {
            D::float_lower_equal_elem(x, op.rhs.into(), op.out.dtype.into())
        }),
        // The other numeric operations are reductions.
        _ => return reduce::numeric(op, interp),
    }
    Ok(())
}

/// A comparison, whose result has no tangent.
fn compare(
    interp: &mut Interpreter,
    op: &BinaryOpIr,
    f: impl Fn(RawTensor, RawTensor, BoolDType) -> RawTensor,
) {
    let (a, b) = (interp.take_primal(&op.lhs), interp.take_primal(&op.rhs));
    interp.put_constant(&op.out, f(a, b, op.out.dtype.into()));
}

/// Elementwise functions of floats.
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
        F::PowfScalar(op) => {
            let p: f64 = op.rhs.elem();
            let s: Scalar = op.rhs.into();
            interp.unary(
                &op.lhs,
                &op.out,
                |x| D::float_powf_scalar(x, s),
                |x, _| scale(D::float_powf_scalar(x, Scalar::from(p - 1.0)), p),
            );
        }
        // (aᵇ)' = b·aᵇ⁻¹·a' + aᵇ·ln a·b'.
        F::Powf(op) => binary(
            interp,
            op,
            D::float_powf,
            |t, a, b, _| {
                let power = D::float_powf(a, shift(b.clone(), -1.0));
                mul(t, mul(b, power))
            },
            |t, a, _, y| mul(t, mul(y, D::float_log(a))),
        ),
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
        // Piecewise constant.
        F::Round(op) => interp.zero_tangent(&op.input, &op.out, D::float_round),
        F::Floor(op) => interp.zero_tangent(&op.input, &op.out, D::float_floor),
        F::Ceil(op) => interp.zero_tangent(&op.input, &op.out, D::float_ceil),
        F::Trunc(op) => interp.zero_tangent(&op.input, &op.out, D::float_trunc),
        F::IntoInt(op) => interp.zero_tangent(&op.input, &op.out, |x| {
            D::float_into_int(x, op.out.dtype.into())
        }),
        _ => return Err(Refusal::unknown()),
    }
    Ok(())
}
