//! The operations on GPUs: kernels of group normalisation for f32, Burn's own operations for the rest.

mod group_norm;
mod images;

use burn::backend::ops::FloatTensorOps;
use burn::backend::{Shape, TensorMetadata};
use burn_cubecl::CubeBackend;
use burn_cubecl::tensor::CubeTensor;

use crate::backend::KernelBackend;
use crate::norm::GroupNormOptions;
use crate::norm_directions::NormDirections;
use crate::reference;

impl KernelBackend for CubeBackend {
    fn group_norm(
        x: CubeTensor,
        gamma: CubeTensor,
        beta: CubeTensor,
        options: GroupNormOptions,
    ) -> CubeTensor {
        if group_norm::fits(&x, &[&gamma, &beta], options, 1) {
            group_norm::forward(x, gamma, beta, options)
        } else {
            reference::group_norm::<Self>(x, gamma, beta, options)
        }
    }

    fn group_norm_tangent(
        x: CubeTensor,
        gamma: CubeTensor,
        beta: CubeTensor,
        directions: NormDirections<Self>,
        options: GroupNormOptions,
    ) -> CubeTensor {
        if group_norm::fits(&x, &[&gamma, &beta], options, directions.count()) {
            let (data, weights) = directions.parts();
            group_norm::tangent(x, gamma, beta, data, weights, options)
        } else {
            reference::group_norm_tangent::<Self>(x, gamma, beta, directions, options)
        }
    }

    fn group_norm_gradient(
        x: CubeTensor,
        gamma: CubeTensor,
        beta: CubeTensor,
        grad: CubeTensor,
        options: GroupNormOptions,
    ) -> (CubeTensor, CubeTensor, CubeTensor) {
        if !group_norm::fits(&x, &[&gamma, &beta, &grad], options, 1) {
            return reference::group_norm_gradient::<Self>(x, gamma, beta, grad, options);
        }
        let [on_x, on_gamma, on_beta] = group_norm::gradient(x, gamma, beta, grad, options);
        let [on_gamma, on_beta] = [on_gamma, on_beta].map(|per_image| {
            let channels = Shape::new([per_image.shape()[1]]);
            Self::float_reshape(Self::float_sum_dim(per_image, 0), channels)
        });
        (on_x, on_gamma, on_beta)
    }
}
