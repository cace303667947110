//! Products with transposed Jacobians, and Gauss–Newton products.

use crate::dyn_tensor::DynTensor;
use crate::error::JvpError;
use crate::function::{Jvp, Point};
use crate::gradient::{check_inputs, gradients};
use crate::graph::refuse_recording;
use crate::interpreter::Primals;
use crate::parameters::live_parameters;
use crate::tangents::{Tangents, Variables};
use burn::module::Module;
use burn::tensor::Tensor;

impl<M, F> Jvp<M, F>
where
    M: Module,
    F: Fn(&M, &[DynTensor]) -> DynTensor,
{
    /// The K products `Jᵀ·w_k` in the `variables`, by Burn's reverse mode: one forward pass for all, and a backward pass for
    /// each.
    ///
    /// `cotangents` are `[K, *output.shape]`. The backward pass is recorded once for each choice of variables and
    /// replayed, so that dropout and batch norm are those of inference.
    ///
    /// # Errors
    /// [`JvpError`] if the cotangents do not fit the output, a variable does not exist, or an operation has no backward
    /// or, for K > 1, no rule.
    ///
    /// # Example
    /// ```
    /// use burn::nn::{Linear, LinearConfig};
    /// use burn::tensor::{Device, Tensor};
    /// use burn_jvp::{DynTensor, Jvp, Variables};
    ///
    /// let device = Device::flex();
    /// let layer = LinearConfig::new(2, 3).init(&device);
    /// let jvp = Jvp::new(|layer: &Linear, inputs: &[DynTensor]| {
    ///     layer.forward(inputs[0].get::<2>()).into()
    /// });
    /// let x = Tensor::<2>::ones([1, 2], &device);
    /// let weights = Variables::parameters_of(&layer);
    /// // One cotangent of the output [1, 3].
    /// let w = Tensor::<3>::from_floats([[[1.0, 2.0, 3.0]]], &device);
    /// let gradients = jvp.vjp(&layer, &[x.into()], &weights, &w.into()).unwrap();
    /// let bias = layer.bias.as_ref().unwrap();
    /// let of_bias = gradients.parameters.get(bias.id).unwrap().get::<2>().into_data();
    /// assert_eq!(of_bias.to_vec::<f32>().unwrap(), [1.0, 2.0, 3.0]);
    /// ```
    pub fn vjp(
        &self,
        module: &M,
        inputs: &[DynTensor],
        variables: &Variables,
        cotangents: &DynTensor,
    ) -> Result<Tangents, JvpError> {
        let shape = cotangents.shape();
        let (Some(k @ 1..), output) = (shape.first().copied(), &shape[shape.len().min(1)..]) else {
            return Err(JvpError::Shape("the cotangents are not stacked".into()));
        };
        check_inputs(variables, inputs)?;
        if *variables == Variables::default() {
            // The key of the recorded function itself.
            return Ok(Tangents::of_inputs(vec![None; inputs.len()]));
        }
        let parameters = live_parameters(module)?;
        let weighted = |w: &DynTensor, y: DynTensor| {
            if y.shape() != output {
                return Err(JvpError::Shape(format!(
                    "the cotangents are {shape:?}, which does not stack K cotangents of the result, {:?}",
                    y.shape()
                )));
            }
            let n = output.iter().product();
            let flat = |t: DynTensor| Tensor::<1>::from_dispatch(t.reshaped(&[n]).0);
            Ok((flat(y) * flat(w.clone())).sum().into())
        };
        // Jᵀ·w as a function of the inputs and of w.
        let products = |module: &M, arguments: &[DynTensor]| {
            let (w, x) = arguments.split_last().expect("w is the last");
            let scalar = |y| weighted(w, y);
            let g = gradients(&self.function, scalar, module, x, variables);
            let g = g.unwrap_or_else(|error| refuse_recording(&error));
            let gradients = g.inputs.into_iter().chain(g.parameters.into_values());
            gradients.collect::<Vec<DynTensor>>()
        };
        // It is linear in w: the products of the other cotangents are its derivatives along them.
        let mut arguments = inputs.to_vec();
        arguments.push(cotangents.row(0).reshaped(output));
        let others = (k > 1).then(|| cotangents.rows(1..k));
        let point = Point {
            graph: self.graph(module, &arguments, &parameters, variables, &products)?,
            inputs: arguments.iter().map(|x| x.0.clone()).collect(),
            parameters,
            rules: self.rules.clone(),
        };
        let along = Tangents::of_inputs(vec![None; inputs.len()].into_iter().chain([others]));
        let (first, others) = point.evaluate(&along, &mut Primals::Compute)?;
        let stacks = first.into_iter().zip(others).map(|(first, others)| {
            let others = others.or_else(|| (k > 1).then(|| first.zero_stack(k - 1)));
            let first = first.into_stack_of_one();
            DynTensor::stack([first].into_iter().chain(others).collect())
        });
        Ok(variables.arrange(inputs.len(), stacks))
    }

    /// The K Gauss–Newton products `Jᵀ·H·J·v_k` in the inputs and parameters that have tangents.
    ///
    /// `metric` gets the output y and the derivatives `J·v`, `[K, *y.shape]`, and returns `H·J·v` of the same shape,
    /// with H the Hessian of the loss in y: for the sum of squares `‖y − t‖²` it is `2·J·v`.
    ///
    /// The cost is that of one [`along`](Self::along) and one [`vjp`](Self::vjp).
    ///
    /// # Errors
    /// As [`along`](Self::along) and [`vjp`](Self::vjp).
    ///
    /// # Example
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use burn_jvp::{DynTensor, Jvp, NoModule, Tangents};
    ///
    /// let device = Device::flex();
    /// let jvp = Jvp::new(|_: &NoModule, inputs: &[DynTensor]| {
    ///     inputs[0].get::<1>().powi_scalar(2).into()
    /// });
    /// let x = Tensor::<1>::from_floats([1.0, 3.0], &device);
    /// let v = Tensor::<2>::ones([1, 2], &device);
    /// let tangents = Tangents::of_inputs([Some(v.into())]);
    /// // The loss ½·‖y − target‖² has the Hessian 1 in y.
    /// let product = jvp.gauss_newton(&NoModule, &[x.into()], &tangents, |_, jv| jv).unwrap();
    /// // Jᵀ·J·v = (2·x)²·v
    /// let product = product.inputs[0].as_ref().unwrap().get::<2>().into_data();
    /// assert_eq!(product.to_vec::<f32>().unwrap(), [4.0, 36.0]);
    /// ```
    pub fn gauss_newton(
        &self,
        module: &M,
        inputs: &[DynTensor],
        tangents: &Tangents,
        metric: impl Fn(&DynTensor, DynTensor) -> DynTensor,
    ) -> Result<Tangents, JvpError> {
        let (y, t) = self.along(module, inputs, tangents)?;
        let Some(t) = t else {
            // The result does not move, so the product is zero.
            return Ok(tangents.scale(0.0));
        };
        let cotangents = metric(&y, t);
        self.vjp(module, inputs, &tangents.variables(), &cotangents)
    }
}
