//! Patterns of arithmetic and of comparisons.

use crate::dual::{Dual, RawTensor, add_tangents, dims, expand, lift, stacked};
use crate::interpreter::Interpreter;
use burn::backend::BoolDType;
use burn::backend::ir::BinaryOpIr;

/// An elementwise function `y = f(a, b)`: `y' = fa(a', a, b, y) + fb(b', a, b, y)`.
pub(super) fn binary(
    interp: &mut Interpreter,
    op: &BinaryOpIr,
    f: impl Fn(RawTensor, RawTensor) -> RawTensor,
    fa: impl Fn(RawTensor, RawTensor, RawTensor, RawTensor) -> RawTensor,
    fb: impl Fn(RawTensor, RawTensor, RawTensor, RawTensor) -> RawTensor,
) {
    let (a, b) = (interp.take(&op.lhs), interp.take(&op.rhs));
    if a.tangent.is_none() && b.tangent.is_none() {
        let y = interp.primal(&op.out, || f(a.primal, b.primal));
        interp.put_constant(&op.out, y);
        return;
    }
    let y = interp.primal(&op.out, || f(a.primal.clone(), b.primal.clone()));
    let (pa, pb, py) = (lift(&a.primal), lift(&b.primal), lift(&y));
    let shape = stacked(interp.k, &dims(&y));
    let ta = a
        .tangent
        .map(|t| expand(fa(t, pa.clone(), pb.clone(), py.clone()), &shape));
    let tb = b.tangent.map(|t| expand(fb(t, pa, pb, py), &shape));
    interp.put(
        &op.out,
        Dual {
            primal: y,
            tangent: add_tangents(ta, tb),
        },
    );
}

/// A function of two tensors whose result has no tangent.
pub(super) fn constant_binary(
    interp: &mut Interpreter,
    op: &BinaryOpIr,
    f: impl Fn(RawTensor, RawTensor) -> RawTensor,
) {
    let (a, b) = (interp.take_primal(&op.lhs), interp.take_primal(&op.rhs));
    let y = interp.primal(&op.out, || f(a, b));
    interp.put_constant(&op.out, y);
}

/// A comparison, whose result has no tangent.
pub(super) fn compare(
    interp: &mut Interpreter,
    op: &BinaryOpIr,
    f: impl Fn(RawTensor, RawTensor, BoolDType) -> RawTensor,
) {
    constant_binary(interp, op, |a, b| f(a, b, op.out.dtype.into()));
}
