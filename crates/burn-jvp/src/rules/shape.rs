//! Rules of operations that move entries. They are linear: `y' = f(x')`, on axes shifted by one.

use super::reduce::gather;
use crate::dual::{Dual, RawTensor, dims, expand, reshape, stacked};
use crate::interpreter::Interpreter;
use crate::rule::Refusal;
use burn::backend::ir::BaseOperationIr;
use burn::backend::ops::{BoolTensorOps, FloatTensorOps};
use burn::backend::{Dispatch as D, Shape, Slice};

/// The slices `ranges` after `offset` axes that stay whole.
fn whole_first(ranges: &[Slice], offset: usize) -> Vec<Slice> {
    let mut out = vec![Slice::new(0, None, 1); offset];
    out.extend_from_slice(ranges);
    out
}

/// A mask repeated for each of the tangents `shape`, `[K, …]`.
fn mask_over(mask: RawTensor, shape: &[usize]) -> RawTensor {
    let with_k = stacked(1, &dims(&mask));
    let mask = D::bool_reshape(mask, Shape::from(with_k));
    D::bool_expand(mask, Shape::from(shape.to_vec()))
}

/// Shape, indexing and selection of floats.
pub(super) fn base_float(op: &BaseOperationIr, interp: &mut Interpreter) -> Result<(), Refusal> {
    use BaseOperationIr as B;
    match op {
        B::Reshape(op) => {
            let (plain, with_k) = (op.out.shape.to_vec(), interp.stacked(&op.out));
            interp.linear(&op.input, &op.out, |t, lead| {
                D::float_reshape(t, Shape::from([&plain, &with_k][lead].clone()))
            });
        }
        B::Expand(op) => {
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
                expand(reshape(t, &padded), &with_k)
            });
        }
        B::SwapDims(op) => interp.linear(&op.input, &op.out, |t, lead| {
            D::float_swap_dims(t, op.dim1 + lead, op.dim2 + lead)
        }),
        B::Permute(op) => interp.linear(&op.input, &op.out, |t, lead| {
            let mut axes: Vec<usize> = (0..lead).collect();
            axes.extend(op.axes.iter().map(|a| a + lead));
            D::float_permute(t, &axes)
        }),
        B::Flip(op) => interp.linear(&op.input, &op.out, |t, lead| {
            let axes: Vec<usize> = op.axes.iter().map(|a| a + lead).collect();
            D::float_flip(t, &axes)
        }),
        B::Unfold(op) => interp.linear(&op.input, &op.out, |t, lead| {
            D::float_unfold(t, op.dim + lead, op.size, op.step)
        }),
        B::RepeatDim(op) => interp.linear(&op.tensor, &op.out, |t, lead| {
            D::float_repeat_dim(t, op.dim + lead, op.times)
        }),
        B::Slice(op) => interp.linear(&op.tensor, &op.out, |t, lead| {
            D::float_slice(t, &whole_first(&op.ranges, lead))
        }),
        B::SliceAssign(op) => {
            let (x, v) = (interp.take(&op.tensor), interp.take(&op.value));
            let tangent = (x.tangent.is_some() || v.tangent.is_some()).then(|| {
                D::float_slice_assign(
                    x.tangent_or_zeros(interp.k),
                    &whole_first(&op.ranges, 1),
                    v.tangent_or_zeros(interp.k),
                )
            });
            let primal = D::float_slice_assign(x.primal, &op.ranges, v.primal);
            interp.put(&op.out, Dual { primal, tangent });
        }
        B::Select(op) => {
            let indices = interp.take_primal(&op.indices);
            interp.linear(&op.tensor, &op.out, |t, lead| {
                D::float_select(t, op.dim + lead, indices.clone())
            });
        }
        B::Gather(op) => {
            let x = interp.take(&op.tensor);
            let indices = interp.take_primal(&op.indices);
            let tangent = x.tangent.map(|t| gather(t, op.dim, indices.clone()));
            let primal = D::float_gather(op.dim, x.primal, indices);
            interp.put(&op.out, Dual { primal, tangent });
        }
        B::MaskWhere(op) => {
            let shape = interp.stacked(&op.out);
            let x = interp.take(&op.tensor);
            let mask = interp.take_primal(&op.mask);
            let v = interp.take(&op.value);
            let tangent = (x.tangent.is_some() || v.tangent.is_some()).then(|| {
                D::float_mask_where(
                    expand(x.tangent_or_zeros(interp.k), &shape),
                    mask_over(mask.clone(), &shape),
                    expand(v.tangent_or_zeros(interp.k), &shape),
                )
            });
            let primal = D::float_mask_where(x.primal, mask, v.primal);
            interp.put(&op.out, Dual { primal, tangent });
        }
        B::MaskFill(op) => {
            let shape = interp.stacked(&op.out);
            let x = interp.take(&op.tensor);
            let mask = interp.take_primal(&op.mask);
            let tangent = x.tangent.map(|t| {
                D::float_mask_fill(
                    expand(t, &shape),
                    mask_over(mask.clone(), &shape),
                    0f64.into(),
                )
            });
            let primal = D::float_mask_fill(x.primal, mask, op.value.into());
            interp.put(&op.out, Dual { primal, tangent });
        }
        B::Cat(op) => {
            let values: Vec<Dual> = op.tensors.iter().map(|t| interp.take(t)).collect();
            let tangent = values.iter().any(|p| p.tangent.is_some()).then(|| {
                let tangents = values
                    .iter()
                    .map(|p| p.tangent_or_zeros(interp.k))
                    .collect();
                D::float_cat(tangents, op.dim + 1)
            });
            let primal = D::float_cat(values.into_iter().map(|p| p.primal).collect(), op.dim);
            interp.put(&op.out, Dual { primal, tangent });
        }
        // Constants.
        B::Zeros(op) | B::Empty(op) => {
            let t = D::float_zeros(op.out.shape.clone(), &interp.device, op.out.dtype.into());
            interp.put_constant(&op.out, t);
        }
        B::Ones(op) => {
            let t = D::float_ones(op.out.shape.clone(), &interp.device, op.out.dtype.into());
            interp.put_constant(&op.out, t);
        }
        // Comparisons.
        B::Equal(op) => {
            let (a, b) = (interp.take_primal(&op.lhs), interp.take_primal(&op.rhs));
            interp.put_constant(&op.out, D::float_equal(a, b, op.out.dtype.into()));
        }
        B::NotEqual(op) => {
            let (a, b) = (interp.take_primal(&op.lhs), interp.take_primal(&op.rhs));
            interp.put_constant(&op.out, D::float_not_equal(a, b, op.out.dtype.into()));
        }
        B::EqualElem(op) => interp.zero_tangent(&op.lhs, &op.out, |x| {
            D::float_equal_elem(x, op.rhs.into(), op.out.dtype.into())
        }),
        B::NotEqualElem(op) => interp.zero_tangent(&op.lhs, &op.out, |x| {
            D::float_not_equal_elem(x, op.rhs.into(), op.out.dtype.into())
        }),
        _ => return Err(Refusal::unknown()),
    }
    Ok(())
}
