//! Rules of reductions and padding.
//!
//! Sums and means are linear. The tangent of an extremum is the tangent of its winner: `y = x[i]`, `y' = x'[i]`, with i
//! the place of the extremum.

use crate::dual::{Dual, RawTensor, dims, reshape, stacked};
use crate::interpreter::Interpreter;
use crate::rule::Refusal;
use burn::backend::ir::{NumericOperationIr, PadModeIr, ReduceDimOpIr, ReduceOpIr};
use burn::backend::ops::{FloatTensorOps, IntTensorOps, PadMode};
use burn::backend::{Dispatch as D, IntDType, Shape};

/// Sums, means, extrema, cumulative sums and padding of floats.
pub(super) fn numeric(op: &NumericOperationIr, interp: &mut Interpreter) -> Result<(), Refusal> {
    use NumericOperationIr as N;
    match op {
        N::Sum(op) => reduce_all(interp, op, D::float_sum, D::float_sum_dim),
        N::Mean(op) => reduce_all(interp, op, D::float_mean, D::float_mean_dim),
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
        N::Max(op) => extremum(interp, op, D::float_max, D::float_argmax),
        N::Min(op) => extremum(interp, op, D::float_min, D::float_argmin),
        N::MaxDim(op) => extremum_dim(interp, op, D::float_max_dim, D::float_argmax),
        N::MinDim(op) => extremum_dim(interp, op, D::float_min_dim, D::float_argmin),
        N::ArgMax(op) => interp.zero_tangent(&op.input, &op.out, |x| {
            D::float_argmax(x, op.axis, op.out.dtype.into())
        }),
        N::ArgMin(op) => interp.zero_tangent(&op.input, &op.out, |x| {
            D::float_argmin(x, op.axis, op.out.dtype.into())
        }),
        N::MaxDimWithIndices(op) => {
            let x = interp.take(&op.tensor);
            let (y, i) =
                D::float_max_dim_with_indices(x.primal, op.dim, op.out_indices.dtype.into());
            let tangent = x.tangent.map(|t| gather(t, op.dim, i.clone()));
            interp.put(&op.out, Dual { primal: y, tangent });
            interp.put_constant(&op.out_indices, i);
        }
        N::MinDimWithIndices(op) => {
            let x = interp.take(&op.tensor);
            let (y, i) =
                D::float_min_dim_with_indices(x.primal, op.dim, op.out_indices.dtype.into());
            let tangent = x.tangent.map(|t| gather(t, op.dim, i.clone()));
            interp.put(&op.out, Dual { primal: y, tangent });
            interp.put_constant(&op.out_indices, i);
        }
        N::Pad(op) => {
            let rank = op.input.shape.to_vec().len();
            interp.linear(&op.input, &op.out, |t, lead| {
                // A tangent is padded with zeros where the primal is padded with a constant.
                let mode = match (op.mode, lead) {
                    (PadModeIr::Constant(_), 1) => PadMode::Constant(0.0),
                    (mode, _) => mode.into(),
                };
                let mut padding = op.padding.clone();
                if padding.len() == rank && lead == 1 {
                    padding.insert(0, (0, 0));
                }
                D::float_pad(t, &padding, mode)
            });
        }
        _ => return Err(Refusal::unknown()),
    }
    Ok(())
}

/// A linear reduction `f` of all entries; `f_dim` is the same along one axis.
fn reduce_all(
    interp: &mut Interpreter,
    op: &ReduceOpIr,
    f: fn(RawTensor) -> RawTensor,
    f_dim: fn(RawTensor, usize) -> RawTensor,
) {
    let shape = interp.stacked(&op.out);
    interp.linear(&op.input, &op.out, |t, lead| match lead {
        0 => f(t),
        _ => reshape(f_dim(rows(t), 1), &shape),
    });
}

/// `[K, …]` as `[K, n]`.
fn rows(t: RawTensor) -> RawTensor {
    let shape = dims(&t);
    reshape(t, &[shape[0], shape[1..].iter().product()])
}

/// The extremum of all entries.
fn extremum(
    interp: &mut Interpreter,
    op: &ReduceOpIr,
    f: fn(RawTensor) -> RawTensor,
    arg: fn(RawTensor, usize, IntDType) -> RawTensor,
) {
    let shape = interp.stacked(&op.out);
    let x = interp.take(&op.input);
    let n = dims(&x.primal).iter().product();
    let tangent = x.tangent.map(|t| {
        let winner = arg(reshape(x.primal.clone(), &[n]), 0, IntDType::I64);
        reshape(D::float_select(rows(t), 1, winner), &shape)
    });
    let primal = f(x.primal);
    interp.put(&op.out, Dual { primal, tangent });
}

/// The extremum along one axis.
fn extremum_dim(
    interp: &mut Interpreter,
    op: &ReduceDimOpIr,
    f: fn(RawTensor, usize) -> RawTensor,
    arg: fn(RawTensor, usize, IntDType) -> RawTensor,
) {
    let x = interp.take(&op.input);
    let tangent = x.tangent.map(|t| {
        let winner = arg(x.primal.clone(), op.axis, IntDType::I64);
        gather(t, op.axis, winner)
    });
    let primal = f(x.primal, op.axis);
    interp.put(&op.out, Dual { primal, tangent });
}

/// Gathers every tangent along the primal's `dim` by the primal's indices.
pub(super) fn gather(t: RawTensor, dim: usize, indices: RawTensor) -> RawTensor {
    let k = dims(&t)[0];
    let shape = dims(&indices);
    let indices = D::int_reshape(indices, Shape::from(stacked(1, &shape)));
    let indices = D::int_expand(indices, Shape::from(stacked(k, &shape)));
    D::float_gather(dim + 1, t, indices)
}
