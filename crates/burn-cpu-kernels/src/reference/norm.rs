//! Reference implementations of group normalisation.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Shape, TensorMetadata};

use super::{per_channel, silu, silu_curvature, silu_derivative};
use crate::norm::GroupNormOptions;
use crate::norm_directions::{NormDirections, NormGradientDirections};

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

/// `[k, c]` along the axes of directions and of channels of `rank`.
fn each_channel<B: Backend>(values: FloatTensor<B>, rank: usize) -> FloatTensor<B> {
    let mut shape = vec![1; rank];
    (shape[0], shape[2]) = (values.shape()[0], values.shape()[1]);
    B::float_reshape(values, Shape::from(shape))
}
