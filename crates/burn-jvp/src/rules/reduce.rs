//! Sums, means, extrema, cumulative sums and padding.

use super::Context;
use crate::value::{T, Value, dims, reshape, stacked};
use burn::backend::ir::{NumericOperationIr, PadModeIr, ReduceDimOpIr, ReduceOpIr};
use burn::backend::ops::{FloatTensorOps, IntTensorOps, PadMode};
use burn::backend::{Dispatch as D, IntDType, Shape};

/// Reductions. Sums and means are linear; an extremum follows its winner.
pub(super) fn apply(op: &NumericOperationIr, cx: &mut Context) -> Option<()> {
    use NumericOperationIr as N;
    match op {
        N::Sum(op) => all(cx, op, D::float_sum, D::float_sum_dim),
        N::Mean(op) => all(cx, op, D::float_mean, D::float_mean_dim),
        N::SumDim(op) => cx.linear(&op.input, &op.out, |t, o| D::float_sum_dim(t, op.axis + o)),
        N::MeanDim(op) => cx.linear(&op.input, &op.out, |t, o| D::float_mean_dim(t, op.axis + o)),
        N::SumDims(op) => cx.linear(&op.input, &op.out, |t, o| {
            let axes: Vec<usize> = op.axes.iter().map(|a| a + o).collect();
            D::float_sum_dims(t, &axes)
        }),
        N::CumSum(op) => cx.linear(&op.input, &op.out, |t, o| D::float_cumsum(t, op.axis + o)),
        N::Max(op) => extremum(cx, op, D::float_max, D::float_argmax),
        N::Min(op) => extremum(cx, op, D::float_min, D::float_argmin),
        N::MaxDim(op) => extremum_dim(cx, op, D::float_max_dim, D::float_argmax),
        N::MinDim(op) => extremum_dim(cx, op, D::float_min_dim, D::float_argmin),
        N::ArgMax(op) => cx.flat(&op.input, &op.out, |x| {
            D::float_argmax(x, op.axis, op.out.dtype.into())
        }),
        N::ArgMin(op) => cx.flat(&op.input, &op.out, |x| {
            D::float_argmin(x, op.axis, op.out.dtype.into())
        }),
        N::MaxDimWithIndices(op) => {
            let x = cx.take(&op.tensor);
            let (y, i) =
                D::float_max_dim_with_indices(x.primal, op.dim, op.out_indices.dtype.into());
            let tangent = x.tangent.map(|t| gather(t, op.dim, i.clone()));
            cx.put(&op.out, Value { primal: y, tangent });
            cx.put_constant(&op.out_indices, i);
        }
        N::MinDimWithIndices(op) => {
            let x = cx.take(&op.tensor);
            let (y, i) =
                D::float_min_dim_with_indices(x.primal, op.dim, op.out_indices.dtype.into());
            let tangent = x.tangent.map(|t| gather(t, op.dim, i.clone()));
            cx.put(&op.out, Value { primal: y, tangent });
            cx.put_constant(&op.out_indices, i);
        }
        N::Pad(op) => {
            let rank = op.input.shape.to_vec().len();
            cx.linear(&op.input, &op.out, |t, o| {
                // A tangent is padded with zeros where the primal is padded with a constant.
                let mode = match (op.mode, o) {
                    (PadModeIr::Constant(_), 1) => PadMode::Constant(0.0),
                    (mode, _) => mode.into(),
                };
                let mut padding = op.padding.clone();
                if padding.len() == rank && o == 1 {
                    padding.insert(0, (0, 0));
                }
                D::float_pad(t, &padding, mode)
            });
        }
        _ => return None,
    }
    Some(())
}

/// A linear reduction of everything.
fn all(cx: &mut Context, op: &ReduceOpIr, f: fn(T) -> T, f_dim: fn(T, usize) -> T) {
    let shape = cx.stacked(&op.out);
    cx.linear(&op.input, &op.out, |t, o| match o {
        0 => f(t),
        _ => reshape(f_dim(rows(t), 1), &shape),
    });
}

/// `[K, …]` as `[K, n]`.
fn rows(t: T) -> T {
    let shape = dims(&t);
    reshape(t, &[shape[0], shape[1..].iter().product()])
}

fn extremum(cx: &mut Context, op: &ReduceOpIr, f: fn(T) -> T, arg: fn(T, usize, IntDType) -> T) {
    let shape = cx.stacked(&op.out);
    let x = cx.take(&op.input);
    let n = dims(&x.primal).iter().product();
    let tangent = x.tangent.map(|t| {
        let winner = arg(reshape(x.primal.clone(), &[n]), 0, IntDType::I64);
        reshape(D::float_select(rows(t), 1, winner), &shape)
    });
    let primal = f(x.primal);
    cx.put(&op.out, Value { primal, tangent });
}

fn extremum_dim(
    cx: &mut Context,
    op: &ReduceDimOpIr,
    f: fn(T, usize) -> T,
    arg: fn(T, usize, IntDType) -> T,
) {
    let x = cx.take(&op.input);
    let tangent = x.tangent.map(|t| {
        let winner = arg(x.primal.clone(), op.axis, IntDType::I64);
        gather(t, op.axis, winner)
    });
    let primal = f(x.primal, op.axis);
    cx.put(&op.out, Value { primal, tangent });
}

/// Gathers every tangent along the primal's `dim` by the primal's indices.
pub(super) fn gather(t: T, dim: usize, indices: T) -> T {
    let k = dims(&t)[0];
    let shape = dims(&indices);
    let indices = D::int_reshape(indices, Shape::from(stacked(1, &shape)));
    let indices = D::int_expand(indices, Shape::from(stacked(k, &shape)));
    D::float_gather(dim + 1, t, indices)
}
