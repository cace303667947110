#![doc = include_str!("../README.md")]
#![allow(
    clippy::needless_range_loop,
    reason = "loops over registers and taps read best with their indices"
)]

mod attention;
mod autodiff;
mod backend;
mod capture;
mod conv;
#[cfg(feature = "gpu")]
mod cube;
mod flex;
#[cfg(test)]
mod instruction_sets;
#[cfg(feature = "jvp")]
pub mod jvp;
mod matrix;
mod norm;
mod norm_directions;
mod packed;
pub mod panels;
mod pointwise;
mod reference;
mod silu;
mod simd;
mod stride;
mod uninit;

use burn::backend::Dispatch;
use burn::tensor::Tensor;

pub use backend::KernelBackend;
pub use capture::{
    ATTENTION, CHANNEL_SUMS, CONV3X3, CONV3X3_INPUT_GRADIENT, CONV3X3_WEIGHT_GRADIENT, GROUP_NORM,
    GROUP_NORM_GRADIENT, POINTWISE, POINTWISE_INPUT_GRADIENT, POINTWISE_WEIGHT_GRADIENT, SILU,
};
pub use norm::GroupNormOptions;
pub use norm_directions::{NormDirections, NormGradientDirections};
pub use stride::Stride;

/// `x·s(x)`, `s(x) = 1/(1 + e⁻ˣ)`.
pub fn silu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    Tensor::from_dispatch(<Dispatch as KernelBackend>::silu(x.into_dispatch()))
}

/// Group normalisation of x `[n, c, …]` with γ and β `[c]`, followed by SiLU if `options.silu`.
pub fn group_norm<const D: usize>(
    x: Tensor<D>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    options: GroupNormOptions,
) -> Tensor<D> {
    Tensor::from_dispatch(<Dispatch as KernelBackend>::group_norm(
        x.into_dispatch(),
        gamma.into_dispatch(),
        beta.into_dispatch(),
        options,
    ))
}

/// 3×3 convolution: x `[n, i, h, w]`, weight `[o, i, 3, 3]`, bias `[1, o]` for all images or `[n, o]` for each, result
/// `[n, o, h, w]` with [`Stride::One`] and about half as many rows and columns with the others.
pub fn conv3x3(x: Tensor<4>, weight: Tensor<4>, bias: Tensor<2>, stride: Stride) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as KernelBackend>::conv3x3(
        x.into_dispatch(),
        weight.into_dispatch(),
        bias.into_dispatch(),
        stride,
    ))
}

/// The 1×1 convolution, a linear map of the channels at every pixel: x `[n, i, h, w]`, weight `[i, o]`, bias `[o]`, result
/// `[n, o, h, w]`.
pub fn pointwise(x: Tensor<4>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as KernelBackend>::pointwise(
        x.into_dispatch(),
        weight.into_dispatch(),
        bias.into_dispatch(),
    ))
}

/// Self-attention of the pixels: q, k and v are the thirds of `qkv` `[n, 3·c, h, w]`, each of `heads` heads of `c/heads`
/// channels; the result, `softmax(qᵀk/√channels)·v` for each head, is `[n, c, h, w]`.
pub fn attention(qkv: Tensor<4>, heads: usize) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as KernelBackend>::self_attention(
        qkv.into_dispatch(),
        heads,
    ))
}
