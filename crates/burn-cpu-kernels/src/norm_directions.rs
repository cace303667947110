//! Directions in which a group normalisation and its gradients are differentiated.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, ExtensionType};
#[cfg(feature = "gpu")]
use burn::backend::{Shape, TensorMetadata};

/// Directions in which a group normalisation is differentiated: of x, `[k, n, c, …]`, of γ and of β, both `[k, c]`.
#[derive(ExtensionType)]
#[extension_type(fusion: cfg(feature = "gpu"))]
pub enum NormDirections<B: Backend> {
    /// Directions of x.
    Data(FloatTensor<B>),
    /// Directions of γ and β.
    Weights {
        /// Directions of γ.
        gamma: FloatTensor<B>,
        /// Directions of β.
        beta: FloatTensor<B>,
    },
    /// Directions of x, γ and β.
    All {
        /// Directions of x.
        x: FloatTensor<B>,
        /// Directions of γ.
        gamma: FloatTensor<B>,
        /// Directions of β.
        beta: FloatTensor<B>,
    },
}

impl<B: Backend> NormDirections<B> {
    /// Number of directions.
    #[cfg(feature = "gpu")]
    pub(crate) fn count(&self) -> usize {
        match self {
            Self::Data(t) | Self::Weights { gamma: t, .. } | Self::All { x: t, .. } => t.shape()[0],
        }
    }

    /// The directions of x and those of γ and β.
    pub(crate) fn parts(self) -> (Option<FloatTensor<B>>, Option<[FloatTensor<B>; 2]>) {
        match self {
            Self::Data(x) => (Some(x), None),
            Self::Weights { gamma, beta } => (None, Some([gamma, beta])),
            Self::All { x, gamma, beta } => (Some(x), Some([gamma, beta])),
        }
    }
}

#[cfg(feature = "gpu")]
impl NormDirectionsMetadata {
    /// Shape of the tangents of values of the shape `inner`.
    pub(crate) fn stacked(&self, inner: &Shape) -> Shape {
        let (Self::Data(t) | Self::Weights { gamma: t, .. } | Self::All { x: t, .. }) = self;
        [&t.shape.as_slice()[..1], inner.as_slice()].concat().into()
    }
}

/// Directions of what the gradients of a group normalisation depend on: x and the gradient of the result, both
/// `[k, n, c, …]`, γ and β, both `[k, c]`.
#[derive(ExtensionType)]
#[extension_type(fusion: cfg(feature = "gpu"))]
pub struct NormGradientDirections<B: Backend> {
    /// Directions of x.
    pub x: FloatTensor<B>,
    /// Directions of γ.
    pub gamma: FloatTensor<B>,
    /// Directions of β.
    pub beta: FloatTensor<B>,
    /// Directions of the gradient of the result.
    pub grad: FloatTensor<B>,
}
