//! A function of a module: its recordings and its derivatives.

use crate::dual::{Dual, RawTensor, dims};
use crate::dyn_tensor::DynTensor;
use crate::error::JvpError;
use crate::graph::CapturedGraph;
use crate::interpreter::Primals;
use crate::outputs::Outputs;
use crate::parameters::live_parameters;
use crate::rule::CustomRule;
use crate::tangents::{Tangents, Variables};
use burn::backend::TensorMetadata;
use burn::module::{Module, ParamId};
use burn::tensor::{DType, Tensor};
use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex};

/// Key of a recorded graph: the shapes and types of the inputs and of the parameters, and the variables of a
/// gradient, none for the function itself.
type Signature = (
    Vec<(Vec<usize>, DType)>,
    Vec<(ParamId, Vec<usize>, DType)>,
    Variables,
);

/// The module of a function that has no parameters.
#[derive(Module, Debug, Default)]
pub struct NoModule;

/// A function of a module, recorded once per input shape and differentiated in forward mode.
pub struct Jvp<M, F> {
    pub(crate) function: F,
    pub(crate) rules: Vec<&'static dyn CustomRule>,
    graphs: Mutex<HashMap<Signature, Arc<CapturedGraph>>>,
    module: PhantomData<fn(&M)>,
}

impl<M, F> Jvp<M, F>
where
    M: Module,
    F: Fn(&M, &[DynTensor]) -> DynTensor,
{
    /// Wraps a function of one result. Nothing is recorded yet.
    pub fn new(function: F) -> Self {
        Self::with_outputs(function)
    }
}

impl<M, F, O> Jvp<M, F>
where
    M: Module,
    F: Fn(&M, &[DynTensor]) -> O,
    O: Outputs,
{
    /// Wraps a function of several results (see [`Outputs`]). Nothing is recorded yet.
    ///
    /// # Example
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use burn_jvp::{DynTensor, Jvp, NoModule};
    ///
    /// let device = Device::flex();
    /// let jvp = Jvp::with_outputs(|_: &NoModule, inputs: &[DynTensor]| {
    ///     let x = inputs[0].get::<1>();
    ///     (x.clone() * 2.0, x.argmax(0))
    /// });
    /// let x = Tensor::<1>::from_floats([1.0, 4.0], &device);
    /// let v = Tensor::<2>::ones([1, 2], &device);
    /// let ((_, largest), [dy, no_tangent]) =
    ///     jvp.call(&NoModule, &[x.into()], &[Some(v.into())]).unwrap();
    /// assert_eq!(largest.into_scalar::<i64>(), 1);
    /// assert_eq!(dy.unwrap().shape(), [1, 2]);
    /// // Integers have no tangent.
    /// assert!(no_tangent.is_none());
    /// ```
    pub fn with_outputs(function: F) -> Self {
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

    /// The value of the function and K directional derivatives in its inputs, in one pass.
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
    ) -> Result<(O, O::Tangents), JvpError> {
        if inputs.len() != tangents.len() {
            return Err(JvpError::Shape(format!(
                "{} inputs but {} tangents",
                inputs.len(),
                tangents.len()
            )));
        }
        let tangents = Tangents::of_inputs(tangents.iter().cloned());
        self.along(module, inputs, &tangents)
    }

    /// The value of the function and K directional derivatives in its inputs and in the parameters of its module, in one
    /// pass: `f(x, θ)` and `J_x·x' + J_θ·θ'`.
    ///
    /// # Errors
    /// As [`call`](Self::call), and [`JvpError::Shape`] for a tangent of a parameter that the module does not have.
    ///
    /// # Example
    /// ```
    /// use burn::nn::{Linear, LinearConfig};
    /// use burn::tensor::{Device, Tensor};
    /// use burn_jvp::{DynTensor, Jvp, ParameterTangents, Tangents};
    ///
    /// let device = Device::flex();
    /// let layer = LinearConfig::new(2, 3).init(&device);
    /// let jvp = Jvp::new(|layer: &Linear, inputs: &[DynTensor]| {
    ///     layer.forward(inputs[0].get::<2>()).into()
    /// });
    /// let x = Tensor::<2>::ones([1, 2], &device);
    /// // One direction in the bias. Weights and input stay where they are.
    /// let bias = layer.bias.as_ref().unwrap();
    /// let mut direction = ParameterTangents::new();
    /// direction.insert(bias.id, Tensor::<2>::from_floats([[1.0, 2.0, 3.0]], &device));
    /// let tangents = Tangents::of_parameters(direction);
    /// let (y, dy) = jvp.along(&layer, &[x.into()], &tangents).unwrap();
    /// assert_eq!(y.get::<2>().dims(), [1, 3]);
    /// // y = x·W + b moves as b does.
    /// let dy = dy.unwrap().get::<3>().into_data();
    /// assert_eq!(dy.to_vec::<f32>().unwrap(), [1.0, 2.0, 3.0]);
    /// ```
    pub fn along(
        &self,
        module: &M,
        inputs: &[DynTensor],
        tangents: &Tangents,
    ) -> Result<(O, O::Tangents), JvpError> {
        let point = self.point(module, inputs, tangents)?;
        let (values, derivatives) = point.evaluate(tangents, &mut Primals::Compute)?;
        Ok((O::from_tensors(values), O::tangents(derivatives)))
    }

    /// The value of the function alone, through the recorded graph.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub fn primal(&self, module: &M, inputs: &[DynTensor]) -> Result<O, JvpError> {
        let (y, _) = self.along(module, inputs, &Tangents::default())?;
        Ok(y)
    }

    /// The recorded function with its inputs and parameters as they are now. Tangents that do not fit are refused before
    /// anything is recorded.
    pub(crate) fn point(
        &self,
        module: &M,
        inputs: &[DynTensor],
        tangents: &Tangents,
    ) -> Result<Point, JvpError> {
        let parameters = live_parameters(module)?;
        let raw: Vec<RawTensor> = inputs.iter().map(|x| x.0.clone()).collect();
        tangents.check(&raw, &parameters)?;
        let function =
            |module: &M, inputs: &[DynTensor]| (self.function)(module, inputs).into_tensors();
        let none = Variables::default();
        Ok(Point {
            graph: self.graph(module, inputs, &parameters, &none, &function)?,
            inputs: raw,
            parameters,
            rules: self.rules.clone(),
        })
    }

    /// The graph of `function` for these shapes, types and variables, recorded at their first use.
    pub(crate) fn graph(
        &self,
        module: &M,
        inputs: &[DynTensor],
        parameters: &[(ParamId, RawTensor)],
        variables: &Variables,
        function: &impl Fn(&M, &[DynTensor]) -> Vec<DynTensor>,
    ) -> Result<Arc<CapturedGraph>, JvpError> {
        let signature: Signature = (
            inputs.iter().map(|x| (x.shape(), x.dtype())).collect(),
            parameters
                .iter()
                .map(|(id, t)| (*id, dims(t), t.dtype()))
                .collect(),
            variables.clone(),
        );
        let lock = || self.graphs.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(graph) = lock().get(&signature) {
            return Ok(graph.clone());
        }
        let graph = CapturedGraph::record(module, inputs, function)
            .map_err(|error| mixed_types(inputs, parameters).unwrap_or(error))?;
        let graph = Arc::new(graph);
        lock().insert(signature, graph.clone());
        Ok(graph)
    }
}

/// A recorded function at one point: its inputs, and the parameters of its module.
pub(crate) struct Point {
    pub graph: Arc<CapturedGraph>,
    pub inputs: Vec<RawTensor>,
    pub parameters: Vec<(ParamId, RawTensor)>,
    pub rules: Vec<&'static dyn CustomRule>,
}

impl Point {
    /// The results and their derivatives along `tangents`.
    ///
    /// # Errors
    /// If the tangents do not fit or an operation has no rule.
    pub fn evaluate(
        &self,
        tangents: &Tangents,
        primals: &mut Primals,
    ) -> Result<(Vec<DynTensor>, Vec<Option<DynTensor>>), JvpError> {
        let k = tangents.check(&self.inputs, &self.parameters)?;
        let mut of_inputs = tangents.inputs.iter();
        let inputs = self.inputs.iter().map(|x| Dual {
            primal: x.clone(),
            tangent: of_inputs
                .next()
                .and_then(|t| t.as_ref().map(|t| t.0.clone())),
        });
        let parameters = self.parameters.iter().map(|(id, value)| {
            let tangent = tangents.parameters.get(*id).map(|t| t.0.clone());
            let primal = value.clone();
            (*id, Dual { primal, tangent })
        });
        let outputs = self.graph.evaluate(
            inputs.collect(),
            parameters.collect(),
            k,
            &self.rules,
            primals,
        )?;
        let outputs = outputs.into_iter();
        Ok(outputs
            .map(|y| (DynTensor(y.primal), y.tangent.map(DynTensor)))
            .unzip())
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
