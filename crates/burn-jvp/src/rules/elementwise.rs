//! Arithmetic and elementwise functions.

use super::Context;
use crate::value::{
    T, Value, add, add_maybe, dims, div, expand, lift, mul, neg, scale, shift, stacked, sub,
};
use burn::backend::ir::{BinaryOpIr, FloatOperationIr, NumericOperationIr};
use burn::backend::ops::FloatTensorOps;
use burn::backend::{Dispatch as D, Scalar};
use std::f64::consts::PI;

/// A binary operation: `fa(t, a, b, y)` is the tangent's share of the first argument, `fb` of the second.
fn binary(
    cx: &mut Context,
    op: &BinaryOpIr,
    f: impl Fn(T, T) -> T,
    fa: impl Fn(T, T, T, T) -> T,
    fb: impl Fn(T, T, T, T) -> T,
) {
    let (a, b) = (cx.take(&op.lhs), cx.take(&op.rhs));
    if a.tangent.is_none() && b.tangent.is_none() {
        cx.put_constant(&op.out, f(a.primal, b.primal));
        return;
    }
    let y = f(a.primal.clone(), b.primal.clone());
    let (pa, pb, py) = (lift(&a.primal), lift(&b.primal), lift(&y));
    let shape = stacked(cx.k, &dims(&y));
    let ta = a
        .tangent
        .map(|t| expand(fa(t, pa.clone(), pb.clone(), py.clone()), &shape));
    let tb = b.tangent.map(|t| expand(fb(t, pa, pb, py), &shape));
    cx.put(
        &op.out,
        Value {
            primal: y,
            tangent: add_maybe(ta, tb),
        },
    );
}

/// 1 where `min ≤ x ≤ max`, else 0, given `y` = x clamped.
fn inside(x: T, y: T) -> T {
    shift(neg(D::float_abs(D::float_sign(sub(x, y)))), 1.0)
}

/// Arithmetic.
pub(super) fn numeric(op: &NumericOperationIr, cx: &mut Context) -> Option<()> {
    use NumericOperationIr as N;
    match op {
        // Linear.
        N::Add(op) => binary(cx, op, D::float_add, |t, _, _, _| t, |t, _, _, _| t),
        N::Sub(op) => binary(cx, op, D::float_sub, |t, _, _, _| t, |t, _, _, _| neg(t)),
        N::Neg(op) => cx.linear(&op.input, &op.out, |t, _| neg(t)),
        N::MulScalar(op) => {
            let s: Scalar = op.rhs.into();
            cx.linear(&op.lhs, &op.out, |t, _| D::float_mul_scalar(t, s));
        }
        N::DivScalar(op) => {
            let s: Scalar = op.rhs.into();
            cx.linear(&op.lhs, &op.out, |t, _| D::float_div_scalar(t, s));
        }
        // Affine: the constant leaves the tangent.
        N::AddScalar(op) => {
            let s: Scalar = op.rhs.into();
            cx.linear(&op.lhs, &op.out, |t, o| match o {
                0 => D::float_add_scalar(t, s),
                _ => t,
            });
        }
        N::SubScalar(op) => {
            let s: Scalar = op.rhs.into();
            cx.linear(&op.lhs, &op.out, |t, o| match o {
                0 => D::float_sub_scalar(t, s),
                _ => t,
            });
        }
        // Product rule: (ab)' = a'b + ab'.
        N::Mul(op) => binary(
            cx,
            op,
            D::float_mul,
            |t, _, b, _| mul(t, b),
            |t, a, _, _| mul(t, a),
        ),
        // Quotient rule: (a/b)' = a'/b − (a/b)·b'/b.
        N::Div(op) => binary(
            cx,
            op,
            D::float_div,
            |t, _, b, _| div(t, b),
            |t, _, b, y| neg(div(mul(t, y), b)),
        ),
        N::Abs(op) => cx.unary(&op.input, &op.out, D::float_abs, |x, _| D::float_sign(x)),
        N::Sign(op) => cx.flat(&op.input, &op.out, D::float_sign),
        N::PowiScalar(op) => {
            let n: f64 = op.rhs.elem();
            let s: Scalar = op.rhs.into();
            cx.unary(
                &op.lhs,
                &op.out,
                |x| D::float_powi_scalar(x, s),
                |x, _| scale(D::float_powi_scalar(x, Scalar::from(n as i64 - 1)), n),
            );
        }
        N::Clamp(op) => {
            let (lo, hi): (Scalar, Scalar) = (op.min.into(), op.max.into());
            cx.unary(&op.tensor, &op.out, |x| D::float_clamp(x, lo, hi), inside);
        }
        N::ClampMin(op) => {
            let s: Scalar = op.rhs.into();
            cx.unary(&op.lhs, &op.out, |x| D::float_clamp_min(x, s), inside);
        }
        N::ClampMax(op) => {
            let s: Scalar = op.rhs.into();
            cx.unary(&op.lhs, &op.out, |x| D::float_clamp_max(x, s), inside);
        }
        N::Full(op) => {
            let t = D::float_full(
                op.out.shape.clone(),
                op.value.into(),
                &cx.device,
                op.out.dtype.into(),
            );
            cx.put_constant(&op.out, t);
        }
        // Comparisons: no tangent.
        N::Greater(op) => compare(cx, op, D::float_greater),
        N::GreaterEqual(op) => compare(cx, op, D::float_greater_equal),
        N::Lower(op) => compare(cx, op, D::float_lower),
        N::LowerEqual(op) => compare(cx, op, D::float_lower_equal),
        N::GreaterElem(op) => cx.flat(&op.lhs, &op.out, |x| {
            D::float_greater_elem(x, op.rhs.into(), op.out.dtype.into())
        }),
        N::GreaterEqualElem(op) => cx.flat(&op.lhs, &op.out, |x| {
            D::float_greater_equal_elem(x, op.rhs.into(), op.out.dtype.into())
        }),
        N::LowerElem(op) => cx.flat(&op.lhs, &op.out, |x| {
            D::float_lower_elem(x, op.rhs.into(), op.out.dtype.into())
        }),
        N::LowerEqualElem(op) => cx.flat(&op.lhs, &op.out, |x| {
            D::float_lower_equal_elem(x, op.rhs.into(), op.out.dtype.into())
        }),
        _ => return None,
    }
    Some(())
}

fn compare(cx: &mut Context, op: &BinaryOpIr, f: impl Fn(T, T, burn::backend::BoolDType) -> T) {
    let (a, b) = (cx.primal(&op.lhs), cx.primal(&op.rhs));
    cx.put_constant(&op.out, f(a, b, op.out.dtype.into()));
}

/// Transcendental functions.
pub(super) fn float(op: &FloatOperationIr, cx: &mut Context) -> Option<()> {
    use FloatOperationIr as F;
    let square = |x: T| mul(x.clone(), x);
    match op {
        F::Exp(op) => cx.unary(&op.input, &op.out, D::float_exp, |_, y| y),
        F::Log(op) => cx.unary(&op.input, &op.out, D::float_log, |x, _| D::float_recip(x)),
        F::Log1p(op) => cx.unary(&op.input, &op.out, D::float_log1p, |x, _| {
            D::float_recip(shift(x, 1.0))
        }),
        F::Erf(op) => cx.unary(&op.input, &op.out, D::float_erf, |x, _| {
            scale(D::float_exp(neg(square(x))), 2.0 / PI.sqrt())
        }),
        F::Sqrt(op) => cx.unary(&op.input, &op.out, D::float_sqrt, |_, y| {
            scale(D::float_recip(y), 0.5)
        }),
        F::Recip(op) => cx.unary(&op.input, &op.out, D::float_recip, |_, y| neg(square(y))),
        F::Sin(op) => cx.unary(&op.input, &op.out, D::float_sin, |x, _| D::float_cos(x)),
        F::Cos(op) => cx.unary(&op.input, &op.out, D::float_cos, |x, _| {
            neg(D::float_sin(x))
        }),
        F::Tan(op) => cx.unary(&op.input, &op.out, D::float_tan, |_, y| {
            shift(square(y), 1.0)
        }),
        F::Sinh(op) => cx.unary(&op.input, &op.out, D::float_sinh, |x, _| D::float_cosh(x)),
        F::Cosh(op) => cx.unary(&op.input, &op.out, D::float_cosh, |x, _| D::float_sinh(x)),
        F::Tanh(op) => cx.unary(&op.input, &op.out, D::float_tanh, |_, y| {
            shift(neg(square(y)), 1.0)
        }),
        F::ArcTan(op) => cx.unary(&op.input, &op.out, D::float_atan, |x, _| {
            D::float_recip(shift(square(x), 1.0))
        }),
        F::ArcSin(op) => cx.unary(&op.input, &op.out, D::float_asin, |x, _| {
            D::float_recip(D::float_sqrt(shift(neg(square(x)), 1.0)))
        }),
        F::ArcCos(op) => cx.unary(&op.input, &op.out, D::float_acos, |x, _| {
            neg(D::float_recip(D::float_sqrt(shift(neg(square(x)), 1.0))))
        }),
        F::ArcSinh(op) => cx.unary(&op.input, &op.out, D::float_asinh, |x, _| {
            D::float_recip(D::float_sqrt(shift(square(x), 1.0)))
        }),
        F::ArcCosh(op) => cx.unary(&op.input, &op.out, D::float_acosh, |x, _| {
            D::float_recip(D::float_sqrt(shift(square(x), -1.0)))
        }),
        F::ArcTanh(op) => cx.unary(&op.input, &op.out, D::float_atanh, |x, _| {
            D::float_recip(shift(neg(square(x)), 1.0))
        }),
        F::PowfScalar(op) => {
            let p: f64 = op.rhs.elem();
            let s: Scalar = op.rhs.into();
            cx.unary(
                &op.lhs,
                &op.out,
                |x| D::float_powf_scalar(x, s),
                |x, _| scale(D::float_powf_scalar(x, Scalar::from(p - 1.0)), p),
            );
        }
        // (aᵇ)' = b·aᵇ⁻¹·a' + aᵇ·ln a·b'.
        F::Powf(op) => binary(
            cx,
            op,
            D::float_powf,
            |t, a, b, _| {
                let power = D::float_powf(a, shift(b.clone(), -1.0));
                mul(t, mul(b, power))
            },
            |t, a, _, y| mul(t, mul(y, D::float_log(a))),
        ),
        F::Hypot(op) => binary(
            cx,
            op,
            D::float_hypot,
            |t, a, _, y| div(mul(t, a), y),
            |t, _, b, y| div(mul(t, b), y),
        ),
        // atan2(a, b)' = (a'b − ab') / (a² + b²).
        F::ArcTan2(op) => binary(
            cx,
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
        F::Round(op) => cx.flat(&op.input, &op.out, D::float_round),
        F::Floor(op) => cx.flat(&op.input, &op.out, D::float_floor),
        F::Ceil(op) => cx.flat(&op.input, &op.out, D::float_ceil),
        F::Trunc(op) => cx.flat(&op.input, &op.out, D::float_trunc),
        F::IntoInt(op) => cx.flat(&op.input, &op.out, |x| {
            D::float_into_int(x, op.out.dtype.into())
        }),
        _ => return None,
    }
    Some(())
}
