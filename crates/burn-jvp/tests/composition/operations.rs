//! Operations of two tensors `[3, 4]` that give a tensor `[3, 4]`, bounded for bounded operands.

use burn::tensor::activation as act;
use burn::tensor::module as layer;
use burn::tensor::ops::{
    AvgPoolOptions, ConvOptions, GridSampleOptions, GridSamplePaddingMode, InterpolateMode,
    MaxPoolOptions, PadMode,
};
use burn::tensor::{IndexingUpdateOp, Int, Tensor, s};

/// Shape of all values.
pub const SHAPE: [usize; 2] = [3, 4];

type T = Tensor<2>;

/// Between −1 and 1.
fn unit(x: T) -> T {
    x.tanh()
}

/// At least 1/2.
fn positive(x: T) -> T {
    unit(x).powi_scalar(2) + 0.5
}

/// Places along the first axis that differ in each column, with one that occurs twice.
fn places(x: &T) -> Tensor<2, Int> {
    Tensor::from_ints([[2, 0, 1, 1], [1, 2, 0, 2], [1, 0, 2, 0]], &x.device())
}

/// Places along the first axis, all different in each column.
fn permutation(x: &T) -> Tensor<2, Int> {
    Tensor::from_ints([[2, 0, 1, 1], [1, 2, 0, 2], [0, 1, 2, 0]], &x.device())
}

fn line(x: &T) -> Tensor<1, Int> {
    Tensor::from_ints([2, 0, 2], &x.device())
}

fn image(x: T) -> Tensor<4> {
    x.reshape([1, 1, 3, 4])
}

fn whole(x: Tensor<1>) -> T {
    x.reshape([1, 1]).expand(SHAPE)
}

/// A fixed `3×3` kernel, in the type of `x`.
fn kernel(x: &T) -> Tensor<4> {
    let values = [0.2, -0.1, 0.3, 0.1, 0.4, -0.3, -0.2, 0.1, 0.2];
    Tensor::<1>::from_data(values, (&x.device(), x.dtype())).reshape([1, 1, 3, 3])
}

fn weights(x: &T) -> Tensor<1> {
    Tensor::from_data([0.7, -0.4, 1.1, 0.5], (&x.device(), x.dtype()))
}

fn sampled(x: T, at: T, padding: GridSamplePaddingMode) -> T {
    let grid = Tensor::stack::<3>(vec![at.clone() * 1.7, at.flip([0])], 2).reshape([1, 3, 4, 2]);
    let options = GridSampleOptions::new(InterpolateMode::Bilinear).with_padding_mode(padding);
    image(x).grid_sample_2d(grid, options).reshape(SHAPE)
}

/// Name and function of an operation.
type Operation = (&'static str, fn(T, T) -> T);

/// Name and function of each operation. The first does nothing: programs that fail shrink towards it.
#[rustfmt::skip]
pub const OPERATIONS: &[Operation] = &[
    ("copy", |x, _| x),
    ("add", |x, y| (x + y) * 0.7),
    ("sub", |x, y| (x - y) * 0.7),
    ("mul", |x, y| unit(x) * unit(y)),
    ("div", |x, y| x / positive(y) * 0.5),
    ("remainder", |x, y| x.remainder(positive(y))),
    ("remainder_scalar", |x, _| x.remainder_scalar(0.7)),
    ("abs", |x, _| x.abs()),
    ("neg", |x, _| -x),
    ("sign", |x, y| x.sign() * y),
    ("floor", |x, y| (x * 3.0).floor() * y * 0.2),
    ("round", |x, y| (x * 3.0).round() * y * 0.2),
    ("exp", |x, y| unit(x).exp() * y * 0.3),
    ("log", |x, _| positive(x).log()),
    ("log1p", |x, _| positive(x).log1p()),
    ("sqrt", |x, _| positive(x).sqrt()),
    ("recip", |x, _| positive(x).recip() * 0.5),
    ("erf", |x, _| x.erf()),
    ("sin", |x, _| x.sin()),
    ("cos", |x, _| x.cos()),
    ("tan", |x, _| unit(x).tan()),
    ("sinh", |x, _| unit(x).sinh()),
    ("cosh", |x, _| unit(x).cosh()),
    ("tanh", |x, _| x.tanh()),
    ("asin", |x, _| (unit(x) * 0.9).asin()),
    ("acos", |x, _| (unit(x) * 0.9).acos()),
    ("atan", |x, _| x.atan()),
    ("asinh", |x, _| x.asinh()),
    ("acosh", |x, _| (positive(x) + 1.0).acosh()),
    ("atanh", |x, _| (unit(x) * 0.9).atanh()),
    ("hypot", |x, y| x.hypot(positive(y)) * 0.7),
    ("atan2", |x, y| x.atan2(positive(y))),
    ("powf", |x, y| positive(x).powf(unit(y))),
    ("powf_scalar", |x, _| positive(x).powf_scalar(1.5)),
    ("powi_scalar", |x, _| unit(x).powi_scalar(3)),
    ("clamp", |x, _| x.clamp(-0.4, 0.6)),
    ("max_pair", |x, y| x.max_pair(y)),
    ("sum", |x, y| whole(unit(x).sum()) * y * 0.1),
    ("mean_dim", |x, y| x.mean_dim(1) * y),
    ("sum_dims", |x, y| unit(x).sum_dims(&[0, 1]) * y * 0.1),
    ("prod", |x, y| whole(positive(x).prod()) * y * 0.3),
    ("prod_dim", |x, y| unit(x).prod_dim(0) * y),
    ("cumsum", |x, _| x.cumsum(1) * 0.4),
    ("cumprod", |x, _| (unit(x) * 1.5).cumprod(1)),
    ("cumprod of rectified", |x, _| act::relu(x).cumprod(0)),
    ("cummax", |x, _| x.cummax(1)),
    ("cummin", |x, _| x.cummin(0)),
    ("max", |x, y| whole(x.max()) * y),
    ("min_dim", |x, y| x.min_dim(0) + y),
    ("max_dim_with_indices", |x, y| { let (high, at) = x.max_dim_with_indices(1); high * y.clone().gather(1, at) - y }),
    ("max_abs", |x, y| whole(x.max_abs()) * y),
    ("max_abs_dim", |x, y| x.max_abs_dim(1) - y),
    ("sort", |x, _| x.sort(1)),
    ("sort_descending", |x, _| x.sort_descending(0)),
    ("argsort", |x, y| { let at = x.argsort(0); y.gather(0, at) }),
    ("topk", |x, y| Tensor::cat(vec![x.topk(2, 1), y.topk(2, 1)], 1)),
    ("topk_with_indices", |x, y| { let (high, at) = x.topk_with_indices(4, 1); high * y.gather(1, at) }),
    ("transpose", |x, _| x.transpose().reshape(SHAPE)),
    ("reshape", |x, _| x.reshape([2, 6]).flip([1]).reshape(SHAPE)),
    ("expand", |x, y| x.slice(s![.., 0..1]).expand(SHAPE) * y),
    ("slice", |x, y| Tensor::cat(vec![x.slice(s![.., ..2]), y.slice(s![.., 2..])], 1)),
    ("slice_assign", |x, y| x.slice_assign(s![0..2, 1..3], y.slice(s![1..3, 0..2]))),
    ("repeat", |x, _| x.slice(s![.., ..2]).repeat_dim(1, 2)),
    ("unfold", |x, _| x.unfold::<3, _>(1, 2, 1).mean_dim(2).reshape([3, 3]).pad([(0, 0), (1, 0)], PadMode::Edge)),
    ("pad", |x, _| x.slice(s![.., 1..3]).pad([(0, 0), (1, 1)], PadMode::Constant(0.3))),
    ("select", |x, _| { let at = line(&x); x.select(0, at) }),
    ("gather", |x, _| { let at = places(&x); x.gather(0, at) }),
    ("gather_nd", |x, _| { let at = line(&x).reshape([3, 1]); x.gather_nd::<2, 2>(at) }),
    ("scatter_add", |x, y| { let at = places(&x); x.scatter(0, at, y, IndexingUpdateOp::Add) * 0.6 }),
    ("scatter_assign", |x, y| { let at = permutation(&x); x.scatter(0, at, y, IndexingUpdateOp::Assign) }),
    ("scatter_mul", |x, y| { let at = places(&x); unit(x).scatter(0, at, unit(y), IndexingUpdateOp::Mul) }),
    ("scatter_max", |x, y| { let at = places(&x); x.scatter(0, at, y, IndexingUpdateOp::Max) }),
    ("scatter_nd", |x, y| {
        let at = line(&x).reshape([3, 1]);
        x.scatter_nd(at, unit(y), IndexingUpdateOp::Min)
    }),
    ("select_assign", |x, y| { let at = line(&x); x.select_assign(0, at, y, IndexingUpdateOp::Add) * 0.6 }),
    ("mask_where", |x, y| { let mask = x.clone().greater(y.clone()); y.mask_where(mask, x.sin()) }),
    ("mask_fill", |x, _| { let mask = x.clone().lower_elem(-0.5); x.mask_fill(mask, 0.2) }),
    ("matmul", |x, y| x.clone().matmul(y.transpose()).matmul(x) * 0.2),
    ("cross", |x, y| unit(x).cross(unit(y), 0)),
    ("grid_sample, zeros", |x, y| sampled(x, y, GridSamplePaddingMode::Zeros)),
    ("grid_sample, border", |x, y| sampled(x, y, GridSamplePaddingMode::Border)),
    ("grid_sample, reflection", |x, y| sampled(x, y, GridSamplePaddingMode::Reflection)),
    ("relu", |x, _| act::relu(x)),
    ("gelu", |x, _| act::gelu(x)),
    ("silu", |x, _| act::silu(x)),
    ("sigmoid", |x, _| act::sigmoid(x)),
    ("softplus", |x, _| act::softplus(x, 1.0) * 0.7),
    ("softmax", |x, y| act::softmax(x * 3.0, 1) * y),
    ("log_softmax", |x, _| act::log_softmax(unit(x), 0) * 0.4),
    ("layer_norm", |x, y| { let w = weights(&x); layer::layer_norm(x + y.sin() * 0.3 + w.clone().unsqueeze(), w, None, 0.1) * 0.4 }),
    ("conv2d", |x, _| {
        let kernel = kernel(&x);
        layer::conv2d(image(x), kernel, None, ConvOptions::new([1, 1], [1, 1], [1, 1], 1)).reshape(SHAPE)
    }),
    ("avg_pool2d", |x, y| layer::avg_pool2d(image(x), AvgPoolOptions::new([3, 2])).reshape([1, 2]).repeat_dim(1, 2) * y),
    ("max_pool2d", |x, y| {
        layer::max_pool2d(image(x), MaxPoolOptions::new([2, 3]).with_stride([1, 1])).reshape([2, 2]).repeat_dim(1, 2)
            .pad([(1, 0), (0, 0)], PadMode::Edge) * y
    }),
    ("attention", |x, y| {
        let heads = |x: T| x.reshape([1, 1, 3, 4]);
        let z = layer::attention(heads(x.clone()), heads(y.clone()), heads(x * y.sin()), None, None, Default::default());
        z.reshape(SHAPE)
    }),
];
