//! Sampling of images at grids, in the image and in the grid.

use crate::{forward_only, mixed, samples};
use burn::tensor::Tensor;
use burn::tensor::ops::{GridSampleOptions, GridSamplePaddingMode, InterpolateMode};
use burn_jvp::DynTensor;

/// Points of which some lie outside of the image, by more than its width too.
fn sampled(
    i: &[DynTensor],
    mode: InterpolateMode,
    padding: GridSamplePaddingMode,
    align_corners: bool,
) -> Tensor<4> {
    let options = GridSampleOptions::new(mode)
        .with_padding_mode(padding)
        .with_align_corners(align_corners);
    i[0].get::<4>()
        .grid_sample_2d(i[1].get::<4>() * 3.0, options)
}

use GridSamplePaddingMode::{Border, Reflection, Zeros};
use InterpolateMode::{Bilinear, Nearest};

samples! {
    bilinear_with_zeros: forward_only(), [mixed([2, 3, 4, 5]), mixed([2, 6, 3, 2])],
        |i| sampled(i, Bilinear, Zeros, false).into();
    bilinear_with_zeros_and_aligned_corners: forward_only(), [mixed([2, 3, 4, 5]), mixed([2, 6, 3, 2])],
        |i| sampled(i, Bilinear, Zeros, true).into();
    bilinear_at_the_border: forward_only(), [mixed([2, 3, 4, 5]), mixed([2, 6, 3, 2])],
        |i| sampled(i, Bilinear, Border, false).into();
    bilinear_at_the_border_with_aligned_corners: forward_only(), [mixed([2, 3, 4, 5]), mixed([2, 6, 3, 2])],
        |i| sampled(i, Bilinear, Border, true).into();
    bilinear_reflected: forward_only(), [mixed([2, 3, 4, 5]), mixed([2, 6, 3, 2])],
        |i| sampled(i, Bilinear, Reflection, false).into();
    bilinear_reflected_with_aligned_corners: forward_only(), [mixed([2, 3, 4, 5]), mixed([2, 6, 3, 2])],
        |i| sampled(i, Bilinear, Reflection, true).into();
    bilinear_of_one_pixel: forward_only(), [mixed([1, 2, 1, 1]), mixed([1, 3, 2, 2])], |i| {
        (sampled(i, Bilinear, Reflection, true) + sampled(i, Bilinear, Border, false)
            + sampled(i, Bilinear, Zeros, false)).into()
    };
    nearest: forward_only(), [mixed([2, 3, 4, 5]), mixed([2, 6, 3, 2])], |i| {
        (sampled(i, Nearest, Zeros, false) + sampled(i, Nearest, Border, true)
            + sampled(i, Nearest, Reflection, false)).into()
    };
}
