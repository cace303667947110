//! The derivative of a function at one point, as a linear map that is applied many times.

use crate::dyn_tensor::DynTensor;
use crate::error::JvpError;
use crate::function::{Jvp, Point};
use crate::interpreter::Primals;
use crate::outputs::Outputs;
use crate::tangents::Tangents;
use burn::module::Module;
use std::collections::HashMap;
use std::marker::PhantomData;

/// The linear map `v ↦ J·v` of a function at one point.
///
/// It keeps the value of every operation, as much memory as a backward pass needs, so that an application computes
/// tangents only. (The rules of custom operations compute their primal anew.)
pub struct Linearized<O> {
    point: Point,
    values: Vec<DynTensor>,
    kept: Primals,
    outputs: PhantomData<fn() -> O>,
}

impl<O: Outputs> Linearized<O> {
    /// The value of the function.
    pub fn value(&self) -> O {
        O::from_tensors(self.values.clone())
    }

    /// The K derivatives `J_x·x' + J_θ·θ'` along `tangents`.
    ///
    /// # Errors
    /// As [`Jvp::along`].
    pub fn push(&mut self, tangents: &Tangents) -> Result<O::Tangents, JvpError> {
        let (_, derivatives) = self.point.evaluate(tangents, &mut self.kept)?;
        Ok(O::tangents(derivatives))
    }
}

impl<M, F, O> Jvp<M, F>
where
    M: Module,
    F: Fn(&M, &[DynTensor]) -> O,
    O: Outputs,
{
    /// Evaluates the function once and gives its derivative at this point, to be applied many times.
    ///
    /// # Errors
    /// As [`Jvp::along`].
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
    /// let mut derivative = jvp.linearize(&NoModule, &[x.into()]).unwrap();
    /// for v in [[[1.0, 0.0]], [[0.0, 1.0]]] {
    ///     let v = Tensor::<2>::from_floats(v, &device);
    ///     let tangents = Tangents::of_inputs([Some(v.clone().into())]);
    ///     let dy = derivative.push(&tangents).unwrap().unwrap().get::<2>();
    ///     // 2·x·v
    ///     let expected = v * Tensor::from_floats([[2.0, 6.0]], &device);
    ///     assert_eq!(dy.into_data(), expected.into_data());
    /// }
    /// ```
    pub fn linearize(&self, module: &M, inputs: &[DynTensor]) -> Result<Linearized<O>, JvpError> {
        let none = Tangents::default();
        let point = self.point(module, inputs, &none)?;
        let mut kept = Primals::Keep(HashMap::new());
        let (values, _) = point.evaluate(&none, &mut kept)?;
        let Primals::Keep(kept) = kept else {
            unreachable!("an evaluation does not change what happens to primals")
        };
        Ok(Linearized {
            point,
            values,
            kept: Primals::Reuse(kept),
            outputs: PhantomData,
        })
    }
}
