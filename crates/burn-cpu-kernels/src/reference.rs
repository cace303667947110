//! Reference implementations of the operations by Burn's own: for other devices, for other types, and as a check of the
//! kernels.

mod norm;

use burn::backend::ops::ConvOptions;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Shape, Slice, TensorMetadata};

use crate::stride::Stride;

pub(crate) use norm::{
    group_norm, group_norm_gradient, group_norm_gradient_tangent, group_norm_tangent,
};

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
    let complement = B::float_add_scalar(B::float_neg(s.clone()), 1.0.into());
    let slope = B::float_add_scalar(B::float_mul(x, complement), 1.0.into());
    B::float_mul(grad, B::float_mul(s, slope))
}

/// `grad·s·(1 − s)·(2 + x·(1 − 2·s))`: the second derivative.
fn silu_curvature<B: Backend>(x: FloatTensor<B>, grad: FloatTensor<B>) -> FloatTensor<B> {
    let s = B::sigmoid(x.clone());
    let complement = B::float_add_scalar(B::float_neg(s.clone()), 1.0.into());
    let difference = B::float_sub(complement.clone(), s.clone());
    let factor = B::float_add_scalar(B::float_mul(x, difference), 2.0.into());
    let curvature = B::float_mul(B::float_mul(s, complement), factor);
    B::float_mul(grad, curvature)
}

/// `[c]` along the axis `axis` of `rank`.
fn per_channel<B: Backend>(values: FloatTensor<B>, rank: usize, axis: usize) -> FloatTensor<B> {
    let mut shape = vec![1; rank];
    shape[axis] = values.shape()[0];
    B::float_reshape(values, Shape::from(shape))
}

/// `[n or 1, o]` are added to every pixel: one bias for all images by the convolution itself, which saves a pass.
pub(crate) fn conv3x3<B: Backend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: FloatTensor<B>,
    stride: Stride,
) -> FloatTensor<B> {
    let (x, options) = extended::<B>(x, stride);
    let shape = bias.shape();
    if shape[0] == 1 {
        let bias = B::float_reshape(bias, Shape::new([shape[1]]));
        return B::conv2d(x, weight, Some(bias), options);
    }
    let bias = B::float_reshape(bias, Shape::new([shape[0], shape[1], 1, 1]));
    B::float_add(B::conv2d(x, weight, None, options), bias)
}

/// With stride 1 the same convolution of the gradient, with the kernel transposed and turned round.
pub(crate) fn conv3x3_input_gradient<B: Backend>(
    weight: FloatTensor<B>,
    grad: FloatTensor<B>,
    stride: Stride,
    [height, width]: [usize; 2],
) -> FloatTensor<B> {
    if stride == Stride::One {
        let turned = B::float_flip(B::float_swap_dims(weight, 0, 1), &[2, 3]);
        let (grad, options) = extended::<B>(grad, stride);
        return B::conv2d(grad, turned, None, options);
    }
    let shape = Shape::new([grad.shape()[0], weight.shape()[1], height, width]);
    // Burn reads the shape of the image alone.
    let image = B::float_zeros(shape, &grad.device(), grad.dtype().into());
    let (image, options) = extended::<B>(image, stride);
    let whole = B::conv2d_x_backward(image, weight, grad, options);
    B::float_slice(
        whole,
        &[
            Slice::full(),
            Slice::full(),
            Slice::from(0..height),
            Slice::from(0..width),
        ],
    )
}

pub(crate) fn conv3x3_weight_gradient<B: Backend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    grad: FloatTensor<B>,
    stride: Stride,
) -> FloatTensor<B> {
    let (x, options) = extended::<B>(x, stride);
    B::conv2d_weight_backward(x, weight, grad, options)
}

/// An image with the zeros that Burn's convolutions cannot add themselves, on one side alone, and the options of the convolution.
fn extended<B: Backend>(x: FloatTensor<B>, stride: Stride) -> (FloatTensor<B>, ConvOptions<2>) {
    let (step, before) = (stride.step(), stride.zeros_before());
    let options = ConvOptions::new([step, step], [before, before], [1, 1], 1);
    if before == 1 {
        return (x, options);
    }
    let [n, c, h, w] = x.shape().dims();
    let zeros = |shape| B::float_zeros(Shape::new(shape), &x.device(), x.dtype().into());
    let (right, bottom) = (zeros([n, c, h, 1]), zeros([n, c, 1, w + 1]));
    let wide = B::float_cat(vec![x, right], 3);
    (B::float_cat(vec![wide, bottom], 2), options)
}

pub(crate) fn pointwise<B: Backend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: FloatTensor<B>,
) -> FloatTensor<B> {
    let y = pointwise_input_gradient::<B>(B::float_swap_dims(weight, 0, 1), x);
    B::float_add(y, per_channel::<B>(bias, 4, 1))
}

/// `weight·grad` at every pixel: the weight is `[i, o]`.
pub(crate) fn pointwise_input_gradient<B: Backend>(
    weight: FloatTensor<B>,
    grad: FloatTensor<B>,
) -> FloatTensor<B> {
    let (shape, matrix) = (grad.shape(), weight.shape());
    let weight = B::float_reshape(weight, Shape::new([1, matrix[0], matrix[1]]));
    let y = B::float_matmul(weight, flat::<B>(grad));
    B::float_reshape(y, Shape::new([shape[0], matrix[0], shape[2], shape[3]]))
}

/// `Σ x·gradᵀ` over the images.
pub(crate) fn pointwise_weight_gradient<B: Backend>(
    x: FloatTensor<B>,
    grad: FloatTensor<B>,
) -> FloatTensor<B> {
    let shape = Shape::new([x.shape()[1], grad.shape()[1]]);
    let per_image = B::float_matmul(flat::<B>(x), B::float_swap_dims(flat::<B>(grad), 1, 2));
    B::float_reshape(B::float_sum_dim(per_image, 0), shape)
}

pub(crate) fn channel_sums<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    let shape = Shape::new([x.shape()[0], x.shape()[1]]);
    B::float_reshape(B::float_sum_dim(flat::<B>(x), 2), shape)
}

/// `[n, c, h, w]` as `[n, c, pixels]`.
fn flat<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    let shape = x.shape();
    B::float_reshape(x, Shape::new([shape[0], shape[1], shape[2] * shape[3]]))
}

/// `v·Aᵀ`.
pub(crate) fn attention<B: Backend>(qkv: FloatTensor<B>, heads: usize) -> FloatTensor<B> {
    let shape = qkv.shape();
    let [q, k, v] = split_heads::<B>(qkv, heads);
    let out = B::float_matmul(v, transposed::<B>(attention_weights::<B>(q, k)));
    B::float_reshape(
        out,
        Shape::new([shape[0], shape[1] / 3, shape[2], shape[3]]),
    )
}

/// `v'·Aᵀ + v·A'ᵀ`.
pub(crate) fn attention_tangent<B: Backend>(
    qkv: FloatTensor<B>,
    tangents: FloatTensor<B>,
    heads: usize,
) -> FloatTensor<B> {
    let full = tangents.shape();
    // The K directions join the batch, and so do as many copies of q, k and v.
    let batch = Shape::new([full[0] * full[1], full[2], full[3], full[4]]);
    let lifted = Shape::new([1, full[1], full[2], full[3], full[4]]);
    let copies = B::float_expand(B::float_reshape(qkv, lifted), full.clone());
    let [q, k, v] = split_heads::<B>(B::float_reshape(copies, batch.clone()), heads);
    let [moved_q, moved_k, moved_v] = split_heads::<B>(B::float_reshape(tangents, batch), heads);
    let weights = attention_weights::<B>(q.clone(), k.clone());
    let scores = B::float_add(
        B::float_matmul(transposed::<B>(moved_q), k.clone()),
        B::float_matmul(transposed::<B>(q), moved_k),
    );
    let moved = through_softmax::<B>(weights.clone(), scores, k.shape()[1]);
    let out = B::float_add(
        B::float_matmul(moved_v, transposed::<B>(weights)),
        B::float_matmul(v, transposed::<B>(moved)),
    );
    let shape = Shape::new([full[0], full[1], full[2] / 3, full[3], full[4]]);
    B::float_reshape(out, shape)
}

/// `[k·dSᵀ, q·dS, g·A]` with dS the gradient `gᵀ·v` of A, pulled back through the softmax.
pub(crate) fn attention_gradient<B: Backend>(
    qkv: FloatTensor<B>,
    grad: FloatTensor<B>,
    heads: usize,
) -> FloatTensor<B> {
    let shape = qkv.shape();
    let [q, k, v] = split_heads::<B>(qkv, heads);
    let grad = B::float_reshape(grad, v.shape());
    let weights = attention_weights::<B>(q.clone(), k.clone());
    let on_v = B::float_matmul(grad.clone(), weights.clone());
    let scores = B::float_matmul(transposed::<B>(grad), v);
    let scores = through_softmax::<B>(weights, scores, k.shape()[1]);
    let on_q = B::float_matmul(k, transposed::<B>(scores.clone()));
    let on_k = B::float_matmul(q, scores);
    let third = Shape::new([shape[0], shape[1] / 3, shape[2], shape[3]]);
    let thirds = [on_q, on_k, on_v].map(|t| B::float_reshape(t, third.clone()));
    B::float_cat(thirds.to_vec(), 1)
}

/// q, k and v, `[n·heads, channels of a head, pixels]`.
///
/// Images and heads are one axis. On two, a third of qkv is a view whose outer stride Burn 0.22.1 loses on NVIDIA cards from
/// Hopper on: `tma_operand` of cubek-std 0.3.1 takes the stride of the innermost of the batch axes for all of them, so that
/// products that its search finds fast with the tensor memory accelerator read q and k of other images in the place of v.
fn split_heads<B: Backend>(qkv: FloatTensor<B>, heads: usize) -> [FloatTensor<B>; 3] {
    let shape = qkv.shape();
    let (head, pixels) = (shape[1] / 3 / heads, shape[2] * shape[3]);
    let qkv = B::float_reshape(qkv, Shape::new([shape[0], 3 * heads, head, pixels]));
    [0, 1, 2].map(|third| {
        let slices = [
            Slice::full(),
            Slice::from(third * heads..(third + 1) * heads),
            Slice::full(),
            Slice::full(),
        ];
        let third = B::float_slice(qkv.clone(), &slices);
        B::float_reshape(third, Shape::new([shape[0] * heads, head, pixels]))
    })
}

/// `softmax(qᵀk/√c)` over the keys.
fn attention_weights<B: Backend>(q: FloatTensor<B>, k: FloatTensor<B>) -> FloatTensor<B> {
    let scale = 1.0 / (q.shape()[1] as f64).sqrt();
    let scores = B::float_matmul(transposed::<B>(q), k);
    B::softmax(B::float_mul_scalar(scores, scale.into()), 2)
}

/// `A ⊙ (S − Σ A ⊙ S)/√c`.
fn through_softmax<B: Backend>(
    weights: FloatTensor<B>,
    scores: FloatTensor<B>,
    channels: usize,
) -> FloatTensor<B> {
    let scale = 1.0 / (channels as f64).sqrt();
    let along = B::float_mul(weights.clone(), scores);
    let mean = B::float_sum_dim(along.clone(), 2);
    let moved = B::float_sub(along, B::float_mul(weights, mean));
    B::float_mul_scalar(moved, scale.into())
}

fn transposed<B: Backend>(t: FloatTensor<B>) -> FloatTensor<B> {
    B::float_swap_dims(t, 1, 2)
}
