//! The rules of the kernels: against central differences, against autodiff, K tangents against one, one input at a time
//! against both (in f64, by Burn's own operations), and the kernels' f32 against that.

use burn::backend::Dispatch;
use burn::module::{Module, Param};
use burn::tensor::{DType, Device, Tensor, TensorData, s};
use burn_cpu_kernels::jvp::RULES;
use burn_cpu_kernels::{
    GroupNormOptions, KernelBackend, Stride, attention, conv3x3, group_norm, pointwise, silu,
};
use burn_jvp::check::{CheckOptions, check_jvp, random_tangents};
use burn_jvp::{DynTensor, Jvp};

/// A module with one weight.
#[derive(Module, Debug)]
struct Weight {
    w: Param<Tensor<4>>,
}

/// A function of two inputs `[2, 4, 6, 6]` and `[1, 4, 1, 6]`.
type Function = fn(Tensor<4>, Tensor<4>, &Weight) -> Tensor<4>;

/// Numbers between 0.3 and 0.9 that look random, in f64, the same everywhere.
fn random<const D: usize>(shape: [usize; D], seed: u32) -> Tensor<D> {
    let mut state = seed.wrapping_mul(2_654_435_761).max(1);
    let next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        0.3 + 0.6 * f64::from(state) / f64::from(u32::MAX)
    };
    let values: Vec<f64> = std::iter::repeat_with(next)
        .take(shape.iter().product())
        .collect();
    Tensor::from_data(
        TensorData::new(values, shape),
        (&Device::flex(), DType::F64),
    )
}

fn module() -> Weight {
    Weight {
        w: Param::from_tensor(random([4, 4, 3, 3], 1)),
    }
}

fn check(name: &str, f: Function) {
    let jvp = Jvp::new(|m: &Weight, i: &[DynTensor]| f(i[0].get(), i[1].get(), m).into())
        .with_rules(RULES);
    // The second input and its tangents are not contiguous.
    let c = random([6, 1, 4, 1], 3).permute([1, 2, 3, 0]);
    let tc = random([6, 1, 4, 1, 3], 5).permute([4, 1, 2, 3, 0]) - 0.6;
    let inputs = [random([2, 4, 6, 6], 2).into(), c.into()];
    let tangents = [
        Some((random([3, 2, 4, 6, 6], 4) - 0.6).into()),
        Some(tc.into()),
    ];
    let options = CheckOptions {
        single: Some(1e-5),
        ..CheckOptions::default()
    };
    check_jvp(&jvp, &module(), &inputs, &tangents, &options)
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

/// A row of biases for each of the two images.
fn biases(weight: &Weight) -> Tensor<2> {
    weight.w.val().reshape([36, 4]).slice(s![3..5])
}

/// γ or β of four channels.
fn per_channel(weight: &Weight, row: usize) -> Tensor<1> {
    weight
        .w
        .val()
        .reshape([144])
        .slice(s![4 * row..4 * row + 4])
}

fn options(silu: bool) -> GroupNormOptions {
    GroupNormOptions {
        groups: 2,
        epsilon: 1e-3,
        silu,
    }
}

rules! {
    kernel_convolution: |x, c, w| conv3x3(x * c, w.w.val(), biases(w).slice(s![0..1]), Stride::One);
    kernel_convolution_with_biases_of_each: |x, c, w| conv3x3(x * c, w.w.val(), biases(w), Stride::One);
    kernel_convolution_of_few_pixels: |x, c, w| {
        let corner = (x * c).slice(s![.., .., 0..2, 1..4]);
        conv3x3(corner, w.w.val(), biases(w).slice(s![0..1]), Stride::One)
    };
    kernel_convolution_of_few_pixels_with_biases_of_each: |x, c, w| {
        conv3x3((x * c).slice(s![.., .., 0..2, 1..4]), w.w.val(), biases(w), Stride::One)
    };
    kernel_convolution_of_stride_2: |x, c, w| conv3x3(x * c, w.w.val(), biases(w), Stride::Two);
    kernel_convolution_of_stride_2_of_few_pixels: |x, c, w| {
        let corner = (x * c).slice(s![.., .., 0..3, 1..3]);
        conv3x3(corner, w.w.val(), biases(w).slice(s![0..1]), Stride::TwoFromCorner)
    };
    kernel_silu: |x, c, _| silu((x - 0.6) * c * 4.0);
    kernel_group_norm: |x, c, w| group_norm(x * c, per_channel(w, 0), per_channel(w, 1), options(false));
    kernel_group_norm_with_silu: |x, c, w| {
        group_norm(x * c, per_channel(w, 0), per_channel(w, 1), options(true))
    };
    kernel_pointwise: |x, c, w| {
        let weights = w.w.val().reshape([144]);
        let map = weights.clone().slice(s![0..20]).reshape([4, 5]);
        pointwise(x * c, map, weights.slice(s![20..25]))
    };
    kernel_attention: |x, c, w| {
        let weights = w.w.val().reshape([144]);
        let map = weights.clone().slice(s![0..48]).reshape([4, 12]);
        attention(pointwise((x - 0.6) * c * 4.0, map, weights.slice(s![48..60])), 2)
    };
}

/// A kernel as a function of its data and its weights.
type Kernel = fn(&[DynTensor]) -> DynTensor;

/// Checks a kernel along tangents of every subset of its inputs, and with inputs that are not contiguous.
fn check_weights(name: &str, kernel: Kernel, inputs: Vec<DynTensor>) {
    let jvp = Jvp::new(|_: &Weight, i: &[DynTensor]| kernel(i)).with_rules(RULES);
    let options = CheckOptions {
        single: Some(1e-5),
        ..CheckOptions::default()
    };
    let tangents = random_tangents(&inputs, 3, 0);
    for subset in 1..1 << inputs.len() {
        let active: Vec<Option<DynTensor>> = tangents
            .iter()
            .enumerate()
            .map(|(i, t)| t.clone().filter(|_| subset >> i & 1 == 1))
            .collect();
        check_jvp(&jvp, &module(), &inputs, &active, &options)
            .unwrap_or_else(|e| panic!("{name}, inputs {subset:b}: {e}"));
    }
}

/// A transposed weight `[o, i]` as `[i, o]`, which is not contiguous.
fn transposed(shape: [usize; 2], seed: u32) -> DynTensor {
    random(shape, seed).transpose().into()
}

macro_rules! weights {
    ($($name:ident: $kernel:expr, $inputs:expr;)*) => {$(
        #[test]
        fn $name() {
            check_weights(stringify!($name), $kernel, $inputs.into());
        }
    )*};
}

weights! {
    weights_of_a_convolution: |i| conv3x3(i[0].get(), i[1].get(), i[2].get(), Stride::One).into(),
        [random([2, 4, 6, 5], 2).into(), random([3, 4, 3, 3], 3).into(), random([1, 3], 4).into()];
    weights_of_a_convolution_with_biases_of_each: |i| conv3x3(i[0].get(), i[1].get(), i[2].get(), Stride::One).into(),
        [random([2, 4, 6, 5], 2).into(), random([3, 4, 3, 3], 3).into(), random([2, 3], 4).into()];
    weights_of_a_convolution_of_few_pixels: |i| conv3x3(i[0].get(), i[1].get(), i[2].get(), Stride::One).into(),
        [random([2, 4, 2, 2], 2).into(), random([3, 4, 3, 3], 3).into(), random([1, 3], 4).into()];
    weights_of_a_convolution_of_one_image_and_channel: |i| conv3x3(i[0].get(), i[1].get(), i[2].get(), Stride::One).into(),
        [random([1, 1, 3, 3], 2).into(), random([1, 1, 3, 3], 3).into(), random([1, 1], 4).into()];
    weights_of_a_convolution_that_is_not_contiguous: |i| conv3x3(i[0].get(), i[1].get(), i[2].get(), Stride::One).into(),
        [
            random([5, 6, 4, 2], 2).permute([3, 2, 1, 0]).into(),
            random([3, 3, 4, 3], 3).permute([3, 2, 1, 0]).into(),
            transposed([3, 2], 4),
        ];
    weights_of_a_convolution_of_stride_2: |i| conv3x3(i[0].get(), i[1].get(), i[2].get(), Stride::Two).into(),
        [random([2, 4, 6, 5], 2).into(), random([3, 4, 3, 3], 3).into(), random([1, 3], 4).into()];
    weights_of_a_convolution_of_stride_2_from_the_corner: |i| conv3x3(i[0].get(), i[1].get(), i[2].get(), Stride::TwoFromCorner).into(),
        [random([2, 4, 6, 5], 2).into(), random([3, 4, 3, 3], 3).into(), random([2, 3], 4).into()];
    weights_of_a_convolution_of_stride_2_that_is_not_contiguous: |i| conv3x3(i[0].get(), i[1].get(), i[2].get(), Stride::Two).into(),
        [
            random([5, 6, 4, 2], 2).permute([3, 2, 1, 0]).into(),
            random([3, 3, 4, 3], 3).permute([3, 2, 1, 0]).into(),
            transposed([3, 2], 4),
        ];
    weights_of_a_pointwise_map: |i| pointwise(i[0].get(), i[1].get(), i[2].get()).into(),
        [random([2, 4, 3, 2], 2).into(), random([4, 5], 3).into(), random([5], 4).into()];
    weights_of_a_pointwise_map_that_is_not_contiguous: |i| pointwise(i[0].get(), i[1].get(), i[2].get()).into(),
        [
            random([5, 6, 4, 2], 2).permute([3, 2, 1, 0]).into(),
            transposed([5, 4], 3),
            random([5], 4).into(),
        ];
    weights_of_a_group_norm: |i| group_norm(i[0].get::<4>() - 0.6, i[1].get(), i[2].get(), options(false)).into(),
        [random([2, 4, 3, 2], 2).into(), random([4], 3).into(), random([4], 4).into()];
    weights_of_a_group_norm_with_silu: |i| group_norm(i[0].get::<4>() - 0.6, i[1].get(), i[2].get(), options(true)).into(),
        [random([2, 4, 3, 2], 2).into(), random([4], 3).into(), random([4], 4).into()];
    weights_of_a_group_norm_of_vectors: |i| group_norm(i[0].get::<2>() - 0.6, i[1].get(), i[2].get(), options(true)).into(),
        [random([6, 2], 2).transpose().into(), random([6], 3).into(), random([6], 4).into()];
}

/// The gradients of a group normalisation, combined to one tensor: `on_x + on_γ·on_β`.
fn norm_gradients<const D: usize>(i: &[DynTensor], silu: bool) -> DynTensor {
    let x = i[0].get::<D>() - 0.6;
    let [gamma, beta] = [&i[1], &i[2]].map(|t| t.get::<1>().into_dispatch());
    let grad = i[3].get::<D>().into_dispatch();
    let (on_x, on_gamma, on_beta) =
        Dispatch::group_norm_gradient(x.into_dispatch(), gamma, beta, grad, options(silu));
    let [on_gamma, on_beta] = [on_gamma, on_beta].map(Tensor::<1>::from_dispatch);
    let mut along_channels = [1; D];
    along_channels[1] = on_gamma.dims()[0];
    let weights = (on_gamma * on_beta).reshape(along_channels);
    (Tensor::<D>::from_dispatch(on_x) + weights).into()
}

/// The gradient of a kernel as a function of what it depends on, of these ranks.
macro_rules! gradient {
    ($gradient:ident$(($($options:expr),+))?: $($rank:literal)+ => $out:literal) => {
        |i| {
            let mut inputs = i.iter();
            let gradient = Dispatch::$gradient(
                $(inputs.next().expect("an input").get::<$rank>().into_dispatch()),+
                $(, $($options),+)?
            );
            Tensor::<$out>::from_dispatch(gradient).into()
        }
    };
}

weights! {
    gradient_of_a_convolution_in_images: gradient!(conv3x3_input_gradient(Stride::One, [6, 5]): 4 4 => 4),
        [random([3, 4, 3, 3], 2).into(), random([2, 3, 6, 5], 3).into()];
    gradient_of_a_convolution_in_images_that_is_not_contiguous: gradient!(conv3x3_input_gradient(Stride::One, [6, 5]): 4 4 => 4),
        [
            random([3, 3, 4, 3], 2).permute([3, 2, 1, 0]).into(),
            random([5, 6, 3, 2], 3).permute([3, 2, 1, 0]).into(),
        ];
    gradient_of_a_convolution_in_weights: gradient!(conv3x3_weight_gradient(Stride::One): 4 4 4 => 4),
        [
            random([2, 4, 6, 5], 2).into(),
            random([3, 4, 3, 3], 3).into(),
            random([5, 6, 3, 2], 4).permute([3, 2, 1, 0]).into(),
        ];
    gradient_of_a_convolution_of_stride_2_in_images: gradient!(conv3x3_input_gradient(Stride::Two, [6, 5]): 4 4 => 4),
        [random([3, 4, 3, 3], 2).into(), random([2, 3, 3, 3], 3).into()];
    gradient_of_a_convolution_of_stride_2_from_the_corner_in_images:
        gradient!(conv3x3_input_gradient(Stride::TwoFromCorner, [6, 5]): 4 4 => 4),
        [
            random([3, 3, 4, 3], 2).permute([3, 2, 1, 0]).into(),
            random([2, 3, 3, 2], 3).permute([3, 2, 1, 0]).into(),
        ];
    gradient_of_a_convolution_of_stride_2_in_weights: gradient!(conv3x3_weight_gradient(Stride::Two): 4 4 4 => 4),
        [random([2, 4, 6, 5], 2).into(), random([3, 4, 3, 3], 3).into(), random([2, 3, 3, 3], 4).into()];
    gradient_of_a_convolution_of_stride_2_from_the_corner_in_weights:
        gradient!(conv3x3_weight_gradient(Stride::TwoFromCorner): 4 4 4 => 4),
        [random([2, 4, 6, 5], 2).into(), random([3, 4, 3, 3], 3).into(), random([2, 3, 3, 2], 4).into()];
    gradient_of_a_pointwise_map_in_images: gradient!(pointwise_input_gradient: 2 4 => 4),
        [transposed([5, 4], 2), random([2, 5, 3, 2], 3).into()];
    gradient_of_a_pointwise_map_in_weights: gradient!(pointwise_weight_gradient: 4 4 => 2),
        [random([2, 4, 3, 2], 2).into(), random([2, 5, 3, 2], 3).into()];
    sums_of_channels: gradient!(channel_sums: 4 => 2),
        [random([5, 6, 4, 2], 2).permute([3, 2, 1, 0]).into()];
    gradient_of_a_group_norm: |i| norm_gradients::<4>(i, false),
        [random([2, 4, 3, 2], 2).into(), random([4], 3).into(), random([4], 4).into(), random([2, 4, 3, 2], 5).into()];
    gradient_of_a_group_norm_with_silu: |i| norm_gradients::<4>(i, true),
        [random([2, 4, 3, 2], 2).into(), random([4], 3).into(), random([4], 4).into(), random([2, 4, 3, 2], 5).into()];
    gradient_of_a_group_norm_of_vectors: |i| norm_gradients::<2>(i, true),
        [transposed([6, 2], 2), random([6], 3).into(), random([6], 4).into(), transposed([6, 2], 5)];
}

#[test]
fn without_rules_a_kernel_is_refused() {
    let jvp = Jvp::new(|_: &Weight, i: &[DynTensor]| silu(i[0].get::<4>()).into());
    let (x, t) = (random([1, 4, 2, 2], 2), random([1, 1, 4, 2, 2], 3));
    let error = jvp
        .call(&module(), &[x.into()], &[Some(t.into())])
        .expect_err("no rule");
    assert!(
        error.to_string().contains("Custom(burn_cpu_kernels.silu)"),
        "{error}"
    );
}
