//! Rules of updates at indices: a target x is updated with values v at places i.
//!
//! [`Assign`](IndexingUpdateOp::Assign) with a place that occurs twice is undefined in Burn, and so is its derivative.

use super::indicator::{bool_dtype, is_equal, is_zero};
use super::reduce::repeat_indices;
use super::shape::{tangents_first, tangents_last};
use crate::dual::{Dual, RawTensor, add, add_tangents, dims, div, lift, mul, stacked, sub, zeros};
use crate::interpreter::Interpreter;
use burn::backend::ir::{ScatterNdOpIr, ScatterOpIr, SelectAssignOpIr, TensorIr};
use burn::backend::ops::FloatTensorOps;
use burn::backend::{Dispatch as D, Shape, TensorMetadata};
use burn::tensor::IndexingUpdateOp;

/// Values added along an axis at an index for each value.
pub(super) fn scatter(interp: &mut Interpreter, op: &ScatterOpIr) {
    let tensors = (&op.tensor, &op.indices, &op.value, &op.out);
    update(interp, tensors, Addressing::Entries(op.dim), op.update);
}

/// Values added at indices of the leading axes.
pub(super) fn scatter_nd(interp: &mut Interpreter, op: &ScatterNdOpIr) {
    let tensors = (&op.data, &op.indices, &op.values, &op.out);
    update(interp, tensors, Addressing::Leading, op.reduction);
}

/// Values added along an axis at an index for each slice.
pub(super) fn select_assign(interp: &mut Interpreter, op: &SelectAssignOpIr) {
    let tensors = (&op.tensor, &op.indices, &op.value, &op.out);
    update(interp, tensors, Addressing::Slices(op.dim), op.update);
}

/// The manner in which indices name places.
#[derive(Clone, Copy)]
enum Addressing {
    /// An index along an axis for each entry.
    Entries(usize),
    /// An index along an axis for each slice.
    Slices(usize),
    /// Several indices, of the leading axes.
    Leading,
}

/// Places of a target.
struct Places {
    addressing: Addressing,
    indices: RawTensor,
}

impl Places {
    /// `x` updated with `v` at the places.
    fn write(&self, x: RawTensor, v: RawTensor, update: IndexingUpdateOp) -> RawTensor {
        let indices = self.indices.clone();
        match self.addressing {
            Addressing::Entries(dim) => D::float_scatter(dim, x, indices, v, update),
            Addressing::Slices(dim) => D::float_select_assign(x, dim, indices, v, update),
            Addressing::Leading => D::float_scatter_nd(x, indices, v, update),
        }
    }

    /// The entries of `x` at the places.
    fn read(&self, x: RawTensor) -> RawTensor {
        let indices = self.indices.clone();
        match self.addressing {
            Addressing::Entries(dim) => D::float_gather(dim, x, indices),
            Addressing::Slices(dim) => D::float_select(x, dim, indices),
            Addressing::Leading => D::float_gather_nd(x, indices),
        }
    }

    /// [`write`](Self::write) on tangents `[K, …]`.
    fn write_tangents(&self, x: RawTensor, v: RawTensor, update: IndexingUpdateOp) -> RawTensor {
        let indices = self.indices.clone();
        match self.addressing {
            Addressing::Entries(dim) => {
                let indices = repeat_indices(indices, dims(&x)[0]);
                D::float_scatter(dim + 1, x, indices, v, update)
            }
            Addressing::Slices(dim) => D::float_select_assign(x, dim + 1, indices, v, update),
            Addressing::Leading => {
                let (x, v) = (tangents_last(x), tangents_last(v));
                tangents_first(D::float_scatter_nd(x, indices, v, update))
            }
        }
    }

    /// The sums of the tangents `[K, …]` at each place of the target `x`.
    fn sum_tangents(&self, x: &RawTensor, v: RawTensor) -> RawTensor {
        let shape = stacked(dims(&v)[0], &dims(x));
        let zeros = zeros(&shape, &x.device(), x.dtype());
        self.write_tangents(zeros, v, IndexingUpdateOp::Add)
    }
}

/// The update of a target with values, and its tangents.
fn update(
    interp: &mut Interpreter,
    (target, indices, values, out): (&TensorIr, &TensorIr, &TensorIr, &TensorIr),
    addressing: Addressing,
    update: IndexingUpdateOp,
) {
    let x = interp.take(target);
    let indices = interp.take_primal(indices);
    let v = interp.take(values);
    let places = Places {
        addressing,
        indices,
    };
    let primal = interp.primal(out, || {
        places.write(x.primal.clone(), v.primal.clone(), update)
    });
    let tangent = (x.tangent.is_some() || v.tangent.is_some()).then(|| match update {
        // Linear: y' is x' updated with v'.
        IndexingUpdateOp::Assign => {
            let (x, v) = (x.tangent_or_zeros(interp.k), v.tangent_or_zeros(interp.k));
            places.write_tangents(x, v, update)
        }
        IndexingUpdateOp::Add => sum(&places, x, v),
        IndexingUpdateOp::Mul => product(&places, x, v),
        IndexingUpdateOp::Min | IndexingUpdateOp::Max => extremum(&places, x, v, &primal),
    });
    interp.put(out, Dual { primal, tangent });
}

/// `y = x + Σⱼ vⱼ` with the sum over the values of a place: `y' = x' + Σⱼ vⱼ'`.
fn sum(places: &Places, x: Dual, v: Dual) -> RawTensor {
    match (x.tangent, v.tangent) {
        (Some(t), Some(u)) => places.write_tangents(t, u, IndexingUpdateOp::Add),
        (None, Some(u)) => places.sum_tangents(&x.primal, u),
        (t, None) => t.expect("one of the two has tangents"),
    }
}

/// `y = x·∏ⱼ vⱼ`: `y' = x'·∏ⱼ vⱼ + Σⱼ vⱼ'·x·∏_{l≠j} v_l`.
fn product(places: &Places, x: Dual, v: Dual) -> RawTensor {
    let tx = x.tangent.map(|t| {
        let ones = D::float_ones(
            Shape::from(dims(&x.primal)),
            &x.primal.device(),
            x.primal.dtype().into(),
        );
        let factors = places.write(ones, v.primal.clone(), IndexingUpdateOp::Mul);
        mul(t, lift(&factors))
    });
    let tv = v.tangent.map(|t| {
        let others = product_of_others(places, &x.primal, &v.primal);
        places.sum_tangents(&x.primal, mul(t, lift(&others)))
    });
    add_tangents(tx, tv).expect("one of the two has tangents")
}

/// `x·∏_{l≠j} v_l` for each value j.
///
/// It is 0 if one of the other factors is 0. Else it is the product of all factors that are not 0, divided by vⱼ unless
/// that is 0.
fn product_of_others(places: &Places, x: &RawTensor, v: &RawTensor) -> RawTensor {
    let (x_is_zero, v_is_zero) = (is_zero(x.clone()), is_zero(v.clone()));
    let zeros = places.write(x_is_zero.clone(), v_is_zero.clone(), IndexingUpdateOp::Add);
    let other_zeros = sub(places.read(zeros), v_is_zero.clone());
    let x = add(x.clone(), x_is_zero);
    let v = add(v.clone(), v_is_zero);
    let product = places.write(x, v.clone(), IndexingUpdateOp::Mul);
    let quotient = div(places.read(product), v);
    let vanishes = D::float_greater_elem(other_zeros, 0.5.into(), bool_dtype(&quotient));
    D::float_mask_fill(quotient, vanishes, 0.0.into())
}

/// `y = max(x, vⱼ, …)`: y' is the tangent of the extremum, and the mean of the tangents where several are equal.
fn extremum(places: &Places, x: Dual, v: Dual, y: &RawTensor) -> RawTensor {
    let x_wins = is_equal(x.primal.clone(), y.clone());
    let v_wins = is_equal(v.primal, places.read(y.clone()));
    let winners = places.write(x_wins.clone(), v_wins.clone(), IndexingUpdateOp::Add);
    let tx = x
        .tangent
        .map(|t| mul(t, lift(&div(x_wins, winners.clone()))));
    let tv = v.tangent.map(|t| {
        let share = div(v_wins, places.read(winners));
        places.sum_tangents(&x.primal, mul(t, lift(&share)))
    });
    add_tangents(tx, tv).expect("one of the two has tangents")
}
