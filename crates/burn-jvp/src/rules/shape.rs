//! Operations that move elements: all linear.

use super::Context;
use super::reduce::gather;
use crate::value::{T, Value, dims, expand, reshape, stacked, tangent_or_zeros};
use burn::backend::ir::BaseOperationIr;
use burn::backend::ops::{BoolTensorOps, FloatTensorOps};
use burn::backend::{Dispatch as D, Shape, Slice};

/// Slices of a tangent: its first axis whole.
fn whole_first(ranges: &[Slice], offset: usize) -> Vec<Slice> {
    let mut out = vec![Slice::new(0, None, 1); offset];
    out.extend_from_slice(ranges);
    out
}

/// A mask over `[K, *shape]`.
fn mask_over(mask: T, shape: &[usize]) -> T {
    let one = stacked(1, &dims(&mask));
    let mask = D::bool_reshape(mask, Shape::from(one));
    D::bool_expand(mask, Shape::from(shape.to_vec()))
}

/// Shape, indexing and selection.
pub(super) fn apply(op: &BaseOperationIr, cx: &mut Context) -> Option<()> {
    use BaseOperationIr as B;
    match op {
        B::Reshape(op) => {
            let (plain, with_k) = (op.out.shape.to_vec(), cx.stacked(&op.out));
            cx.linear(&op.input, &op.out, |t, o| {
                D::float_reshape(t, Shape::from([&plain, &with_k][o].clone()))
            });
        }
        B::Expand(op) => {
            let (plain, with_k) = (op.out.shape.to_vec(), cx.stacked(&op.out));
            cx.linear(&op.input, &op.out, |t, o| {
                if o == 0 {
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
        B::SwapDims(op) => cx.linear(&op.input, &op.out, |t, o| {
            D::float_swap_dims(t, op.dim1 + o, op.dim2 + o)
        }),
        B::Permute(op) => cx.linear(&op.input, &op.out, |t, o| {
            let mut axes: Vec<usize> = (0..o).collect();
            axes.extend(op.axes.iter().map(|a| a + o));
            D::float_permute(t, &axes)
        }),
        B::Flip(op) => cx.linear(&op.input, &op.out, |t, o| {
            let axes: Vec<usize> = op.axes.iter().map(|a| a + o).collect();
            D::float_flip(t, &axes)
        }),
        B::Unfold(op) => cx.linear(&op.input, &op.out, |t, o| {
            D::float_unfold(t, op.dim + o, op.size, op.step)
        }),
        B::RepeatDim(op) => cx.linear(&op.tensor, &op.out, |t, o| {
            D::float_repeat_dim(t, op.dim + o, op.times)
        }),
        B::Slice(op) => cx.linear(&op.tensor, &op.out, |t, o| {
            D::float_slice(t, &whole_first(&op.ranges, o))
        }),
        B::SliceAssign(op) => {
            let (x, v) = (cx.take(&op.tensor), cx.take(&op.value));
            let tangent = (x.tangent.is_some() || v.tangent.is_some()).then(|| {
                D::float_slice_assign(
                    tangent_or_zeros(&x, cx.k),
                    &whole_first(&op.ranges, 1),
                    tangent_or_zeros(&v, cx.k),
                )
            });
            let primal = D::float_slice_assign(x.primal, &op.ranges, v.primal);
            cx.put(&op.out, Value { primal, tangent });
        }
        B::Select(op) => {
            let indices = cx.primal(&op.indices);
            cx.linear(&op.tensor, &op.out, |t, o| {
                D::float_select(t, op.dim + o, indices.clone())
            });
        }
        B::Gather(op) => {
            let x = cx.take(&op.tensor);
            let indices = cx.primal(&op.indices);
            let tangent = x.tangent.map(|t| gather(t, op.dim, indices.clone()));
            let primal = D::float_gather(op.dim, x.primal, indices);
            cx.put(&op.out, Value { primal, tangent });
        }
        B::MaskWhere(op) => {
            let shape = cx.stacked(&op.out);
            let x = cx.take(&op.tensor);
            let mask = cx.primal(&op.mask);
            let v = cx.take(&op.value);
            let tangent = (x.tangent.is_some() || v.tangent.is_some()).then(|| {
                D::float_mask_where(
                    expand(tangent_or_zeros(&x, cx.k), &shape),
                    mask_over(mask.clone(), &shape),
                    expand(tangent_or_zeros(&v, cx.k), &shape),
                )
            });
            let primal = D::float_mask_where(x.primal, mask, v.primal);
            cx.put(&op.out, Value { primal, tangent });
        }
        B::MaskFill(op) => {
            let shape = cx.stacked(&op.out);
            let x = cx.take(&op.tensor);
            let mask = cx.primal(&op.mask);
            let tangent = x.tangent.map(|t| {
                D::float_mask_fill(
                    expand(t, &shape),
                    mask_over(mask.clone(), &shape),
                    0f64.into(),
                )
            });
            let primal = D::float_mask_fill(x.primal, mask, op.value.into());
            cx.put(&op.out, Value { primal, tangent });
        }
        B::Cat(op) => {
            let parts: Vec<Value> = op.tensors.iter().map(|t| cx.take(t)).collect();
            let tangent = parts.iter().any(|p| p.tangent.is_some()).then(|| {
                let tangents = parts.iter().map(|p| tangent_or_zeros(p, cx.k)).collect();
                D::float_cat(tangents, op.dim + 1)
            });
            let primal = D::float_cat(parts.into_iter().map(|p| p.primal).collect(), op.dim);
            cx.put(&op.out, Value { primal, tangent });
        }
        // Constants.
        B::Zeros(op) | B::Empty(op) => {
            let t = D::float_zeros(op.out.shape.clone(), &cx.device, op.out.dtype.into());
            cx.put_constant(&op.out, t);
        }
        B::Ones(op) => {
            let t = D::float_ones(op.out.shape.clone(), &cx.device, op.out.dtype.into());
            cx.put_constant(&op.out, t);
        }
        // Comparisons.
        B::Equal(op) => {
            let (a, b) = (cx.primal(&op.lhs), cx.primal(&op.rhs));
            cx.put_constant(&op.out, D::float_equal(a, b, op.out.dtype.into()));
        }
        B::NotEqual(op) => {
            let (a, b) = (cx.primal(&op.lhs), cx.primal(&op.rhs));
            cx.put_constant(&op.out, D::float_not_equal(a, b, op.out.dtype.into()));
        }
        B::EqualElem(op) => cx.flat(&op.lhs, &op.out, |x| {
            D::float_equal_elem(x, op.rhs.into(), op.out.dtype.into())
        }),
        B::NotEqualElem(op) => cx.flat(&op.lhs, &op.out, |x| {
            D::float_not_equal_elem(x, op.rhs.into(), op.out.dtype.into())
        }),
        _ => return None,
    }
    Some(())
}
