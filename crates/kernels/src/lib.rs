//! Fast CPU kernels for the operations that a diffusion U-Net spends its time in, usable in plain Burn
//! modules on every device.
//!
//! [`silu`] and [`conv3x3`] are functions of tensors. On Burn's Flex backend in f32 they run kernels
//! written for the processor's vector instructions, found at run time; on other backends and in other
//! precisions they are Burn's own operations. They can be differentiated by autodiff and recorded by
//! Burn's capture device (as custom operations [`SILU`] and [`CONV3X3`]).
//!
//! Results do not depend on the number of threads.

#![allow(
    clippy::needless_range_loop,
    reason = "loops over registers and taps read best with their indices"
)]

mod autodiff;
mod backend;
mod capture;
mod composed;
mod conv;
mod flex;
mod isa;
mod swish;

use burn::backend::Dispatch;
use burn::tensor::Tensor;

pub use backend::KernelBackend;
pub use capture::{CONV3X3, SILU};

/// `x·s(x)`, `s(x) = 1/(1 + e⁻ˣ)`.
pub fn silu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    Tensor::from_dispatch(<Dispatch as KernelBackend>::silu(x.into_dispatch()))
}

/// 3×3 convolution with stride 1 and one pixel of zeros around: x `[n, i, h, w]`, weight `[o, i, 3, 3]`,
/// bias `[o]`, result `[n, o, h, w]`.
pub fn conv3x3(x: Tensor<4>, weight: Tensor<4>, bias: Tensor<1>) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as KernelBackend>::conv3x3(
        x.into_dispatch(),
        weight.into_dispatch(),
        bias.into_dispatch(),
    ))
}
