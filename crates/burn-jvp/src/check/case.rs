//! A function at one point, and the comparisons of its derivatives that [`check_along`](super::check_along) makes.

use super::compare::{compare, dot, numbers, same_kind};
use super::property::{CheckError, Property};
use crate::dual::{add, dims, expand, reshape, scale, stacked};
use crate::dyn_tensor::DynTensor;
use crate::function::Jvp;
use crate::tangents::{Tangents, Variable};
use burn::backend::ops::FloatTensorOps;
use burn::backend::{Dispatch, Slice, TensorMetadata};
use burn::module::Module;
use burn::tensor::{Device, Tensor};

/// A function with a point at which it is differentiated.
pub(super) struct Case<'a, M, F> {
    pub jvp: &'a Jvp<M, F>,
    pub module: &'a M,
    pub inputs: &'a [DynTensor],
}

impl<M, F> Case<'_, M, F>
where
    M: Module,
    F: Fn(&M, &[DynTensor]) -> DynTensor,
{
    /// The derivatives along stacked tangents, after a check of the value.
    pub fn derivatives(&self, tangents: &Tangents) -> Result<Vec<f64>, CheckError> {
        let (y, t) = self.jvp.along(self.module, self.inputs, tangents)?;
        let expected = (self.jvp.function)(self.module, self.inputs);
        if !expected.dtype().is_float() {
            return Err(CheckError::Arguments("the output is not of floats"));
        }
        same_kind(Property::Value, &y.0, &dims(&expected.0), expected.dtype())?;
        compare(Property::Value, &numbers(&y.0), &numbers(&expected.0), 0.0)?;
        let k = tangents.k();
        let t = t.unwrap_or_else(|| y.zero_stack(k));
        let shape = stacked(k, &y.shape());
        same_kind(Property::Stacking, &t.0, &shape, y.dtype())?;
        Ok(numbers(&t.0))
    }

    /// Every variable alone, and every set of up to four variables: the derivatives of each set add up from single ones.
    pub fn check_subsets(
        &self,
        tangents: &Tangents,
        joint: &[f64],
        tolerance: f64,
    ) -> Result<(), CheckError> {
        let variables = tangents.variables();
        let inputs = variables.inputs.iter().copied().map(Variable::Input);
        let parameters = variables.parameters.iter().copied();
        let all: Vec<Variable> = inputs.chain(parameters.map(Variable::Parameter)).collect();
        let mut alone = Vec::with_capacity(all.len());
        for variable in &all {
            alone.push(self.derivatives(&tangents.only(&[*variable]))?);
        }
        let sum = |members: &[usize]| {
            let mut total = vec![0.0; joint.len()];
            for member in members {
                let pairs = total.iter_mut().zip(&alone[*member]);
                pairs.for_each(|(total, d)| *total += d);
            }
            total
        };
        let everything: Vec<usize> = (0..all.len()).collect();
        compare(Property::Additivity, &sum(&everything), joint, tolerance)?;
        if all.len() > 4 {
            return Ok(());
        }
        // The sets between one variable and all.
        for set in 1..(1usize << all.len()) - 1 {
            let members: Vec<usize> = (0..all.len()).filter(|i| set >> i & 1 == 1).collect();
            if members.len() > 1 {
                let chosen: Vec<Variable> = members.iter().map(|i| all[*i]).collect();
                let derivatives = self.derivatives(&tangents.only(&chosen))?;
                compare(
                    Property::Additivity,
                    &derivatives,
                    &sum(&members),
                    tolerance,
                )?;
            }
        }
        Ok(())
    }

    /// The same derivatives from tensors whose axes lie in memory in the reverse order, and from tangents that repeat
    /// one direction by a stride of zero.
    pub fn check_layouts(
        &self,
        tangents: &Tangents,
        joint: &[f64],
        tolerance: f64,
    ) -> Result<(), CheckError> {
        let inputs: Vec<DynTensor> = self.inputs.iter().map(reversed_in_memory).collect();
        let case = Case {
            jvp: self.jvp,
            module: self.module,
            inputs: &inputs,
        };
        let derivatives = case.along(&tangents.map(reversed_in_memory))?;
        compare(Property::Layout, &derivatives, joint, tolerance)?;
        let k = tangents.k();
        let repeated = tangents.map(|t| {
            let shape = t.shape();
            DynTensor(expand(t.row(0).0, &shape))
        });
        let derivatives = self.along(&repeated)?;
        let first = &joint[..joint.len() / k];
        compare(Property::Layout, &derivatives, &first.repeat(k), tolerance)
    }

    /// No value and no derivative without a sample.
    pub fn check_empty_batch(
        &self,
        tangents: &Tangents,
        batch: &[usize],
    ) -> Result<(), CheckError> {
        let empty = |position: usize, t: &DynTensor, axis: usize| {
            if !batch.contains(&position) {
                return t.clone();
            }
            let mut ranges = vec![Slice::new(0, None, 1); axis];
            ranges.push(Slice::new(0, Some(0), 1));
            DynTensor(Dispatch::float_slice(t.0.clone(), &ranges))
        };
        let inputs = self.inputs.iter().enumerate();
        let inputs: Vec<DynTensor> = inputs.map(|(i, x)| empty(i, x, 0)).collect();
        let stacks = tangents.inputs.iter().enumerate();
        let stacks = stacks.map(|(i, t)| t.as_ref().map(|t| empty(i, t, 1)));
        let tangents = Tangents {
            inputs: stacks.collect(),
            parameters: tangents.parameters.clone(),
        };
        let case = Case {
            jvp: self.jvp,
            module: self.module,
            inputs: &inputs,
        };
        let derivatives = case.along(&tangents)?;
        compare(Property::EmptyBatch, &derivatives, &[], 0.0)
    }

    /// The derivatives along stacked tangents, explicit zeros where there are none.
    fn along(&self, tangents: &Tangents) -> Result<Vec<f64>, CheckError> {
        let (y, t) = self.jvp.along(self.module, self.inputs, tangents)?;
        Ok(numbers(&t.unwrap_or_else(|| y.zero_stack(tangents.k())).0))
    }

    /// `(f(x + h·v) − f(x − h·v))/2h` along the direction v, a stack of one, with h = `step`.
    pub fn central_difference(&self, direction: &Tangents, step: f64) -> Vec<f64> {
        let value = |h: f64| {
            let mut directions = direction.inputs.iter();
            let moved = self.inputs.iter().map(|x| match directions.next() {
                Some(Some(v)) => {
                    let v = reshape(v.0.clone(), &x.shape());
                    DynTensor(add(x.0.clone(), scale(v, h)))
                }
                _ => x.clone(),
            });
            let inputs: Vec<DynTensor> = moved.collect();
            // `valid` first: moving the running state of a module writes through to its clones.
            let module = direction.parameters.displace(self.module.valid(), 0, h);
            numbers(&(self.jvp.function)(&module, &inputs).0)
        };
        let (up, down) = (value(step), value(-step));
        let pairs = up.iter().zip(&down);
        pairs.map(|(up, down)| (up - down) / (2.0 * step)).collect()
    }

    /// `⟨Jᵀ·w, v⟩` for a direction v, a stack of one, with `Jᵀ·w` from autodiff.
    pub fn adjoint_product(
        &self,
        direction: &Tangents,
        weights: &[f64],
    ) -> Result<f64, CheckError> {
        // In a copy of the module that has no gradients of its own.
        let module = self.module.valid();
        let y = (self.jvp.function)(self.module, self.inputs);
        let weights = Tensor::<1>::from_data(weights, (&Device::new(y.0.device()), y.dtype()));
        let weights = DynTensor::from(weights).reshaped(&stacked(1, &y.shape()));
        let variables = direction.variables();
        let products = self.jvp.vjp(&module, self.inputs, &variables, &weights)?;
        let pairs = products.inputs.iter().zip(&direction.inputs);
        let of_inputs = pairs.map(|(g, v)| match (g, v) {
            (Some(g), Some(v)) => dot(&numbers(&g.0), &numbers(&v.0)),
            _ => 0.0,
        });
        let of_parameters = products.parameters.dot(&direction.parameters);
        Ok(of_inputs.chain(of_parameters).sum())
    }
}

/// The tensor with its axes in the reverse order in memory.
fn reversed_in_memory(t: &DynTensor) -> DynTensor {
    if !t.dtype().is_float() {
        return t.clone();
    }
    let shape = t.shape();
    let axes: Vec<usize> = (0..shape.len()).rev().collect();
    let reversed = Dispatch::float_permute(t.0.clone(), &axes);
    // A copy of the reversed tensor, seen in the order before.
    let copy = Dispatch::float_from_data(
        Tensor::<1>::from_dispatch(reshape(reversed, &[shape.iter().product()])).into_data(),
        &t.0.device(),
    );
    let backwards: Vec<usize> = shape.iter().rev().copied().collect();
    DynTensor(Dispatch::float_permute(reshape(copy, &backwards), &axes))
}
