//! Rules of extrema and of sorting. The tangent of a result is the tangent of the entry that it was taken from:
//! `y = x[i]`, `y' = x'[i]`, with i the place of that entry.

use super::indicator::bool_dtype;
use super::reduce::{gather, rows};
use crate::dual::{Dual, RawTensor, dims, lift, mul, num_elements, reshape};
use crate::interpreter::Interpreter;
use burn::backend::ir::{
    DimOpIr, ReduceDimOpIr, ReduceDimWithIndicesOpIr, ReduceOpIr, SortOpIr, SortWithIndicesOpIr,
    TensorIr, TopKWithIndicesOpIr,
};
use burn::backend::ops::{BoolTensorOps, FloatTensorOps, IntTensorOps};
use burn::backend::{Dispatch as D, IntDType, Shape, TensorMetadata};

/// The extremum of all entries.
pub(super) fn extremum(
    interp: &mut Interpreter,
    op: &ReduceOpIr,
    f: fn(RawTensor) -> RawTensor,
    arg: fn(RawTensor, usize, IntDType) -> RawTensor,
) {
    let shape = interp.stacked(&op.out);
    let x = interp.take(&op.input);
    let tangent = x.tangent.map(|t| {
        let line = reshape(x.primal.clone(), &[num_elements(&x.primal)]);
        let winner = arg(line, 0, IntDType::I64);
        reshape(D::float_select(rows(t), 1, winner), &shape)
    });
    let primal = interp.primal(&op.out, || f(x.primal));
    interp.put(&op.out, Dual { primal, tangent });
}

/// The extremum along one axis.
pub(super) fn extremum_dim(
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
    let primal = interp.primal(&op.out, || f(x.primal, op.axis));
    interp.put(&op.out, Dual { primal, tangent });
}

/// The extremum along one axis with its places.
pub(super) fn extremum_with_indices(
    interp: &mut Interpreter,
    op: &ReduceDimWithIndicesOpIr,
    f: fn(RawTensor, usize, IntDType) -> (RawTensor, RawTensor),
) {
    with_indices(
        interp,
        (&op.tensor, &op.out, &op.out_indices),
        op.dim,
        |x| f(x, op.dim, op.out_indices.dtype.into()),
    );
}

/// The largest entries along one axis with their places.
pub(super) fn largest_with_indices(interp: &mut Interpreter, op: &TopKWithIndicesOpIr) {
    with_indices(
        interp,
        (&op.tensor, &op.out, &op.out_indices),
        op.dim,
        |x| D::float_topk_with_indices(x, op.dim, op.k, op.out_indices.dtype.into()),
    );
}

/// The entries in order along one axis with their places.
pub(super) fn sorted_with_indices(interp: &mut Interpreter, op: &SortWithIndicesOpIr) {
    with_indices(interp, (&op.input, &op.out, &op.out_indices), op.dim, |x| {
        D::float_sort_with_indices(x, op.dim, op.descending, op.out_indices.dtype.into())
    });
}

/// Entries taken along one axis, `(y, i) = f(x)`, with their places i.
fn with_indices(
    interp: &mut Interpreter,
    (input, out, out_indices): (&TensorIr, &TensorIr, &TensorIr),
    dim: usize,
    f: impl FnOnce(RawTensor) -> (RawTensor, RawTensor),
) {
    let x = interp.take(input);
    let mut places = None;
    // Both outputs are kept for later evaluations, or neither.
    let y = interp.primal(out, || {
        let (y, i) = f(x.primal);
        places = Some(i);
        y
    });
    let i = interp.primal(out_indices, || places.expect("computed with the entries"));
    let tangent = x.tangent.map(|t| gather(t, dim, i.clone()));
    interp.put(out, Dual { primal: y, tangent });
    interp.put_constant(out_indices, i);
}

/// The entries in order along one axis.
pub(super) fn sorted(interp: &mut Interpreter, op: &SortOpIr) {
    taken(
        interp,
        (&op.input, &op.out),
        op.dim,
        |x| D::float_sort(x, op.dim, op.descending),
        |x| D::float_argsort(x, op.dim, op.descending, IntDType::I64),
    );
}

/// The largest entries along one axis.
pub(super) fn largest(interp: &mut Interpreter, op: &ReduceDimOpIr) {
    let count = op.accumulator_len;
    taken(
        interp,
        (&op.input, &op.out),
        op.axis,
        |x| D::float_topk(x, op.axis, count),
        |x| D::float_argtopk(x, op.axis, count, IntDType::I64),
    );
}

/// Entries `f(x)` taken along one axis from the places `arg(x)`.
fn taken(
    interp: &mut Interpreter,
    (input, out): (&TensorIr, &TensorIr),
    dim: usize,
    f: impl FnOnce(RawTensor) -> RawTensor,
    arg: impl FnOnce(RawTensor) -> RawTensor,
) {
    let x = interp.take(input);
    let tangent = x.tangent.map(|t| gather(t, dim, arg(x.primal.clone())));
    let primal = interp.primal(out, || f(x.primal));
    interp.put(out, Dual { primal, tangent });
}

/// The largest absolute value of all entries: `y' = sign(x[i])·x'[i]`.
pub(super) fn largest_absolute(interp: &mut Interpreter, op: &ReduceOpIr) {
    let shape = interp.stacked(&op.out);
    let x = interp.take(&op.input);
    let tangent = x.tangent.map(|t| {
        let line = reshape(x.primal.clone(), &[num_elements(&x.primal)]);
        let winner = D::float_argmax(D::float_abs(line.clone()), 0, IntDType::I64);
        let sign = D::float_select(D::float_sign(line), 0, winner.clone());
        let t = D::float_select(rows(t), 1, winner);
        reshape(mul(t, lift(&sign)), &shape)
    });
    let primal = interp.primal(&op.out, || D::float_max_abs(x.primal));
    interp.put(&op.out, Dual { primal, tangent });
}

/// The largest absolute value along one axis: `y' = sign(x[i])·x'[i]`.
pub(super) fn largest_absolute_dim(interp: &mut Interpreter, op: &ReduceDimOpIr) {
    let x = interp.take(&op.input);
    let tangent = x.tangent.map(|t| {
        let absolute = D::float_abs(x.primal.clone());
        let winner = D::float_argmax(absolute, op.axis, IntDType::I64);
        let sign = D::float_gather(op.axis, D::float_sign(x.primal.clone()), winner.clone());
        mul(gather(t, op.axis, winner), lift(&sign))
    });
    let primal = interp.primal(&op.out, || D::float_max_abs_dim(x.primal, op.axis));
    interp.put(&op.out, Dual { primal, tangent });
}

/// The extremum of all entries up to each along one axis. Its place is that of the last record,
/// `i_k = max {l ≤ k : x_l = y_l}`.
pub(super) fn cumulative_extremum(
    interp: &mut Interpreter,
    op: &DimOpIr,
    f: fn(RawTensor, usize) -> RawTensor,
) {
    let x = interp.take(&op.input);
    let primal = interp.primal(&op.out, || f(x.primal.clone(), op.axis));
    let tangent = x.tangent.map(|t| {
        let bool_dtype = bool_dtype(&primal);
        let record = D::float_equal(x.primal, primal.clone(), bool_dtype);
        let record = D::bool_into_int(record, IntDType::I64);
        let places = D::int_mul(record, places(&primal, op.axis));
        gather(t, op.axis, D::int_cummax(places, op.axis))
    });
    interp.put(&op.out, Dual { primal, tangent });
}

/// The place of each entry along an axis, in the shape of `x`.
fn places(x: &RawTensor, dim: usize) -> RawTensor {
    let shape = dims(x);
    let mut line = vec![1; shape.len()];
    line[dim] = shape[dim];
    let places = D::int_arange(0..shape[dim] as i64, &x.device(), IntDType::I64);
    D::int_expand(
        D::int_reshape(places, Shape::from(line)),
        Shape::from(shape),
    )
}
