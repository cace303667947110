//! What each operation means, in Burn's own operations: for other backends, other precisions, and to
//! check the kernels against.

use burn::backend::Backend;
use burn::backend::ops::ConvOptions;
use burn::backend::tensor::FloatTensor;

/// `x·s(x)`, `s(x) = 1/(1 + e⁻ˣ)`.
pub(crate) fn silu<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    B::float_mul(x.clone(), B::sigmoid(x))
}

/// `grad·s·(1 + x·(1 − s))`.
pub(crate) fn silu_derivative<B: Backend>(
    x: FloatTensor<B>,
    grad: FloatTensor<B>,
) -> FloatTensor<B> {
    let s = B::sigmoid(x.clone());
    let rest = B::float_add_scalar(B::float_neg(s.clone()), 1.0.into());
    let slope = B::float_add_scalar(B::float_mul(x, rest), 1.0.into());
    B::float_mul(grad, B::float_mul(s, slope))
}

pub(crate) fn conv3x3<B: Backend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: FloatTensor<B>,
) -> FloatTensor<B> {
    B::conv2d(x, weight, Some(bias), same_resolution())
}

/// The same convolution of the gradient, with the kernel transposed and turned round.
pub(crate) fn conv3x3_input_gradient<B: Backend>(
    weight: FloatTensor<B>,
    grad: FloatTensor<B>,
) -> FloatTensor<B> {
    let turned = B::float_flip(B::float_swap_dims(weight, 0, 1), &[2, 3]);
    B::conv2d(grad, turned, None, same_resolution())
}

pub(crate) fn conv3x3_weight_gradient<B: Backend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    grad: FloatTensor<B>,
) -> FloatTensor<B> {
    B::conv2d_weight_backward(x, weight, grad, same_resolution())
}

/// Stride 1 and one pixel of zeros around.
fn same_resolution() -> ConvOptions<2> {
    ConvOptions::new([1, 1], [1, 1], [1, 1], 1)
}
