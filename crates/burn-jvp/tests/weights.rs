//! Rules of layers in their weights: every layer as a function of its data and its weights, by `check_jvp` along K = 3
//! tangents of every subset of them, and with inputs that are not contiguous.

mod common;

use burn::tensor::activation as act;
use burn::tensor::module as op;
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions, DeformConvOptions};
use burn::tensor::{Int, Tensor, s};
use burn_jvp::DynTensor;
use burn_jvp::check::CheckOptions;
use common::subsets::{Layer, check, random_inputs};

macro_rules! layers {
    ($($name:ident: $layer:expr, $([$($size:expr),*])*;)*) => {$(
        #[test]
        fn $name() {
            let inputs = random_inputs(&[$(&[$($size),*]),*]);
            check(stringify!($name), $layer, &inputs, &CheckOptions::default());
        }
    )*};
}

layers! {
    conv1d: |i| op::conv1d(i[0].get(), i[1].get(), Some(i[2].get()), ConvOptions::new([2], [1], [2], 1)).into(),
        [2, 3, 9] [4, 3, 3] [4];
    conv1d_grouped: |i| op::conv1d(i[0].get(), i[1].get(), Some(i[2].get()), ConvOptions::new([1], [2], [1], 2)).into(),
        [2, 4, 6] [6, 2, 3] [6];
    conv1d_of_uneven_padding: |i| {
        let options = ConvOptions::new_with_padding([1], [(2, 0)], [1], 1);
        op::conv1d(i[0].get(), i[1].get(), None, options).into()
    }, [2, 3, 5] [4, 3, 3];
    conv2d: |i| {
        let options = ConvOptions::new([2, 1], [1, 2], [1, 2], 1);
        op::conv2d(i[0].get(), i[1].get(), Some(i[2].get()), options).into()
    }, [2, 3, 5, 6] [4, 3, 3, 2] [4];
    conv2d_without_bias: |i| op::conv2d(i[0].get(), i[1].get(), None, ConvOptions::new([1, 1], [1, 1], [1, 1], 1)).into(),
        [2, 2, 4, 3] [3, 2, 3, 3];
    conv2d_of_one_pixel: |i| {
        let options = ConvOptions::new([1, 1], [0, 0], [1, 1], 1);
        op::conv2d(i[0].get(), i[1].get(), Some(i[2].get()), options).into()
    }, [2, 3, 4, 3] [4, 3, 1, 1] [4];
    conv2d_grouped: |i| {
        let options = ConvOptions::new([1, 2], [1, 0], [2, 1], 3);
        op::conv2d(i[0].get(), i[1].get(), Some(i[2].get()), options).into()
    }, [2, 6, 5, 4] [3, 2, 2, 3] [3];
    conv2d_depthwise: |i| {
        let options = ConvOptions::new([1, 1], [1, 1], [1, 1], 4);
        op::conv2d(i[0].get(), i[1].get(), Some(i[2].get()), options).into()
    }, [2, 4, 5, 4] [4, 1, 3, 3] [4];
    conv2d_of_uneven_padding: |i| {
        let options = ConvOptions::new_with_padding([1, 2], [(1, 0), (0, 2)], [1, 1], 2);
        op::conv2d(i[0].get(), i[1].get(), Some(i[2].get()), options).into()
    }, [2, 4, 4, 5] [4, 2, 2, 3] [4];
    conv3d: |i| {
        let options = ConvOptions::new([1, 2, 1], [1, 0, 1], [1, 1, 2], 1);
        op::conv3d(i[0].get(), i[1].get(), Some(i[2].get()), options).into()
    }, [2, 2, 3, 4, 4] [3, 2, 2, 3, 2] [3];
    conv3d_grouped: |i| {
        let options = ConvOptions::new([1, 1, 1], [1, 1, 0], [1, 1, 1], 2);
        op::conv3d(i[0].get(), i[1].get(), Some(i[2].get()), options).into()
    }, [2, 4, 3, 2, 3] [4, 2, 3, 2, 2] [4];
    conv_transpose1d: |i| {
        let options = ConvTransposeOptions::new([2], [1], [1], [2], 1);
        op::conv_transpose1d(i[0].get(), i[1].get(), Some(i[2].get()), options).into()
    }, [2, 3, 5] [3, 4, 3] [4];
    conv_transpose1d_grouped: |i| {
        let options = ConvTransposeOptions::new([1], [1], [0], [1], 2);
        op::conv_transpose1d(i[0].get(), i[1].get(), Some(i[2].get()), options).into()
    }, [2, 4, 5] [4, 3, 3] [6];
    conv_transpose2d: |i| {
        let options = ConvTransposeOptions::new([2, 1], [1, 0], [1, 0], [1, 2], 1);
        op::conv_transpose2d(i[0].get(), i[1].get(), Some(i[2].get()), options).into()
    }, [2, 3, 4, 3] [3, 2, 3, 2] [2];
    conv_transpose2d_grouped: |i| {
        let options = ConvTransposeOptions::new([1, 2], [1, 1], [0, 1], [1, 1], 2);
        op::conv_transpose2d(i[0].get(), i[1].get(), Some(i[2].get()), options).into()
    }, [2, 4, 3, 4] [4, 3, 3, 3] [6];
    conv_transpose3d: |i| {
        let options = ConvTransposeOptions::new([1, 2, 1], [0, 1, 1], [0, 1, 0], [1, 1, 1], 1);
        op::conv_transpose3d(i[0].get(), i[1].get(), Some(i[2].get()), options).into()
    }, [2, 2, 2, 3, 3] [2, 3, 2, 3, 3] [3];
    conv_transpose3d_grouped: |i| {
        let options = ConvTransposeOptions::new([1, 1, 1], [0, 1, 0], [0, 0, 0], [1, 2, 1], 2);
        op::conv_transpose3d(i[0].get(), i[1].get(), Some(i[2].get()), options).into()
    }, [2, 4, 2, 3, 2] [4, 2, 2, 2, 2] [4];
    linear: |i| op::linear(i[0].get::<3>(), i[1].get(), Some(i[2].get())).into(), [2, 3, 4] [4, 5] [5];
    matmul_of_a_shared_matrix: |i| {
        let matrix = i[1].get::<2>().reshape([1, 1, 4, 5]);
        i[0].get::<4>().matmul(matrix).into()
    }, [2, 3, 2, 4] [4, 5];
    matmul_of_a_shared_left_factor: |i| {
        let matrix = i[1].get::<2>().reshape([1, 3, 4]);
        matrix.matmul(i[0].get::<3>()).into()
    }, [2, 4, 5] [3, 4];
    matmul_of_vectors: |i| i[0].get::<2>().matmul(i[1].get::<2>()).into(), [1, 4] [4, 1];
    layer_norm: |i| op::layer_norm(i[0].get::<3>(), i[1].get(), Some(i[2].get()), 1e-3).into(), [2, 3, 5] [5] [5];
    layer_norm_without_shift: |i| op::layer_norm(i[0].get::<2>(), i[1].get(), None, 1e-3).into(), [3, 5] [5];
    batch_norm: |i| {
        op::batch_norm(i[0].get::<4>(), i[1].get(), i[2].get(), i[3].get(), i[4].get(), 1e-3).into()
    }, [2, 3, 2, 4] [3] [3] [3] [3];
    batch_norm_of_vectors: |i| {
        op::batch_norm(i[0].get::<2>(), i[1].get(), i[2].get(), i[3].get(), i[4].get(), 1e-3).into()
    }, [4, 3] [3] [3] [3] [3];
    embedding: |i| {
        let w = i[0].get::<2>();
        let tokens = Tensor::<1, Int>::from_ints([3, 0, 0, 2, 3, 1], &w.device()).reshape([2, 3]);
        op::embedding(w, tokens).into()
    }, [5, 4];
    prelu: |i| act::prelu(i[0].get::<4>() - 0.6, i[1].get()).into(), [2, 3, 4, 2] [3];
    prelu_of_one_slope: |i| act::prelu(i[0].get::<3>() - 0.6, i[1].get()).into(), [2, 3, 4] [1];
    weights_that_depend_on_the_data: |i| {
        let x = i[0].get::<4>();
        let weight = x.clone().slice(s![.., .., 0..3, 0..3]) * i[1].get::<4>();
        op::conv2d(x, weight, None, ConvOptions::new([1, 1], [1, 1], [1, 1], 1)).into()
    }, [2, 2, 4, 4] [1, 2, 3, 3];
}

/// A deformable convolution of `[2, 4, 5, 6]` by `[4, 2, 3, 2]` with two groups of weights and of offsets.
fn deformable(i: &[DynTensor], mask: Option<Tensor<4>>) -> DynTensor {
    let options = DeformConvOptions::new([2, 1], [1, 1], [1, 2], 2, 2);
    // Offsets of −2 to 2 pixels: taps are in all rows and columns, and beyond the image.
    let offset = (i[1].get::<4>() - 0.6) * 7.0;
    let (x, weight, bias) = (i[0].get(), i[2].get(), i[3].get());
    op::deform_conv2d(x, offset, weight, mask, Some(bias), options).into()
}

#[test]
fn deformable_convolutions() {
    let options = CheckOptions {
        // Burn's backward of it computes in single precision.
        adjoint: Some(1e-4),
        ..CheckOptions::default()
    };
    let shapes: [&[usize]; 5] = [
        &[2, 4, 5, 6],
        &[2, 24, 3, 6],
        &[4, 2, 3, 2],
        &[4],
        &[2, 12, 3, 6],
    ];
    check(
        "deform_conv2d",
        |i| deformable(i, Some(i[4].get())),
        &random_inputs(&shapes),
        &options,
    );
    check(
        "deform_conv2d without a mask",
        |i| deformable(i, None),
        &random_inputs(&shapes[..4]),
        &options,
    );
}

#[test]
fn layers_of_no_data() {
    // Autodiff has no gradients of empty tensors.
    let options = CheckOptions {
        adjoint: None,
        ..CheckOptions::default()
    };
    let empty: [(&str, Layer, &[&[usize]]); 4] = [
        (
            "conv2d",
            |i| {
                let options = ConvOptions::new([1, 1], [1, 1], [1, 1], 2);
                op::conv2d(i[0].get(), i[1].get(), Some(i[2].get()), options).into()
            },
            &[&[0, 4, 3, 3], &[4, 2, 3, 3], &[4]],
        ),
        (
            "conv_transpose2d",
            |i| {
                let options = ConvTransposeOptions::new([1, 1], [1, 1], [0, 0], [1, 1], 2);
                op::conv_transpose2d(i[0].get(), i[1].get(), Some(i[2].get()), options).into()
            },
            &[&[0, 4, 3, 3], &[4, 2, 3, 3], &[4]],
        ),
        (
            "linear",
            |i| op::linear(i[0].get::<2>(), i[1].get(), Some(i[2].get())).into(),
            &[&[0, 3], &[3, 2], &[2]],
        ),
        (
            "layer norm",
            |i| op::layer_norm(i[0].get::<2>(), i[1].get(), Some(i[2].get()), 1e-3).into(),
            &[&[0, 3], &[3], &[3]],
        ),
    ];
    for (name, layer, shapes) in empty {
        check(name, layer, &random_inputs(shapes), &options);
    }
}
