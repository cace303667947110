//! Tensors of any rank and kind.

use crate::dual::{RawTensor, dims};
use burn::backend::TensorMetadata;
use burn::tensor::kind::Basic;
use burn::tensor::{DType, Tensor};

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
