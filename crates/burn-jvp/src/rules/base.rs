//! The operations that all types share, on floats. Those that move entries are linear: `y' = f(x')`, on axes shifted by
//! one.

use super::elementwise::compare;
use super::{indexed_update, shape};
use crate::interpreter::Interpreter;
use burn::backend::Dispatch as D;
use burn::backend::ir::BaseOperationIr;
use burn::backend::ops::FloatTensorOps;

/// Shape, indexing, selection and comparison of floats.
pub(super) fn float(op: &BaseOperationIr, interp: &mut Interpreter) {
    use BaseOperationIr as B;
    match op {
        B::Reshape(op) => shape::reshape(interp, op),
        B::Expand(op) => shape::expand(interp, op),
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
            D::float_slice(t, &shape::whole_first(&op.ranges, lead))
        }),
        B::Cast(op) => interp.linear(&op.input, &op.out, |t, _| {
            D::float_cast(t, op.out.dtype.into())
        }),
        B::Select(op) => {
            let indices = interp.take_primal(&op.indices);
            interp.linear(&op.tensor, &op.out, |t, lead| {
                D::float_select(t, op.dim + lead, indices.clone())
            });
        }
        B::SliceAssign(op) => shape::slice_assign(interp, op),
        B::Cat(op) => shape::cat(interp, op),
        B::Gather(op) => shape::gather(interp, op),
        B::GatherNd(op) => shape::gather_nd(interp, op),
        B::MaskWhere(op) => shape::mask_where(interp, op),
        B::MaskFill(op) => shape::mask_fill(interp, op),
        B::Scatter(op) => indexed_update::scatter(interp, op),
        B::ScatterNd(op) => indexed_update::scatter_nd(interp, op),
        B::SelectAssign(op) => indexed_update::select_assign(interp, op),
        // Constants.
        B::Zeros(op) | B::Empty(op) => interp.create(&op.out, |device| {
            D::float_zeros(op.out.shape.clone(), device, op.out.dtype.into())
        }),
        B::Ones(op) => interp.create(&op.out, |device| {
            D::float_ones(op.out.shape.clone(), device, op.out.dtype.into())
        }),
        // Comparisons give booleans, which have no tangent.
        B::Equal(op) => compare(interp, op, D::float_equal),
        B::NotEqual(op) => compare(interp, op, D::float_not_equal),
        B::EqualElem(op) => interp.zero_tangent(&op.lhs, &op.out, |x| {
            D::float_equal_elem(x, op.rhs.into(), op.out.dtype.into())
        }),
        B::NotEqualElem(op) => interp.zero_tangent(&op.lhs, &op.out, |x| {
            D::float_not_equal_elem(x, op.rhs.into(), op.out.dtype.into())
        }),
        B::All(op) => {
            interp.zero_tangent(&op.input, &op.out, |x| D::float_all(x, op.out.dtype.into()))
        }
        B::Any(op) => {
            interp.zero_tangent(&op.input, &op.out, |x| D::float_any(x, op.out.dtype.into()))
        }
        B::AllDim(op) => interp.zero_tangent(&op.input, &op.out, |x| {
            D::float_all_dim(x, op.axis, op.out.dtype.into())
        }),
        B::AnyDim(op) => interp.zero_tangent(&op.input, &op.out, |x| {
            D::float_any_dim(x, op.axis, op.out.dtype.into())
        }),
    }
}
