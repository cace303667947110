//! Extrema, sorting and selection by rank.

use crate::{forward_only, given, mixed, samples};
use burn::tensor::s;
use burn_jvp::check::CheckOptions;

samples! {
    extrema: CheckOptions::default(), [mixed([3, 4])], |i| {
        let x = || i[0].get::<2>();
        let one = |t: burn::tensor::Tensor<1>| t.reshape([1, 1]);
        (x() * one(x().max()) + one(x().min()) * x().max_dim(0) * x().min_dim(1)).into()
    };
    extrema_with_places: CheckOptions::default(), [mixed([3, 4])], |i| {
        let (high, at) = i[0].get::<2>().max_dim_with_indices(1);
        let (low, from) = i[0].get::<2>().min_dim_with_indices(0);
        let high = high.clone() * at.float().cast(high.dtype());
        let low = low.clone() * from.float().cast(low.dtype());
        (high * low).into()
    };
    largest_absolute_value: forward_only(), [mixed([3, 4])], |i| i[0].get::<2>().max_abs().into();
    largest_absolute_value_along_axes: forward_only(), [mixed([3, 4, 2])], |i| {
        (i[0].get::<3>().max_abs_dim(1) * i[0].get::<3>().max_abs_dim(2)).into()
    };
    cumulative_maximum: CheckOptions::default(), [mixed([2, 9, 3])], |i| {
        (i[0].get::<3>().cummax(1) * i[0].get::<3>().cummax(2)).into()
    };
    cumulative_minimum: CheckOptions::default(), [mixed([2, 9, 3])], |i| {
        (i[0].get::<3>().cummin(1) * i[0].get::<3>().cummin(0)).into()
    };
    cumulative_maximum_of_none: forward_only(), [mixed([2, 0])], |i| i[0].get::<2>().cummax(1).into();
    sorted: CheckOptions::default(), [mixed([3, 5, 2])], |i| {
        (i[0].get::<3>().sort(1) * i[0].get::<3>() + i[0].get::<3>().sort_descending(2)).into()
    };
    sorted_with_places: CheckOptions::default(), [mixed([3, 5])], |i| {
        let (y, at) = i[0].get::<2>().sort_with_indices(1);
        let (z, from) = i[0].get::<2>().sort_descending_with_indices(0);
        let weight = (at + from).float().cast(y.dtype());
        (y * weight * z).into()
    };
    sorted_places: CheckOptions::default(), [mixed([3, 5])], |i| {
        let x = i[0].get::<2>();
        let places = x.clone().argsort(1) + x.clone().argsort_descending(0) + x.clone().argmax(1) + x.clone().argmin(0);
        (places.float().cast(x.dtype()) * x).into()
    };
    sorted_with_equal_entries: forward_only(), [given([4], &[0.0, 0.5, 0.5, 1.0])], |i| {
        // A symmetric function of the equal entries, so that it is differentiable.
        let y = i[0].get::<1>().sort(0);
        (y.clone() * y).sum().into()
    };
    sorted_none: forward_only(), [mixed([0, 3])], |i| i[0].get::<2>().sort(1).into();
    largest: forward_only(), [mixed([4, 5])], |i| {
        (i[0].get::<2>().topk(3, 1).slice(s![0..2]) * i[0].get::<2>().topk(2, 0).slice([0..2, 1..4])).into()
    };
    largest_with_places: forward_only(), [mixed([4, 5])], |i| {
        let (y, at) = i[0].get::<2>().topk_with_indices(3, 1);
        let places = at + i[0].get::<2>().argtopk(3, 1);
        (y.clone() * places.float().cast(y.dtype())).into()
    };
}
