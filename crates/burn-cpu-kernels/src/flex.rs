//! The operations on Flex: kernels for f32, Burn's own operations for other precisions.

use std::mem::MaybeUninit;

use burn::backend::flex::{FlexTensor, Layout};
use burn::backend::{Bytes, DType, Flex, Shape, TensorMetadata};

use crate::attention::{self, AttentionShape};
use crate::backend::KernelBackend;
use crate::conv::{self, ConvShape, Stride2Shape};
use crate::norm::{self, GroupNormOptions, NormShape};
use crate::norm_directions::{NormDirections, NormGradientDirections};
use crate::packed::{Purpose, packed};
use crate::pointwise::{self, PointwiseShape};
use crate::stride::Stride;
use crate::uninit::written;
use crate::{reference, silu};

impl KernelBackend for Flex {
    fn silu(x: FlexTensor) -> FlexTensor {
        if !single(&[&x]) {
            return reference::silu::<Self>(x);
        }
        let x = x.to_contiguous();
        // SAFETY: the kernel writes every entry.
        let out = unsafe { written(values(&x).len(), |out| silu::forward(values(&x), out)) };
        tensor(out, x.shape())
    }

    fn silu_derivative(x: FlexTensor, grad: FlexTensor) -> FlexTensor {
        if !single(&[&x, &grad]) || x.shape() != grad.shape() {
            return reference::silu_derivative::<Self>(x, grad);
        }
        let (x, grad) = (x.to_contiguous(), grad.to_contiguous());
        let derivative =
            |out: &mut [MaybeUninit<f32>]| silu::derivative(values(&x), values(&grad), out);
        // SAFETY: the kernel writes every entry.
        let out = unsafe { written(values(&x).len(), derivative) };
        tensor(out, x.shape())
    }

    fn group_norm(
        x: FlexTensor,
        gamma: FlexTensor,
        beta: FlexTensor,
        options: GroupNormOptions,
    ) -> FlexTensor {
        if !single(&[&x, &gamma, &beta]) {
            return reference::group_norm::<Self>(x, gamma, beta, options);
        }
        let [x, gamma, beta] = [x, gamma, beta].map(|tensor| tensor.to_contiguous());
        let (shape, gamma, beta) = (norm_shape(&x), values(&gamma), values(&beta));
        let forward = |out: &mut [MaybeUninit<f32>]| {
            norm::forward(shape, options, values(&x), gamma, beta, out);
        };
        // SAFETY: the kernel writes every entry.
        let out = unsafe { written(values(&x).len(), forward) };
        tensor(out, x.shape())
    }

    fn group_norm_tangent(
        x: FlexTensor,
        gamma: FlexTensor,
        beta: FlexTensor,
        directions: NormDirections<Self>,
        options: GroupNormOptions,
    ) -> FlexTensor {
        if !single(&[&x, &gamma, &beta]) {
            return reference::group_norm_tangent::<Self>(x, gamma, beta, directions, options);
        }
        let [x, gamma, beta] = [x, gamma, beta].map(|tensor| tensor.to_contiguous());
        let (shape, affine) = (norm_shape(&x), (values(&gamma), values(&beta)));
        let (data, weights) = directions.parts();
        let data = data.map(|t| t.to_contiguous());
        let weights = weights.map(|pair| pair.map(|t| t.to_contiguous()));
        let first = data.iter().chain(weights.iter().flatten()).next();
        let k = first.expect("one direction at least").shape()[0];
        let directions = norm::Directions {
            x: data.as_ref().map(values),
            affine: weights
                .as_ref()
                .map(|[gamma, beta]| (values(gamma), values(beta))),
        };
        let tangent = |out: &mut [MaybeUninit<f32>]| {
            norm::tangent(shape, options, values(&x), affine, directions, out);
        };
        // SAFETY: the kernel writes every entry.
        let out = unsafe { written(k * values(&x).len(), tangent) };
        let mut stacked = vec![k];
        stacked.extend_from_slice(x.shape().as_slice());
        tensor(out, Shape::from(stacked))
    }

    fn group_norm_gradient(
        x: FlexTensor,
        gamma: FlexTensor,
        beta: FlexTensor,
        grad: FlexTensor,
        options: GroupNormOptions,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        if !single(&[&x, &gamma, &beta, &grad]) {
            return reference::group_norm_gradient::<Self>(x, gamma, beta, grad, options);
        }
        let [x, gamma, beta] = [x, gamma, beta].map(|tensor| tensor.to_contiguous());
        let grad = grad.to_contiguous();
        let (shape, affine) = (norm_shape(&x), (values(&gamma), values(&beta)));
        let (mut on_gamma, mut on_beta) = (Vec::new(), Vec::new());
        let gradient = |out: &mut [MaybeUninit<f32>]| {
            (on_gamma, on_beta) =
                norm::gradient(shape, options, values(&x), affine, values(&grad), out);
        };
        // SAFETY: the kernel writes every entry.
        let out = unsafe { written(values(&x).len(), gradient) };
        (
            tensor(out, x.shape()),
            tensor(on_gamma, gamma.shape()),
            tensor(on_beta, beta.shape()),
        )
    }

    fn group_norm_gradient_tangent(
        x: FlexTensor,
        gamma: FlexTensor,
        beta: FlexTensor,
        grad: FlexTensor,
        directions: NormGradientDirections<Self>,
        options: GroupNormOptions,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        if !single(&[&x, &gamma, &beta, &grad]) {
            return reference::group_norm_gradient_tangent::<Self>(
                x, gamma, beta, grad, directions, options,
            );
        }
        let [x, gamma, beta, grad] = [x, gamma, beta, grad].map(|t| t.to_contiguous());
        let moved = [
            directions.x,
            directions.gamma,
            directions.beta,
            directions.grad,
        ];
        let moved = moved.map(|t| t.to_contiguous());
        let [along_x, along_gamma, along_beta, along_grad] = moved.each_ref().map(values);
        let directions = norm::GradientDirections {
            x: along_x,
            affine: (along_gamma, along_beta),
            grad: along_grad,
        };
        let (shape, affine) = (norm_shape(&x), (values(&gamma), values(&beta)));
        let mut out = vec![0.0; along_x.len()];
        let inputs = (values(&x), values(&grad));
        let (on_gamma, on_beta) =
            norm::gradient_tangent(shape, options, inputs, affine, directions, &mut out);
        let [along_x, along_gamma, along_beta, _] = moved;
        (
            tensor(out, along_x.shape()),
            tensor(on_gamma, along_gamma.shape()),
            tensor(on_beta, along_beta.shape()),
        )
    }

    fn conv3x3(x: FlexTensor, weight: FlexTensor, bias: FlexTensor, stride: Stride) -> FlexTensor {
        if !single(&[&x, &weight, &bias]) {
            return reference::conv3x3::<Self>(x, weight, bias, stride);
        }
        let (x, weight, bias) = (
            x.to_contiguous(),
            weight.to_contiguous(),
            bias.to_contiguous(),
        );
        let shape = conv_shape(&x, &weight);
        if stride != Stride::One {
            let shape = Stride2Shape {
                conv: shape,
                stride,
            };
            let [height, width] = shape.result();
            let result = [shape.conv.images, shape.conv.outputs, height, width];
            let (x, weight, bias) = (values(&x), values(&weight), values(&bias));
            let forward =
                |out: &mut [MaybeUninit<f32>]| conv::forward_stride2(shape, x, weight, bias, out);
            // SAFETY: the kernel writes every entry.
            let out = unsafe { written(result.iter().product(), forward) };
            return tensor(out, Shape::new(result));
        }
        let count = shape.images * shape.outputs * shape.height * shape.width;
        let packed = packed(&weight, values(&weight), Purpose::Forward);
        let forward = |out: &mut [MaybeUninit<f32>]| {
            conv::forward(shape, values(&x), &packed, Some(values(&bias)), out);
        };
        // SAFETY: the kernel writes every entry.
        let out = unsafe { written(count, forward) };
        tensor(
            out,
            Shape::new([shape.images, shape.outputs, shape.height, shape.width]),
        )
    }

    fn conv3x3_input_gradient(
        weight: FlexTensor,
        grad: FlexTensor,
        stride: Stride,
        size: [usize; 2],
    ) -> FlexTensor {
        if !single(&[&weight, &grad]) {
            return reference::conv3x3_input_gradient::<Self>(weight, grad, stride, size);
        }
        let (weight, grad) = (weight.to_contiguous(), grad.to_contiguous());
        let shape = ConvShape {
            inputs: weight.shape()[1],
            outputs: weight.shape()[0],
            height: size[0],
            width: size[1],
            ..conv_shape(&grad, &weight)
        };
        let count = shape.images * shape.inputs * shape.height * shape.width;
        if stride != Stride::One {
            let result = [shape.images, shape.inputs, shape.height, shape.width];
            let shape = Stride2Shape {
                conv: shape,
                stride,
            };
            let (grad, weight) = (values(&grad), values(&weight));
            let gradient = |out: &mut [MaybeUninit<f32>]| {
                conv::input_gradient_stride2(shape, grad, weight, out)
            };
            // SAFETY: the kernel writes every entry.
            let out = unsafe { written(count, gradient) };
            return tensor(out, Shape::new(result));
        }
        let turned = packed(&weight, values(&weight), Purpose::InputGradient);
        let gradient = |out: &mut [MaybeUninit<f32>]| {
            conv::input_gradient(shape, values(&grad), &turned, out);
        };
        // SAFETY: the kernel writes every entry.
        let out = unsafe { written(count, gradient) };
        tensor(
            out,
            Shape::new([shape.images, shape.inputs, shape.height, shape.width]),
        )
    }

    fn conv3x3_weight_gradient(
        x: FlexTensor,
        weight: FlexTensor,
        grad: FlexTensor,
        stride: Stride,
    ) -> FlexTensor {
        if !single(&[&x, &weight, &grad]) {
            return reference::conv3x3_weight_gradient::<Self>(x, weight, grad, stride);
        }
        let (x, grad) = (x.to_contiguous(), grad.to_contiguous());
        let shape = conv_shape(&x, &weight);
        let mut out = vec![0.0; shape.outputs * shape.inputs * 9];
        if stride == Stride::One {
            conv::weight_gradient(shape, values(&x), values(&grad), &mut out);
        } else {
            let shape = Stride2Shape {
                conv: shape,
                stride,
            };
            conv::weight_gradient_stride2(shape, values(&x), values(&grad), &mut out);
        }
        tensor(out, weight.shape())
    }

    fn pointwise(x: FlexTensor, weight: FlexTensor, bias: FlexTensor) -> FlexTensor {
        if !single(&[&x, &weight, &bias]) {
            return reference::pointwise::<Self>(x, weight, bias);
        }
        let [x, weight, bias] = [x, weight, bias].map(|tensor| tensor.to_contiguous());
        let shape = pointwise_shape(&x, &weight.shape());
        let forward = |out: &mut [MaybeUninit<f32>]| {
            pointwise::forward(shape, values(&x), values(&weight), values(&bias), out);
        };
        // SAFETY: the kernel writes every entry.
        let out = unsafe { written(shape.images * shape.outputs * shape.pixels, forward) };
        tensor(out, with_channels(&x, shape.outputs))
    }

    fn pointwise_input_gradient(weight: FlexTensor, grad: FlexTensor) -> FlexTensor {
        if !single(&[&weight, &grad]) {
            return reference::pointwise_input_gradient::<Self>(weight, grad);
        }
        let (weight, grad) = (weight.to_contiguous(), grad.to_contiguous());
        let shape = pointwise_shape(&grad, &weight.shape());
        let gradient = |out: &mut [MaybeUninit<f32>]| {
            pointwise::input_gradient(shape, values(&grad), values(&weight), out);
        };
        // SAFETY: the kernel writes every entry.
        let out = unsafe { written(shape.images * shape.inputs * shape.pixels, gradient) };
        tensor(out, with_channels(&grad, shape.inputs))
    }

    fn pointwise_weight_gradient(x: FlexTensor, grad: FlexTensor) -> FlexTensor {
        if !single(&[&x, &grad]) {
            return reference::pointwise_weight_gradient::<Self>(x, grad);
        }
        let (x, grad) = (x.to_contiguous(), grad.to_contiguous());
        let weight = Shape::new([x.shape()[1], grad.shape()[1]]);
        let mut out = vec![0.0; weight[0] * weight[1]];
        let shape = pointwise_shape(&x, &weight);
        pointwise::weight_gradient(shape, values(&x), values(&grad), &mut out);
        tensor(out, weight)
    }

    fn channel_sums(x: FlexTensor) -> FlexTensor {
        if !single(&[&x]) {
            return reference::channel_sums::<Self>(x);
        }
        let x = x.to_contiguous();
        let NormShape {
            images,
            channels,
            pixels,
        } = norm_shape(&x);
        let mut out = vec![0.0; images * channels];
        pointwise::channel_sums(pixels, values(&x), &mut out);
        tensor(out, Shape::new([images, channels]))
    }

    fn self_attention(qkv: FlexTensor, heads: usize) -> FlexTensor {
        if !single(&[&qkv]) {
            return reference::attention::<Self>(qkv, heads);
        }
        let qkv = qkv.to_contiguous();
        let mut out = vec![0.0; values(&qkv).len() / 3];
        attention::forward(attention_shape(&qkv, heads), values(&qkv), &mut out);
        tensor(out, with_channels(&qkv, qkv.shape()[1] / 3))
    }

    fn self_attention_tangent(qkv: FlexTensor, tangents: FlexTensor, heads: usize) -> FlexTensor {
        if !single(&[&qkv, &tangents]) {
            return reference::attention_tangent::<Self>(qkv, tangents, heads);
        }
        let (qkv, tangents) = (qkv.to_contiguous(), tangents.to_contiguous());
        let mut out = vec![0.0; values(&tangents).len() / 3];
        let shape = attention_shape(&qkv, heads);
        attention::tangent(shape, values(&qkv), values(&tangents), &mut out);
        let [k, n, c, h, w] = tangents.shape().dims();
        tensor(out, Shape::new([k, n, c / 3, h, w]))
    }

    fn self_attention_gradient(qkv: FlexTensor, grad: FlexTensor, heads: usize) -> FlexTensor {
        if !single(&[&qkv, &grad]) {
            return reference::attention_gradient::<Self>(qkv, grad, heads);
        }
        let (qkv, grad) = (qkv.to_contiguous(), grad.to_contiguous());
        let mut out = vec![0.0; values(&qkv).len()];
        let shape = attention_shape(&qkv, heads);
        attention::gradient(shape, values(&qkv), values(&grad), &mut out);
        tensor(out, qkv.shape())
    }
}

/// True if all tensors are f32, the only precision with kernels.
fn single(tensors: &[&FlexTensor]) -> bool {
    tensors.iter().all(|tensor| tensor.dtype() == DType::F32)
}

/// The shape of a convolution of an image `[n, i, h, w]` by a weight `[o, i, 3, 3]`.
fn conv_shape(image: &FlexTensor, weight: &FlexTensor) -> ConvShape {
    let (image, weight) = (image.shape(), weight.shape());
    ConvShape {
        images: image[0],
        inputs: weight[1],
        outputs: weight[0],
        height: image[2],
        width: image[3],
    }
}

/// The shape of a map of an image `[n, …, h, w]` by a weight `[i, o]`.
fn pointwise_shape(image: &FlexTensor, weight: &Shape) -> PointwiseShape {
    let image = image.shape();
    PointwiseShape {
        images: image[0],
        inputs: weight[0],
        outputs: weight[1],
        pixels: image[2] * image[3],
    }
}

/// The shape of the self-attention of `qkv` `[n, 3·c, h, w]`.
fn attention_shape(qkv: &FlexTensor, heads: usize) -> AttentionShape {
    let shape = qkv.shape();
    AttentionShape {
        heads,
        channels: shape[1] / 3 / heads,
        pixels: shape[2] * shape[3],
    }
}

/// The shape of an image with another number of channels.
fn with_channels(image: &FlexTensor, channels: usize) -> Shape {
    let shape = image.shape();
    Shape::new([shape[0], channels, shape[2], shape[3]])
}

/// The shape of a normalisation of x `[n, c, …]`.
fn norm_shape(x: &FlexTensor) -> NormShape {
    let shape = x.shape();
    NormShape {
        images: shape[0],
        channels: shape[1],
        pixels: shape[2..].iter().product(),
    }
}

/// The values of a contiguous tensor, in order.
fn values(tensor: &FlexTensor) -> &[f32] {
    tensor
        .as_slice()
        .expect("made contiguous by the caller, and f32")
}

/// A contiguous tensor of f32.
fn tensor(values: Vec<f32>, shape: Shape) -> FlexTensor {
    FlexTensor::new(
        Bytes::from_elems(values),
        Layout::contiguous(shape),
        DType::F32,
    )
}
