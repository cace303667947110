//! Evaluation of integers, which have no tangents.

use super::boolean::store;
use super::elementwise::{compare, constant_binary};
use super::refusals;
use crate::dual::RawTensor;
use crate::interpreter::Interpreter;
use crate::rule::Refusal;
use burn::backend::Dispatch as D;
use burn::backend::ir::{BaseOperationIr, IntOperationIr, NumericOperationIr, TensorIr};
use burn::backend::ops::IntTensorOps;

/// Shape, indexing and selection of integers.
pub(super) fn base(op: &BaseOperationIr, interp: &mut Interpreter) {
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
        B::Unfold(op) => interp.zero_tangent(&op.input, &op.out, |t| {
            D::int_unfold(t, op.dim, op.size, op.step)
        }),
        B::RepeatDim(op) => interp.zero_tangent(&op.tensor, &op.out, |t| {
            D::int_repeat_dim(t, op.dim, op.times)
        }),
        B::Slice(op) => interp.zero_tangent(&op.tensor, &op.out, |t| D::int_slice(t, &op.ranges)),
        B::SliceAssign(op) => {
            let (t, v) = (
                interp.take_primal(&op.tensor),
                interp.take_primal(&op.value),
            );
            store(interp, &op.out, || D::int_slice_assign(t, &op.ranges, v));
        }
        B::Cat(op) => {
            let tensors = op.tensors.iter().map(|t| interp.take_primal(t)).collect();
            store(interp, &op.out, || D::int_cat(tensors, op.dim));
        }
        B::Select(op) => {
            let (t, i) = (
                interp.take_primal(&op.tensor),
                interp.take_primal(&op.indices),
            );
            store(interp, &op.out, || D::int_select(t, op.dim, i));
        }
        B::Gather(op) => {
            let (t, i) = (
                interp.take_primal(&op.tensor),
                interp.take_primal(&op.indices),
            );
            store(interp, &op.out, || D::int_gather(op.dim, t, i));
        }
        B::GatherNd(op) => {
            let (t, i) = (
                interp.take_primal(&op.data),
                interp.take_primal(&op.indices),
            );
            store(interp, &op.out, || D::int_gather_nd(t, i));
        }
        B::Scatter(op) => {
            let (t, i) = (
                interp.take_primal(&op.tensor),
                interp.take_primal(&op.indices),
            );
            let v = interp.take_primal(&op.value);
            store(interp, &op.out, || {
                D::int_scatter(op.dim, t, i, v, op.update)
            });
        }
        B::ScatterNd(op) => {
            let (t, i) = (
                interp.take_primal(&op.data),
                interp.take_primal(&op.indices),
            );
            let v = interp.take_primal(&op.values);
            store(interp, &op.out, || D::int_scatter_nd(t, i, v, op.reduction));
        }
        B::SelectAssign(op) => {
            let (t, i) = (
                interp.take_primal(&op.tensor),
                interp.take_primal(&op.indices),
            );
            let v = interp.take_primal(&op.value);
            store(interp, &op.out, || {
                D::int_select_assign(t, op.dim, i, v, op.update)
            });
        }
        B::MaskWhere(op) => {
            let (t, m) = (interp.take_primal(&op.tensor), interp.take_primal(&op.mask));
            let v = interp.take_primal(&op.value);
            store(interp, &op.out, || D::int_mask_where(t, m, v));
        }
        B::MaskFill(op) => {
            let (t, m) = (interp.take_primal(&op.tensor), interp.take_primal(&op.mask));
            store(interp, &op.out, || D::int_mask_fill(t, m, op.value.into()));
        }
        B::Cast(op) => {
            interp.zero_tangent(&op.input, &op.out, |t| D::int_cast(t, op.out.dtype.into()))
        }
        B::Zeros(op) | B::Empty(op) => interp.create(&op.out, |device| {
            D::int_zeros(op.out.shape.clone(), device, op.out.dtype.into())
        }),
        B::Ones(op) => interp.create(&op.out, |device| {
            D::int_ones(op.out.shape.clone(), device, op.out.dtype.into())
        }),
        B::Equal(op) => compare(interp, op, D::int_equal),
        B::NotEqual(op) => compare(interp, op, D::int_not_equal),
        B::EqualElem(op) => interp.zero_tangent(&op.lhs, &op.out, |t| {
            D::int_equal_elem(t, op.rhs.into(), op.out.dtype.into())
        }),
        B::NotEqualElem(op) => interp.zero_tangent(&op.lhs, &op.out, |t| {
            D::int_not_equal_elem(t, op.rhs.into(), op.out.dtype.into())
        }),
        B::All(op) => {
            interp.zero_tangent(&op.input, &op.out, |t| D::int_all(t, op.out.dtype.into()))
        }
        B::Any(op) => {
            interp.zero_tangent(&op.input, &op.out, |t| D::int_any(t, op.out.dtype.into()))
        }
        B::AllDim(op) => interp.zero_tangent(&op.input, &op.out, |t| {
            D::int_all_dim(t, op.axis, op.out.dtype.into())
        }),
        B::AnyDim(op) => interp.zero_tangent(&op.input, &op.out, |t| {
            D::int_any_dim(t, op.axis, op.out.dtype.into())
        }),
    }
}

/// Arithmetic, comparisons, reductions and sorting of integers.
pub(super) fn numeric(op: &NumericOperationIr, interp: &mut Interpreter) -> Result<(), Refusal> {
    use NumericOperationIr as N;
    match op {
        N::Add(op) => constant_binary(interp, op, D::int_add),
        N::Sub(op) => constant_binary(interp, op, D::int_sub),
        N::Mul(op) => constant_binary(interp, op, D::int_mul),
        N::Div(op) => constant_binary(interp, op, D::int_div),
        N::Rem(op) => constant_binary(interp, op, D::int_remainder),
        N::Powi(op) => constant_binary(interp, op, D::int_powi),
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
        N::RemScalar(op) => interp.zero_tangent(&op.lhs, &op.out, |t| {
            D::int_remainder_scalar(t, op.rhs.into())
        }),
        N::PowiScalar(op) => {
            interp.zero_tangent(&op.lhs, &op.out, |t| D::int_powi_scalar(t, op.rhs.into()))
        }
        N::ClampMin(op) => {
            interp.zero_tangent(&op.lhs, &op.out, |t| D::int_clamp_min(t, op.rhs.into()))
        }
        N::ClampMax(op) => {
            interp.zero_tangent(&op.lhs, &op.out, |t| D::int_clamp_max(t, op.rhs.into()))
        }
        N::Clamp(op) => interp.zero_tangent(&op.tensor, &op.out, |t| {
            D::int_clamp(t, op.min.into(), op.max.into())
        }),
        N::Neg(op) => interp.zero_tangent(&op.input, &op.out, D::int_neg),
        N::Abs(op) => interp.zero_tangent(&op.input, &op.out, D::int_abs),
        N::Sign(op) => interp.zero_tangent(&op.input, &op.out, D::int_sign),
        N::Sum(op) => interp.zero_tangent(&op.input, &op.out, D::int_sum),
        N::Mean(op) => interp.zero_tangent(&op.input, &op.out, D::int_mean),
        N::Prod(op) => interp.zero_tangent(&op.input, &op.out, D::int_prod),
        N::Max(op) => interp.zero_tangent(&op.input, &op.out, D::int_max),
        N::Min(op) => interp.zero_tangent(&op.input, &op.out, D::int_min),
        N::MaxAbs(op) => interp.zero_tangent(&op.input, &op.out, D::int_max_abs),
        N::SumDim(op) => interp.zero_tangent(&op.input, &op.out, |t| D::int_sum_dim(t, op.axis)),
        N::MeanDim(op) => interp.zero_tangent(&op.input, &op.out, |t| D::int_mean_dim(t, op.axis)),
        N::ProdDim(op) => interp.zero_tangent(&op.input, &op.out, |t| D::int_prod_dim(t, op.axis)),
        N::MaxDim(op) => interp.zero_tangent(&op.input, &op.out, |t| D::int_max_dim(t, op.axis)),
        N::MinDim(op) => interp.zero_tangent(&op.input, &op.out, |t| D::int_min_dim(t, op.axis)),
        N::MaxAbsDim(op) => {
            interp.zero_tangent(&op.input, &op.out, |t| D::int_max_abs_dim(t, op.axis))
        }
        N::ArgMax(op) => interp.zero_tangent(&op.input, &op.out, |t| D::int_argmax(t, op.axis)),
        N::ArgMin(op) => interp.zero_tangent(&op.input, &op.out, |t| D::int_argmin(t, op.axis)),
        N::CumSum(op) => interp.zero_tangent(&op.input, &op.out, |t| D::int_cumsum(t, op.axis)),
        N::CumProd(op) => interp.zero_tangent(&op.input, &op.out, |t| D::int_cumprod(t, op.axis)),
        N::CumMin(op) => interp.zero_tangent(&op.input, &op.out, |t| D::int_cummin(t, op.axis)),
        N::CumMax(op) => interp.zero_tangent(&op.input, &op.out, |t| D::int_cummax(t, op.axis)),
        N::SumDims(op) => interp.zero_tangent(&op.input, &op.out, |t| {
            op.axes.iter().fold(t, |t, axis| D::int_sum_dim(t, *axis))
        }),
        N::TopK(op) => interp.zero_tangent(&op.input, &op.out, |t| {
            D::int_topk(t, op.axis, op.accumulator_len)
        }),
        N::ArgTopK(op) => interp.zero_tangent(&op.input, &op.out, |t| {
            D::int_argtopk(t, op.axis, op.accumulator_len)
        }),
        N::Sort(op) => interp.zero_tangent(&op.input, &op.out, |t| {
            D::int_sort(t, op.dim, op.descending)
        }),
        N::ArgSort(op) => interp.zero_tangent(&op.input, &op.out, |t| {
            D::int_argsort(t, op.dim, op.descending)
        }),
        N::MaxDimWithIndices(op) => {
            with_indices(interp, (&op.tensor, &op.out, &op.out_indices), |t| {
                D::int_max_dim_with_indices(t, op.dim)
            })
        }
        N::MinDimWithIndices(op) => {
            with_indices(interp, (&op.tensor, &op.out, &op.out_indices), |t| {
                D::int_min_dim_with_indices(t, op.dim)
            })
        }
        N::TopKWithIndices(op) => {
            with_indices(interp, (&op.tensor, &op.out, &op.out_indices), |t| {
                D::int_topk_with_indices(t, op.dim, op.k)
            })
        }
        N::SortWithIndices(op) => {
            with_indices(interp, (&op.input, &op.out, &op.out_indices), |t| {
                D::int_sort_with_indices(t, op.dim, op.descending)
            })
        }
        N::Pad(op) => interp.zero_tangent(&op.input, &op.out, |t| {
            D::int_pad(t, &op.padding, op.mode.into())
        }),
        N::Full(op) => interp.create(&op.out, |device| {
            D::int_full(
                op.out.shape.clone(),
                op.value.into(),
                device,
                op.out.dtype.into(),
            )
        }),
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
        N::IntRandom(_) => return Err(Refusal::new(refusals::RANDOM)),
    }
    Ok(())
}

/// Entries taken along one axis with their places.
fn with_indices(
    interp: &mut Interpreter,
    (input, out, out_indices): (&TensorIr, &TensorIr, &TensorIr),
    f: impl FnOnce(RawTensor) -> (RawTensor, RawTensor),
) {
    let x = interp.take_primal(input);
    let mut places = None;
    // Both outputs are kept for later evaluations, or neither.
    store(interp, out, || {
        let (y, i) = f(x);
        places = Some(i);
        y
    });
    store(interp, out_indices, || {
        places.expect("computed with the entries")
    });
}

/// Conversion, bitwise logic and products of matrices of integers.
pub(super) fn int(op: &IntOperationIr, interp: &mut Interpreter) {
    use IntOperationIr as I;
    match op {
        I::IntoFloat(op) => interp.zero_tangent(&op.input, &op.out, |t| {
            D::int_into_float(t, op.out.dtype.into())
        }),
        I::Matmul(op) => {
            let (a, b) = (interp.take_primal(&op.lhs), interp.take_primal(&op.rhs));
            store(interp, &op.out, || D::int_matmul(a, b));
        }
        I::BitwiseNot(op) => interp.zero_tangent(&op.input, &op.out, D::bitwise_not),
        I::BitwiseAnd(op) => constant_binary(interp, op, D::bitwise_and),
        I::BitwiseAndScalar(op) => interp.zero_tangent(&op.lhs, &op.out, |t| {
            D::bitwise_and_scalar(t, op.rhs.into())
        }),
        I::BitwiseOr(op) => constant_binary(interp, op, D::bitwise_or),
        I::BitwiseOrScalar(op) => {
            interp.zero_tangent(&op.lhs, &op.out, |t| D::bitwise_or_scalar(t, op.rhs.into()))
        }
        I::BitwiseXor(op) => constant_binary(interp, op, D::bitwise_xor),
        I::BitwiseXorScalar(op) => interp.zero_tangent(&op.lhs, &op.out, |t| {
            D::bitwise_xor_scalar(t, op.rhs.into())
        }),
        I::BitwiseLeftShift(op) => constant_binary(interp, op, D::bitwise_left_shift),
        I::BitwiseLeftShiftScalar(op) => interp.zero_tangent(&op.lhs, &op.out, |t| {
            D::bitwise_left_shift_scalar(t, op.rhs.into())
        }),
        I::BitwiseRightShift(op) => constant_binary(interp, op, D::bitwise_right_shift),
        I::BitwiseRightShiftScalar(op) => interp.zero_tangent(&op.lhs, &op.out, |t| {
            D::bitwise_right_shift_scalar(t, op.rhs.into())
        }),
    }
}
