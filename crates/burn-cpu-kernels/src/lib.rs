//! Fast CPU kernels for the operations that a diffusion U-Net spends its time in, usable in plain Burn
//! modules on every device.
//!
//! [`silu`], [`group_norm`], [`conv3x3`], [`pointwise`] and [`attention`] are functions of tensors. On Burn's Flex
//! backend in f32 they run kernels written for the processor's vector instructions, found at run time; on other
//! backends and in other precisions they are Burn's own operations. They can be differentiated by autodiff and
//! recorded by Burn's capture device, as custom operations ([`SILU`] and so on).
//!
//! Results do not depend on the number of threads.

#![allow(
    clippy::needless_range_loop,
    reason = "loops over registers and taps read best with their indices"
)]

mod attention;
mod autodiff;
mod backend;
mod capture;
mod composed;
mod conv;
mod flex;
mod isa;
mod matrix;
mod norm;
mod pointwise;
mod swish;

use burn::backend::Dispatch;
use burn::tensor::Tensor;

pub use backend::KernelBackend;
pub use capture::{ATTENTION, CONV3X3, GROUP_NORM, POINTWISE, SILU};
pub use norm::Norm;

/// `x·s(x)`, `s(x) = 1/(1 + e⁻ˣ)`.
pub fn silu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    Tensor::from_dispatch(<Dispatch as KernelBackend>::silu(x.into_dispatch()))
}

/// Group normalisation of x `[n, c, …]` with γ and β `[c]`, followed by SiLU where `norm` says so.
pub fn group_norm<const D: usize>(
    x: Tensor<D>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    norm: Norm,
) -> Tensor<D> {
    Tensor::from_dispatch(<Dispatch as KernelBackend>::group_norm(
        x.into_dispatch(),
        gamma.into_dispatch(),
        beta.into_dispatch(),
        norm,
    ))
}

/// 3×3 convolution with stride 1 and one pixel of zeros around: x `[n, i, h, w]`, weight `[o, i, 3, 3]`,
/// bias `[1, o]`, or `[n, o]` for each image its own, result `[n, o, h, w]`.
pub fn conv3x3(x: Tensor<4>, weight: Tensor<4>, bias: Tensor<2>) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as KernelBackend>::conv3x3(
        x.into_dispatch(),
        weight.into_dispatch(),
        bias.into_dispatch(),
    ))
}

/// The same linear map of the channels at every pixel: x `[n, i, h, w]`, weight `[i, o]`, bias `[o]`, result
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
