#![doc = include_str!("../README.md")]

pub mod check;
pub mod dual;
mod graph;
mod interpreter;
mod parameters;
pub mod rule;
mod rules;

pub use dual::{Dual, RawTensor};
pub use rule::{CustomRule, Refusal};

use burn::backend::TensorMetadata;
use burn::module::{Module, ParamId};
use burn::tensor::kind::Basic;
use burn::tensor::{DType, Tensor};
use dual::dims;
use graph::CapturedGraph;
use parameters::live_parameters;
use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex};

/// The reason why a derivative could not be computed.
#[derive(Debug, thiserror::Error)]
pub enum JvpError {
    /// The recorded function uses an operation that has no rule.
    #[error(
        "no forward-mode rule for {operation} (operation {index} of {count}, output shape {shape:?}): {reason}"
    )]
    Unsupported {
        /// Group and name of the operation, as in Burn's graph representation.
        operation: String,
        /// Position in the recorded graph, from 1.
        index: usize,
        /// Number of operations in the recorded graph.
        count: usize,
        /// Shape of its first output.
        shape: Vec<usize>,
        /// Reason of the refusal.
        reason: Refusal,
    },
    /// The function could not be recorded.
    #[error("recording the function failed: {0}")]
    Capture(String),
    /// Two different parameters of the module have one id, by which weights are bound.
    #[error(
        "the parameters {first} and {second} differ but have the same id: give each an id of its own"
    )]
    SameId {
        /// Path of the first.
        first: String,
        /// Path of the second.
        second: String,
    },
    /// Inputs and tangents do not fit together.
    #[error("{0}")]
    Shape(String),
}

/// A tensor of any rank and kind, so that inputs of differing ranks fit in one slice.
#[derive(Clone, Debug)]
pub struct DynTensor(RawTensor);

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

/// The shapes and types of the inputs and of the parameters, for which a graph was recorded.
type Signature = (Vec<(Vec<usize>, DType)>, Vec<(ParamId, Vec<usize>, DType)>);

/// A function of a module, recorded once per input shape and differentiated in forward mode.
pub struct Jvp<M, F> {
    function: F,
    rules: Vec<&'static dyn CustomRule>,
    graphs: Mutex<HashMap<Signature, Arc<CapturedGraph>>>,
    module: PhantomData<fn(&M)>,
}

impl<M, F> Jvp<M, F>
where
    M: Module,
    F: Fn(&M, &[DynTensor]) -> DynTensor,
{
    /// Wraps `function`. Nothing is recorded yet.
    pub fn new(function: F) -> Self {
        Self {
            function,
            rules: Vec::new(),
            graphs: Mutex::default(),
            module: PhantomData,
        }
    }

    /// Adds rules of custom operations. Of two rules for one id the later takes effect.
    pub fn with_rules(mut self, rules: &[&'static dyn CustomRule]) -> Self {
        self.rules.extend_from_slice(rules);
        self
    }

    /// The value of the function and K directional derivatives, in one pass.
    ///
    /// `tangents[i]` belongs to `inputs[i]` and has shape `[K, *inputs[i].shape]`; `None` is zero. The derivatives are
    /// `[K, *output.shape]`, or `None` if the output depends on no input that has a tangent.
    ///
    /// # Errors
    /// [`JvpError`] if inputs and tangents do not fit, the function cannot be recorded, or an operation has no rule.
    pub fn call(
        &self,
        module: &M,
        inputs: &[DynTensor],
        tangents: &[Option<DynTensor>],
    ) -> Result<(DynTensor, Option<DynTensor>), JvpError> {
        let k = check_tangents(inputs, tangents)?;
        let parameters = live_parameters(module)?;
        let graph = self.graph(module, inputs, &parameters)?;
        let duals = inputs.iter().zip(tangents).map(|(x, t)| Dual {
            primal: x.0.clone(),
            tangent: t.as_ref().map(|t| t.0.clone()),
        });
        let out = graph.evaluate(duals.collect(), parameters, k, &self.rules)?;
        Ok((DynTensor(out.primal), out.tangent.map(DynTensor)))
    }

    /// The value of the function alone, through the recorded graph.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub fn primal(&self, module: &M, inputs: &[DynTensor]) -> Result<DynTensor, JvpError> {
        let no_tangents = vec![None; inputs.len()];
        self.call(module, inputs, &no_tangents).map(|(y, _)| y)
    }

    /// The graph for these shapes and types, recorded at their first use.
    fn graph(
        &self,
        module: &M,
        inputs: &[DynTensor],
        parameters: &[(ParamId, RawTensor)],
    ) -> Result<Arc<CapturedGraph>, JvpError> {
        let signature: Signature = (
            inputs.iter().map(|x| (x.shape(), x.dtype())).collect(),
            parameters
                .iter()
                .map(|(id, t)| (*id, dims(t), t.dtype()))
                .collect(),
        );
        let lock = || self.graphs.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(graph) = lock().get(&signature) {
            return Ok(graph.clone());
        }
        let graph = CapturedGraph::record(module, inputs, &self.function)
            .map_err(|error| mixed_types(inputs, parameters).unwrap_or(error))?;
        let graph = Arc::new(graph);
        lock().insert(signature, graph.clone());
        Ok(graph)
    }
}

/// The value and the K derivatives of a function of one tensor. The function is recorded anew at each call.
///
/// `tangents` is `[K, *x.shape]`, so `D1 = D + 1`, and the derivatives are `[K, *output.shape]`, `E1 = E + 1`.
///
/// # Errors
/// As [`Jvp::call`].
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
        let y = Dual::constant(y.0.clone());
        DynTensor(y.tangent_or_zeros(k))
    });
    Ok((y.get(), t.get()))
}

/// The error of a function that could not be recorded because its inputs and weights are of different float types.
fn mixed_types(inputs: &[DynTensor], parameters: &[(ParamId, RawTensor)]) -> Option<JvpError> {
    let floats = |dtype: &DType| dtype.is_float();
    let input = inputs.iter().map(DynTensor::dtype).find(floats)?;
    let mut weights = parameters.iter().map(|(_, t)| t.dtype()).filter(floats);
    let weight = weights.find(|weight| *weight != input)?;
    Some(JvpError::Shape(format!(
        "the inputs are of {input:?} and weights of {weight:?}: cast one to the type of the other"
    )))
}

/// The number of tangents K, after a check of each tangent against its input. Without tangents K is 0.
fn check_tangents(inputs: &[DynTensor], tangents: &[Option<DynTensor>]) -> Result<usize, JvpError> {
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
