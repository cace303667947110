//! Evaluation of integers and booleans, which have no tangents.

use crate::dual::RawTensor;
use crate::interpreter::Interpreter;
use crate::rule::Refusal;
use burn::backend::ir::{
    BaseOperationIr, BinaryOpIr, BoolOperationIr, IntOperationIr, NumericOperationIr,
};
use burn::backend::ops::{BoolTensorOps, IntTensorOps};
use burn::backend::{BoolDType, Dispatch as D};

/// A function of two tensors.
fn binary(
    interp: &mut Interpreter,
    op: &BinaryOpIr,
    f: impl Fn(RawTensor, RawTensor) -> RawTensor,
) {
    let (a, b) = (interp.take_primal(&op.lhs), interp.take_primal(&op.rhs));
    interp.put_constant(&op.out, f(a, b));
}

/// A comparison of two tensors.
fn compare(
    interp: &mut Interpreter,
    op: &BinaryOpIr,
    f: impl Fn(RawTensor, RawTensor, BoolDType) -> RawTensor,
) {
    binary(interp, op, |a, b| f(a, b, op.out.dtype.into()));
}

/// Shape, indexing and selection of integers.
pub(super) fn base_int(op: &BaseOperationIr, interp: &mut Interpreter) -> Result<(), Refusal> {
    use BaseOperationIr as B;
    match op {
        B::Reshape(op) => interp.zero_tangent(&op.input, &op.out, |t| {
            D::int_reshape(t, op.out.shape.clone())
        }),
        B::Expand(op) => interp.zero_tangent(&op.input, &op.out, |t| {
            D::int_expand(t, op.out.shape.clone())
        }),
        B::SwapDims(op) => interp.zero_tangent(&op.input, &op.out, |t| {
            D::int_swap_dims(t, op.dim1, op.dim2)
        }),
        B::Permute(op) => interp.zero_tangent(&op.input, &op.out, |t| D::int_permute(t, &op.axes)),
        B::Flip(op) => interp.zero_tangent(&op.input, &op.out, |t| D::int_flip(t, &op.axes)),
        B::RepeatDim(op) => interp.zero_tangent(&op.tensor, &op.out, |t| {
            D::int_repeat_dim(t, op.dim, op.times)
        }),
        B::Slice(op) => interp.zero_tangent(&op.tensor, &op.out, |t| D::int_slice(t, &op.ranges)),
        B::Cat(op) => {
            let tensors = op.tensors.iter().map(|t| interp.take_primal(t)).collect();
            interp.put_constant(&op.out, D::int_cat(tensors, op.dim));
        }
        B::Select(op) => {
            let (t, i) = (
                interp.take_primal(&op.tensor),
                interp.take_primal(&op.indices),
            );
            interp.put_constant(&op.out, D::int_select(t, op.dim, i));
        }
        B::Cast(op) => {
            interp.zero_tangent(&op.input, &op.out, |t| D::int_cast(t, op.out.dtype.into()))
        }
        B::Zeros(op) => {
            let t = D::int_zeros(op.out.shape.clone(), &interp.device, op.out.dtype.into());
            interp.put_constant(&op.out, t);
        }
        B::Ones(op) => {
            let t = D::int_ones(op.out.shape.clone(), &interp.device, op.out.dtype.into());
            interp.put_constant(&op.out, t);
        }
        B::Equal(op) => compare(interp, op, D::int_equal),
        B::NotEqual(op) => compare(interp, op, D::int_not_equal),
        B::EqualElem(op) => interp.zero_tangent(&op.lhs, &op.out, |t| {
            D::int_equal_elem(t, op.rhs.into(), op.out.dtype.into())
        }),
        B::NotEqualElem(op) => interp.zero_tangent(&op.lhs, &op.out, |t| {
            D::int_not_equal_elem(t, op.rhs.into(), op.out.dtype.into())
        }),
        _ => return Err(Refusal::unknown()),
    }
    Ok(())
}

/// Shape and selection of booleans.
pub(super) fn base_bool(op: &BaseOperationIr, interp: &mut Interpreter) -> Result<(), Refusal> {
    use BaseOperationIr as B;
    match op {
        B::Reshape(op) => interp.zero_tangent(&op.input, &op.out, |t| {
            D::bool_reshape(t, op.out.shape.clone())
        }),
        B::Expand(op) => interp.zero_tangent(&op.input, &op.out, |t| {
            D::bool_expand(t, op.out.shape.clone())
        }),
        B::SwapDims(op) => interp.zero_tangent(&op.input, &op.out, |t| {
            D::bool_swap_dims(t, op.dim1, op.dim2)
        }),
        B::Permute(op) => interp.zero_tangent(&op.input, &op.out, |t| D::bool_permute(t, &op.axes)),
        B::RepeatDim(op) => interp.zero_tangent(&op.tensor, &op.out, |t| {
            D::bool_repeat_dim(t, op.dim, op.times)
        }),
        B::Slice(op) => interp.zero_tangent(&op.tensor, &op.out, |t| D::bool_slice(t, &op.ranges)),
        B::Cat(op) => {
            let tensors = op.tensors.iter().map(|t| interp.take_primal(t)).collect();
            interp.put_constant(&op.out, D::bool_cat(tensors, op.dim));
        }
        B::Equal(op) => binary(interp, op, D::bool_equal),
        B::NotEqual(op) => binary(interp, op, D::bool_not_equal),
        B::Zeros(op) => {
            let t = D::bool_zeros(op.out.shape.clone(), &interp.device, op.out.dtype.into());
            interp.put_constant(&op.out, t);
        }
        B::Ones(op) => {
            let t = D::bool_ones(op.out.shape.clone(), &interp.device, op.out.dtype.into());
            interp.put_constant(&op.out, t);
        }
        _ => return Err(Refusal::unknown()),
    }
    Ok(())
}

/// Arithmetic and comparisons of integers.
pub(super) fn numeric_int(
    op: &NumericOperationIr,
    interp: &mut Interpreter,
) -> Result<(), Refusal> {
    use NumericOperationIr as N;
    match op {
        N::Add(op) => binary(interp, op, D::int_add),
        N::Sub(op) => binary(interp, op, D::int_sub),
        N::Mul(op) => binary(interp, op, D::int_mul),
        N::Div(op) => binary(interp, op, D::int_div),
        N::AddScalar(op) => {
            interp.zero_tangent(&op.lhs, &op.out, |t| D::int_add_scalar(t, op.rhs.into()))
        }
        N::SubScalar(op) => {
            interp.zero_tangent(&op.lhs, &op.out, |t| D::int_sub_scalar(t, op.rhs.into()))
        }
        N::MulScalar(op) => {
            interp.zero_tangent(&op.lhs, &op.out, |t| D::int_mul_scalar(t, op.rhs.into()))
        }
        N::DivScalar(op) => {
            interp.zero_tangent(&op.lhs, &op.out, |t| D::int_div_scalar(t, op.rhs.into()))
        }
        N::Neg(op) => interp.zero_tangent(&op.input, &op.out, D::int_neg),
        N::Full(op) => {
            let t = D::int_full(
                op.out.shape.clone(),
                op.value.into(),
                &interp.device,
                op.out.dtype.into(),
            );
            interp.put_constant(&op.out, t);
        }
        N::Greater(op) => compare(interp, op, D::int_greater),
        N::GreaterEqual(op) => compare(interp, op, D::int_greater_equal),
        N::Lower(op) => compare(interp, op, D::int_lower),
        N::LowerEqual(op) => compare(interp, op, D::int_lower_equal),
        N::GreaterElem(op) => interp.zero_tangent(&op.lhs, &op.out, |t| {
            D::int_greater_elem(t, op.rhs.into(), op.out.dtype.into())
        }),
        N::GreaterEqualElem(op) => interp.zero_tangent(&op.lhs, &op.out, |t| {
            D::int_greater_equal_elem(t, op.rhs.into(), op.out.dtype.into())
        }),
        N::LowerElem(op) => interp.zero_tangent(&op.lhs, &op.out, |t| {
            D::int_lower_elem(t, op.rhs.into(), op.out.dtype.into())
        }),
        N::LowerEqualElem(op) => interp.zero_tangent(&op.lhs, &op.out, |t| {
            D::int_lower_equal_elem(t, op.rhs.into(), op.out.dtype.into())
        }),
        N::Abs(op) => interp.zero_tangent(&op.input, &op.out, D::int_abs),
        N::Clamp(op) => interp.zero_tangent(&op.tensor, &op.out, |t| {
            D::int_clamp(t, op.min.into(), op.max.into())
        }),
        _ => return Err(Refusal::unknown()),
    }
    Ok(())
}

/// Conversion of integers.
pub(super) fn int(op: &IntOperationIr, interp: &mut Interpreter) -> Result<(), Refusal> {
    match op {
        IntOperationIr::IntoFloat(op) => interp.zero_tangent(&op.input, &op.out, |t| {
            D::int_into_float(t, op.out.dtype.into())
        }),
        _ => return Err(Refusal::unknown()),
    }
    Ok(())
}

/// Logic and conversion of booleans.
pub(super) fn bool(op: &BoolOperationIr, interp: &mut Interpreter) -> Result<(), Refusal> {
    use BoolOperationIr as B;
    match op {
        B::IntoFloat(op) => interp.zero_tangent(&op.input, &op.out, |t| {
            D::bool_into_float(t, op.out.dtype.into())
        }),
        B::IntoInt(op) => interp.zero_tangent(&op.input, &op.out, |t| {
            D::bool_into_int(t, op.out.dtype.into())
        }),
        B::Not(op) => interp.zero_tangent(&op.input, &op.out, D::bool_not),
        B::And(op) => binary(interp, op, D::bool_and),
        B::Or(op) => binary(interp, op, D::bool_or),
        B::Xor(op) => binary(interp, op, D::bool_xor),
    }
    Ok(())
}
