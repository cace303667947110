//! Second derivatives along a direction, forward over forward.

use crate::dyn_tensor::DynTensor;
use crate::error::JvpError;
use crate::function::Jvp;
use crate::graph::refuse_recording;
use burn::module::Module;

impl<M, F> Jvp<M, F>
where
    M: Module,
    F: Fn(&M, &[DynTensor]) -> DynTensor,
{
    /// The value, the derivatives and the second derivatives `d²f(x + ε·v)/dε²` along K directions of the inputs.
    ///
    /// The rules of the first derivative are recorded in their turn and differentiated once more: calls of
    /// [`call`](Self::call) nest to any order, and this is the nesting of two. The inner function is recorded once, the
    /// outer anew at each call.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    ///
    /// # Example
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use burn_jvp::{DynTensor, Jvp, NoModule};
    ///
    /// let device = Device::flex();
    /// let jvp = Jvp::new(|_: &NoModule, inputs: &[DynTensor]| {
    ///     inputs[0].get::<1>().powi_scalar(3).into()
    /// });
    /// let x = Tensor::<1>::from_floats([2.0], &device);
    /// let v = Tensor::<2>::ones([1, 1], &device);
    /// let (y, first, second) = jvp
    ///     .second_derivative(&NoModule, &[x.into()], &[Some(v.into())])
    ///     .unwrap();
    /// // x³, 3·x², 6·x
    /// assert_eq!(y.get::<1>().into_scalar::<f32>(), 8.0);
    /// assert_eq!(first.get::<2>().into_scalar::<f32>(), 12.0);
    /// assert_eq!(second.get::<2>().into_scalar::<f32>(), 12.0);
    /// ```
    pub fn second_derivative(
        &self,
        module: &M,
        inputs: &[DynTensor],
        tangents: &[Option<DynTensor>],
    ) -> Result<(DynTensor, DynTensor, DynTensor), JvpError> {
        let k = tangents.iter().flatten().map(|t| t.shape()[0]).next();
        let Some(k) = k else {
            return Err(JvpError::Shape("no input has a tangent".into()));
        };
        // The value and the derivative along the tangents that come as further inputs.
        let first = Jvp::with_outputs(|module: &M, arguments: &[DynTensor]| {
            let (x, v) = arguments.split_at(inputs.len());
            let mut v = v.iter().cloned();
            let along: Vec<_> = tangents
                .iter()
                .map(|t| t.as_ref().and_then(|_| v.next()))
                .collect();
            let (y, t) = self
                .call(module, x, &along)
                .unwrap_or_else(|error| refuse_recording(&error));
            let t = t.unwrap_or_else(|| y.zero_stack(1));
            [y, t]
        })
        .with_rules(&self.rules);
        let (mut firsts, mut seconds, mut value) = (Vec::new(), Vec::new(), None);
        for index in 0..k {
            let single: Vec<Option<DynTensor>> = tangents
                .iter()
                .map(|t| t.as_ref().map(|t| t.row(index)))
                .collect();
            let arguments: Vec<DynTensor> = inputs
                .iter()
                .cloned()
                .chain(single.iter().flatten().cloned())
                .collect();
            let mut along = single.clone();
            along.resize(arguments.len(), None);
            let ([y, first], [_, second]) = first.call(module, &arguments, &along)?;
            // [1, 1, *y] to [1, *y].
            let second = second.map_or_else(|| y.zero_stack(1), |t| t.reshaped(&first.shape()));
            value = Some(y);
            firsts.push(first);
            seconds.push(second);
        }
        let value = value.expect("there is at least one direction");
        Ok((value, DynTensor::stack(firsts), DynTensor::stack(seconds)))
    }
}
