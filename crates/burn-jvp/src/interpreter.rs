//! Evaluation of a recorded graph on dual numbers: the values alive at each operation, and the patterns that many rules
//! share.

use crate::dual::{Dual, RawTensor, dims, lift, mul, on_batch, stacked};
use crate::rule::{CustomRule, Refusal};
use burn::backend::DispatchDevice;
use burn::backend::ir::{CustomOpIr, TensorId, TensorIr};
use std::collections::HashMap;

/// The state of one evaluation of a graph.
pub(crate) struct Interpreter<'a> {
    /// The values alive at this operation.
    pub values: HashMap<TensorId, Dual>,
    /// The reads of each value still to come, so that the last one moves it out and an operation can work in place.
    pub reads: HashMap<TensorId, usize>,
    /// The number of tangents K.
    pub k: usize,
    /// The device of the inputs, where constants are created.
    pub device: DispatchDevice,
    /// The rules of custom operations.
    pub rules: &'a [&'static dyn CustomRule],
    /// Use of the primals of outputs.
    pub primals: &'a mut Primals,
}

/// The primals of the outputs of operations, which do not depend on the tangents.
pub(crate) enum Primals {
    /// Each is computed where it is needed.
    Compute,
    /// Each is computed and kept for later evaluations at the same point.
    Keep(HashMap<TensorId, RawTensor>),
    /// Each is taken from an earlier evaluation at the same point.
    Reuse(HashMap<TensorId, RawTensor>),
}

impl Interpreter<'_> {
    /// The value of an input of an operation. Call once per input.
    pub fn take(&mut self, ir: &TensorIr) -> Dual {
        let reads = self.reads.get_mut(&ir.id).expect("every read is counted");
        *reads -= 1;
        if *reads == 0 {
            self.values.remove(&ir.id)
        } else {
            self.values.get(&ir.id).cloned()
        }
        .expect("operations are in order")
    }

    /// The primal of an input that has no tangent (indices, masks).
    pub fn take_primal(&mut self, ir: &TensorIr) -> RawTensor {
        self.take(ir).primal
    }

    /// The primal of an output: `compute()`, unless an earlier evaluation at the same point kept it.
    pub fn primal(&mut self, out: &TensorIr, compute: impl FnOnce() -> RawTensor) -> RawTensor {
        if let Primals::Reuse(kept) = &*self.primals
            && let Some(y) = kept.get(&out.id)
        {
            return y.clone();
        }
        let y = compute();
        if let Primals::Keep(kept) = self.primals {
            kept.insert(out.id, y.clone());
        }
        y
    }

    /// Stores an output of an operation, if it is read later.
    pub fn put(&mut self, ir: &TensorIr, value: Dual) {
        if self.reads.get(&ir.id).is_some_and(|reads| *reads > 0) {
            self.values.insert(ir.id, value);
        }
    }

    /// Stores an output that has no tangent.
    pub fn put_constant(&mut self, ir: &TensorIr, primal: RawTensor) {
        self.put(ir, Dual::constant(primal));
    }

    /// Stores an output that depends on no input.
    pub fn create(&mut self, out: &TensorIr, create: impl FnOnce(&DispatchDevice) -> RawTensor) {
        let device = self.device.clone();
        let y = self.primal(out, || create(&device));
        self.put_constant(out, y);
    }

    /// An elementwise function `y = f(x)` with derivative `df(x, y)`: `y' = df(x, y)·x'`.
    pub fn unary(
        &mut self,
        input: &TensorIr,
        out: &TensorIr,
        f: impl Fn(RawTensor) -> RawTensor,
        df: impl Fn(RawTensor, RawTensor) -> RawTensor,
    ) {
        let x = self.take(input);
        let value = match x.tangent {
            None => Dual::constant(self.primal(out, || f(x.primal))),
            Some(t) => {
                let y = self.primal(out, || f(x.primal.clone()));
                let slope = df(x.primal, y.clone());
                Dual {
                    primal: y,
                    tangent: Some(mul(t, lift(&slope))),
                }
            }
        };
        self.put(out, value);
    }

    /// A linear function `y = f(x, 0)`: `y' = f(x', 1)`. Its second argument is the number of axes before those of x.
    pub fn linear(
        &mut self,
        input: &TensorIr,
        out: &TensorIr,
        f: impl Fn(RawTensor, usize) -> RawTensor,
    ) {
        let x = self.take(input);
        let value = Dual {
            primal: self.primal(out, || f(x.primal, 0)),
            tangent: x.tangent.map(|t| f(t, 1)),
        };
        self.put(out, value);
    }

    /// A linear function of a batch: the K tangents join the batch axis.
    pub fn batched(
        &mut self,
        input: &TensorIr,
        out: &TensorIr,
        f: impl Fn(RawTensor) -> RawTensor,
    ) {
        let x = self.take(input);
        let value = Dual {
            primal: self.primal(out, || f(x.primal)),
            tangent: x.tangent.map(|t| on_batch(t, f)),
        };
        self.put(out, value);
    }

    /// A piecewise constant function: `y' = 0`.
    pub fn zero_tangent(
        &mut self,
        input: &TensorIr,
        out: &TensorIr,
        f: impl Fn(RawTensor) -> RawTensor,
    ) {
        let x = self.take_primal(input);
        let y = self.primal(out, || f(x));
        self.put_constant(out, y);
    }

    /// The shape `[k, *out.shape]` of the tangents of an output.
    pub fn stacked(&self, out: &TensorIr) -> Vec<usize> {
        stacked(self.k, &out.shape.to_vec())
    }

    /// Evaluates a custom operation by its registered rule.
    ///
    /// # Errors
    /// If no rule is registered for the operation.
    pub fn custom(&mut self, op: &CustomOpIr) -> Result<(), Refusal> {
        let mut rules = self.rules.iter().rev();
        let rule = rules
            .find(|rule| rule.id() == op.id)
            .ok_or_else(Refusal::unknown)?;
        let inputs = op.inputs.iter().map(|input| self.take(input)).collect();
        let outputs = rule.jvp(op, inputs, self.k)?;
        let fits = outputs.len() == op.outputs.len()
            && outputs.iter().zip(&op.outputs).all(|(value, out)| {
                let tangent = value.tangent.as_ref();
                dims(&value.primal) == out.shape.to_vec()
                    && tangent.is_none_or(|t| dims(t) == self.stacked(out))
            });
        if !fits {
            return Err(Refusal::new(
                "the outputs of its rule do not have the number and the shapes of the recorded outputs",
            ));
        }
        for (out, value) in op.outputs.iter().zip(outputs) {
            self.put(out, value);
        }
        Ok(())
    }
}
