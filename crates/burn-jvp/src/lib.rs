//! Forward-mode automatic differentiation for unmodified Burn modules.
//!
//! Burn has reverse mode only. This crate evaluates a function of a module together with K directional derivatives
//! (Jacobian-vector products) in one pass: it records the function once per input shape on Burn's capture device and
//! then pushes tangents through the recorded operations, one small rule each. Weights are bound anew at every call, so
//! a training step between two calls is seen by the second.
//!
//! ```
//! use burn::tensor::{Device, Tensor, activation::silu};
//! use burn_jvp::Jvp;
//!
//! let device = Device::flex();
//! let layer = burn::nn::LinearConfig::new(2, 3).init(&device);
//! let jvp = Jvp::new(|layer: &burn::nn::Linear, inputs: &[burn_jvp::DynTensor]| {
//!     silu(layer.forward(inputs[0].get::<2>())).into()
//! });
//! let x = Tensor::<2>::ones([1, 2], &device);
//! // Two tangents at once: the two unit vectors, stacked on a leading axis.
//! let tangents = Tensor::<3>::from_floats([[[1.0, 0.0]], [[0.0, 1.0]]], &device);
//! let (y, dy) = jvp.call(&layer, &[x.into()], &[Some(tangents.into())])?;
//! assert_eq!(y.get::<2>().dims(), [1, 3]);
//! assert_eq!(dy.unwrap().get::<3>().dims(), [2, 1, 3]);
//! # Ok::<(), burn_jvp::JvpError>(())
//! ```
//!
//! What a recorded function cannot do: choose a path by a tensor's value, or read a tensor back. Fields of the module
//! that are not parameters (a stride, a flag) are taken as they were when the shape was first seen. Dropout is off.
//! An operation without a rule is an error that names it, never a silent zero.

mod plan;
mod rules;
mod value;

use burn::backend::TensorMetadata;
use burn::module::{Module, ParamId};
use burn::tensor::kind::Basic;
use burn::tensor::{DType, Tensor};
use plan::{Plan, live_parameters};
use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex};
use value::{T, Value, dims};

/// Why a derivative could not be computed.
#[derive(Debug, thiserror::Error)]
pub enum JvpError {
    /// The recorded function uses an operation that has no rule.
    #[error(
        "no forward-mode rule for {operation} (operation {index} of {count}, output shape {shape:?}): {reason}"
    )]
    Unsupported {
        /// Group and name of the operation, as in Burn's graph representation.
        operation: String,
        /// Place in the recorded graph, from 1.
        index: usize,
        /// Operations in the recorded graph.
        count: usize,
        /// Shape of its first output.
        shape: Vec<usize>,
        /// Why not.
        reason: &'static str,
    },
    /// The function could not be recorded.
    #[error("recording the function failed: {0}")]
    Capture(String),
    /// Two different parameters of the module have one id, by which weights are bound.
    #[error(
        "the parameters {first} and {second} differ but have the same id: give each an id of its own"
    )]
    SameId {
        /// Path of the one.
        first: String,
        /// Path of the other.
        second: String,
    },
    /// Inputs and tangents do not fit together.
    #[error("{0}")]
    Shape(String),
}

/// A tensor of any rank and kind, so that inputs of differing ranks fit in one slice.
#[derive(Clone, Debug)]
pub struct DynTensor(T);

impl DynTensor {
    /// The float tensor of rank `R`.
    ///
    /// # Panics
    /// If the rank differs or the tensor holds no floats.
    pub fn get<const R: usize>(&self) -> Tensor<R> {
        self.get_kind()
    }

    /// The tensor of rank `R` and kind `K` (`Float`, `Int` or `Bool`).
    ///
    /// # Panics
    /// If rank or kind differ.
    pub fn get_kind<const R: usize, K: Basic>(&self) -> Tensor<R, K> {
        assert_eq!(dims(&self.0).len(), R, "rank of the tensor");
        Tensor::from_dispatch(self.0.clone())
    }

    /// The shape.
    pub fn shape(&self) -> Vec<usize> {
        dims(&self.0)
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.0.dtype()
    }
}

impl<const R: usize, K: Basic> From<Tensor<R, K>> for DynTensor {
    fn from(tensor: Tensor<R, K>) -> Self {
        Self(tensor.into_dispatch())
    }
}

/// What a plan was made for.
type Key = (Vec<(Vec<usize>, DType)>, Vec<(ParamId, Vec<usize>, DType)>);

/// A function of a module, recorded once per input shape and differentiated in forward mode.
pub struct Jvp<M, F> {
    function: F,
    plans: Mutex<HashMap<Key, Arc<Plan>>>,
    module: PhantomData<fn(&M)>,
}

impl<M, F> Jvp<M, F>
where
    M: Module,
    F: Fn(&M, &[DynTensor]) -> DynTensor,
{
    /// Wraps `function`; nothing is recorded yet.
    pub fn new(function: F) -> Self {
        Self {
            function,
            plans: Mutex::default(),
            module: PhantomData,
        }
    }

    /// The function's value and K directional derivatives, one pass.
    ///
    /// `tangents[i]` belongs to `inputs[i]` and has shape `[K, *inputs[i].shape]`; `None` is zero. The derivatives are
    /// `[K, *output.shape]`, or `None` if the output depends on no input that has a tangent.
    pub fn call(
        &self,
        module: &M,
        inputs: &[DynTensor],
        tangents: &[Option<DynTensor>],
    ) -> Result<(DynTensor, Option<DynTensor>), JvpError> {
        let k = check(inputs, tangents)?;
        let live = live_parameters(module)?;
        let plan = self.plan(module, inputs, &live)?;
        let values = inputs.iter().zip(tangents).map(|(x, t)| Value {
            primal: x.0.clone(),
            tangent: t.as_ref().map(|t| t.0.clone()),
        });
        let out = plan.run(values.collect(), live, k)?;
        Ok((DynTensor(out.primal), out.tangent.map(DynTensor)))
    }

    /// The function's value alone, through the recorded graph.
    pub fn primal(&self, module: &M, inputs: &[DynTensor]) -> Result<DynTensor, JvpError> {
        let none = vec![None; inputs.len()];
        self.call(module, inputs, &none).map(|(y, _)| y)
    }

    fn plan(
        &self,
        module: &M,
        inputs: &[DynTensor],
        live: &[(ParamId, T)],
    ) -> Result<Arc<Plan>, JvpError> {
        let key: Key = (
            inputs.iter().map(|x| (x.shape(), x.dtype())).collect(),
            live.iter()
                .map(|(id, t)| (*id, dims(t), t.dtype()))
                .collect(),
        );
        let lock = || self.plans.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(plan) = lock().get(&key) {
            return Ok(plan.clone());
        }
        let plan = Plan::record(module, inputs, &self.function)
            .map_err(|error| mixed_types(inputs, live).unwrap_or(error))?;
        let plan = Arc::new(plan);
        lock().insert(key, plan.clone());
        Ok(plan)
    }
}

/// The value and the K derivatives of a function of one tensor; records anew at each call.
///
/// `tangents` is `[K, *x.shape]`, so `D1 = D + 1`, and the derivatives are `[K, *output.shape]`, `E1 = E + 1`.
pub fn jvp<M: Module, const D: usize, const D1: usize, const E: usize, const E1: usize>(
    module: &M,
    function: impl Fn(&M, Tensor<D>) -> Tensor<E>,
    x: Tensor<D>,
    tangents: Tensor<D1>,
) -> Result<(Tensor<E>, Tensor<E1>), JvpError> {
    let k = tangents.dims()[0];
    let jvp = Jvp::new(|m: &M, inputs: &[DynTensor]| function(m, inputs[0].get()).into());
    let (y, t) = jvp.call(module, &[x.into()], &[Some(tangents.into())])?;
    let t = t.unwrap_or_else(|| {
        let shape = value::stacked(k, &y.shape());
        DynTensor(value::zeros(&shape, &y.0.device(), y.0.dtype()))
    });
    Ok((y.get(), t.get()))
}

/// What to say of a function that could not be recorded because its floats are of several types.
fn mixed_types(inputs: &[DynTensor], live: &[(ParamId, T)]) -> Option<JvpError> {
    let floats = |dtype: &DType| dtype.is_float();
    let input = inputs.iter().map(DynTensor::dtype).find(floats)?;
    let mut weights = live.iter().map(|(_, t)| t.dtype()).filter(floats);
    let weight = weights.find(|weight| *weight != input)?;
    Some(JvpError::Shape(format!(
        "the inputs are of {input:?} and weights of {weight:?}: cast one to the type of the other"
    )))
}

/// K, after checking every tangent against its input. Without tangents K is 0.
fn check(inputs: &[DynTensor], tangents: &[Option<DynTensor>]) -> Result<usize, JvpError> {
    if inputs.len() != tangents.len() {
        return Err(JvpError::Shape(format!(
            "{} inputs but {} tangents",
            inputs.len(),
            tangents.len()
        )));
    }
    let mut k = None;
    for (i, (x, t)) in inputs.iter().zip(tangents).enumerate() {
        let Some(t) = t else { continue };
        let shape = t.shape();
        let fits = shape.len() == x.shape().len() + 1
            && shape[1..] == x.shape()
            && shape[0] == *k.get_or_insert(shape[0])
            && shape[0] > 0
            && x.dtype().is_float()
            && t.dtype() == x.dtype();
        if !fits {
            return Err(JvpError::Shape(format!(
                "tangent {i} is {shape:?} of {:?}, which does not stack K float tangents of input {i}, {:?} of {:?}",
                t.dtype(),
                x.shape(),
                x.dtype()
            )));
        }
    }
    Ok(k.unwrap_or(0))
}
