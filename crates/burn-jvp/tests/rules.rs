//! Every rule on its own, in f64: against central differences in a random direction, against autodiff's VJP by the
//! inner-product identity ⟨w, J·v⟩ = ⟨Jᵀ·w, v⟩, and K = 3 against three times K = 1.

mod common;

use burn::module::{Module, Param};
use burn::nn::interpolate::{Interpolate2dConfig, InterpolateMode};
use burn::tensor::activation as act;
use burn::tensor::module as op;
use burn::tensor::ops::{
    AttentionModuleOptions, AvgPoolOptions, ConvOptions, MaxPoolOptions, PadMode,
};
use burn::tensor::{Device, Int, Tensor, s};
use burn_jvp::{DynTensor, Jvp, JvpError};
use common::{close, dot, numbers, random};

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
    let eager = |x: Tensor<4>, c: Tensor<4>| numbers(&f(x, c, &module).into());

    let tx = random([3, 2, 4, 6, 6], &device) - 0.6;
    let tc = random([6, 1, 4, 1, 3], &device).permute([4, 1, 2, 3, 0]) - 0.6;
    let inputs = [x.clone().into(), c.clone().into()];
    let tangents = [Some(tx.clone().into()), Some(tc.clone().into())];
    let (y, t) = jvp
        .call(&module, &inputs, &tangents)
        .unwrap_or_else(|e| panic!("{name}: {e}"));
    let t = t.unwrap_or_else(|| panic!("{name}: no tangent"));
    assert_eq!(numbers(&y), eager(x.clone(), c.clone()), "{name}: primal");
    let three = numbers(&t);
    let n = three.len() / 3;

    for k in 0..3 {
        let one = |t: &Tensor<5>| t.clone().slice(s![k..k + 1]);
        let (vx, vc) = (one(&tx), one(&tc));
        let single = [Some(vx.clone().into()), Some(vc.clone().into())];
        let (_, t) = jvp.call(&module, &inputs, &single).expect("K = 1");
        let single = numbers(&t.expect("a tangent"));
        close(name, "K = 1", &single, &three[k * n..][..n], 1e-12);
        if k > 0 {
            continue;
        }
        // Central differences.
        let (vx, vc) = (vx.squeeze_dim::<4>(0), vc.squeeze_dim::<4>(0));
        let h = 1e-6;
        let at = |h: f64| eager(x.clone() + vx.clone() * h, c.clone() + vc.clone() * h);
        let (up, down) = (at(h), at(-h));
        let slope: Vec<f64> = up
            .iter()
            .zip(&down)
            .map(|(u, d)| (u - d) / (2.0 * h))
            .collect();
        close(name, "central difference", &single, &slope, 1e-6);
        // Autodiff.
        let on = |t: &Tensor<4>| t.clone().autodiff().require_grad();
        let (ax, ac) = (on(&x), on(&c));
        let lifted = module.clone().train();
        let y = f(ax.clone(), ac.clone(), &lifted);
        let w = random(y.dims(), &device);
        let grads = (y * Tensor::from_inner(w.clone())).sum().backward();
        let mut right = 0.0;
        for (a, v) in [(&ax, &vx), (&ac, &vc)] {
            if let Some(g) = a.grad(&grads) {
                right += dot(&numbers(&g.into()), &numbers(&v.clone().into()));
            }
        }
        // Not tighter: autodiff rounds the scalar of a division to f32. And its gelu is the tanh form.
        if !name.starts_with("gelu") {
            close(
                name,
                "VJP",
                &[dot(&numbers(&w.into()), &single)],
                &[right],
                1e-7,
            );
        }
    }

    // Linearity: the tangents of each input alone add up.
    let mut sum = vec![0.0; three.len()];
    for which in 0..2 {
        let mut only = tangents.clone();
        only[which] = None;
        let (_, t) = jvp.call(&module, &inputs, &only).expect("one input active");
        if let Some(t) = t {
            sum.iter_mut().zip(numbers(&t)).for_each(|(s, t)| *s += t);
        }
    }
    close(name, "one input at a time", &sum, &three, 1e-12);
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
    powf_scalar: |x, c, _| x.powf_scalar(2.5) + c.powf_scalar(-0.5);
    powi_scalar: |x, c, _| x.powi_scalar(3) + c.powi_scalar(-2);
    powi_square: |x, c, _| (x - 0.6).powi_scalar(2) + c;
    powf: |x, c, _| x.powf(c);
    clamp: |x, c, _| x.clamp(0.4, 0.8) + c.clamp_min(0.5).clamp_max(0.7);
    sum: |x, c, _| x.sum().reshape([1, 1, 1, 1]) * c;
    mean: |x, c, _| x.mean().reshape([1, 1, 1, 1]) * c;
    sum_dim: |x, c, _| x.sum_dim(2) * c;
    mean_dim: |x, c, _| x.mean_dim(3) * c;
    mean_then_variance: |x, c, _| x.clone().var(1) + (x * c).var_bias(3);
    max_dim: |x, c, _| x.max_dim(2) * c;
    min_dim: |x, c, _| x.min_dim(1) * c;
    max_all: |x, c, _| x.max().reshape([1, 1, 1, 1]) * c;
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
    interpolate: |x, c, _| Interpolate2dConfig::new().with_output_size(Some([12, 12]))
        .with_mode(InterpolateMode::Nearest).init().forward(x * c);
    avg_pool: |x, c, _| op::avg_pool2d(x * c, AvgPoolOptions::new([2, 2]));
    adaptive_avg_pool: |x, c, _| op::adaptive_avg_pool2d(x * c, [3, 2]);
    max_pool: |x, c, _| op::max_pool2d(x * c, MaxPoolOptions::new([3, 3]));
    softmax: |x, c, _| act::softmax(x * 5.0, 3) * c.clone() + act::softmax(c, 1);
    log_softmax: |x, c, _| act::log_softmax(x * 5.0, 2) * c;
    sigmoid: |x, c, _| act::sigmoid(x) * act::log_sigmoid(c);
    silu: |x, c, _| act::silu(x * c);
    relu: |x, c, _| act::relu(x - 0.6) * c.clone() + act::leaky_relu(c - 0.6, 0.1);
    gelu: |x, c, _| act::gelu((x - 0.6) * 4.0) * c;
    softplus: |x, c, _| act::softplus(x * c, 1.0);
    attention: |x, c, _| op::attention(x.clone() * c, x.clone() * 2.0, x.sin(), None, None, Default::default());
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
    let jvp = Jvp::new(|_: &Weight, i: &[DynTensor]| i[0].get::<4>().cumprod(1).into());
    let x: DynTensor = random([1, 4, 3, 3], &device).into();
    let t: DynTensor = random([1, 1, 4, 3, 3], &device).into();
    let error = jvp.call(&module, &[x], &[Some(t)]).expect_err("no rule");
    assert!(matches!(error, JvpError::Unsupported { .. }));
    assert!(
        error.to_string().contains("NumericFloat::CumProd"),
        "{error}"
    );
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
