//! Tensors of any rank and kind.

use crate::dual::{RawTensor, concat, dims, narrow, reshape, stacked, zeros};
use burn::backend::TensorMetadata;
use burn::tensor::kind::Basic;
use burn::tensor::{DType, Device, Tensor, TensorData};
use std::ops::Range;

/// A tensor of any rank and kind, so that inputs of differing ranks fit in one slice.
#[derive(Clone, Debug)]
pub struct DynTensor(pub(crate) RawTensor);

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

    /// The float tensor of numbers of any shape, in their element type.
    pub fn from_floats(data: TensorData, device: &Device) -> Self {
        let shape = data.shape().to_vec();
        let (bytes, _, dtype) = data.into_parts();
        let flat = TensorData::from_bytes(bytes, [shape.iter().product::<usize>()], dtype);
        let flat = Tensor::<1>::from_data(flat, (device, dtype));
        Self(reshape(flat.into_dispatch(), &shape))
    }

    /// The numbers of a float tensor, in its shape and element type.
    ///
    /// # Panics
    /// If the tensor holds no floats.
    pub fn to_floats(&self) -> TensorData {
        let shape = self.shape();
        let flat = reshape(self.0.clone(), &[shape.iter().product::<usize>()]);
        let (bytes, _, dtype) = Tensor::<1>::from_dispatch(flat).into_data().into_parts();
        TensorData::from_bytes(bytes, shape, dtype)
    }

    /// The tensor as a stack `[1, *shape]`.
    pub(crate) fn into_stack_of_one(self) -> Self {
        let shape = stacked(1, &self.shape());
        Self(reshape(self.0, &shape))
    }

    /// Zeros `[k, *shape]` for this tensor.
    pub(crate) fn zero_stack(&self, k: usize) -> Self {
        let shape = stacked(k, &self.shape());
        Self(zeros(&shape, &self.0.device(), self.0.dtype()))
    }

    /// Entry `index` of a stack, as a stack of one.
    pub(crate) fn row(&self, index: usize) -> Self {
        self.rows(index..index + 1)
    }

    /// Entries of a stack, as a stack.
    pub(crate) fn rows(&self, entries: Range<usize>) -> Self {
        Self(narrow(self.0.clone(), entries))
    }

    /// Float stacks joined to one.
    pub(crate) fn stack(stacks: Vec<Self>) -> Self {
        Self(concat(stacks.into_iter().map(|t| t.0).collect()))
    }

    /// A float tensor in another shape with as many entries.
    ///
    /// # Panics
    /// If the tensor holds no floats, or another number of entries.
    pub fn reshaped(self, shape: &[usize]) -> Self {
        Self(reshape(self.0, shape))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_of_any_rank_are_given_back_as_they_were() {
        let device = Device::flex();
        for shape in [vec![3], vec![2, 1, 3], vec![1, 2, 2, 1, 3]] {
            let count = shape.iter().product();
            let numbers: Vec<f32> = (0..count).map(|i| 0.1 * i as f32 - 1.0).collect();
            let data = TensorData::new(numbers, shape.clone());
            let tensor = DynTensor::from_floats(data.clone(), &device);
            assert_eq!((tensor.shape(), tensor.to_floats()), (shape, data));
        }
    }
}
