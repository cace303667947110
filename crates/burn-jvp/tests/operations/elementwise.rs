//! Arithmetic, elementwise functions, comparisons and linear reductions.

use crate::{forward_only, mixed, positive, samples};
use burn::tensor::ops::PadMode;
use burn::tensor::{Tensor, TensorCreationOptions};
use burn_jvp::check::CheckOptions;

/// The sum of `x` over the places of masks, each with another weight.
fn under_masks<const N: usize>(
    x: Tensor<2>,
    masks: [Tensor<2, burn::tensor::Bool>; N],
) -> Tensor<2> {
    let zeros = x.zeros_like();
    let weighted = masks.into_iter().enumerate();
    weighted.fold(x.clone(), |y, (i, mask)| {
        y + zeros.clone().mask_where(mask, x.clone() * (i as f64 + 1.5))
    })
}

samples! {
    arithmetic: CheckOptions::default(), [mixed([3, 2]), positive([3, 1])], |i| {
        let (x, c) = (i[0].get::<2>(), i[1].get::<2>());
        ((x.clone() + c.clone()) * (c.clone() - x.clone()) / c.clone() - ((-x * 3.0 + 1.0) / 7.0 - 2.0)
            + c.abs().sub_scalar(1.0)).into()
    };
    exponentials: CheckOptions::default(), [positive([3, 2])], |i| {
        let x = || i[0].get::<2>();
        (x().exp() + x().log() * x().log1p() + x().erf() * x().sqrt() - x().recip()).into()
    };
    circular: CheckOptions::default(), [mixed([3, 2])], |i| {
        let x = || i[0].get::<2>();
        (x().sin() + x().cos() * x().tan() + x().asin() * x().acos() - x().atan()).into()
    };
    hyperbolic: CheckOptions::default(), [positive([3, 2])], |i| {
        let x = || i[0].get::<2>();
        (x().sinh() + x().cosh() * x().tanh() + x().asinh() * (x() + 1.0).acosh() - x().atanh()).into()
    };
    of_two: CheckOptions::default(), [mixed([3, 2]), positive([3, 2])], |i| {
        let (x, c) = (i[0].get::<2>(), i[1].get::<2>());
        (x.clone().hypot(c.clone()) * x.atan2(c)).into()
    };
    clamped: CheckOptions::default(), [mixed([5, 4])], |i| {
        let x = || i[0].get::<2>();
        (x().clamp(-0.4, 0.3) + x().clamp_min(0.1) * x().clamp_max(0.2)).into()
    };
    steps: forward_only(), [mixed([5, 4])], |i| {
        let x = || i[0].get::<2>();
        let s = x() * 9.0;
        let whole = s.clone().int().float().cast(s.dtype());
        (x() * (s.clone().round() + s.clone().floor() * s.clone().ceil() + s.clone().trunc() + s.sign() + whole)).into()
    };
    compared: CheckOptions::default(), [mixed([4, 3]), mixed([4, 1])], |i| {
        let (x, c) = (i[0].get::<2>(), i[1].get::<2>().expand([4, 3]));
        let y = under_masks(x.clone(), [
            x.clone().greater(c.clone()), x.clone().greater_equal(c.clone()), x.clone().lower(c.clone()),
            x.clone().lower_equal(c.clone()), x.clone().equal(c.clone()), x.clone().not_equal(c.clone()),
        ]);
        under_masks(y, [
            x.clone().greater_elem(0.1), x.clone().greater_equal_elem(0.2), x.clone().lower_elem(0.3),
            x.clone().lower_equal_elem(0.4), x.clone().equal_elem(0.5), x.clone().not_equal_elem(0.6),
        ]).into()
    };
    tested: forward_only(), [mixed([4, 3])], |i| {
        let x = i[0].get::<2>();
        let wide = |mask: Tensor<1, burn::tensor::Bool>| mask.reshape([1, 1]).expand([4, 3]);
        under_masks(x.clone(), [
            x.clone().is_nan(), x.clone().is_inf(), wide(x.clone().all()), wide(x.clone().any()),
            x.clone().all_dim(1).expand([4, 3]), x.clone().any_dim(0).expand([4, 3]),
        ]).into()
    };
    reductions: CheckOptions::default(), [mixed([2, 3, 4])], |i| {
        let x = || i[0].get::<3>();
        let all = (x().sum() + x().mean()).reshape([1, 1, 1]);
        (x().sum_dim(1) * x().mean_dim(2) + x().sum_dims(&[0, 2]) * all + x().cumsum(2)).into()
    };
    padded: CheckOptions::default(), [mixed([1, 1, 3, 4])], |i| {
        let x = || i[0].get::<4>();
        let padding = (1, 1, 1, 1);
        (x().pad(padding, PadMode::Constant(0.5)) * x().pad(padding, PadMode::Reflect) + x().pad(padding, PadMode::Edge))
            .into()
    };
    constants: CheckOptions::default(), [mixed([2, 3])], |i| {
        let x = i[0].get::<2>();
        let options = TensorCreationOptions::from((&x.device(), x.dtype()));
        let sum = Tensor::<2>::zeros([2, 3], options.clone()) + Tensor::ones([2, 3], options.clone())
            + Tensor::full([2, 3], 2.5, options.clone());
        (Tensor::<2>::empty([2, 3], options).slice_assign([0..2, 0..3], x) * sum).into()
    };
    matrix_product: CheckOptions::default(), [mixed([2, 3, 4]), mixed([1, 4, 2])], |i| {
        i[0].get::<3>().matmul(i[1].get::<3>()).into()
    };
    cast_and_back: forward_only(), [mixed([2, 3])], |i| {
        let x = i[0].get::<2>();
        x.clone().cast(burn::tensor::FloatDType::F64).cast(x.dtype()).into()
    };
}
