//! Rules of operations that move entries, on tangents `[K, …]`.

use super::reduce;
use crate::dual::{self, Dual, RawTensor, dims, stacked};
use crate::interpreter::Interpreter;
use burn::backend::ir::{
    CatOpIr, GatherNdOpIr, GatherOpIr, MaskFillOpIr, MaskWhereOpIr, ShapeOpIr, SliceAssignOpIr,
};
use burn::backend::ops::{BoolTensorOps, FloatTensorOps};
use burn::backend::{Dispatch as D, Shape, Slice};

/// The slices `ranges` after `offset` axes that stay whole.
pub(super) fn whole_first(ranges: &[Slice], offset: usize) -> Vec<Slice> {
    let mut out = vec![Slice::new(0, None, 1); offset];
    out.extend_from_slice(ranges);
    out
}

/// Another shape of as many entries.
pub(super) fn reshape(interp: &mut Interpreter, op: &ShapeOpIr) {
    let (plain, with_k) = (op.out.shape.to_vec(), interp.stacked(&op.out));
    interp.linear(&op.input, &op.out, |t, lead| {
        D::float_reshape(t, Shape::from([&plain, &with_k][lead].clone()))
    });
}

/// Repetition of axes of one entry, and new axes in front.
pub(super) fn expand(interp: &mut Interpreter, op: &ShapeOpIr) {
    let (plain, with_k) = (op.out.shape.to_vec(), interp.stacked(&op.out));
    interp.linear(&op.input, &op.out, |t, lead| {
        if lead == 0 {
            return D::float_expand(t, Shape::from(plain.clone()));
        }
        // New axes come after K.
        let shape = dims(&t);
        let mut padded = vec![shape[0]];
        padded.resize(1 + with_k.len() - shape.len(), 1);
        padded.extend_from_slice(&shape[1..]);
        dual::expand(dual::reshape(t, &padded), &with_k)
    });
}

/// A part replaced by values.
pub(super) fn slice_assign(interp: &mut Interpreter, op: &SliceAssignOpIr) {
    let (x, v) = (interp.take(&op.tensor), interp.take(&op.value));
    let tangent = (x.tangent.is_some() || v.tangent.is_some()).then(|| {
        D::float_slice_assign(
            x.tangent_or_zeros(interp.k),
            &whole_first(&op.ranges, 1),
            v.tangent_or_zeros(interp.k),
        )
    });
    let primal = interp.primal(&op.out, || {
        D::float_slice_assign(x.primal, &op.ranges, v.primal)
    });
    interp.put(&op.out, Dual { primal, tangent });
}

/// Tensors joined along an axis.
pub(super) fn cat(interp: &mut Interpreter, op: &CatOpIr) {
    let values: Vec<Dual> = op.tensors.iter().map(|t| interp.take(t)).collect();
    let tangent = values.iter().any(|p| p.tangent.is_some()).then(|| {
        let tangents = values.iter().map(|p| p.tangent_or_zeros(interp.k));
        D::float_cat(tangents.collect(), op.dim + 1)
    });
    let primal = interp.primal(&op.out, || {
        D::float_cat(values.into_iter().map(|p| p.primal).collect(), op.dim)
    });
    interp.put(&op.out, Dual { primal, tangent });
}

/// The entries at places along one axis.
pub(super) fn gather(interp: &mut Interpreter, op: &GatherOpIr) {
    let x = interp.take(&op.tensor);
    let indices = interp.take_primal(&op.indices);
    let tangent = x
        .tangent
        .map(|t| reduce::gather(t, op.dim, indices.clone()));
    let primal = interp.primal(&op.out, || D::float_gather(op.dim, x.primal, indices));
    interp.put(&op.out, Dual { primal, tangent });
}

/// The entries at places along the leading axes.
pub(super) fn gather_nd(interp: &mut Interpreter, op: &GatherNdOpIr) {
    let x = interp.take(&op.data);
    let indices = interp.take_primal(&op.indices);
    let tangent = x
        .tangent
        .map(|t| tangents_first(D::float_gather_nd(tangents_last(t), indices.clone())));
    let primal = interp.primal(&op.out, || D::float_gather_nd(x.primal, indices));
    interp.put(&op.out, Dual { primal, tangent });
}

/// `[K, …]` as `[…, K]`, for operations that index leading axes.
pub(super) fn tangents_last(t: RawTensor) -> RawTensor {
    let rank = dims(&t).len();
    let axes: Vec<usize> = (1..rank).chain([0]).collect();
    D::float_permute(t, &axes)
}

/// `[…, K]` as `[K, …]`.
pub(super) fn tangents_first(t: RawTensor) -> RawTensor {
    let last = dims(&t).len() - 1;
    let axes: Vec<usize> = [last].into_iter().chain(0..last).collect();
    D::float_permute(t, &axes)
}

/// Values in the places of a mask.
pub(super) fn mask_where(interp: &mut Interpreter, op: &MaskWhereOpIr) {
    let shape = interp.stacked(&op.out);
    let x = interp.take(&op.tensor);
    let mask = interp.take_primal(&op.mask);
    let v = interp.take(&op.value);
    let tangent = (x.tangent.is_some() || v.tangent.is_some()).then(|| {
        D::float_mask_where(
            dual::expand(x.tangent_or_zeros(interp.k), &shape),
            mask_over(mask.clone(), &shape),
            dual::expand(v.tangent_or_zeros(interp.k), &shape),
        )
    });
    let primal = interp.primal(&op.out, || D::float_mask_where(x.primal, mask, v.primal));
    interp.put(&op.out, Dual { primal, tangent });
}

/// A constant in the places of a mask.
pub(super) fn mask_fill(interp: &mut Interpreter, op: &MaskFillOpIr) {
    let shape = interp.stacked(&op.out);
    let x = interp.take(&op.tensor);
    let mask = interp.take_primal(&op.mask);
    let tangent = x.tangent.map(|t| {
        D::float_mask_fill(
            dual::expand(t, &shape),
            mask_over(mask.clone(), &shape),
            0f64.into(),
        )
    });
    let primal = interp.primal(&op.out, || {
        D::float_mask_fill(x.primal, mask, op.value.into())
    });
    interp.put(&op.out, Dual { primal, tangent });
}

/// A mask repeated for each of the tangents `shape`, `[K, …]`.
fn mask_over(mask: RawTensor, shape: &[usize]) -> RawTensor {
    let with_k = stacked(1, &dims(&mask));
    let mask = D::bool_reshape(mask, Shape::from(with_k));
    D::bool_expand(mask, Shape::from(shape.to_vec()))
}
