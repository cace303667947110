//! Hessian-vector products, forward over reverse.

use crate::dyn_tensor::DynTensor;
use crate::error::JvpError;
use crate::function::Jvp;
use crate::gradient::gradients;
use crate::graph::refuse_recording;
use crate::rule::CustomRule;
use crate::tangents::{Tangents, Variables};
use burn::module::Module;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// The value and the gradients of a scalar function, as it is recorded.
type Recorded<M> = Box<dyn Fn(&M, &[DynTensor]) -> Vec<DynTensor> + Send + Sync>;

/// The recorded gradients, by their variables.
type Gradients<M> = HashMap<Variables, Arc<Jvp<M, Recorded<M>>>>;

/// A scalar function of a module with its Hessian-vector products.
///
/// The gradient is recorded by a backward pass on Burn's capture device, once per input shape and choice of variables,
/// and differentiated in forward mode.
///
/// # Example
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_jvp::{DynTensor, Hvp, NoModule, Tangents};
///
/// let device = Device::flex();
/// let hvp = Hvp::new(|_: &NoModule, inputs: &[DynTensor]| {
///     inputs[0].get::<1>().powi_scalar(3).sum().into()
/// });
/// let x = Tensor::<1>::from_floats([1.0, 2.0], &device);
/// let v = Tensor::<2>::from_floats([[1.0, 1.0]], &device);
/// let tangents = Tangents::of_inputs([Some(v.into())]);
/// let second = hvp.call(&NoModule, &[x.into()], &tangents).unwrap();
/// // 6·x·v
/// let product = second.product.inputs[0].as_ref().unwrap().get::<2>().into_data();
/// assert_eq!(product.to_vec::<f32>().unwrap(), [6.0, 12.0]);
/// ```
pub struct Hvp<M, F> {
    function: Arc<F>,
    rules: Vec<&'static dyn CustomRule>,
    recorded: Mutex<Gradients<M>>,
}

/// The derivatives of a scalar function up to the second, in the variables that have tangents.
pub struct SecondOrder {
    /// The value `f`.
    pub value: DynTensor,
    /// The gradient `∇f`, a stack of one.
    pub gradient: Tangents,
    /// The K products `∇²f·v`.
    pub product: Tangents,
}

impl<M, F> Hvp<M, F>
where
    M: Module + 'static,
    F: Fn(&M, &[DynTensor]) -> DynTensor + Send + Sync + 'static,
{
    /// Wraps a function whose result has one number. Nothing is recorded yet.
    pub fn new(function: F) -> Self {
        Self {
            function: Arc::new(function),
            rules: Vec::new(),
            recorded: Mutex::default(),
        }
    }

    /// Adds rules of custom operations, those of their backward operations among them.
    pub fn with_rules(mut self, rules: &[&'static dyn CustomRule]) -> Self {
        self.rules.extend_from_slice(rules);
        self
    }

    /// The value, the gradient and the K products `∇²f·v` in the inputs and parameters that have tangents.
    ///
    /// The Hessian is that of these variables together: with tangents in parameters alone it is the Hessian in the
    /// parameters. Module and inputs are on a device without autodiff.
    ///
    /// # Errors
    /// As [`Jvp::along`], and [`JvpError::Capture`] if an operation has no backward.
    pub fn call(
        &self,
        module: &M,
        inputs: &[DynTensor],
        tangents: &Tangents,
    ) -> Result<SecondOrder, JvpError> {
        let variables = tangents.variables();
        let gradient = self.gradient(&variables);
        let (values, products) = gradient.along(module, inputs, tangents)?;
        let mut values = values.into_iter();
        let value = values.next().expect("the value is recorded first");
        let gradient = values.map(DynTensor::into_stack_of_one);
        let k = tangents.k();
        let shapes = gradient.clone();
        let products = products.into_iter().skip(1).zip(shapes);
        let products =
            products.map(|(product, like)| product.unwrap_or_else(|| like.zero_stack(k)));
        Ok(SecondOrder {
            gradient: variables.arrange(inputs.len(), gradient),
            product: variables.arrange(inputs.len(), products),
            value,
        })
    }

    /// The function that gives the value and the gradients in `variables`.
    fn gradient(&self, variables: &Variables) -> Arc<Jvp<M, Recorded<M>>> {
        let mut recorded = self.recorded.lock().unwrap_or_else(|e| e.into_inner());
        let entry = recorded.entry(variables.clone()).or_insert_with(|| {
            let (function, variables) = (self.function.clone(), variables.clone());
            let values: Recorded<M> = Box::new(move |module, inputs| {
                let g = gradients(&*function, Ok, module, inputs, &variables);
                let g = g.unwrap_or_else(|error| refuse_recording(&error));
                let gradients = g.inputs.into_iter().chain(g.parameters.into_values());
                std::iter::once(g.value).chain(gradients).collect()
            });
            Arc::new(Jvp::with_outputs(values).with_rules(&self.rules))
        });
        entry.clone()
    }
}
