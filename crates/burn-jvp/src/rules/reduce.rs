//! Rules of linear reductions and of padding, and the indexing of tangents.

use crate::dual::{RawTensor, dims, reshape, stacked};
use crate::interpreter::Interpreter;
use burn::backend::ir::{PadModeIr, PadOpIr, ReduceOpIr};
use burn::backend::ops::{FloatTensorOps, IntTensorOps, PadMode};
use burn::backend::{Dispatch as D, Shape};

/// A linear reduction `f` of all entries; `f_dim` is the same along one axis.
pub(super) fn reduce_all(
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

/// Padding. A tangent is padded with zeros where the primal is padded with a constant.
pub(super) fn pad(interp: &mut Interpreter, op: &PadOpIr) {
    let rank = op.input.shape.to_vec().len();
    interp.linear(&op.input, &op.out, |t, lead| {
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

/// `[K, …]` as `[K, n]`.
pub(super) fn rows(t: RawTensor) -> RawTensor {
    let shape = dims(&t);
    reshape(t, &[shape[0], shape[1..].iter().product()])
}

/// Gathers every tangent along the primal's `dim` by the primal's indices.
pub(super) fn gather(t: RawTensor, dim: usize, indices: RawTensor) -> RawTensor {
    let k = dims(&t)[0];
    D::float_gather(dim + 1, t, repeat_indices(indices, k))
}

/// Indices `[…]` of the primal as `[k, …]`, for each of the tangents.
pub(super) fn repeat_indices(indices: RawTensor, k: usize) -> RawTensor {
    let shape = dims(&indices);
    let indices = D::int_reshape(indices, Shape::from(stacked(1, &shape)));
    D::int_expand(indices, Shape::from(stacked(k, &shape)))
}
