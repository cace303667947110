//! Products, with and without factors of zero, and vector products.

use crate::{forward_only, given, mixed, samples};
use burn_jvp::check::CheckOptions;

/// Two rows with no zero, with one, with two and with zeros alone.
fn with_zeros() -> burn_jvp::DynTensor {
    given(
        [5, 4],
        &[
            0.5, -0.7, 0.9, 1.1, 0.6, 0.0, -0.8, 0.4, 0.3, 0.0, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0,
            0.7, 0.2, -0.4,
        ],
    )
}

samples! {
    product: CheckOptions::default(), [mixed([3, 2, 2])], |i| i[0].get::<3>().prod().into();
    product_with_one_zero: forward_only(), [given([4], &[0.5, 0.0, -0.7, 0.9])], |i| i[0].get::<1>().prod().into();
    product_with_two_zeros: forward_only(), [given([4], &[0.5, 0.0, 0.0, 0.9])], |i| i[0].get::<1>().prod().into();
    product_along_an_axis: CheckOptions::default(), [mixed([3, 4, 2])],
        |i| (i[0].get::<3>().prod_dim(1) * i[0].get::<3>()).into();
    product_along_an_axis_with_zeros: forward_only(), [with_zeros()],
        |i| (i[0].get::<2>().prod_dim(1) + i[0].get::<2>().prod_dim(0)).into();
    product_of_one_factor: CheckOptions::default(), [mixed([3, 1])], |i| i[0].get::<2>().prod_dim(1).into();
    product_of_no_factor: forward_only(), [mixed([3, 0])], |i| i[0].get::<2>().prod_dim(1).into();
    product_of_no_row: forward_only(), [mixed([0, 3])], |i| i[0].get::<2>().prod_dim(1).into();
    cumulative_product: CheckOptions::default(), [mixed([2, 7, 3])],
        |i| (i[0].get::<3>().cumprod(1) + i[0].get::<3>().cumprod(2)).into();
    cumulative_product_with_zeros: CheckOptions::default(), [with_zeros()],
        |i| (i[0].get::<2>().cumprod(1) + i[0].get::<2>().cumprod(0)).into();
    cumulative_product_of_one_factor: CheckOptions::default(), [mixed([3, 1])],
        |i| i[0].get::<2>().cumprod(1).into();
    cumulative_product_of_no_factor: forward_only(), [mixed([3, 0])], |i| i[0].get::<2>().cumprod(1).into();
    vector_product: CheckOptions::default(), [mixed([2, 3, 4]), mixed([2, 3, 4])],
        |i| i[0].get::<3>().cross(i[1].get::<3>(), 1).into();
}
