//! Evaluation of booleans, which have no tangents.

use super::elementwise::constant_binary;
use super::refusals;
use crate::dual::RawTensor;
use crate::interpreter::Interpreter;
use crate::rule::Refusal;
use burn::backend::Dispatch as D;
use burn::backend::ir::{BaseOperationIr, BoolOperationIr, TensorIr};
use burn::backend::ops::BoolTensorOps;
use burn::tensor::IndexingUpdateOp;

/// Shape, indexing and selection of booleans.
pub(super) fn base(op: &BaseOperationIr, interp: &mut Interpreter) -> Result<(), Refusal> {
    use BaseOperationIr as B;
    match op {
        B::Reshape(op) => interp.zero_tangent(&op.input, &op.out, |t| {
            D::bool_reshape(t, op.out.shape.clone())
        }),
        B::Expand(op) => interp.zero_tangent(&op.input, &op.out, |t| {
            D::bool_expand(t, op.out.shape.clone())
        }),
        B::SwapDims(op) => interp.zero_tangent(&op.input, &op.out, |t| {
            D::bool_swap_dims(t, op.dim1, op.dim2)
        }),
        B::Permute(op) => interp.zero_tangent(&op.input, &op.out, |t| D::bool_permute(t, &op.axes)),
        B::Flip(op) => interp.zero_tangent(&op.input, &op.out, |t| D::bool_flip(t, &op.axes)),
        B::Unfold(op) => interp.zero_tangent(&op.input, &op.out, |t| {
            D::bool_unfold(t, op.dim, op.size, op.step)
        }),
        B::RepeatDim(op) => interp.zero_tangent(&op.tensor, &op.out, |t| {
            D::bool_repeat_dim(t, op.dim, op.times)
        }),
        B::Slice(op) => interp.zero_tangent(&op.tensor, &op.out, |t| D::bool_slice(t, &op.ranges)),
        B::SliceAssign(op) => {
            let (t, v) = (
                interp.take_primal(&op.tensor),
                interp.take_primal(&op.value),
            );
            store(interp, &op.out, || D::bool_slice_assign(t, &op.ranges, v));
        }
        B::Cat(op) => {
            let tensors = op.tensors.iter().map(|t| interp.take_primal(t)).collect();
            store(interp, &op.out, || D::bool_cat(tensors, op.dim));
        }
        B::Select(op) => {
            let (t, i) = (
                interp.take_primal(&op.tensor),
                interp.take_primal(&op.indices),
            );
            store(interp, &op.out, || D::bool_select(t, op.dim, i));
        }
        B::Gather(op) => {
            let (t, i) = (
                interp.take_primal(&op.tensor),
                interp.take_primal(&op.indices),
            );
            store(interp, &op.out, || D::bool_gather(op.dim, t, i));
        }
        B::Scatter(op) => {
            only_or(op.update)?;
            let (t, i) = (
                interp.take_primal(&op.tensor),
                interp.take_primal(&op.indices),
            );
            let v = interp.take_primal(&op.value);
            store(interp, &op.out, || D::bool_scatter_or(op.dim, t, i, v));
        }
        B::SelectAssign(op) => {
            only_or(op.update)?;
            let (t, i) = (
                interp.take_primal(&op.tensor),
                interp.take_primal(&op.indices),
            );
            let v = interp.take_primal(&op.value);
            store(interp, &op.out, || D::bool_select_or(t, op.dim, i, v));
        }
        B::ScatterNd(_) | B::GatherNd(_) | B::Cast(_) => {
            return Err(Refusal::new(refusals::NOT_OF_BOOLEANS));
        }
        B::MaskWhere(op) => {
            let (t, m) = (interp.take_primal(&op.tensor), interp.take_primal(&op.mask));
            let v = interp.take_primal(&op.value);
            store(interp, &op.out, || D::bool_mask_where(t, m, v));
        }
        B::MaskFill(op) => {
            let (t, m) = (interp.take_primal(&op.tensor), interp.take_primal(&op.mask));
            store(interp, &op.out, || D::bool_mask_fill(t, m, op.value.into()));
        }
        B::Equal(op) => constant_binary(interp, op, D::bool_equal),
        B::NotEqual(op) => constant_binary(interp, op, D::bool_not_equal),
        B::EqualElem(op) => {
            interp.zero_tangent(&op.lhs, &op.out, |t| D::bool_equal_elem(t, op.rhs.into()))
        }
        B::NotEqualElem(op) => interp.zero_tangent(&op.lhs, &op.out, |t| {
            D::bool_not_equal_elem(t, op.rhs.into())
        }),
        B::All(op) => interp.zero_tangent(&op.input, &op.out, D::bool_all),
        B::Any(op) => interp.zero_tangent(&op.input, &op.out, D::bool_any),
        B::AllDim(op) => interp.zero_tangent(&op.input, &op.out, |t| D::bool_all_dim(t, op.axis)),
        B::AnyDim(op) => interp.zero_tangent(&op.input, &op.out, |t| D::bool_any_dim(t, op.axis)),
        B::Zeros(op) | B::Empty(op) => interp.create(&op.out, |device| {
            D::bool_zeros(op.out.shape.clone(), device, op.out.dtype.into())
        }),
        B::Ones(op) => interp.create(&op.out, |device| {
            D::bool_ones(op.out.shape.clone(), device, op.out.dtype.into())
        }),
    }
    Ok(())
}

/// Logic and conversion of booleans.
pub(super) fn bool(op: &BoolOperationIr, interp: &mut Interpreter) {
    use BoolOperationIr as B;
    match op {
        B::IntoFloat(op) => interp.zero_tangent(&op.input, &op.out, |t| {
            D::bool_into_float(t, op.out.dtype.into())
        }),
        B::IntoInt(op) => interp.zero_tangent(&op.input, &op.out, |t| {
            D::bool_into_int(t, op.out.dtype.into())
        }),
        B::Not(op) => interp.zero_tangent(&op.input, &op.out, D::bool_not),
        B::And(op) => constant_binary(interp, op, D::bool_and),
        B::Or(op) => constant_binary(interp, op, D::bool_or),
        B::Xor(op) => constant_binary(interp, op, D::bool_xor),
    }
}

/// Stores an output that has no tangent.
pub(super) fn store(interp: &mut Interpreter, out: &TensorIr, f: impl FnOnce() -> RawTensor) {
    let y = interp.primal(out, f);
    interp.put_constant(out, y);
}

/// Refuses the updates at indices that Burn does not have on booleans.
fn only_or(update: IndexingUpdateOp) -> Result<(), Refusal> {
    match update {
        // On booleans the sum is the disjunction.
        IndexingUpdateOp::Add => Ok(()),
        IndexingUpdateOp::Assign
        | IndexingUpdateOp::Mul
        | IndexingUpdateOp::Min
        | IndexingUpdateOp::Max => Err(Refusal::new("Burn has no such update of booleans")),
    }
}
