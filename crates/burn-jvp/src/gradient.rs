//! Gradients by reverse mode inside a recording.
//!
//! Burn 0.22.1 refuses autodiff of tensors on a capture device in three functions of its dispatch layer
//! (`from_inner`, `backward` and `grad` panic with "Capture tensors do not support autodiff"), but every operation
//! between them works. These three go to the backends `Autodiff<Capture>` and `Capture` directly here, so the
//! operations of a backward pass are recorded like any others.

use crate::dual::{RawTensor, dims, num_elements, zeros};
use crate::dyn_tensor::DynTensor;
use crate::error::JvpError;
use crate::tangents::Variables;
use burn::backend::ops::FloatTensorOps;
use burn::backend::{
    Autodiff, AutodiffBackend, BackendTensor, Capture, DispatchKindConversion, DispatchTensor,
    DispatchTensorKind, TensorMetadata,
};
use burn::module::{Module, ModuleMapper, Param, ParamId};
use burn::tensor::Tensor;
use std::collections::BTreeMap;

/// The gradients of a scalar function in some of its inputs and parameters.
pub(crate) struct Gradients {
    /// The value of the function, without a graph.
    pub value: DynTensor,
    /// The gradients in inputs, in the order of their positions.
    pub inputs: Vec<DynTensor>,
    /// The gradients in parameters, in the order of their ids.
    pub parameters: BTreeMap<ParamId, DynTensor>,
}

/// The value and the gradients of `scalar(function(module, inputs))` in the `variables`, by one backward pass.
///
/// # Errors
/// Those of `scalar`, and [`JvpError::Shape`] if its result has more than one entry or a variable does not exist.
///
/// # Panics
/// If an operation has no backward, or the module and the inputs are not on a capture device.
pub(crate) fn gradients<M: Module>(
    function: impl Fn(&M, &[DynTensor]) -> DynTensor,
    scalar: impl FnOnce(DynTensor) -> Result<DynTensor, JvpError>,
    module: &M,
    inputs: &[DynTensor],
    variables: &Variables,
) -> Result<Gradients, JvpError> {
    check_inputs(variables, inputs)?;
    let mut leaves = Leaves {
        variables,
        leaves: BTreeMap::new(),
    };
    let module = module.clone().map(&mut leaves);
    let leaves = leaves.leaves;
    if let Some(id) = variables
        .parameters
        .iter()
        .find(|id| !leaves.contains_key(id))
    {
        return Err(JvpError::Shape(format!(
            "a derivative is asked for in the parameter {id}, which the module does not have"
        )));
    }
    let inputs = inputs.iter().enumerate().map(|(position, x)| {
        let differentiated = variables.inputs.contains(&position);
        if differentiated {
            DynTensor(leaf(x.0.clone()))
        } else {
            x.clone()
        }
    });
    let inputs: Vec<DynTensor> = inputs.collect();
    let y = scalar(function(&module, &inputs))?;
    if num_elements(&y.0) != 1 {
        return Err(JvpError::Shape(format!(
            "a gradient is that of a function with one number, and this one's result has the shape {:?}",
            y.shape()
        )));
    }
    let tape = Tape::of(&y.0);
    let gradient = |leaf: &RawTensor| DynTensor(tape.gradient(leaf));
    Ok(Gradients {
        value: DynTensor(without_graph(y.0.clone())),
        inputs: variables
            .inputs
            .iter()
            .map(|position| gradient(&inputs[*position].0))
            .collect(),
        parameters: leaves
            .iter()
            .map(|(id, leaf)| (*id, gradient(leaf)))
            .collect(),
    })
}

/// Refuses inputs that cannot be leaves.
pub(crate) fn check_inputs(variables: &Variables, inputs: &[DynTensor]) -> Result<(), JvpError> {
    let is_float = |position: &usize| {
        let input = inputs.get(*position);
        input.is_some_and(|x| x.dtype().is_float())
    };
    match variables.inputs.iter().find(|i| !is_float(i)) {
        None => Ok(()),
        Some(position) => Err(JvpError::Shape(format!(
            "there is no float input {position}"
        ))),
    }
}

/// Makes leaves of the parameters that are differentiated.
struct Leaves<'a> {
    variables: &'a Variables,
    leaves: BTreeMap<ParamId, RawTensor>,
}

impl ModuleMapper for Leaves<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let id = param.id;
        if !self.variables.parameters.contains(&id) {
            return param;
        }
        let value = param.val().into_dispatch();
        let leaf = self.leaves.entry(id).or_insert_with(|| leaf(value));
        Param::initialized(id, Tensor::from_dispatch(leaf.clone()))
    }
}

/// A tensor of a recording whose gradient is recorded.
///
/// # Panics
/// If it is on another device.
fn leaf(t: RawTensor) -> RawTensor {
    type B = Autodiff<Capture>;
    let DispatchTensorKind::Capture(BackendTensor::Float(t)) = t.kind else {
        panic!("a gradient is recorded of floats on the capture device");
    };
    let leaf = B::float_set_require_grad(B::from_inner(t), true);
    <DispatchTensor as DispatchKindConversion<B>>::from_backend(BackendTensor::Float(leaf))
}

/// The tensor on the autodiff backend over capture, if it is there.
fn over_capture(
    t: &RawTensor,
) -> Option<<Autodiff<Capture> as burn::backend::BackendTypes>::FloatTensorPrimitive> {
    let t =
        <DispatchTensor as DispatchKindConversion<Autodiff<Capture>>>::try_into_backend(t.clone());
    match t {
        Ok(BackendTensor::Float(t)) => Some(t),
        _ => None,
    }
}

/// A tensor on its inner backend.
fn without_graph(t: RawTensor) -> RawTensor {
    match over_capture(&t) {
        Some(t) => recorded(Autodiff::<Capture>::inner(t)),
        None => t,
    }
}

/// A tensor of a recording.
fn recorded(t: <Capture as burn::backend::BackendTypes>::FloatTensorPrimitive) -> RawTensor {
    <DispatchTensor as DispatchKindConversion<Capture>>::from_backend(BackendTensor::Float(t))
}

/// The gradients of one backward pass. `None` for a value that depends on no leaf.
struct Tape(Option<<Autodiff<Capture> as AutodiffBackend>::Gradients>);

impl Tape {
    /// The backward pass from a scalar.
    fn of(y: &RawTensor) -> Self {
        Self(over_capture(y).map(Autodiff::<Capture>::backward))
    }

    /// The gradient in a leaf, zeros where the value does not depend on it.
    fn gradient(&self, leaf: &RawTensor) -> RawTensor {
        let gradient = self.0.as_ref().and_then(|gradients| {
            let leaf = over_capture(leaf)?;
            Autodiff::<Capture>::grad(&leaf, gradients)
        });
        gradient.map(recorded).unwrap_or_else(|| {
            let plain = without_graph(leaf.clone());
            zeros(&dims(&plain), &plain.device(), plain.dtype())
        })
    }
}
