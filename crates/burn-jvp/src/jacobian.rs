//! Whole Jacobians by forward mode.

use crate::dual::{dims, num_elements, reshape, stacked, zeros};
use crate::dyn_tensor::DynTensor;
use crate::error::JvpError;
use crate::function::Jvp;
use crate::tangents::Tangents;
use burn::backend::ops::FloatTensorOps;
use burn::backend::{Dispatch, TensorData, TensorMetadata};
use burn::module::Module;

impl<M, F> Jvp<M, F>
where
    M: Module,
    F: Fn(&M, &[DynTensor]) -> DynTensor,
{
    /// The Jacobian in the input at position `input`, `[*output.shape, *inputs[input].shape]`.
    ///
    /// One application of the derivative takes `chunk` columns, which bounds the memory. Forward mode suits functions
    /// that have fewer inputs than outputs.
    ///
    /// # Errors
    /// As [`Jvp::call`], and [`JvpError::Shape`] if there is no such float input or `chunk` is 0.
    ///
    /// # Example
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use burn_jvp::{DynTensor, Jvp, NoModule};
    ///
    /// let device = Device::flex();
    /// // (x₀·x₁, x₀ + x₁)
    /// let jvp = Jvp::new(|_: &NoModule, inputs: &[DynTensor]| {
    ///     let x = inputs[0].get::<1>();
    ///     let [a, b] = [0, 1].map(|i| x.clone().slice_dim(0, i..i + 1));
    ///     Tensor::cat(vec![a.clone() * b.clone(), a + b], 0).into()
    /// });
    /// let x = Tensor::<1>::from_floats([2.0, 5.0], &device);
    /// let jacobian = jvp.jacobian(&NoModule, &[x.into()], 0, 2).unwrap();
    /// let rows = jacobian.get::<2>().into_data();
    /// assert_eq!(rows.to_vec::<f32>().unwrap(), [5.0, 2.0, 1.0, 1.0]);
    /// ```
    pub fn jacobian(
        &self,
        module: &M,
        inputs: &[DynTensor],
        input: usize,
        chunk: usize,
    ) -> Result<DynTensor, JvpError> {
        let x = inputs.get(input).filter(|x| x.dtype().is_float());
        let x = x.ok_or_else(|| JvpError::Shape(format!("there is no float input {input}")))?;
        if chunk == 0 {
            return Err(JvpError::Shape("a chunk needs at least one column".into()));
        }
        let mut linear = self.linearize(module, inputs)?;
        let y = linear.value();
        let n = num_elements(&x.0);
        let mut columns = Vec::new();
        for first in (0..n).step_by(chunk) {
            let count = chunk.min(n - first);
            let mut unit = vec![0.0f64; count * n];
            (0..count).for_each(|row| unit[row * n + first + row] = 1.0);
            let unit = TensorData::new(unit, stacked(count, &x.shape())).convert_dtype(x.dtype());
            let unit = DynTensor(Dispatch::float_from_data(unit, &x.0.device()));
            let mut tangents = vec![None; inputs.len()];
            tangents[input] = Some(unit);
            let t = linear.push(&Tangents::of_inputs(tangents))?;
            columns.push(t.map_or_else(
                || zeros(&stacked(count, &y.shape()), &y.0.device(), y.dtype()),
                |t| t.0,
            ));
        }
        let shape = [y.shape(), x.shape()].concat();
        if columns.is_empty() {
            return Ok(DynTensor(zeros(&shape, &y.0.device(), y.dtype())));
        }
        let columns = Dispatch::float_cat(columns, 0);
        // [n, *y] to [*y, n].
        let rank = dims(&columns).len();
        let axes: Vec<usize> = (1..rank).chain([0]).collect();
        Ok(DynTensor(reshape(
            Dispatch::float_permute(columns, &axes),
            &shape,
        )))
    }
}
