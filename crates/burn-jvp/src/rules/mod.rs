//! Rules of Burn's operations, a file for each kind.
//!
//! A rule evaluates one operation on dual numbers. With x' for the tangents of x, the rule of `y = f(x)` stores y and
//! `y' = J_f(x)·x'`. An operation that no rule covers is refused, never treated as constant.

mod attention;
mod elementwise;
mod int_bool;
mod linear;
mod nn;
mod reduce;
mod shape;

use crate::interpreter::Interpreter;
use crate::rule::Refusal;
use burn::backend::Dispatch;
use burn::backend::ir::{BaseOperationIr, FloatOperationIr, OperationIr};
use burn::backend::ops::FloatTensorOps;

/// Evaluates one operation.
pub(crate) fn apply(op: &OperationIr, interp: &mut Interpreter) -> Result<(), Refusal> {
    match op {
        OperationIr::BaseFloat(BaseOperationIr::Cast(op)) => {
            interp.linear(&op.input, &op.out, |t, _| {
                Dispatch::float_cast(t, op.out.dtype.into())
            });
            Ok(())
        }
        OperationIr::BaseFloat(op) => shape::base_float(op, interp),
        OperationIr::NumericFloat(_, op) => elementwise::numeric(op, interp),
        OperationIr::Float(_, FloatOperationIr::Matmul(op)) => {
            linear::matmul(op, interp);
            Ok(())
        }
        OperationIr::Float(_, op) => elementwise::float(op, interp),
        OperationIr::Activation(op) => nn::activation(op, interp),
        OperationIr::Module(op) => nn::module(op, interp),
        OperationIr::BaseInt(op) => int_bool::base_int(op, interp),
        OperationIr::BaseBool(op) => int_bool::base_bool(op, interp),
        OperationIr::NumericInt(_, op) => int_bool::numeric_int(op, interp),
        OperationIr::Int(op) => int_bool::int(op, interp),
        OperationIr::Bool(op) => int_bool::bool(op, interp),
        OperationIr::Custom(op) => interp.custom(op),
        OperationIr::Init(_) | OperationIr::Drop(_) => Ok(()),
        _ => Err(Refusal::unknown()),
    }
}

/// The group and variant of an operation: `NumericFloat::CumProd`, or `Custom(id)`.
pub(crate) fn name(op: &OperationIr) -> String {
    if let OperationIr::Custom(op) = op {
        return format!("Custom({})", op.id);
    }
    let text = format!("{op:?}");
    let head = text.split('{').next().unwrap_or_default();
    let words: Vec<&str> = head
        .split(|c: char| !c.is_alphanumeric())
        .filter(|w| !w.is_empty())
        .collect();
    match words.as_slice() {
        [group, .., variant, _] => format!("{group}::{variant}"),
        _ => words.join("::"),
    }
}
