//! Flex: the kernels for contiguous f32, Burn's own operations for everything else.

use burn::backend::flex::{FlexTensor, Layout};
use burn::backend::{Bytes, DType, Flex, Shape, TensorMetadata};

use crate::backend::KernelBackend;
use crate::conv::Size;
use crate::norm::{self, Norm};
use crate::{attention, composed, conv, pointwise, swish};

impl KernelBackend for Flex {
    fn silu(x: FlexTensor) -> FlexTensor {
        if !single(&[&x]) {
            return composed::silu::<Self>(x);
        }
        let x = x.to_contiguous();
        let mut out = vec![0.0; values(&x).len()];
        swish::forward(values(&x), &mut out);
        tensor(out, x.shape())
    }

    fn silu_derivative(x: FlexTensor, grad: FlexTensor) -> FlexTensor {
        if !single(&[&x, &grad]) || x.shape() != grad.shape() {
            return composed::silu_derivative::<Self>(x, grad);
        }
        let (x, grad) = (x.to_contiguous(), grad.to_contiguous());
        let mut out = vec![0.0; values(&x).len()];
        swish::derivative(values(&x), values(&grad), &mut out);
        tensor(out, x.shape())
    }

    fn group_norm(x: FlexTensor, gamma: FlexTensor, beta: FlexTensor, norm: Norm) -> FlexTensor {
        if !single(&[&x, &gamma, &beta]) {
            return composed::group_norm::<Self>(x, gamma, beta, norm);
        }
        let [x, gamma, beta] = [x, gamma, beta].map(|tensor| tensor.to_contiguous());
        let (size, gamma, beta) = (channels(&x), values(&gamma), values(&beta));
        let mut out = vec![0.0; values(&x).len()];
        norm::forward(size, norm, values(&x), gamma, beta, &mut out);
        tensor(out, x.shape())
    }

    fn group_norm_tangent(
        x: FlexTensor,
        gamma: FlexTensor,
        beta: FlexTensor,
        tangents: FlexTensor,
        norm: Norm,
    ) -> FlexTensor {
        if !single(&[&x, &gamma, &beta, &tangents]) {
            return composed::group_norm_tangent::<Self>(x, gamma, beta, tangents, norm);
        }
        let [x, gamma, beta] = [x, gamma, beta].map(|tensor| tensor.to_contiguous());
        let tangents = tangents.to_contiguous();
        let (size, affine) = (channels(&x), (values(&gamma), values(&beta)));
        let mut out = vec![0.0; values(&tangents).len()];
        norm::tangent(size, norm, values(&x), affine, values(&tangents), &mut out);
        tensor(out, tangents.shape())
    }

    fn group_norm_gradient(
        x: FlexTensor,
        gamma: FlexTensor,
        beta: FlexTensor,
        grad: FlexTensor,
        norm: Norm,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        if !single(&[&x, &gamma, &beta, &grad]) {
            return composed::group_norm_gradient::<Self>(x, gamma, beta, grad, norm);
        }
        let [x, gamma, beta] = [x, gamma, beta].map(|tensor| tensor.to_contiguous());
        let grad = grad.to_contiguous();
        let (size, affine) = (channels(&x), (values(&gamma), values(&beta)));
        let mut out = vec![0.0; values(&x).len()];
        let (on_gamma, on_beta) =
            norm::gradient(size, norm, values(&x), affine, values(&grad), &mut out);
        (
            tensor(out, x.shape()),
            tensor(on_gamma, gamma.shape()),
            tensor(on_beta, beta.shape()),
        )
    }

    fn conv3x3(x: FlexTensor, weight: FlexTensor, bias: FlexTensor) -> FlexTensor {
        if !single(&[&x, &weight, &bias]) {
            return composed::conv3x3::<Self>(x, weight, bias);
        }
        let (x, weight, bias) = (
            x.to_contiguous(),
            weight.to_contiguous(),
            bias.to_contiguous(),
        );
        let size = size(&x, &weight);
        let mut out = vec![0.0; size.images * size.outputs * size.height * size.width];
        conv::forward(
            size,
            values(&x),
            values(&weight),
            Some(values(&bias)),
            &mut out,
        );
        tensor(
            out,
            Shape::new([size.images, size.outputs, size.height, size.width]),
        )
    }

    fn conv3x3_input_gradient(weight: FlexTensor, grad: FlexTensor) -> FlexTensor {
        if !single(&[&weight, &grad]) {
            return composed::conv3x3_input_gradient::<Self>(weight, grad);
        }
        let (weight, grad) = (weight.to_contiguous(), grad.to_contiguous());
        let size = Size {
            inputs: weight.shape()[1],
            outputs: weight.shape()[0],
            ..size(&grad, &weight)
        };
        let mut out = vec![0.0; size.images * size.inputs * size.height * size.width];
        conv::input_gradient(size, values(&grad), values(&weight), &mut out);
        tensor(
            out,
            Shape::new([size.images, size.inputs, size.height, size.width]),
        )
    }

    fn conv3x3_weight_gradient(x: FlexTensor, weight: FlexTensor, grad: FlexTensor) -> FlexTensor {
        if !single(&[&x, &weight, &grad]) {
            return composed::conv3x3_weight_gradient::<Self>(x, weight, grad);
        }
        let (x, grad) = (x.to_contiguous(), grad.to_contiguous());
        let size = size(&x, &weight);
        let mut out = vec![0.0; size.outputs * size.inputs * 9];
        conv::weight_gradient(size, values(&x), values(&grad), &mut out);
        tensor(out, weight.shape())
    }

    fn pointwise(x: FlexTensor, weight: FlexTensor, bias: FlexTensor) -> FlexTensor {
        if !single(&[&x, &weight, &bias]) {
            return composed::pointwise::<Self>(x, weight, bias);
        }
        let [x, weight, bias] = [x, weight, bias].map(|tensor| tensor.to_contiguous());
        let size = map_size(&x, &weight.shape());
        let mut out = vec![0.0; size.images * size.outputs * size.pixels];
        pointwise::forward(size, values(&x), values(&weight), values(&bias), &mut out);
        tensor(out, with_channels(&x, size.outputs))
    }

    fn pointwise_input_gradient(weight: FlexTensor, grad: FlexTensor) -> FlexTensor {
        if !single(&[&weight, &grad]) {
            return composed::pointwise_input_gradient::<Self>(weight, grad);
        }
        let (weight, grad) = (weight.to_contiguous(), grad.to_contiguous());
        let size = map_size(&grad, &weight.shape());
        let mut out = vec![0.0; size.images * size.inputs * size.pixels];
        pointwise::input_gradient(size, values(&grad), values(&weight), &mut out);
        tensor(out, with_channels(&grad, size.inputs))
    }

    fn pointwise_weight_gradient(x: FlexTensor, grad: FlexTensor) -> FlexTensor {
        if !single(&[&x, &grad]) {
            return composed::pointwise_weight_gradient::<Self>(x, grad);
        }
        let (x, grad) = (x.to_contiguous(), grad.to_contiguous());
        let shape = Shape::new([x.shape()[1], grad.shape()[1]]);
        let mut out = vec![0.0; shape[0] * shape[1]];
        let size = map_size(&x, &shape);
        pointwise::weight_gradient(size, values(&x), values(&grad), &mut out);
        tensor(out, shape)
    }

    fn channel_sums(x: FlexTensor) -> FlexTensor {
        if !single(&[&x]) {
            return composed::channel_sums::<Self>(x);
        }
        let x = x.to_contiguous();
        let norm::Size {
            images,
            channels,
            pixels,
        } = channels(&x);
        let mut out = vec![0.0; images * channels];
        pointwise::channel_sums(pixels, values(&x), &mut out);
        tensor(out, Shape::new([images, channels]))
    }

    fn self_attention(qkv: FlexTensor, heads: usize) -> FlexTensor {
        if !single(&[&qkv]) {
            return composed::attention::<Self>(qkv, heads);
        }
        let qkv = qkv.to_contiguous();
        let mut out = vec![0.0; values(&qkv).len() / 3];
        attention::forward(attention_size(&qkv, heads), values(&qkv), &mut out);
        let shape = with_channels(&qkv, qkv.shape()[1] / 3);
        tensor(out, shape)
    }

    fn self_attention_tangent(qkv: FlexTensor, tangents: FlexTensor, heads: usize) -> FlexTensor {
        if !single(&[&qkv, &tangents]) {
            return composed::attention_tangent::<Self>(qkv, tangents, heads);
        }
        let (qkv, tangents) = (qkv.to_contiguous(), tangents.to_contiguous());
        let mut out = vec![0.0; values(&tangents).len() / 3];
        let size = attention_size(&qkv, heads);
        attention::tangent(size, values(&qkv), values(&tangents), &mut out);
        let shape = tangents.shape();
        let shape = Shape::new([shape[0], shape[1], shape[2] / 3, shape[3], shape[4]]);
        tensor(out, shape)
    }

    fn self_attention_gradient(qkv: FlexTensor, grad: FlexTensor, heads: usize) -> FlexTensor {
        if !single(&[&qkv, &grad]) {
            return composed::attention_gradient::<Self>(qkv, grad, heads);
        }
        let (qkv, grad) = (qkv.to_contiguous(), grad.to_contiguous());
        let mut out = vec![0.0; values(&qkv).len()];
        let size = attention_size(&qkv, heads);
        attention::gradient(size, values(&qkv), values(&grad), &mut out);
        tensor(out, qkv.shape())
    }
}

/// Whether all are f32: the only precision with kernels.
fn single(tensors: &[&FlexTensor]) -> bool {
    tensors.iter().all(|tensor| tensor.dtype() == DType::F32)
}

/// Batch and resolution of an image, channels of a weight.
fn size(image: &FlexTensor, weight: &FlexTensor) -> Size {
    let (image, weight) = (image.shape(), weight.shape());
    Size {
        images: image[0],
        inputs: weight[1],
        outputs: weight[0],
        height: image[2],
        width: image[3],
    }
}

/// Batch and resolution of an image, channels of a weight `[i, o]`.
fn map_size(image: &FlexTensor, weight: &Shape) -> pointwise::Size {
    let image = image.shape();
    pointwise::Size {
        images: image[0],
        inputs: weight[0],
        outputs: weight[1],
        pixels: image[2] * image[3],
    }
}

fn attention_size(qkv: &FlexTensor, heads: usize) -> attention::Size {
    let shape = qkv.shape();
    attention::Size {
        heads,
        channels: shape[1] / 3 / heads,
        pixels: shape[2] * shape[3],
    }
}

/// The shape of an image with other channels.
fn with_channels(image: &FlexTensor, channels: usize) -> Shape {
    let shape = image.shape();
    Shape::new([shape[0], channels, shape[2], shape[3]])
}

/// Batch, channels and their values of `[n, c, …]`.
fn channels(x: &FlexTensor) -> norm::Size {
    let shape = x.shape();
    norm::Size {
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

fn tensor(values: Vec<f32>, shape: Shape) -> FlexTensor {
    FlexTensor::new(
        Bytes::from_elems(values),
        Layout::contiguous(shape),
        DType::F32,
    )
}
