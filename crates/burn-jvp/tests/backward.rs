//! Rules of the gradients of layers, which Burn's autodiff records: by `check_jvp` along K = 3 tangents of every subset of
//! their inputs, and with inputs that are not contiguous.

mod common;

use burn::backend::ops::{ActivationOps, ModuleOps};
use burn::backend::tensor::FloatTensor;
use burn::backend::{
    BackendTensor, Capture, Dispatch as D, DispatchKindConversion, DispatchTensor,
};
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions, InterpolateMode, InterpolateOptions};
use burn::tensor::{Device, Int, IntDType, Tensor};
use burn_jvp::DynTensor;
use burn_jvp::check::CheckOptions;
use common::subsets::{Layer, check, random_inputs};

/// A tensor as Burn's backends take it.
fn raw(t: &DynTensor) -> DispatchTensor {
    by_rank!(t, t => t.into_dispatch())
}

/// A float tensor of rank `R` from a backend.
fn float<const R: usize>(t: DispatchTensor) -> DynTensor {
    Tensor::<R>::from_dispatch(t).into()
}

/// Numbers on both sides of 0.
fn centred(t: &DynTensor) -> DispatchTensor {
    by_rank!(t, t => ((t - 0.6) * 4.0).into_dispatch())
}

macro_rules! gradients {
    ($options:expr; $($name:ident: $layer:expr, $([$($size:expr),*])*;)*) => {$(
        #[test]
        fn $name() {
            let inputs = random_inputs(&[$(&[$($size),*]),*]);
            check(stringify!($name), $layer, &inputs, &$options);
        }
    )*};
}

/// Autodiff has no second derivative of these.
fn forward_only() -> CheckOptions {
    CheckOptions {
        adjoint: None,
        ..CheckOptions::default()
    }
}

gradients! { CheckOptions::default();
    relu: |i| float::<2>(D::relu_backward(D::relu(centred(&i[0])), raw(&i[1]))), [4, 5] [4, 5];
    sigmoid: |i| float::<2>(D::sigmoid_backward(raw(&i[0]), raw(&i[1]))), [4, 5] [4, 5];
    log_sigmoid: |i| float::<2>(D::log_sigmoid_backward(centred(&i[0]), raw(&i[1]))), [4, 5] [4, 5];

    conv1d_in_data: |i| float::<3>(D::conv1d_x_backward(
        raw(&i[0]), raw(&i[1]), raw(&i[2]), ConvOptions::new([2], [1], [2], 1),
    )), [2, 3, 9] [4, 3, 3] [2, 4, 4];
    conv1d_in_data_grouped_of_uneven_padding: |i| float::<3>(D::conv1d_x_backward(
        raw(&i[0]), raw(&i[1]), raw(&i[2]), ConvOptions::new_with_padding([1], [(2, 1)], [1], 2),
    )), [2, 4, 6] [6, 2, 3] [2, 6, 7];
    conv2d_in_data: |i| float::<4>(D::conv2d_x_backward(
        raw(&i[0]), raw(&i[1]), raw(&i[2]), ConvOptions::new([2, 1], [1, 2], [1, 2], 1),
    )), [2, 3, 6, 6] [4, 3, 3, 2] [2, 4, 3, 8];
    conv2d_in_data_grouped: |i| float::<4>(D::conv2d_x_backward(
        raw(&i[0]), raw(&i[1]), raw(&i[2]), ConvOptions::new([1, 2], [1, 0], [2, 1], 3),
    )), [2, 6, 5, 4] [3, 2, 2, 3] [2, 3, 5, 1];
    conv3d_in_data_grouped: |i| float::<5>(D::conv3d_x_backward(
        raw(&i[0]), raw(&i[1]), raw(&i[2]), ConvOptions::new([1, 2, 1], [1, 0, 0], [1, 1, 2], 2),
    )), [2, 4, 3, 4, 4] [4, 2, 2, 3, 2] [2, 4, 4, 1, 2];

    conv1d_in_weight: |i| float::<3>(D::conv1d_weight_backward(
        raw(&i[0]), raw(&i[1]), raw(&i[2]), ConvOptions::new([1], [1], [2], 1),
    )), [2, 3, 7] [4, 3, 3] [2, 4, 5];
    conv1d_in_weight_grouped: |i| float::<3>(D::conv1d_weight_backward(
        raw(&i[0]), raw(&i[1]), raw(&i[2]), ConvOptions::new([1], [1], [1], 2),
    )), [2, 4, 6] [6, 2, 3] [2, 6, 6];
    conv2d_in_weight: |i| float::<4>(D::conv2d_weight_backward(
        raw(&i[0]), raw(&i[1]), raw(&i[2]), ConvOptions::new([2, 1], [1, 2], [1, 2], 1),
    )), [2, 3, 6, 6] [4, 3, 3, 2] [2, 4, 3, 8];
    conv2d_in_weight_grouped: |i| float::<4>(D::conv2d_weight_backward(
        raw(&i[0]), raw(&i[1]), raw(&i[2]), ConvOptions::new([1, 2], [1, 0], [2, 1], 3),
    )), [2, 6, 5, 4] [3, 2, 2, 3] [2, 3, 5, 1];
    conv2d_in_weight_of_uneven_padding: |i| float::<4>(D::conv2d_weight_backward(
        raw(&i[0]), raw(&i[1]), raw(&i[2]), ConvOptions::new_with_padding([1, 2], [(1, 0), (0, 2)], [1, 1], 2),
    )), [2, 4, 4, 5] [4, 2, 2, 3] [2, 4, 4, 3];
    conv3d_in_weight: |i| float::<5>(D::conv3d_weight_backward(
        raw(&i[0]), raw(&i[1]), raw(&i[2]), ConvOptions::new([1, 2, 1], [1, 0, 1], [1, 1, 2], 1),
    )), [2, 2, 3, 4, 4] [3, 2, 2, 3, 2] [2, 3, 4, 1, 4];
    conv3d_in_weight_grouped: |i| float::<5>(D::conv3d_weight_backward(
        raw(&i[0]), raw(&i[1]), raw(&i[2]), ConvOptions::new([1, 1, 1], [1, 1, 0], [1, 1, 1], 2),
    )), [2, 4, 3, 2, 3] [4, 2, 3, 2, 2] [2, 4, 3, 3, 2];
    conv_transpose1d_in_weight: |i| float::<3>(D::conv_transpose1d_weight_backward(
        raw(&i[0]), raw(&i[1]), raw(&i[2]), ConvTransposeOptions::new([2], [1], [1], [2], 1),
    )), [2, 3, 5] [3, 4, 3] [2, 4, 12];
    conv_transpose1d_in_weight_grouped: |i| float::<3>(D::conv_transpose1d_weight_backward(
        raw(&i[0]), raw(&i[1]), raw(&i[2]), ConvTransposeOptions::new([1], [1], [0], [1], 2),
    )), [2, 4, 5] [4, 3, 3] [2, 6, 5];
    conv_transpose2d_in_weight: |i| float::<4>(D::conv_transpose2d_weight_backward(
        raw(&i[0]), raw(&i[1]), raw(&i[2]), ConvTransposeOptions::new([2, 1], [1, 0], [1, 0], [1, 2], 1),
    )), [2, 3, 4, 3] [3, 2, 3, 2] [2, 2, 8, 5];
    conv_transpose2d_in_weight_grouped: |i| float::<4>(D::conv_transpose2d_weight_backward(
        raw(&i[0]), raw(&i[1]), raw(&i[2]), ConvTransposeOptions::new([1, 2], [1, 1], [0, 1], [1, 1], 2),
    )), [2, 4, 3, 4] [4, 3, 3, 3] [2, 6, 3, 8];
    conv_transpose3d_in_weight: |i| float::<5>(D::conv_transpose3d_weight_backward(
        raw(&i[0]), raw(&i[1]), raw(&i[2]), ConvTransposeOptions::new([1, 2, 1], [0, 1, 1], [0, 1, 0], [1, 1, 1], 1),
    )), [2, 2, 2, 3, 3] [2, 3, 2, 3, 3] [2, 3, 3, 6, 3];
    conv_transpose3d_in_weight_grouped: |i| float::<5>(D::conv_transpose3d_weight_backward(
        raw(&i[0]), raw(&i[1]), raw(&i[2]), ConvTransposeOptions::new([1, 1, 1], [0, 1, 0], [0, 0, 0], [1, 2, 1], 2),
    )), [2, 4, 2, 3, 2] [4, 2, 2, 2, 2] [2, 4, 3, 3, 3];

    conv1d_in_bias: |i| float::<1>(D::conv1d_bias_backward(raw(&i[0]), raw(&i[1]), raw(&i[2]))),
        [2, 3, 9] [4] [2, 4, 4];
    conv2d_in_bias: |i| float::<1>(D::conv2d_bias_backward(raw(&i[0]), raw(&i[1]), raw(&i[2]))),
        [2, 3, 4, 3] [4] [2, 4, 3, 2];
    conv3d_in_bias: |i| float::<1>(D::conv3d_bias_backward(raw(&i[0]), raw(&i[1]), raw(&i[2]))),
        [2, 3, 2, 3, 2] [4] [2, 4, 2, 3, 1];
    conv_transpose1d_in_bias: |i| float::<1>(D::conv_transpose1d_bias_backward(raw(&i[0]), raw(&i[1]), raw(&i[2]))),
        [2, 3, 5] [4] [2, 4, 7];
    conv_transpose2d_in_bias: |i| float::<1>(D::conv_transpose2d_bias_backward(raw(&i[0]), raw(&i[1]), raw(&i[2]))),
        [2, 3, 2, 3] [4] [2, 4, 3, 2];
    conv_transpose3d_in_bias: |i| float::<1>(D::conv_transpose3d_bias_backward(raw(&i[0]), raw(&i[1]), raw(&i[2]))),
        [2, 3, 2, 3, 2] [4] [2, 4, 2, 3, 1];
}

gradients! { forward_only();
    // Autodiff differentiates an approximation of it.
    gelu: |i| float::<2>(D::gelu_backward(centred(&i[0]), raw(&i[1]))), [4, 5] [4, 5];
    avg_pool1d: |i| float::<3>(D::avg_pool1d_backward(raw(&i[0]), raw(&i[1]), 3, 2, 1, true, false)),
        [2, 3, 7] [2, 3, 4];
    avg_pool2d: |i| float::<4>(D::avg_pool2d_backward(
        raw(&i[0]), raw(&i[1]), [2, 3], [2, 1], [0, 1], false, false,
    )), [2, 3, 4, 5] [2, 3, 2, 5];
    adaptive_avg_pool1d: |i| float::<3>(D::adaptive_avg_pool1d_backward(raw(&i[0]), raw(&i[1]))), [2, 3, 7] [2, 3, 4];
    adaptive_avg_pool2d: |i| float::<4>(D::adaptive_avg_pool2d_backward(raw(&i[0]), raw(&i[1]))),
        [2, 3, 4, 5] [2, 3, 2, 3];
    adaptive_avg_pool3d: |i| float::<5>(D::adaptive_avg_pool3d_backward(raw(&i[0]), raw(&i[1]))),
        [2, 3, 4, 2, 3] [2, 3, 2, 1, 2];
    interpolate_nearest: |i| float::<4>(D::interpolate_backward(
        raw(&i[0]), raw(&i[1]), [6, 4], InterpolateOptions::new(InterpolateMode::Nearest),
    )), [2, 3, 3, 4] [2, 3, 6, 4];
    interpolate_bilinear: |i| float::<4>(D::interpolate_backward(
        raw(&i[0]), raw(&i[1]), [6, 4], InterpolateOptions::new(InterpolateMode::Bilinear),
    )), [2, 3, 3, 4] [2, 3, 6, 4];
}

/// A float tensor on the capture device, `None` elsewhere.
fn recorded(t: &DynTensor) -> Option<FloatTensor<Capture>> {
    match <DispatchTensor as DispatchKindConversion<Capture>>::try_into_backend(raw(t)) {
        Ok(BackendTensor::Float(t)) => Some(t),
        _ => None,
    }
}

/// A tensor on the capture device as the function returns it.
fn returned<const R: usize>(t: FloatTensor<Capture>) -> DynTensor {
    float::<R>(
        <DispatchTensor as DispatchKindConversion<Capture>>::from_backend(BackendTensor::Float(t)),
    )
}

/// Burn's tensors never record a linear layer as one operation: its parts are recorded by the backend itself.
#[test]
fn linear() {
    let options = forward_only();
    check(
        "linear",
        |i| match [0, 1, 2].map(|n| recorded(&i[n])) {
            [Some(x), Some(w), b] => returned::<3>(Capture::linear(x, w, b)),
            _ => float::<3>(D::linear(raw(&i[0]), raw(&i[1]), Some(raw(&i[2])))),
        },
        &random_inputs(&[&[2, 3, 4], &[4, 5], &[5]]),
        &options,
    );
    check(
        "linear_x_backward",
        |i| match [0, 1].map(|n| recorded(&i[n])) {
            [Some(w), Some(g)] => returned::<3>(Capture::linear_x_backward(w, g)),
            _ => float::<3>(D::linear_x_backward(raw(&i[0]), raw(&i[1]))),
        },
        &random_inputs(&[&[4, 5], &[2, 3, 5]]),
        &options,
    );
    check(
        "linear_weight_backward",
        |i| match [0, 1].map(|n| recorded(&i[n])) {
            [Some(x), Some(g)] => returned::<2>(Capture::linear_weight_backward(x, g)),
            _ => float::<2>(D::linear_weight_backward(raw(&i[0]), raw(&i[1]))),
        },
        &random_inputs(&[&[2, 3, 4], &[2, 3, 5]]),
        &options,
    );
    check(
        "linear_bias_backward",
        |i| match recorded(&i[0]) {
            Some(g) => returned::<1>(Capture::linear_bias_backward(g)),
            None => float::<1>(D::linear_bias_backward(raw(&i[0]))),
        },
        &random_inputs(&[&[2, 3, 5]]),
        &options,
    );
}

#[test]
fn gradients_of_no_data() {
    let empty: [(&str, Layer, &[&[usize]]); 4] = [
        (
            "conv2d_x_backward",
            |i| {
                let options = ConvOptions::new([1, 1], [1, 1], [1, 1], 2);
                float::<4>(D::conv2d_x_backward(
                    raw(&i[0]),
                    raw(&i[1]),
                    raw(&i[2]),
                    options,
                ))
            },
            &[&[0, 4, 3, 3], &[4, 2, 3, 3], &[0, 4, 3, 3]],
        ),
        (
            "conv2d_bias_backward",
            |i| float::<1>(D::conv2d_bias_backward(raw(&i[0]), raw(&i[1]), raw(&i[2]))),
            &[&[0, 4, 3, 3], &[4], &[0, 4, 3, 3]],
        ),
        (
            "avg_pool2d_backward",
            |i| {
                let (x, g) = (raw(&i[0]), raw(&i[1]));
                float::<4>(D::avg_pool2d_backward(
                    x,
                    g,
                    [2, 2],
                    [2, 2],
                    [0, 0],
                    true,
                    false,
                ))
            },
            &[&[0, 3, 4, 4], &[0, 3, 2, 2]],
        ),
        (
            "gelu_backward",
            |i| float::<2>(D::gelu_backward(raw(&i[0]), raw(&i[1]))),
            &[&[0, 3], &[0, 3]],
        ),
    ];
    for (name, layer, shapes) in empty {
        check(name, layer, &random_inputs(shapes), &forward_only());
    }
}

/// Integer inputs beside random float inputs of these shapes.
fn with_indices(shapes: &[&[usize]], indices: DynTensor) -> Vec<DynTensor> {
    let mut inputs = random_inputs(shapes);
    inputs.push(indices);
    inputs
}

#[test]
fn embedding() {
    let tokens = Tensor::<1, Int>::from_ints([3, 0, 0, 2, 3, 1], &Device::flex()).reshape([2, 3]);
    let inputs = with_indices(&[&[5, 4], &[2, 3, 4]], tokens.into());
    check(
        "embedding",
        |i| {
            let tokens = i[2].get_kind::<2, Int>().into_dispatch();
            float::<2>(D::embedding_backward(raw(&i[0]), raw(&i[1]), tokens))
        },
        &inputs,
        &forward_only(),
    );
}

#[test]
fn maximum_pooling() {
    let device = Device::flex();
    let places = Tensor::<1, Int>::from_ints([0, 3, 4, 1, 3, 5, 0, 2], &device).reshape([2, 2, 2]);
    check(
        "max_pool1d",
        |i| {
            let places = i[2].get_kind::<3, Int>().into_dispatch();
            let y = D::max_pool1d_with_indices_backward(
                raw(&i[0]),
                3,
                3,
                0,
                1,
                false,
                raw(&i[1]),
                places,
            );
            float::<3>(y.x_grad)
        },
        &with_indices(&[&[2, 2, 6], &[2, 2, 2]], places.into()),
        &forward_only(),
    );
    let places =
        Tensor::<1, Int>::from_ints([0, 3, 9, 10, 4, 6, 12, 11], &device).reshape([1, 2, 2, 2]);
    check(
        "max_pool2d",
        |i| {
            let places = i[2].get_kind::<4, Int>().into_dispatch();
            let y = D::max_pool2d_with_indices_backward(
                raw(&i[0]),
                [2, 2],
                [2, 2],
                [0, 0],
                [1, 1],
                false,
                raw(&i[1]),
                places,
            );
            float::<4>(y.x_grad)
        },
        &with_indices(&[&[1, 2, 4, 4], &[1, 2, 2, 2]], places.into()),
        &forward_only(),
    );
}

#[test]
fn maximum_pooling_with_places() {
    check(
        "max_pool1d_with_indices",
        |i| {
            let y = D::max_pool1d_with_indices(raw(&i[0]), 3, 2, 1, 1, false, IntDType::I64);
            let places = Tensor::<3, Int>::from_dispatch(y.indices).float();
            let y = Tensor::<3>::from_dispatch(y.output);
            let places = places.cast(y.dtype());
            (y * (places + 1.0)).into()
        },
        &random_inputs(&[&[2, 3, 7]]),
        &forward_only(),
    );
    check(
        "max_pool2d_with_indices",
        |i| {
            let y = D::max_pool2d_with_indices(
                raw(&i[0]),
                [2, 3],
                [2, 1],
                [1, 1],
                [1, 1],
                false,
                IntDType::I32,
            );
            let places = Tensor::<4, Int>::from_dispatch(y.indices).float();
            let y = Tensor::<4>::from_dispatch(y.output);
            let places = places.cast(y.dtype());
            (y * (places + 1.0)).into()
        },
        &random_inputs(&[&[2, 3, 4, 5]]),
        &forward_only(),
    );
}
