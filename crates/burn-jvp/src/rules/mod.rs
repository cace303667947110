//! Rules of Burn's operations, a file for each kind.
//!
//! A rule evaluates one operation on dual numbers. With x' for the tangents of x, the rule of `y = f(x)` stores y and
//! `y' = J_f(x)·x'`. An operation that no rule covers is refused, never treated as constant.
//!
//! The files `base`, `numeric`, `float`, `int` and `boolean` have one match for each group of operations. None has a
//! wildcard, so that an operation that Burn adds is an error of the compiler until it is classified.

mod attention;
mod base;
mod boolean;
mod elementwise;
mod float;
mod grid_sample;
mod indexed_update;
mod indicator;
mod int;
mod linear;
mod nn;
mod numeric;
mod order;
mod power;
mod product;
mod reduce;
pub(crate) mod refusals;
mod shape;
mod softmax;

use crate::interpreter::Interpreter;
use crate::rule::Refusal;
use burn::backend::ir::{DistributedOperationIr, OperationIr};

/// Evaluates one operation.
pub(crate) fn apply(op: &OperationIr, interp: &mut Interpreter) -> Result<(), Refusal> {
    match op {
        OperationIr::BaseFloat(op) => base::float(op, interp),
        OperationIr::NumericFloat(_, op) => numeric::float(op, interp)?,
        OperationIr::Float(_, op) => float::float(op, interp)?,
        OperationIr::Activation(op) => nn::activation(op, interp)?,
        OperationIr::Module(op) => nn::module(op, interp)?,
        OperationIr::BaseInt(op) => int::base(op, interp),
        OperationIr::BaseBool(op) => boolean::base(op, interp)?,
        OperationIr::NumericInt(_, op) => int::numeric(op, interp)?,
        OperationIr::Int(op) => int::int(op, interp),
        OperationIr::Bool(op) => boolean::bool(op, interp),
        OperationIr::Distributed(op) => distributed(op)?,
        OperationIr::Custom(op) => interp.custom(op)?,
        OperationIr::Init(_) | OperationIr::Drop(_) => {}
    }
    Ok(())
}

/// Refuses operations that several devices execute together.
fn distributed(op: &DistributedOperationIr) -> Result<(), Refusal> {
    match op {
        DistributedOperationIr::AllReduce(_) | DistributedOperationIr::SyncCollective => {
            Err(Refusal::new(refusals::DISTRIBUTED))
        }
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
