//! The trait of the operations, for every backend.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, backend_extension};

use crate::norm::GroupNormOptions;
use crate::norm_directions::{NormDirections, NormGradientDirections};
use crate::reference;
use crate::stride::Stride;

/// The operations of this crate on a backend. Flex has kernels; the default bodies are the reference implementations.
#[backend_extension(
    Flex,
    Capture,
    Autodiff,
    NdArray: cfg(feature = "ndarray"),
    Cube: cfg(feature = "gpu"),
    Fusion: cfg(feature = "gpu")
)]
pub trait KernelBackend: Backend {
    /// `x·s(x)`, `s(x) = 1/(1 + e⁻ˣ)`, of any shape.
    #[fusion(default)]
    fn silu(x: FloatTensor<Self>) -> FloatTensor<Self> {
        reference::silu::<Self>(x)
    }

    /// `grad·silu'(x)`, both of one shape: a gradient pulled back or a tangent pushed on.
    #[fusion(default)]
    fn silu_derivative(x: FloatTensor<Self>, grad: FloatTensor<Self>) -> FloatTensor<Self> {
        reference::silu_derivative::<Self>(x, grad)
    }

    /// Group normalisation of x `[n, c, …]` with γ and β `[c]` and, with `options.silu`, SiLU after it.
    #[fusion(dtype = x, shape = x)]
    fn group_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        options: GroupNormOptions,
    ) -> FloatTensor<Self> {
        reference::group_norm::<Self>(x, gamma, beta, options)
    }

    /// Tangents of [`group_norm`](Self::group_norm), `[k, n, c, …]`, along k directions.
    #[fusion(dtype = x, shape = directions.stacked(x))]
    fn group_norm_tangent(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        #[extension_type] directions: NormDirections<Self>,
        options: GroupNormOptions,
    ) -> FloatTensor<Self> {
        reference::group_norm_tangent::<Self>(x, gamma, beta, directions, options)
    }

    /// Gradients of [`group_norm`](Self::group_norm) in x, γ and β, from that of the result.
    #[fusion(meta = |x, gamma, beta, _, _| (x.clone(), gamma.clone(), beta.clone()))]
    fn group_norm_gradient(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        options: GroupNormOptions,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        reference::group_norm_gradient::<Self>(x, gamma, beta, grad, options)
    }

    /// Tangents of [`group_norm_gradient`](Self::group_norm_gradient), `[k, n, c, …]`, `[k, c]` and `[k, c]`, along k
    /// directions.
    #[fusion(default)]
    fn group_norm_gradient_tangent(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        #[extension_type] directions: NormGradientDirections<Self>,
        options: GroupNormOptions,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        reference::group_norm_gradient_tangent::<Self>(x, gamma, beta, grad, directions, options)
    }

    /// 3×3 convolution: x `[n, i, h, w]`, weight `[o, i, 3, 3]`, bias `[1, o]` or `[n, o]`.
    #[fusion(default)]
    fn conv3x3(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        stride: Stride,
    ) -> FloatTensor<Self> {
        reference::conv3x3::<Self>(x, weight, bias, stride)
    }

    /// Gradient of [`conv3x3`](Self::conv3x3) in x, of so many rows and columns, from that of the result.
    #[fusion(default)]
    fn conv3x3_input_gradient(
        weight: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        stride: Stride,
        size: [usize; 2],
    ) -> FloatTensor<Self> {
        reference::conv3x3_input_gradient::<Self>(weight, grad, stride, size)
    }

    /// Gradient of [`conv3x3`](Self::conv3x3) in the weight, from that of the result.
    #[fusion(default)]
    fn conv3x3_weight_gradient(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        stride: Stride,
    ) -> FloatTensor<Self> {
        reference::conv3x3_weight_gradient::<Self>(x, weight, grad, stride)
    }

    /// A linear map of the channels: x `[n, i, h, w]`, weight `[i, o]`, bias `[o]`, result `[n, o, h, w]`.
    #[fusion(default)]
    fn pointwise(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        reference::pointwise::<Self>(x, weight, bias)
    }

    /// Gradient of [`pointwise`](Self::pointwise) in x, from that of the result.
    #[fusion(default)]
    fn pointwise_input_gradient(
        weight: FloatTensor<Self>,
        grad: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        reference::pointwise_input_gradient::<Self>(weight, grad)
    }

    /// Gradient of [`pointwise`](Self::pointwise) in the weight, from that of the result.
    #[fusion(default)]
    fn pointwise_weight_gradient(
        x: FloatTensor<Self>,
        grad: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        reference::pointwise_weight_gradient::<Self>(x, grad)
    }

    /// The sum of each channel of each image: x `[n, c, h, w]`, result `[n, c]`.
    #[fusion(default)]
    fn channel_sums(x: FloatTensor<Self>) -> FloatTensor<Self> {
        reference::channel_sums::<Self>(x)
    }

    /// Self-attention of the pixels: q, k and v are thirds of `qkv` `[n, 3·c, h, w]`, each of `heads` heads;
    /// result `[n, c, h, w]`.
    #[fusion(default)]
    fn self_attention(qkv: FloatTensor<Self>, heads: usize) -> FloatTensor<Self> {
        reference::attention::<Self>(qkv, heads)
    }

    /// Tangents of [`self_attention`](Self::self_attention), `[k, n, c, h, w]`, along directions `[k, n, 3·c, h, w]`.
    #[fusion(default)]
    fn self_attention_tangent(
        qkv: FloatTensor<Self>,
        tangents: FloatTensor<Self>,
        heads: usize,
    ) -> FloatTensor<Self> {
        reference::attention_tangent::<Self>(qkv, tangents, heads)
    }

    /// Gradient of [`self_attention`](Self::self_attention), from that of the result.
    #[fusion(default)]
    fn self_attention_gradient(
        qkv: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        heads: usize,
    ) -> FloatTensor<Self> {
        reference::attention_gradient::<Self>(qkv, grad, heads)
    }
}

#[cfg(feature = "ndarray")]
#[expect(deprecated, reason = "an independent backend to check against")]
impl KernelBackend for burn::backend::NdArray {}
