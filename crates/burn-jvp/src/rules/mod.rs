//! One small rule per operation, a file per kind. A rule returns `None` when it does not cover the operation, and the
//! interpreter turns that into an error that names it.

mod discrete;
mod elementwise;
mod kernels;
mod linear;
mod nn;
mod reduce;
mod shape;

use crate::value::{T, Value, dims, lift, mul, reshape, stacked};
use burn::backend::ir::{BaseOperationIr, OperationIr, TensorId, TensorIr};
use burn::backend::{DispatchDevice, TensorMetadata};
use std::collections::HashMap;

/// The state of one evaluation.
pub(crate) struct Context {
    /// Values alive at this point.
    pub env: HashMap<TensorId, Value>,
    /// Reads still to come, so that a value is moved out at its last one and can be updated in place.
    pub uses: HashMap<TensorId, usize>,
    /// Number of tangents.
    pub k: usize,
    /// Where constants are created.
    pub device: DispatchDevice,
    /// What to say of an operation that no rule covers.
    pub refusal: &'static str,
}

impl Context {
    /// The value of an input. Call once per input of the operation.
    pub fn take(&mut self, ir: &TensorIr) -> Value {
        let left = self.uses.get_mut(&ir.id).expect("every read is counted");
        *left -= 1;
        if *left == 0 {
            self.env.remove(&ir.id)
        } else {
            self.env.get(&ir.id).cloned()
        }
        .expect("operations are in order")
    }

    /// The primal of an input that carries no tangent (indices, masks).
    pub fn primal(&mut self, ir: &TensorIr) -> T {
        self.take(ir).primal
    }

    /// Whether none of `weights` carries a tangent; otherwise notes why the rule refuses. Layers are differentiated in
    /// their data only.
    pub fn fixed<'a>(&mut self, weights: impl IntoIterator<Item = &'a Value>) -> Option<()> {
        if weights.into_iter().any(|w| w.tangent.is_some()) {
            self.refusal =
                "its weights depend on a differentiated input, and the rule covers only its data";
            return None;
        }
        Some(())
    }

    /// Stores an output.
    pub fn put(&mut self, ir: &TensorIr, value: Value) {
        if self.uses.get(&ir.id).is_some_and(|n| *n > 0) {
            self.env.insert(ir.id, value);
        }
    }

    /// Stores an output that has no tangent.
    pub fn put_constant(&mut self, ir: &TensorIr, primal: T) {
        self.put(ir, Value::constant(primal));
    }

    /// An elementwise function with derivative `df(x, f(x))`.
    pub fn unary(
        &mut self,
        input: &TensorIr,
        out: &TensorIr,
        f: impl Fn(T) -> T,
        df: impl Fn(T, T) -> T,
    ) {
        let x = self.take(input);
        let value = match x.tangent {
            None => Value::constant(f(x.primal)),
            Some(t) => {
                let y = f(x.primal.clone());
                let d = df(x.primal, y.clone());
                Value {
                    primal: y,
                    tangent: Some(mul(t, lift(&d))),
                }
            }
        };
        self.put(out, value);
    }

    /// A linear operation, given how many leading axes have been added: 0 for the primal, 1 for the tangents.
    pub fn linear(&mut self, input: &TensorIr, out: &TensorIr, f: impl Fn(T, usize) -> T) {
        let x = self.take(input);
        let value = Value {
            primal: f(x.primal, 0),
            tangent: x.tangent.map(|t| f(t, 1)),
        };
        self.put(out, value);
    }

    /// A linear operation on a batch: the K tangents join the batch axis.
    pub fn batched(&mut self, input: &TensorIr, out: &TensorIr, f: impl Fn(T) -> T) {
        let x = self.take(input);
        let value = Value {
            primal: f(x.primal),
            tangent: x.tangent.map(|t| on_batch(t, f)),
        };
        self.put(out, value);
    }

    /// A piecewise constant function: its tangent is zero.
    pub fn flat(&mut self, input: &TensorIr, out: &TensorIr, f: impl Fn(T) -> T) {
        let x = self.primal(input);
        self.put_constant(out, f(x));
    }

    /// `[k, *out.shape]`.
    pub fn stacked(&self, out: &TensorIr) -> Vec<usize> {
        stacked(self.k, &out.shape.to_vec())
    }
}

/// Applies `f` to `[K, N, …]` as `[K·N, …]`.
pub(crate) fn on_batch(t: T, f: impl Fn(T) -> T) -> T {
    let shape = dims(&t);
    let (k, n) = (shape[0], shape[1]);
    let mut flat = vec![k * n];
    flat.extend_from_slice(&shape[2..]);
    let y = f(reshape(t, &flat));
    let mut back = vec![k, n];
    back.extend_from_slice(&dims(&y)[1..]);
    reshape(y, &back)
}

/// Evaluates one operation. `None`: no rule covers it.
pub(crate) fn apply(op: &OperationIr, cx: &mut Context) -> Option<()> {
    match op {
        OperationIr::BaseFloat(BaseOperationIr::Cast(op)) => {
            let dtype = crate::value::float_dtype(op.out.dtype);
            cx.linear(&op.input, &op.out, |t, _| {
                <burn::backend::Dispatch as burn::backend::ops::FloatTensorOps<_>>::float_cast(
                    t, dtype,
                )
            });
            Some(())
        }
        OperationIr::BaseFloat(op) => shape::apply(op, cx),
        OperationIr::NumericFloat(_, op) => {
            elementwise::numeric(op, cx).or_else(|| reduce::apply(op, cx))
        }
        OperationIr::Float(_, op) => elementwise::float(op, cx).or_else(|| linear::matmul(op, cx)),
        OperationIr::Activation(op) => nn::activation(op, cx),
        OperationIr::Module(op) => linear::module(op, cx).or_else(|| nn::module(op, cx)),
        OperationIr::BaseInt(op) => discrete::base_int(op, cx),
        OperationIr::BaseBool(op) => discrete::base_bool(op, cx),
        OperationIr::NumericInt(_, op) => discrete::numeric_int(op, cx),
        OperationIr::Int(op) => discrete::int(op, cx),
        OperationIr::Bool(op) => discrete::bool(op, cx),
        OperationIr::Custom(op) => kernels::apply(op, cx),
        OperationIr::Init(_) | OperationIr::Drop(_) => Some(()),
        _ => None,
    }
}

/// The variant names of an operation: `NumericFloat::CumProd`.
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

pub(crate) fn device_of(t: &T) -> DispatchDevice {
    t.device()
}
