//! The operations that floats and integers share, on floats.

use super::elementwise::{binary, compare};
use super::indicator::inside;
use super::{order, power, product, reduce, refusals};
use crate::dual::{div, mul, neg, sub};
use crate::interpreter::Interpreter;
use crate::rule::Refusal;
use burn::backend::ir::NumericOperationIr;
use burn::backend::ops::FloatTensorOps;
use burn::backend::{Dispatch as D, Scalar};

/// Arithmetic, comparisons, reductions and sorting of floats.
pub(super) fn float(op: &NumericOperationIr, interp: &mut Interpreter) -> Result<(), Refusal> {
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
        // y = a − q·b with the integer q = ⌊a/b⌋ = (a − y)/b: y' = a' − q·b'.
        N::Rem(op) => binary(
            interp,
            op,
            D::float_remainder,
            |t, _, _, _| t,
            |t, a, b, y| neg(mul(t, D::float_round(div(sub(a, y), b)))),
        ),
        N::RemScalar(op) => {
            let s: Scalar = op.rhs.into();
            interp.linear(&op.lhs, &op.out, |t, lead| match lead {
                0 => D::float_remainder_scalar(t, s),
                _ => t,
            });
        }
        N::Abs(op) => interp.unary(&op.input, &op.out, D::float_abs, |x, _| D::float_sign(x)),
        N::Sign(op) => interp.zero_tangent(&op.input, &op.out, D::float_sign),
        N::PowiScalar(op) => power::powi_scalar(interp, op),
        N::Powi(op) => power::powi(interp, op),
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
        N::Full(op) => interp.create(&op.out, |device| {
            D::float_full(
                op.out.shape.clone(),
                op.value.into(),
                device,
                op.out.dtype.into(),
            )
        }),
        // Sums and means are linear.
        N::Sum(op) => reduce::reduce_all(interp, op, D::float_sum, D::float_sum_dim),
        N::Mean(op) => reduce::reduce_all(interp, op, D::float_mean, D::float_mean_dim),
        N::SumDim(op) => interp.linear(&op.input, &op.out, |t, lead| {
            D::float_sum_dim(t, op.axis + lead)
        }),
        N::MeanDim(op) => interp.linear(&op.input, &op.out, |t, lead| {
            D::float_mean_dim(t, op.axis + lead)
        }),
        N::SumDims(op) => interp.linear(&op.input, &op.out, |t, lead| {
            let axes: Vec<usize> = op.axes.iter().map(|a| a + lead).collect();
            D::float_sum_dims(t, &axes)
        }),
        N::CumSum(op) => interp.linear(&op.input, &op.out, |t, lead| {
            D::float_cumsum(t, op.axis + lead)
        }),
        N::Pad(op) => reduce::pad(interp, op),
        N::Prod(op) => product::product(interp, op),
        N::ProdDim(op) => product::product_dim(interp, op),
        N::CumProd(op) => product::cumulative_product(interp, op),
        // Extrema and sorting.
        N::Max(op) => order::extremum(interp, op, D::float_max, D::float_argmax),
        N::Min(op) => order::extremum(interp, op, D::float_min, D::float_argmin),
        N::MaxDim(op) => order::extremum_dim(interp, op, D::float_max_dim, D::float_argmax),
        N::MinDim(op) => order::extremum_dim(interp, op, D::float_min_dim, D::float_argmin),
        N::MaxDimWithIndices(op) => {
            order::extremum_with_indices(interp, op, D::float_max_dim_with_indices);
        }
        N::MinDimWithIndices(op) => {
            order::extremum_with_indices(interp, op, D::float_min_dim_with_indices);
        }
        N::MaxAbs(op) => order::largest_absolute(interp, op),
        N::MaxAbsDim(op) => order::largest_absolute_dim(interp, op),
        N::CumMax(op) => order::cumulative_extremum(interp, op, D::float_cummax),
        N::CumMin(op) => order::cumulative_extremum(interp, op, D::float_cummin),
        N::Sort(op) => order::sorted(interp, op),
        N::SortWithIndices(op) => order::sorted_with_indices(interp, op),
        N::TopK(op) => order::largest(interp, op),
        N::TopKWithIndices(op) => order::largest_with_indices(interp, op),
        // Places are integers, which have no tangent.
        N::ArgMax(op) => interp.zero_tangent(&op.input, &op.out, |x| {
            D::float_argmax(x, op.axis, op.out.dtype.into())
        }),
        N::ArgMin(op) => interp.zero_tangent(&op.input, &op.out, |x| {
            D::float_argmin(x, op.axis, op.out.dtype.into())
        }),
        N::ArgSort(op) => interp.zero_tangent(&op.input, &op.out, |x| {
            D::float_argsort(x, op.dim, op.descending, op.out.dtype.into())
        }),
        N::ArgTopK(op) => interp.zero_tangent(&op.input, &op.out, |x| {
            D::float_argtopk(x, op.axis, op.accumulator_len, op.out.dtype.into())
        }),
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
        N::IntRandom(_) => return Err(Refusal::new(refusals::RANDOM)),
    }
    Ok(())
}
