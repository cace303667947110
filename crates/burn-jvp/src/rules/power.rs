//! Rules of powers. A derivative is finite wherever the function is differentiable: `0·x⁻¹` at `x = 0` is 0.

use super::elementwise::binary;
use super::indicator::{bool_dtype, is_zero};
use crate::dual::{Dual, RawTensor, add, expand, lift, mul, scale, shift};
use crate::interpreter::Interpreter;
use burn::backend::ir::{BinaryOpIr, ScalarOpIr};
use burn::backend::ops::{BoolTensorOps, FloatTensorOps, IntTensorOps};
use burn::backend::{Dispatch as D, Scalar, TensorMetadata};

/// `y = xⁿ` with an integer n: `y' = n·xⁿ⁻¹·x'`.
pub(super) fn powi_scalar(interp: &mut Interpreter, op: &ScalarOpIr) {
    let n: f64 = op.rhs.elem();
    let s: Scalar = op.rhs.into();
    if n == 0.0 {
        interp.zero_tangent(&op.lhs, &op.out, |x| D::float_powi_scalar(x, s));
        return;
    }
    interp.unary(
        &op.lhs,
        &op.out,
        |x| D::float_powi_scalar(x, s),
        |x, _| scale(D::float_powi_scalar(x, Scalar::from(n as i64 - 1)), n),
    );
}

/// `y = xᵖ`: `y' = p·xᵖ⁻¹·x'`.
pub(super) fn powf_scalar(interp: &mut Interpreter, op: &ScalarOpIr) {
    let p: f64 = op.rhs.elem();
    let s: Scalar = op.rhs.into();
    if p == 0.0 {
        interp.zero_tangent(&op.lhs, &op.out, |x| D::float_powf_scalar(x, s));
        return;
    }
    interp.unary(
        &op.lhs,
        &op.out,
        |x| D::float_powf_scalar(x, s),
        |x, _| scale(D::float_powf_scalar(x, Scalar::from(p - 1.0)), p),
    );
}

/// `y = xⁿ` with integers n: `y' = n·xⁿ⁻¹·x'`, with `x⁰` in place of `x⁻¹` where `n = 0`.
///
/// Burn 0.22.1 cannot record it yet, because base and exponent differ in type.
pub(super) fn powi(interp: &mut Interpreter, op: &BinaryOpIr) {
    let shape = interp.stacked(&op.out);
    let x = interp.take(&op.lhs);
    let n = interp.take_primal(&op.rhs);
    let y = interp.primal(&op.out, || D::float_powi(x.primal.clone(), n.clone()));
    let tangent = x.tangent.map(|t| {
        let zero = D::int_equal_elem(n.clone(), 0.into(), bool_dtype(&x.primal));
        let zero = D::bool_into_int(zero, n.dtype().into());
        let below = D::int_add(D::int_sub_scalar(n.clone(), 1.into()), zero);
        let n = D::int_into_float(n, x.primal.dtype().into());
        let slope = mul(n, D::float_powi(x.primal, below));
        expand(mul(t, lift(&slope)), &shape)
    });
    let value = Dual { primal: y, tangent };
    interp.put(&op.out, value);
}

/// `y = aᵇ`: `y' = b·aᵇ⁻¹·a' + aᵇ·ln a·b'`, with `a⁰` in place of `a⁻¹` where `b = 0`, and `ln 1` in place of `ln 0`
/// where `a = 0`.
pub(super) fn powf(interp: &mut Interpreter, op: &BinaryOpIr) {
    let zero_to_one = |x: RawTensor| add(x.clone(), is_zero(x));
    binary(
        interp,
        op,
        D::float_powf,
        |t, a, b, _| {
            let below = add(shift(b.clone(), -1.0), is_zero(b.clone()));
            mul(t, mul(b, D::float_powf(a, below)))
        },
        |t, a, _, y| mul(t, mul(y, D::float_log(zero_to_one(a)))),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dual::dims;
    use crate::interpreter::Primals;
    use burn::backend::ir::{TensorId, TensorIr, TensorStatus};
    use burn::backend::{DType, Shape};
    use burn::tensor::{Device, Int, Tensor};
    use std::collections::HashMap;

    fn ir(id: u64, shape: &[usize], dtype: DType) -> TensorIr {
        TensorIr {
            id: TensorId::new(id),
            shape: Shape::from(shape.to_vec()),
            status: TensorStatus::ReadOnly,
            dtype,
        }
    }

    /// Value and tangents of `xⁿ`, evaluated as one operation of a graph.
    fn powers(x: Dual, n: RawTensor, k: usize) -> Dual {
        let shape: Vec<usize> = dims(&x.primal)
            .iter()
            .zip(dims(&n))
            .map(|(a, b)| if *a == 1 { b } else { *a })
            .collect();
        let op = BinaryOpIr {
            lhs: ir(0, &dims(&x.primal), x.primal.dtype()),
            rhs: ir(1, &dims(&n), n.dtype()),
            out: ir(2, &shape, x.primal.dtype()),
        };
        let mut interp = Interpreter {
            device: x.primal.device(),
            values: HashMap::from([(op.lhs.id, x), (op.rhs.id, Dual::constant(n))]),
            reads: [&op.lhs, &op.rhs, &op.out].map(|t| (t.id, 1)).into(),
            k,
            rules: &[],
            primals: &mut Primals::Compute,
        };
        powi(&mut interp, &op);
        interp.take(&op.out)
    }

    #[test]
    fn integer_powers_have_their_derivatives_at_zero_and_below_too() {
        let device = Device::flex();
        let options = (&device, DType::F64);
        let x = Tensor::<2>::from_data([[0.0], [-0.5], [2.0]], options);
        let n = Tensor::<2, Int>::from_ints([[0, 1, 2, 3]], &device);
        // Two tangents, the second three times the first.
        let t = Tensor::<3>::from_data([[[1.0], [1.0], [1.0]], [[3.0], [3.0], [3.0]]], options);
        let x = Dual {
            primal: x.into_dispatch(),
            tangent: Some(t.into_dispatch()),
        };
        let y = powers(x, n.into_dispatch(), 2);
        let t = Tensor::<3>::from_dispatch(y.tangent.expect("of the base"));
        let once = [
            0.0, 1.0, 0.0, 0.0, 0.0, 1.0, -1.0, 0.75, 0.0, 1.0, 4.0, 12.0,
        ];
        let both: Vec<f64> = once.into_iter().chain(once.map(|d| 3.0 * d)).collect();
        assert_eq!(t.dims(), [2, 3, 4]);
        assert_eq!(t.into_data().iter::<f64>().collect::<Vec<_>>(), both);
    }
}
