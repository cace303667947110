//! Reference implementations of the operations by Burn's own: for other devices, for other types, and as a check of the
//! kernels.

use burn::backend::ops::ConvOptions;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Shape, Slice, TensorMetadata};

use crate::backend::{NormDirections, NormGradientDirections};
use crate::norm::GroupNormOptions;

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

/// `γ·x̂ + β`, or its SiLU.
pub(crate) fn group_norm<B: Backend>(
    x: FloatTensor<B>,
    gamma: FloatTensor<B>,
    beta: FloatTensor<B>,
    options: GroupNormOptions,
) -> FloatTensor<B> {
    let rank = x.shape().num_dims();
    let (hat, _) = normalized::<B>(x, options);
    let y = affine::<B>(hat, gamma, beta, rank);
    if options.silu { silu::<B>(y) } else { y }
}

/// `out'·(γ·rate·(t − mean(t) − x̂·mean(x̂·t)) + γ'·x̂ + β')`, `out'` the slope of SiLU, along directions t of x, γ' and β'.
pub(crate) fn group_norm_tangent<B: Backend>(
    x: FloatTensor<B>,
    gamma: FloatTensor<B>,
    beta: FloatTensor<B>,
    directions: NormDirections<B>,
    options: GroupNormOptions,
) -> FloatTensor<B> {
    let shape = x.shape();
    let lifted = |t: FloatTensor<B>, inner: &Shape| {
        let mut shape = vec![1];
        shape.extend_from_slice(inner.as_slice());
        B::float_reshape(t, Shape::from(shape))
    };
    let rank = shape.num_dims() + 1;
    let (hat, rate) = normalized::<B>(x, options);
    let (data, weights) = directions.parts();
    let data = data.map(|t| {
        let (full, groups) = (t.shape(), groups(&shape, options));
        let mut grouped = vec![full[0]];
        grouped.extend_from_slice(groups.as_slice());
        let moved = projected::<B>(
            lifted(B::float_reshape(hat.clone(), groups.clone()), &groups),
            lifted(rate, &Shape::new([shape[0], options.groups, 1])),
            B::float_reshape(t, Shape::from(grouped)),
            3,
        );
        let moved = B::float_reshape(moved, full);
        B::float_mul(moved, per_channel::<B>(gamma.clone(), rank, 2))
    });
    let weights = weights.map(|[scales, shifts]| {
        let scaled = B::float_mul(lifted(hat.clone(), &shape), each_channel::<B>(scales, rank));
        B::float_add(scaled, each_channel::<B>(shifts, rank))
    });
    let moved = [data, weights].into_iter().flatten().reduce(B::float_add);
    let moved = moved.expect("one direction at least");
    if !options.silu {
        return moved;
    }
    let y = affine::<B>(hat, gamma, beta, shape.num_dims());
    let y = B::float_expand(lifted(y, &shape), moved.shape());
    silu_derivative::<B>(y, moved)
}

/// The same formula for the gradient, which is pulled back through SiLU and γ first.
pub(crate) fn group_norm_gradient<B: Backend>(
    x: FloatTensor<B>,
    gamma: FloatTensor<B>,
    beta: FloatTensor<B>,
    grad: FloatTensor<B>,
    options: GroupNormOptions,
) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>) {
    let shape = x.shape();
    let rank = shape.num_dims();
    let (hat, rate) = normalized::<B>(x, options);
    let grad = if options.silu {
        let y = affine::<B>(hat.clone(), gamma.clone(), beta, rank);
        silu_derivative::<B>(y, grad)
    } else {
        grad
    };
    let total = |t: FloatTensor<B>| {
        let flat = Shape::new([shape[0], shape[1], shape[2..].iter().product()]);
        let sum = B::float_sum_dim(B::float_reshape(t, flat), 2);
        B::float_reshape(B::float_sum_dim(sum, 0), Shape::new([shape[1]]))
    };
    let on_beta = total(grad.clone());
    let on_gamma = total(B::float_mul(grad.clone(), hat.clone()));
    let groups = groups(&shape, options);
    let grad = B::float_mul(grad, per_channel::<B>(gamma, rank, 1));
    let on_x = projected::<B>(
        B::float_reshape(hat, groups.clone()),
        rate,
        B::float_reshape(grad, groups),
        2,
    );
    (B::float_reshape(on_x, shape), on_gamma, on_beta)
}

/// The tangents of [`group_norm_gradient`] by the formulas of `norm::gradient_tangent`, which has the names.
pub(crate) fn group_norm_gradient_tangent<B: Backend>(
    x: FloatTensor<B>,
    gamma: FloatTensor<B>,
    beta: FloatTensor<B>,
    grad: FloatTensor<B>,
    directions: NormGradientDirections<B>,
    options: GroupNormOptions,
) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>) {
    let (shape, full) = (x.shape(), directions.x.shape());
    let rank = full.num_dims();
    let k = full[0];
    let grouped = |t: FloatTensor<B>| {
        let groups = groups(&shape, options);
        let k = t.shape().num_elements() / groups.num_elements();
        B::float_reshape(t, Shape::new([k, groups[0], groups[1], groups[2]]))
    };
    let mean =
        |a: FloatTensor<B>, b: FloatTensor<B>| B::float_mean_dim(grouped(B::float_mul(a, b)), 3);
    let lifted = |t: FloatTensor<B>| B::float_reshape(t, [&[1], shape.as_slice()].concat().into());
    let scaled = |t: FloatTensor<B>| B::float_mul(t, per_channel::<B>(gamma.clone(), rank, 2));
    let (hat, rate) = normalized::<B>(x, options);
    let rate = B::float_reshape(rate, Shape::new([1, shape[0], options.groups, 1]));
    let project = |t: FloatTensor<B>, hat: FloatTensor<B>| {
        projected::<B>(grouped(hat), rate.clone(), grouped(t), 3)
    };
    let y = affine::<B>(hat.clone(), gamma.clone(), beta, rank - 1);
    let [hat, y, grad] = [hat, y, grad].map(lifted);

    let a = mean(hat.clone(), directions.x.clone());
    let hat_moved = B::float_reshape(project(directions.x, hat.clone()), full.clone());
    let [gamma_moved, beta_moved] =
        [directions.gamma, directions.beta].map(|t| each_channel::<B>(t, rank));
    let y_moved = B::float_add(
        B::float_mul(hat.clone(), gamma_moved.clone()),
        B::float_add(scaled(hat_moved.clone()), beta_moved),
    );
    let (h, h_moved) = if options.silu {
        let expanded = B::float_expand(y.clone(), full.clone());
        let along_grad = silu_derivative::<B>(expanded, directions.grad);
        let along_y = B::float_mul(silu_curvature::<B>(y.clone(), grad.clone()), y_moved);
        (
            silu_derivative::<B>(y, grad),
            B::float_add(along_grad, along_y),
        )
    } else {
        (grad, directions.grad)
    };
    let u = scaled(h.clone());
    let u_moved = B::float_add(
        B::float_mul(h.clone(), gamma_moved),
        scaled(h_moved.clone()),
    );

    let q = project(u.clone(), hat.clone());
    let second = B::float_add(
        B::float_mul(grouped(hat.clone()), mean(hat_moved.clone(), u.clone())),
        B::float_mul(grouped(hat_moved.clone()), mean(hat.clone(), u)),
    );
    let corrections = B::float_mul(B::float_add(second, B::float_mul(q, a)), rate.clone());
    let on_x = B::float_sub(project(u_moved, hat.clone()), corrections);
    let total = |t: FloatTensor<B>| {
        let pixels = shape[2..].iter().product();
        let flat = B::float_reshape(t, Shape::new([k, shape[0], shape[1], pixels]));
        let sum = B::float_sum_dim(B::float_sum_dim(flat, 3), 1);
        B::float_reshape(sum, Shape::new([k, shape[1]]))
    };
    let on_gamma = total(B::float_add(
        B::float_mul(h_moved.clone(), hat),
        B::float_mul(h, hat_moved),
    ));
    (B::float_reshape(on_x, full), on_gamma, total(h_moved))
}

/// x̂ in the shape of x, and the rate, `[n, groups, 1]`.
fn normalized<B: Backend>(
    x: FloatTensor<B>,
    options: GroupNormOptions,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let shape = x.shape();
    let x = B::float_reshape(x, groups(&shape, options));
    let centred = B::float_sub(x.clone(), B::float_mean_dim(x, 2));
    let variance = B::float_mean_dim(B::float_mul(centred.clone(), centred.clone()), 2);
    let spread = B::float_sqrt(B::float_add_scalar(variance, options.epsilon.into()));
    let hat = B::float_div(centred, spread.clone());
    (B::float_reshape(hat, shape), B::float_recip(spread))
}

/// `rate·(t − mean(t) − x̂·mean(x̂·t))`, means over the axis `dim`.
fn projected<B: Backend>(
    hat: FloatTensor<B>,
    rate: FloatTensor<B>,
    t: FloatTensor<B>,
    dim: usize,
) -> FloatTensor<B> {
    let along = B::float_mean_dim(B::float_mul(t.clone(), hat.clone()), dim);
    let centred = B::float_sub(t.clone(), B::float_mean_dim(t, dim));
    B::float_mul(B::float_sub(centred, B::float_mul(hat, along)), rate)
}

/// `γ·x̂ + β`.
fn affine<B: Backend>(
    hat: FloatTensor<B>,
    gamma: FloatTensor<B>,
    beta: FloatTensor<B>,
    rank: usize,
) -> FloatTensor<B> {
    let scaled = B::float_mul(hat, per_channel::<B>(gamma, rank, 1));
    B::float_add(scaled, per_channel::<B>(beta, rank, 1))
}

/// `[n, groups, values of a group]`.
fn groups(shape: &Shape, options: GroupNormOptions) -> Shape {
    let group = shape[1..].iter().product::<usize>() / options.groups;
    Shape::new([shape[0], options.groups, group])
}

/// `[c]` along the axis `axis` of `rank`.
fn per_channel<B: Backend>(values: FloatTensor<B>, rank: usize, axis: usize) -> FloatTensor<B> {
    let mut shape = vec![1; rank];
    shape[axis] = values.shape()[0];
    B::float_reshape(values, Shape::from(shape))
}

/// `[k, c]` along the axes of directions and of channels of `rank`.
fn each_channel<B: Backend>(values: FloatTensor<B>, rank: usize) -> FloatTensor<B> {
    let mut shape = vec![1; rank];
    (shape[0], shape[2]) = (values.shape()[0], values.shape()[1]);
    B::float_reshape(values, Shape::from(shape))
}

/// `[n or 1, o]` are added to every pixel.
pub(crate) fn conv3x3<B: Backend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: FloatTensor<B>,
) -> FloatTensor<B> {
    let shape = bias.shape();
    let bias = B::float_reshape(bias, Shape::new([shape[0], shape[1], 1, 1]));
    B::float_add(B::conv2d(x, weight, None, same_resolution()), bias)
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
    let moved = through_softmax::<B>(weights.clone(), scores, k.shape()[2]);
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
    let scores = through_softmax::<B>(weights, scores, k.shape()[2]);
    let on_q = B::float_matmul(k, transposed::<B>(scores.clone()));
    let on_k = B::float_matmul(q, scores);
    B::float_reshape(B::float_cat(vec![on_q, on_k, on_v], 1), shape)
}

/// q, k and v, `[n, heads, channels of a head, pixels]`.
fn split_heads<B: Backend>(qkv: FloatTensor<B>, heads: usize) -> [FloatTensor<B>; 3] {
    let shape = qkv.shape();
    let head = shape[1] / 3 / heads;
    let shape = Shape::new([shape[0], 3 * heads, head, shape[2] * shape[3]]);
    let qkv = B::float_reshape(qkv, shape);
    [0, 1, 2].map(|third| {
        let slices = [
            Slice::full(),
            Slice::from(third * heads..(third + 1) * heads),
            Slice::full(),
            Slice::full(),
        ];
        B::float_slice(qkv.clone(), &slices)
    })
}

/// `softmax(qᵀk/√c)` over the keys.
fn attention_weights<B: Backend>(q: FloatTensor<B>, k: FloatTensor<B>) -> FloatTensor<B> {
    let scale = 1.0 / (q.shape()[2] as f64).sqrt();
    let scores = B::float_matmul(transposed::<B>(q), k);
    B::softmax(B::float_mul_scalar(scores, scale.into()), 3)
}

/// `A ⊙ (S − Σ A ⊙ S)/√c`.
fn through_softmax<B: Backend>(
    weights: FloatTensor<B>,
    scores: FloatTensor<B>,
    channels: usize,
) -> FloatTensor<B> {
    let scale = 1.0 / (channels as f64).sqrt();
    let along = B::float_mul(weights.clone(), scores);
    let mean = B::float_sum_dim(along.clone(), 3);
    let moved = B::float_sub(along, B::float_mul(weights, mean));
    B::float_mul_scalar(moved, scale.into())
}

fn transposed<B: Backend>(t: FloatTensor<B>) -> FloatTensor<B> {
    B::float_swap_dims(t, 2, 3)
}
