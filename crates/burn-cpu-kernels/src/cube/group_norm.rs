//! Group normalisation on a GPU.
//!
//! The formulas are those of [`norm`](crate::norm). Convolutions on a GPU read and write images with the channels last, and
//! Burn's own reductions with the channels first. These kernels read either order, so that no image is copied from one
//! order into the other, and write with the channels last, which is what the next convolution reads.

mod kernels;

use burn::backend::{DType, Shape, TensorMetadata};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::images::{Images, empty};
use crate::norm::GroupNormOptions;
use kernels::{UNITS, forward_kernel, gradient_kernel, tangent_kernel};

/// Largest number of cubes along an axis that every GPU has.
const MAX_CUBES: usize = 65_535;

/// Shape of a launch: a cube for each group of each image, along each direction.
struct Launch {
    count: CubeCount,
    /// Channels of a group.
    group: usize,
    pixels: usize,
}

impl Launch {
    fn new(x: &CubeTensor, options: GroupNormOptions, directions: usize) -> Self {
        let shape = x.shape();
        let cubes = [options.groups, shape[0], directions].map(|n| n as u32);
        Self {
            count: CubeCount::Static(cubes[0], cubes[1], cubes[2]),
            group: shape[1] / options.groups,
            pixels: shape[2..].iter().product(),
        }
    }
}

/// True if the kernels can take x, along `directions` directions, and all tensors are f32.
pub fn fits(
    x: &CubeTensor,
    others: &[&CubeTensor],
    options: GroupNormOptions,
    directions: usize,
) -> bool {
    let shape = x.shape();
    let single = |tensor: &CubeTensor| tensor.dtype == DType::F32;
    single(x)
        && others.iter().all(|other| single(other))
        && shape.num_elements() > 0
        && shape[1] / options.groups <= UNITS as usize
        && [options.groups, shape[0], directions]
            .iter()
            .all(|cubes| *cubes <= MAX_CUBES)
}

/// `γ·x̂ + β`, or its SiLU: x `[n, c, …]`, γ and β `[c]`.
pub fn forward(
    x: CubeTensor,
    gamma: CubeTensor,
    beta: CubeTensor,
    options: GroupNormOptions,
) -> CubeTensor {
    let launch = Launch::new(&x, options, 1);
    let out = Images::empty_like(&x, x.shape(), 1);
    let x = Images::new(x, 1);
    let client = out.client.clone();
    // SAFETY: every unit stays within its channel of its image, and γ and β have a number for each channel.
    unsafe {
        forward_kernel::launch_unchecked(
            &client,
            launch.count,
            CubeDim::new_1d(UNITS),
            x.tensor.into_tensor_arg(),
            into_contiguous(gamma).into_tensor_arg(),
            into_contiguous(beta).into_tensor_arg(),
            out.clone().into_tensor_arg(),
            launch.group,
            launch.pixels,
            options.epsilon as f32,
            x.channels_last,
            options.silu,
        );
    }
    out
}

/// Tangents of [`forward`], `[k, n, c, …]`, along directions of x, of the same shape, and of γ and β, `[k, c]`. One of
/// them at least is given.
pub fn tangent(
    x: CubeTensor,
    gamma: CubeTensor,
    beta: CubeTensor,
    data: Option<CubeTensor>,
    weights: Option<[CubeTensor; 2]>,
    options: GroupNormOptions,
) -> CubeTensor {
    let first = data.iter().chain(weights.iter().flatten()).next();
    let directions = first.expect("one direction at least").shape()[0];
    let launch = Launch::new(&x, options, directions);
    let mut shape = vec![directions];
    shape.extend_from_slice(x.shape().as_slice());
    let out = Images::empty_like(&x, Shape::from(shape), 2);
    let x = Images::new(x, 1);
    let [gamma, beta] = [gamma, beta].map(into_contiguous);
    let (has_data, has_weights) = (data.is_some(), weights.is_some());
    let data = Images::new(
        data.unwrap_or_else(|| gamma.clone()),
        if has_data { 2 } else { 0 },
    );
    let [gamma_moved, beta_moved] = weights
        .unwrap_or_else(|| [gamma.clone(), beta.clone()])
        .map(into_contiguous);
    let client = out.client.clone();
    // SAFETY: every unit stays within its channel of its image, and directions that are absent are not read.
    unsafe {
        tangent_kernel::launch_unchecked(
            &client,
            launch.count,
            CubeDim::new_1d(UNITS),
            x.tensor.into_tensor_arg(),
            gamma.into_tensor_arg(),
            beta.into_tensor_arg(),
            data.tensor.into_tensor_arg(),
            gamma_moved.into_tensor_arg(),
            beta_moved.into_tensor_arg(),
            out.clone().into_tensor_arg(),
            launch.group,
            launch.pixels,
            options.epsilon as f32,
            x.channels_last,
            data.channels_last,
            has_data,
            has_weights,
            options.silu,
        );
    }
    out
}

/// The gradient of [`forward`] in x, and for each image, `[n, c]`, those in γ and β, from that of the result.
pub fn gradient(
    x: CubeTensor,
    gamma: CubeTensor,
    beta: CubeTensor,
    grad: CubeTensor,
    options: GroupNormOptions,
) -> [CubeTensor; 3] {
    let launch = Launch::new(&x, options, 1);
    let shape = x.shape();
    let on_x = Images::empty_like(&x, shape.clone(), 1);
    let [on_gamma, on_beta] = [0, 1].map(|_| empty(&x, Shape::new([shape[0], shape[1]])));
    let (x, grad) = (Images::new(x, 1), Images::new(grad, 1));
    let client = on_x.client.clone();
    // SAFETY: every unit stays within its channel of its image, and γ and β have a number for each channel.
    unsafe {
        gradient_kernel::launch_unchecked(
            &client,
            launch.count,
            CubeDim::new_1d(UNITS),
            x.tensor.into_tensor_arg(),
            into_contiguous(gamma).into_tensor_arg(),
            into_contiguous(beta).into_tensor_arg(),
            grad.tensor.into_tensor_arg(),
            on_x.clone().into_tensor_arg(),
            on_gamma.clone().into_tensor_arg(),
            on_beta.clone().into_tensor_arg(),
            launch.group,
            launch.pixels,
            options.epsilon as f32,
            x.channels_last,
            grad.channels_last,
            options.silu,
        );
    }
    [on_x, on_gamma, on_beta]
}
