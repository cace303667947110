//! Gradients by reverse mode, on live devices and inside a recording.
//!
//! Burn 0.22.1 refuses autodiff of tensors on a capture device in three functions of its dispatch layer
//! (`from_inner`, `backward` and `grad` panic with "Capture tensors do not support autodiff"), but every operation
//! between them works. These three go to the backends `Autodiff<Capture>` and `Capture` directly here, so the
//! operations of a backward pass are recorded like any others.

use crate::dual::{RawTensor, dims, num_elements, reshape, zeros};
use crate::dyn_tensor::DynTensor;
use crate::error::JvpError;
use crate::tangents::Variables;
use burn::backend::ops::FloatTensorOps;
use burn::backend::{
    Autodiff, AutodiffBackend, BackendTensor, Capture, Dispatch, DispatchKindConversion,
    DispatchTensor, DispatchTensorKind, TensorMetadata,
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
/// Those of `scalar`, and [`JvpError::Shape`] if its result has more than one entry, a variable does not exist or the
/// tensors have autodiff already.
///
/// # Panics
/// If an operation has no backward.
pub(crate) fn gradients<M: Module>(
    function: impl Fn(&M, &[DynTensor]) -> DynTensor,
    scalar: impl FnOnce(DynTensor) -> Result<DynTensor, JvpError>,
    module: &M,
    inputs: &[DynTensor],
    variables: &Variables,
) -> Result<Gradients, JvpError> {
    check_variables(variables, inputs)?;
    let mut leaves = Leaves {
        variables,
        leaves: Ok(BTreeMap::new()),
    };
    let module = module.clone().map(&mut leaves);
    let leaves = leaves.leaves?;
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
fn check_variables(variables: &Variables, inputs: &[DynTensor]) -> Result<(), JvpError> {
    for position in &variables.inputs {
        let input = inputs.get(*position).filter(|x| x.dtype().is_float());
        let Some(input) = input else {
            return Err(JvpError::Shape(format!(
                "there is no float input {position}"
            )));
        };
        if has_graph(&input.0) {
            return Err(JvpError::Shape(format!(
                "input {position} has autodiff already: pass it without"
            )));
        }
    }
    Ok(())
}

/// True for a tensor on an autodiff device.
fn has_graph(t: &RawTensor) -> bool {
    matches!(t.kind, DispatchTensorKind::Autodiff(_))
}

/// Makes leaves of the parameters that are differentiated.
struct Leaves<'a> {
    variables: &'a Variables,
    leaves: Result<BTreeMap<ParamId, RawTensor>, JvpError>,
}

impl ModuleMapper for Leaves<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let id = param.id;
        if !self.variables.parameters.contains(&id) {
            return param;
        }
        let value = param.val().into_dispatch();
        if has_graph(&value) {
            self.leaves = Err(JvpError::Shape(format!(
                "the parameter {id} has autodiff already: pass the module without, as `valid()` gives it"
            )));
        }
        let Ok(leaves) = &mut self.leaves else {
            return param;
        };
        let leaf = leaves.entry(id).or_insert_with(|| leaf(value));
        Param::initialized(id, Tensor::from_dispatch(leaf.clone()))
    }
}

/// A tensor whose gradient is recorded.
fn leaf(t: RawTensor) -> RawTensor {
    if let DispatchTensorKind::Capture(BackendTensor::Float(t)) = t.kind {
        type B = Autodiff<Capture>;
        let leaf = B::float_set_require_grad(B::from_inner(t), true);
        return <DispatchTensor as DispatchKindConversion<B>>::from_backend(BackendTensor::Float(
            leaf,
        ));
    }
    Dispatch::float_set_require_grad(Dispatch::from_inner(t), true)
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
    if let Some(t) = over_capture(&t) {
        return recorded(Autodiff::<Capture>::inner(t));
    }
    if has_graph(&t) {
        return Dispatch::inner(t);
    }
    t
}

/// A tensor of a recording.
fn recorded(t: <Capture as burn::backend::BackendTypes>::FloatTensorPrimitive) -> RawTensor {
    <DispatchTensor as DispatchKindConversion<Capture>>::from_backend(BackendTensor::Float(t))
}

/// The gradients of one backward pass.
enum Tape {
    /// Of a recording.
    Recorded(<Autodiff<Capture> as AutodiffBackend>::Gradients),
    /// Of a live device.
    Live(<Dispatch as AutodiffBackend>::Gradients),
    /// Of a value that depends on no leaf.
    Constant,
}

impl Tape {
    /// The backward pass from a scalar.
    fn of(y: &RawTensor) -> Self {
        if let Some(y) = over_capture(y) {
            return Self::Recorded(Autodiff::<Capture>::backward(y));
        }
        if Tensor::<1>::from_dispatch(reshape(y.clone(), &[1])).is_tracked() {
            return Self::Live(Dispatch::backward(y.clone()));
        }
        Self::Constant
    }

    /// The gradient in a leaf, zeros where the value does not depend on it.
    fn gradient(&self, leaf: &RawTensor) -> RawTensor {
        let gradient = match self {
            Self::Recorded(gradients) => over_capture(leaf)
                .and_then(|leaf| Autodiff::<Capture>::grad(&leaf, gradients))
                .map(recorded),
            Self::Live(gradients) => Dispatch::grad(leaf, gradients),
            Self::Constant => None,
        };
        gradient.unwrap_or_else(|| {
            let plain = without_graph(leaf.clone());
            zeros(&dims(&plain), &plain.device(), plain.dtype())
        })
    }
}
