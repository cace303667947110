//! Integer and boolean tensors: values only, they carry no tangent.

use super::Context;
use crate::value::T;
use burn::backend::ir::{
    BaseOperationIr, BinaryOpIr, BoolOperationIr, IntOperationIr, NumericOperationIr,
};
use burn::backend::ops::{BoolTensorOps, IntTensorOps};
use burn::backend::{BoolDType, Dispatch as D};

fn binary(cx: &mut Context, op: &BinaryOpIr, f: impl Fn(T, T) -> T) {
    let (a, b) = (cx.primal(&op.lhs), cx.primal(&op.rhs));
    cx.put_constant(&op.out, f(a, b));
}

fn compare(cx: &mut Context, op: &BinaryOpIr, f: impl Fn(T, T, BoolDType) -> T) {
    binary(cx, op, |a, b| f(a, b, op.out.dtype.into()));
}

/// Shape operations on integers.
pub(super) fn base_int(op: &BaseOperationIr, cx: &mut Context) -> Option<()> {
    use BaseOperationIr as B;
    match op {
        B::Reshape(op) => cx.flat(&op.input, &op.out, |t| {
            D::int_reshape(t, op.out.shape.clone())
        }),
        B::Expand(op) => cx.flat(&op.input, &op.out, |t| {
            D::int_expand(t, op.out.shape.clone())
        }),
        B::SwapDims(op) => cx.flat(&op.input, &op.out, |t| {
            D::int_swap_dims(t, op.dim1, op.dim2)
        }),
        B::Permute(op) => cx.flat(&op.input, &op.out, |t| D::int_permute(t, &op.axes)),
        B::Flip(op) => cx.flat(&op.input, &op.out, |t| D::int_flip(t, &op.axes)),
        B::RepeatDim(op) => cx.flat(&op.tensor, &op.out, |t| {
            D::int_repeat_dim(t, op.dim, op.times)
        }),
        B::Slice(op) => cx.flat(&op.tensor, &op.out, |t| D::int_slice(t, &op.ranges)),
        B::Cat(op) => {
            let parts = op.tensors.iter().map(|t| cx.primal(t)).collect();
            cx.put_constant(&op.out, D::int_cat(parts, op.dim));
        }
        B::Select(op) => {
            let (t, i) = (cx.primal(&op.tensor), cx.primal(&op.indices));
            cx.put_constant(&op.out, D::int_select(t, op.dim, i));
        }
        B::Cast(op) => cx.flat(&op.input, &op.out, |t| D::int_cast(t, op.out.dtype.into())),
        B::Zeros(op) => {
            let t = D::int_zeros(op.out.shape.clone(), &cx.device, op.out.dtype.into());
            cx.put_constant(&op.out, t);
        }
        B::Ones(op) => {
            let t = D::int_ones(op.out.shape.clone(), &cx.device, op.out.dtype.into());
            cx.put_constant(&op.out, t);
        }
        B::Equal(op) => compare(cx, op, D::int_equal),
        B::NotEqual(op) => compare(cx, op, D::int_not_equal),
        B::EqualElem(op) => cx.flat(&op.lhs, &op.out, |t| {
            D::int_equal_elem(t, op.rhs.into(), op.out.dtype.into())
        }),
        B::NotEqualElem(op) => cx.flat(&op.lhs, &op.out, |t| {
            D::int_not_equal_elem(t, op.rhs.into(), op.out.dtype.into())
        }),
        _ => return None,
    }
    Some(())
}

/// Shape operations on masks.
pub(super) fn base_bool(op: &BaseOperationIr, cx: &mut Context) -> Option<()> {
    use BaseOperationIr as B;
    match op {
        B::Reshape(op) => cx.flat(&op.input, &op.out, |t| {
            D::bool_reshape(t, op.out.shape.clone())
        }),
        B::Expand(op) => cx.flat(&op.input, &op.out, |t| {
            D::bool_expand(t, op.out.shape.clone())
        }),
        B::SwapDims(op) => cx.flat(&op.input, &op.out, |t| {
            D::bool_swap_dims(t, op.dim1, op.dim2)
        }),
        B::Permute(op) => cx.flat(&op.input, &op.out, |t| D::bool_permute(t, &op.axes)),
        B::RepeatDim(op) => cx.flat(&op.tensor, &op.out, |t| {
            D::bool_repeat_dim(t, op.dim, op.times)
        }),
        B::Slice(op) => cx.flat(&op.tensor, &op.out, |t| D::bool_slice(t, &op.ranges)),
        B::Cat(op) => {
            let parts = op.tensors.iter().map(|t| cx.primal(t)).collect();
            cx.put_constant(&op.out, D::bool_cat(parts, op.dim));
        }
        B::Equal(op) => binary(cx, op, D::bool_equal),
        B::NotEqual(op) => binary(cx, op, D::bool_not_equal),
        B::Zeros(op) => {
            let t = D::bool_zeros(op.out.shape.clone(), &cx.device, op.out.dtype.into());
            cx.put_constant(&op.out, t);
        }
        B::Ones(op) => {
            let t = D::bool_ones(op.out.shape.clone(), &cx.device, op.out.dtype.into());
            cx.put_constant(&op.out, t);
        }
        _ => return None,
    }
    Some(())
}

/// Integer arithmetic.
pub(super) fn numeric_int(op: &NumericOperationIr, cx: &mut Context) -> Option<()> {
    use NumericOperationIr as N;
    match op {
        N::Add(op) => binary(cx, op, D::int_add),
        N::Sub(op) => binary(cx, op, D::int_sub),
        N::Mul(op) => binary(cx, op, D::int_mul),
        N::Div(op) => binary(cx, op, D::int_div),
        N::AddScalar(op) => cx.flat(&op.lhs, &op.out, |t| D::int_add_scalar(t, op.rhs.into())),
        N::SubScalar(op) => cx.flat(&op.lhs, &op.out, |t| D::int_sub_scalar(t, op.rhs.into())),
        N::MulScalar(op) => cx.flat(&op.lhs, &op.out, |t| D::int_mul_scalar(t, op.rhs.into())),
        N::DivScalar(op) => cx.flat(&op.lhs, &op.out, |t| D::int_div_scalar(t, op.rhs.into())),
        N::Neg(op) => cx.flat(&op.input, &op.out, D::int_neg),
        N::Full(op) => {
            let t = D::int_full(
                op.out.shape.clone(),
                op.value.into(),
                &cx.device,
                op.out.dtype.into(),
            );
            cx.put_constant(&op.out, t);
        }
        N::Greater(op) => compare(cx, op, D::int_greater),
        N::GreaterEqual(op) => compare(cx, op, D::int_greater_equal),
        N::Lower(op) => compare(cx, op, D::int_lower),
        N::LowerEqual(op) => compare(cx, op, D::int_lower_equal),
        N::GreaterElem(op) => cx.flat(&op.lhs, &op.out, |t| {
            D::int_greater_elem(t, op.rhs.into(), op.out.dtype.into())
        }),
        N::GreaterEqualElem(op) => cx.flat(&op.lhs, &op.out, |t| {
            D::int_greater_equal_elem(t, op.rhs.into(), op.out.dtype.into())
        }),
        N::LowerElem(op) => cx.flat(&op.lhs, &op.out, |t| {
            D::int_lower_elem(t, op.rhs.into(), op.out.dtype.into())
        }),
        N::LowerEqualElem(op) => cx.flat(&op.lhs, &op.out, |t| {
            D::int_lower_equal_elem(t, op.rhs.into(), op.out.dtype.into())
        }),
        N::Abs(op) => cx.flat(&op.input, &op.out, D::int_abs),
        N::Clamp(op) => cx.flat(&op.tensor, &op.out, |t| {
            D::int_clamp(t, op.min.into(), op.max.into())
        }),
        _ => return None,
    }
    Some(())
}

/// Conversions from integers.
pub(super) fn int(op: &IntOperationIr, cx: &mut Context) -> Option<()> {
    match op {
        IntOperationIr::IntoFloat(op) => cx.flat(&op.input, &op.out, |t| {
            D::int_into_float(t, op.out.dtype.into())
        }),
        _ => return None,
    }
    Some(())
}

/// Logic.
pub(super) fn bool(op: &BoolOperationIr, cx: &mut Context) -> Option<()> {
    use BoolOperationIr as B;
    match op {
        B::IntoFloat(op) => cx.flat(&op.input, &op.out, |t| {
            D::bool_into_float(t, op.out.dtype.into())
        }),
        B::IntoInt(op) => cx.flat(&op.input, &op.out, |t| {
            D::bool_into_int(t, op.out.dtype.into())
        }),
        B::Not(op) => cx.flat(&op.input, &op.out, D::bool_not),
        B::And(op) => binary(cx, op, D::bool_and),
        B::Or(op) => binary(cx, op, D::bool_or),
        B::Xor(op) => binary(cx, op, D::bool_xor),
    }
    Some(())
}
