//! Every rule on its own, in f64: against central differences in a random direction, against autodiff's VJP by the
//! inner-product identity ⟨w, J·v⟩ = ⟨Jᵀ·w, v⟩, K = 3 against three times K = 1, and one input at a time against both.

mod common;

use burn::module::{Module, Param};
use burn::nn::interpolate::{Interpolate2dConfig, InterpolateMode};
use burn::tensor::FloatDType::F64;
use burn::tensor::activation as act;
use burn::tensor::module as op;
use burn::tensor::ops::{
    AttentionModuleOptions, AvgPoolOptions, ConvOptions, ConvTransposeOptions, MaxPoolOptions,
    PadMode, UnfoldOptions,
};
use burn::tensor::{Device, Int, IntDType, Tensor, s};
use burn_jvp::check::{CheckOptions, check_jvp};
use burn_jvp::{DynTensor, Jvp, JvpError};
use common::random;

/// A module with one weight, so that rules meet a parameter too.
#[derive(Module, Debug)]
struct Weight {
    w: Param<Tensor<4>>,
}

/// `f` of two inputs `[2, 4, 6, 6]` and `[1, 4, 1, 6]`.
type Op = fn(Tensor<4>, Tensor<4>, &Weight) -> Tensor<4>;

fn check(name: &str, f: Op) {
    let device = Device::flex();
    let module = Weight {
        w: Param::from_tensor(random([4, 4, 3, 3], &device)),
    };
    // The second input is also transposed, so it is not contiguous.
    let x = random([2, 4, 6, 6], &device);
    let c = random([6, 1, 4, 1], &device).permute([1, 2, 3, 0]);
    let jvp = Jvp::new(|m: &Weight, i: &[DynTensor]| f(i[0].get(), i[1].get(), m).into());

    let tx = random([3, 2, 4, 6, 6], &device) - 0.6;
    let tc = random([6, 1, 4, 1, 3], &device).permute([4, 1, 2, 3, 0]) - 0.6;
    let inputs = [x.into(), c.into()];
    let tangents = [Some(tx.into()), Some(tc.into())];
    let (_, t) = jvp
        .call(&module, &inputs, &tangents)
        .unwrap_or_else(|e| panic!("{name}: {e}"));
    assert!(t.is_some(), "{name}: no tangent");
    // The functions are written for double precision.
    let options = CheckOptions {
        single: None,
        ..CheckOptions::default()
    };
    check_jvp(&jvp, &module, &inputs, &tangents, &options)
        .unwrap_or_else(|e| panic!("{name}: {e}"));
}

macro_rules! rules {
    ($($name:ident: $f:expr;)*) => {$(
        #[test]
        fn $name() {
            check(stringify!($name), $f);
        }
    )*};
}

fn mask(x: &Tensor<4>) -> Tensor<4, burn::tensor::Bool> {
    // A fixed pattern, independent of x's values.
    let i = Tensor::<1, Int>::arange(0..x.shape().num_elements() as i64, &x.device());
    let parity = i.clone() - i.div_scalar(2) * 2;
    parity
        .reshape(x.shape())
        .equal(Tensor::zeros(x.shape(), &x.device()))
}

fn indices(device: &Device) -> Tensor<1, Int> {
    Tensor::from_ints([3, 0, 0], device)
}

rules! {
    add: |x, c, _| x + c;
    add_broadcast_left: |x, c, _| c + x;
    sub: |x, c, _| c - x;
    mul: |x, c, _| x * c;
    div: |x, c, _| x.clone() / c.clone() + c / x;
    scalars: |x, c, _| (x * 3.0 - 1.0) / 7.0 + (c + 2.0);
    neg: |x, c, _| -x * c;
    abs: |x, c, _| (x - 0.6).abs() * c;
    exp: |x, c, _| x.exp() * c;
    log: |x, c, _| x.log() + c.log1p();
    sqrt: |x, c, _| x.sqrt() + c.recip();
    erf: |x, c, _| x.erf() * c;
    trigonometric: |x, c, _| x.clone().sin() * c.cos() + x.tan();
    hyperbolic: |x, c, _| x.clone().tanh() * c.sinh() + x.cosh();
    inverse_trigonometric: |x, c, _| x.clone().asin() * c.atan() + x.acos();
    inverse_hyperbolic: |x, c, _| (x.clone() + 1.0).acosh() * c.asinh() + x.atanh();
    hypot: |x, c, _| x.clone().hypot(c.clone().expand([2, 4, 6, 6])) + c.hypot(x.slice([0..1, 0..4, 0..1]));
    atan2: |x, c, _| x.clone().atan2(c.clone().expand([2, 4, 6, 6])) + c.atan2(x.slice([0..1, 0..4, 0..1]));
    steps: |x, c, _| {
        let s = x.clone() * 9.0;
        let steps = s.clone().round() + s.clone().floor() * s.clone().ceil() + s.trunc() + (c.clone() - 0.6).sign();
        x.clone() * steps * c + x.mul_scalar(5.0).int().float().cast(F64)
    };
    powf_scalar: |x, c, _| x.powf_scalar(2.5) + c.powf_scalar(-0.5);
    powi_scalar: |x, c, _| x.powi_scalar(3) + c.powi_scalar(-2);
    powi_square: |x, c, _| (x - 0.6).powi_scalar(2) + c;
    powf: |x, c, _| x.powf(c);
    clamp: |x, c, _| x.clamp(0.4, 0.8) + c.clamp_min(0.5).clamp_max(0.7);
    sum: |x, c, _| x.sum().reshape([1, 1, 1, 1]) * c;
    mean: |x, c, _| x.mean().reshape([1, 1, 1, 1]) * c;
    sum_dim: |x, c, _| x.sum_dim(2) * c;
    mean_dim: |x, c, _| x.mean_dim(3) * c;
    sum_dims: |x, c, _| x.sum_dims(&[0, 2]) * c;
    min_all: |x, c, _| x.min().reshape([1, 1, 1, 1]) * c;
    mean_then_variance: |x, c, _| x.clone().var(1) + (x * c).var_bias(3);
    max_dim: |x, c, _| x.max_dim(2) * c;
    min_dim: |x, c, _| x.min_dim(1) * c;
    max_all: |x, c, _| x.max().reshape([1, 1, 1, 1]) * c;
    max_with_indices: |x, c, _| {
        let (y, i) = (x * c).max_dim_with_indices(2);
        y * (i.float().cast(F64) + 1.0)
    };
    min_with_indices: |x, c, _| {
        let (y, i) = (x * c).min_dim_with_indices(3);
        y * (i.float().cast(F64) + 1.0)
    };
    arg_extrema: |x, c, _| {
        let i = x.clone().argmax(1) + x.clone().argmin(1);
        x * i.float().cast(F64) * c
    };
    cumsum: |x, c, _| x.cumsum(3) * c;
    reshape: |x, c, _| x.reshape([4, 2, 18, 2]) + c.reshape([4, 1, 3, 2]).repeat_dim(2, 6);
    permute: |x, c, _| x.permute([0, 3, 1, 2]) * c.permute([0, 2, 1, 3]).expand([2, 6, 4, 6]);
    swap_and_transpose: |x, c, _| x.swap_dims(1, 3) * c.swap_dims(1, 3).transpose().transpose();
    flip: |x, c, _| x.flip([1, 3]) * c;
    slice: |x, c, _| x.slice(s![.., 1..3, 2.., ..4]) + c.slice(s![.., 0..2, .., 1..5]);
    slice_assign: |x, c, _| x.slice_assign([0..1, 0..4, 1..2, 0..6], c);
    cat: |x, c, _| Tensor::cat(vec![x.clone(), c.repeat_dim(0, 2), x.ones_like()], 2);
    repeat: |x, c, _| x.repeat_dim(1, 2) * c.repeat_dim(1, 2);
    expand: |x, c, _| c.expand([2, 4, 6, 6]) * x;
    rank_change: |x, c, _| x.reshape([2, 24, 6]).unsqueeze::<4>() * c.slice([0..1, 0..1]);
    expand_new_axes: |x, c, _| x.sum().expand([2, 4, 1, 6]) * c;
    select: |x, c, _| { let i = indices(&x.device()); x.select(1, i.clone()) * c.select(1, i) };
    gather: |x, c, _| {
        let i = indices(&x.device()).reshape([1, 3, 1, 1]).expand([2, 3, 6, 6]);
        x.gather(1, i) * c.slice([0..1, 0..3])
    };
    mask_where: |x, c, _| { let m = mask(&x); let v = x.clone() * c; x.mask_where(m, v * 3.0) };
    mask_fill: |x, c, _| { let m = mask(&x); (x * c).mask_fill(m, -1.0) };
    unfold: |x, c, _| (x * c).unfold::<5, _>(2, 3, 2).reshape([2, 4, 4, 9]);
    constants: |x, c, _| {
        let device = (&x.device(), x.dtype());
        let sum = Tensor::<4>::zeros([1, 4, 1, 6], device) + Tensor::ones([1, 4, 1, 6], device) + c.full_like(2.5);
        let filled = Tensor::<4>::empty([2, 4, 6, 6], device).slice_assign(s![.., .., .., ..], x);
        filled * sum + c
    };
    comparisons: |x, c, _| {
        let wide = c.clone().expand([2, 4, 6, 6]);
        let masks = [
            x.clone().greater(wide.clone()), x.clone().greater_equal(wide.clone()),
            x.clone().lower(wide.clone()), x.clone().lower_equal(wide.clone()),
            x.clone().equal(wide.clone()), x.clone().not_equal(wide),
            x.clone().greater_elem(0.5), x.clone().greater_equal_elem(0.6), x.clone().lower_elem(0.7),
            x.clone().lower_equal_elem(0.8), x.clone().equal_elem(0.5), x.clone().not_equal_elem(0.5),
            x.clone().is_nan(), x.clone().is_inf(),
        ];
        masks.into_iter().fold(x.clone(), |y, m| (y * 1.1).mask_where(m, x.clone() * c.clone() * 2.0))
    };
    bools: |x, c, _| {
        let (a, b) = (x.clone().greater_elem(0.5), x.clone().lower_elem(0.7));
        let shaped = a.clone().reshape([2, 24, 6]).swap_dims(0, 2).permute([2, 1, 0]).reshape([2, 4, 6, 6]);
        let cut = a.clone().slice([0..2, 0..4, 0..6, 0..1]).expand([2, 4, 6, 6]);
        let joined = Tensor::cat(vec![b.clone().slice(s![0..1]), a.clone().slice(s![0..1])], 0);
        let repeated = b.clone().slice(s![0..1]).repeat_dim(0, 2);
        let logic = a.clone().bool_and(b.clone()).bool_or(shaped.bool_not()).bool_xor(joined);
        let (no, yes) = (Tensor::zeros([2, 4, 6, 6], &x.device()), Tensor::ones([2, 4, 6, 6], &x.device()));
        let same = logic.equal(repeated).not_equal(cut).bool_or(no).bool_and(yes);
        let (f, i) = (same.clone().float().cast(F64), a.int());
        x * f + i.float().cast(F64) * c
    };
    ints: |x, c, _| {
        let i = Tensor::<1, Int>::arange(0..12, &x.device()).reshape([3, 4]);
        let moved = i.clone().swap_dims(0, 1).permute([1, 0]).flip([1]).slice(s![0..2]).repeat_dim(0, 2);
        let some = Tensor::cat(vec![moved.clone(), i.clone().slice(s![1..3])], 0).select(1, indices(&x.device()));
        let some = (some.clone() * 3 + 1) / 2 - some.clone() * some.clone() / (some.full_like(3)) - 2;
        let more = -(some.clone() + some.clone().ones_like()) - some.zeros_like();
        let masks = [
            some.clone().greater(more.clone()), some.clone().lower(more.clone()),
            some.clone().greater_equal(more.clone()), some.clone().lower_equal(more.clone()),
            some.clone().equal(more.clone()), some.clone().not_equal(more.clone()),
            more.clone().equal_elem(3), more.clone().not_equal_elem(3), more.clone().greater_elem(1),
            more.clone().lower_elem(1), more.clone().greater_equal_elem(1), more.clone().lower_equal_elem(1),
        ];
        let total = masks.into_iter().fold(more.abs().clamp(0, 7), |sum, m| sum * 2 + m.int());
        let total = total.cast(IntDType::I16).float().cast(F64);
        x * (total / 1e4).slice(s![0..6]).reshape([1, 1, 6, 3]).repeat_dim(3, 2) + c
    };
    pad: |x, c, _| x.pad((1, 2, 0, 1), PadMode::Constant(0.5)).slice([0..2, 0..4, 0..6, 0..6]) * c;
    pad_reflect: |x, c, _| x.pad((1, 2, 0, 1), PadMode::Reflect).slice([0..2, 0..4, 0..6, 0..6]) * c;
    int_to_float: |x, c, _| {
        let i = Tensor::<1, Int>::arange(0..6, &x.device()).float().cast(x.dtype());
        x * i.reshape([1, 1, 1, 6]) + c
    };
    matmul: |x, c, _| x.clone().matmul(x.swap_dims(2, 3)) + c;
    matmul_left: |x, c, _| c.matmul(x);
    matmul_shared: |x, c, w| {
        let w = w.w.val().reshape([1, 1, 6, 24]);
        (x * c).matmul(w)
    };
    conv2d: |x, c, w| op::conv2d(
        x * c, w.w.val(), Some(w.w.val().reshape([144]).slice(s![0..4])), ConvOptions::new([2, 1], [1, 2], [1, 1], 1),
    );
    conv2d_grouped: |x, c, w| op::conv2d(
        x * c, w.w.val().slice([0..4, 0..2]), None, ConvOptions::new([1, 1], [1, 1], [1, 1], 2),
    );
    conv1d: |x, c, w| {
        let (w, b) = (w.w.val().slice([0..4, 0..4, 0..3, 0..1]).reshape([4, 4, 3]), w.w.val().reshape([144]).slice(s![0..4]));
        op::conv1d((x * c).reshape([2, 4, 36]), w, Some(b), ConvOptions::new([2], [1], [1], 1)).reshape([2, 4, 3, 6])
    };
    conv3d: |x, c, w| {
        let (w, b) = (w.w.val().reshape([4, 4, 1, 3, 3]), w.w.val().reshape([144]).slice(s![0..4]));
        let x = (x * c).reshape([2, 4, 2, 6, 3]);
        op::conv3d(x, w, Some(b), ConvOptions::new([1, 1, 1], [0, 1, 1], [1, 1, 1], 1)).reshape([2, 4, 6, 6])
    };
    conv_transpose1d: |x, c, w| {
        let (w, b) = (w.w.val().slice([0..4, 0..4, 0..3, 0..1]).reshape([4, 4, 3]), w.w.val().reshape([144]).slice(s![0..4]));
        let y = op::conv_transpose1d(
            (x * c).reshape([2, 4, 36]), w, Some(b), ConvTransposeOptions::new([2], [1], [1], [1], 1),
        );
        y.reshape([2, 4, 12, 6])
    };
    conv_transpose2d: |x, c, w| op::conv_transpose2d(
        x * c, w.w.val(), Some(w.w.val().reshape([144]).slice(s![0..4])),
        ConvTransposeOptions::new([2, 1], [1, 0], [1, 0], [1, 1], 1),
    );
    conv_transpose3d: |x, c, w| {
        let (w, b) = (w.w.val().reshape([4, 4, 1, 3, 3]), w.w.val().reshape([144]).slice(s![0..4]));
        let y = op::conv_transpose3d(
            (x * c).reshape([2, 4, 2, 6, 3]), w, Some(b),
            ConvTransposeOptions::new([1, 1, 1], [0, 1, 1], [0, 0, 0], [1, 1, 1], 1),
        );
        y.reshape([2, 4, 6, 6])
    };
    linear: |x, c, w| op::linear(x * c, w.w.val().reshape([6, 24]), Some(w.w.val().reshape([144]).slice(s![0..24])));
    layer_norm: |x, c, w| {
        let v = w.w.val().reshape([144]);
        let y = op::layer_norm(x * c, v.clone().slice(s![0..6]), Some(v.clone().slice(s![6..12])), 1e-3);
        op::layer_norm(y.sin(), v.slice(s![12..18]), None, 1e-5)
    };
    batch_norm: |x, c, w| {
        let v = |i: usize| w.w.val().reshape([144]).slice(s![i..i + 4]);
        op::batch_norm(x * c, v(0), v(4), v(8), v(12), 1e-3)
    };
    embedding: |x, c, w| {
        let tokens = indices(&x.device()).reshape([1, 3]);
        let rows = op::embedding(w.w.val().reshape([24, 6]), tokens).reshape([1, 1, 3, 6]);
        x * rows.repeat_dim(2, 2) + c
    };
    unfold4d: |x, c, _| op::unfold4d(x * c, [3, 2], UnfoldOptions::new([2, 1], [1, 0], [1, 2])).unsqueeze();
    interpolate: |x, c, _| Interpolate2dConfig::new().with_output_size(Some([12, 12]))
        .with_mode(InterpolateMode::Nearest).init().forward(x * c);
    avg_pool: |x, c, _| op::avg_pool2d(x * c, AvgPoolOptions::new([2, 2]));
    adaptive_avg_pool: |x, c, _| op::adaptive_avg_pool2d(x * c, [3, 2]);
    avg_pool1d: |x, c, _| op::avg_pool1d((x * c).reshape([2, 4, 36]), AvgPoolOptions::new([3])).reshape([2, 4, 6, 2]);
    adaptive_avg_pool1d: |x, c, _| op::adaptive_avg_pool1d((x * c).reshape([2, 4, 36]), 6).unsqueeze();
    adaptive_avg_pool3d: |x, c, _| {
        op::adaptive_avg_pool3d((x * c).reshape([2, 4, 2, 6, 3]), [1, 3, 3]).reshape([2, 4, 3, 3])
    };
    max_pool1d: |x, c, _| op::max_pool1d((x * c).reshape([2, 4, 36]), MaxPoolOptions::new([3])).unsqueeze();
    max_pool: |x, c, _| op::max_pool2d(x * c, MaxPoolOptions::new([3, 3]));
    softmax: |x, c, _| act::softmax(x * 5.0, 3) * c.clone() + act::softmax(c, 1);
    softmin: |x, c, _| act::softmin(x * 5.0, 3) * c;
    log_softmax: |x, c, _| act::log_softmax(x * 5.0, 2) * c;
    sigmoid: |x, c, _| act::sigmoid(x) * act::log_sigmoid(c);
    silu: |x, c, _| act::silu(x * c);
    relu: |x, c, _| act::relu(x - 0.6) * c.clone() + act::leaky_relu(c - 0.6, 0.1);
    prelu: |x, c, w| {
        let slopes = w.w.val().reshape([144]).slice(s![0..4]);
        act::prelu(x - 0.6, slopes.clone()) * c.clone() + act::prelu(c - 0.6, slopes.slice(s![0..1]))
    };
    hard_sigmoid: |x, c, _| act::hard_sigmoid((x - 0.6) * 20.0, 0.2, 0.5) * c;
    compound_activations: |x, c, _| {
        let z = x - 0.6;
        act::mish(z.clone()) + act::hard_swish(z.clone() * 9.0) + act::elu(z.clone(), 0.7) * act::softsign(z.clone())
            + act::quiet_softmax(z.clone(), 3) + act::relu6(z.clone() * 30.0) * c
            + act::glu(Tensor::cat(vec![z.clone(), z], 1), 1)
    };
    gelu: |x, c, _| act::gelu((x - 0.6) * 4.0) * c;
    softplus: |x, c, _| act::softplus(x * c, 1.0);
    attention: |x, c, _| op::attention(x.clone() * c, x.clone() * 2.0, x.sin(), None, None, Default::default());
    attention_masked_and_biased: |x, c, _| op::attention(
        x.clone() * c.clone(), x.clone() * 2.0, x.clone().sin(), Some(mask(&x)), Some(x * c * 3.0), Default::default(),
    );
    attention_of_a_fully_masked_row: |x, c, _| {
        let i = Tensor::<1, Int>::arange(0..288, &x.device());
        let first_row = i.lower_elem(6).reshape([2, 4, 6, 6]);
        op::attention(x.clone() * c, x.clone() * 2.0, x.sin(), Some(first_row), None, Default::default())
    };
    attention_other_lengths: |x, c, _| {
        let (k, v) = (x.clone().slice(s![.., .., 0..4]), x.clone().slice(s![.., .., 2.., 1..4]));
        op::attention(x.sin() * c, k * 3.0, v, None, None, Default::default())
    };
    attention_other_lengths_causal: |x, c, _| {
        let (k, v) = (x.clone().slice(s![.., .., 0..4]), x.clone().slice(s![.., .., 2.., 1..4]));
        let options = AttentionModuleOptions { scale: None, softcap: None, is_causal: true };
        op::attention(x.sin() * c, k * 3.0, v, None, None, options)
    };
    attention_in_values_alone: |x, c, w| {
        let k = w.w.val().reshape([1, 4, 6, 6]).repeat_dim(0, 2);
        op::attention(k.clone(), k, x * c, None, None, Default::default())
    };
    attention_in_the_bias_alone: |x, c, w| {
        let k = w.w.val().reshape([1, 4, 6, 6]).repeat_dim(0, 2);
        op::attention(k.clone(), k.clone(), k, None, Some(x * c), Default::default())
    };
    attention_causal: |x, c, _| op::attention(
        x.clone() * c, x.clone() * 2.0, x.sin(), None, None,
        AttentionModuleOptions { scale: Some(1.5), softcap: Some(2.0), is_causal: true },
    );
}

#[test]
fn without_tangents_there_is_no_tangent() {
    let device = Device::flex();
    let module = Weight {
        w: Param::from_tensor(random([4, 4, 3, 3], &device)),
    };
    let jvp = Jvp::new(|m: &Weight, i: &[DynTensor]| (i[0].get::<4>() * m.w.val()).into());
    let x: DynTensor = random([4, 4, 3, 3], &device).into();
    let (_, t) = jvp
        .call(&module, std::slice::from_ref(&x), &[None])
        .expect("a primal");
    assert!(t.is_none());
}

#[test]
fn an_operation_without_a_rule_is_named() {
    let device = Device::flex();
    let module = Weight {
        w: Param::from_tensor(random([4, 4, 3, 3], &device)),
    };
    let jvp = Jvp::new(|_: &Weight, i: &[DynTensor]| {
        let x = i[0].get::<4>();
        (x.random_like(burn::tensor::Distribution::Default) * x).into()
    });
    let x: DynTensor = random([1, 4, 3, 3], &device).into();
    let t: DynTensor = random([1, 1, 4, 3, 3], &device).into();
    let error = jvp.call(&module, &[x], &[Some(t)]).expect_err("no rule");
    assert!(matches!(error, JvpError::Unsupported { .. }));
    assert!(error.to_string().contains("Float::Random"), "{error}");
}

#[test]
fn tangents_of_the_wrong_shape_are_refused() {
    let device = Device::flex();
    let module = Weight {
        w: Param::from_tensor(random([4, 4, 3, 3], &device)),
    };
    let jvp = Jvp::new(|_: &Weight, i: &[DynTensor]| i[0].clone());
    let x: DynTensor = random([1, 4, 3, 3], &device).into();
    let error = jvp
        .call(&module, std::slice::from_ref(&x), &[Some(x.clone())])
        .expect_err("not stacked");
    assert!(matches!(error, JvpError::Shape(_)), "{error}");
}
