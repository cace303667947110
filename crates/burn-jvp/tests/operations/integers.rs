//! Integers and booleans, which have no tangents: every operation on them is evaluated.

use crate::{forward_only, integers, mixed, samples};
use burn::backend::Dispatch;
use burn::backend::ops::{BoolTensorOps, IntTensorOps};
use burn::tensor::ops::PadMode;
use burn::tensor::{Bool, IndexingUpdateOp, Int, IntDType, Tensor, s};
use burn_jvp::DynTensor;

/// The integers of the sample, `[3, 4]`.
fn ints(i: &[DynTensor]) -> Tensor<2, Int> {
    i[1].get_kind()
}

fn bools(i: &[DynTensor]) -> Tensor<2, Bool> {
    ints(i).greater_elem(2)
}

/// `x` times the sum over the integers, weighted by their places, so that every one counts.
fn times(i: &[DynTensor], parts: Vec<Tensor<2, Int>>) -> DynTensor {
    let x = i[0].get::<2>();
    let total = parts.into_iter().enumerate().map(|(index, part)| {
        let [rows, columns] = part.dims();
        let weights = Tensor::<1, Int>::arange(1..(rows * columns) as i64 + 1, &x.device());
        let sum =
            (part.cast(IntDType::I64) * weights.cast(IntDType::I64).reshape([rows, columns])).sum();
        sum.float().cast(x.dtype()) * (1.0 + index as f64 / 7.0)
    });
    let total = total.reduce(|a, b| a + b).expect("a part");
    (x * (total * 1e-3).sin().reshape([1, 1])).into()
}

/// [`times`] of booleans.
fn where_true(i: &[DynTensor], parts: Vec<Tensor<2, Bool>>) -> DynTensor {
    times(i, parts.into_iter().map(|mask| mask.int()).collect())
}

fn row<K: burn::tensor::kind::Basic>(t: Tensor<1, K>) -> Tensor<2, K> {
    t.reshape([1, -1])
}

/// An operation on the primitives of integers.
fn raw<const R: usize>(
    t: Tensor<R, Int>,
    f: impl Fn(burn_jvp::dual::RawTensor) -> burn_jvp::dual::RawTensor,
) -> Tensor<R, Int> {
    Tensor::from_dispatch(f(t.into_dispatch()))
}

samples! {
    shapes: forward_only(), [mixed([2, 3]), integers([3, 4], &[1, 5, 2, 0, 4, 3, 7, 6, 8, 2, 9, 1])], |i| {
        let t = || ints(i);
        let at = || Tensor::<1, Int>::from_ints([2, 0], &t().device());
        let (pick, mask) = (t().remainder_scalar(3), bools(i));
        let windows = t().unfold::<3, _>(1, 2, 1).reshape([9, 2]);
        times(i, vec![
            t().reshape([4, 3]), t().slice(s![0..1]).expand([3, 4]), t().swap_dims(0, 1), t().permute([1, 0]),
            t().flip([1]), windows, t().repeat_dim(0, 2), t().slice(s![1.., ..2]),
            t().slice_assign(s![0..1, 1..3], t().slice(s![1..2, 0..2])), Tensor::cat(vec![t(), t()], 0),
            t().select(0, at()), t().gather(0, pick.clone()), t().gather_nd::<2, 2>(at().reshape([2, 1])),
            t().scatter(0, pick, t(), IndexingUpdateOp::Add),
            t().scatter_nd::<2, 2>(at().reshape([2, 1]), t().slice(s![0..2]), IndexingUpdateOp::Add),
            t().select_assign(0, at(), t().slice(s![0..2]), IndexingUpdateOp::Add),
            t().mask_where(mask.clone(), t() * 3), t().mask_fill(mask, 7), t().cast(IntDType::I32),
            t().pad((1, 0, 0, 1), PadMode::Constant(4.0)),
            Tensor::zeros([1, 2], &t().device()) + Tensor::ones([1, 2], &t().device())
                + Tensor::full([1, 2], 3, &t().device()),
            Tensor::empty([3, 4], &t().device()).slice_assign(s![.., ..], t()),
        ])
    };
    arithmetic: forward_only(), [mixed([2, 3]), integers([3, 4], &[1, 5, 2, 0, 4, 3, 7, 6, 8, 2, 9, 1])], |i| {
        let t = || ints(i);
        let one = || t() + 1;
        times(i, vec![
            t() + one(), t() - 2, t() - one(), t() * one(), t() * 3, t() / one(), t() / 2, t().remainder(one()),
            t().remainder_scalar(3), t().powi(t().remainder_scalar(3)), raw(t(), |t| Dispatch::int_powi_scalar(t, 3.into())),
            -t(), (t() - 4).abs(), (t() - 4).sign(), t().clamp(2, 5), t().clamp_min(3), t().clamp_max(4),
            t().bitwise_and(one()), t().bitwise_or(one()), t().bitwise_xor(one()), t().bitwise_not(),
            t().bitwise_and_scalar(3), t().bitwise_or_scalar(3), t().bitwise_xor_scalar(3),
            t().bitwise_left_shift(t().remainder_scalar(3)), t().bitwise_right_shift(t().remainder_scalar(3)),
            t().bitwise_left_shift_scalar(2), t().bitwise_right_shift_scalar(1), t().matmul(one().transpose()),
        ])
    };
    reductions: forward_only(), [mixed([2, 3]), integers([3, 4], &[1, -5, 2, 0, 4, 3, -7, 6, 8, 2, -9, 1])], |i| {
        let t = || ints(i);
        let (high, at) = t().max_dim_with_indices(1);
        let (low, from) = t().min_dim_with_indices(1);
        let (sorted, places) = t().sort_with_indices(1);
        let (largest, ranks) = t().topk_with_indices(2, 1);
        times(i, vec![
            high, at, low, from, sorted, places, largest, ranks,
            row(t().sum()), row(t().mean()), row(t().clamp_min(1).prod()), row(t().max()), row(t().min()), row(t().max_abs()),
            t().sum_dim(1), t().mean_dim(1), t().prod_dim(1), t().max_dim(1), t().min_dim(1), t().max_abs_dim(1),
            t().sum_dims(&[0, 1]), t().argmax(1), t().argmin(1), t().argtopk(2, 1), t().topk(2, 1), t().sort(1),
            t().argsort(1), t().cumsum(1), t().cumprod(1), t().cummin(1), t().cummax(1),
        ])
    };
    comparisons: forward_only(), [mixed([2, 3]), integers([3, 4], &[1, 5, 2, 0, 4, 3, 7, 6, 8, 2, 9, 1])], |i| {
        let (t, c) = (|| ints(i), || ints(i).flip([1]));
        where_true(i, vec![
            t().greater(c()), t().greater_equal(c()), t().lower(c()), t().lower_equal(c()), t().equal(c()),
            t().not_equal(c()), t().greater_elem(3), t().greater_equal_elem(3), t().lower_elem(3),
            t().lower_equal_elem(3), t().equal_elem(2), t().not_equal_elem(2), row(t().all()), row(t().any()),
            t().all_dim(1), t().any_dim(1),
        ])
    };
    booleans: forward_only(), [mixed([2, 3]), integers([3, 4], &[1, 5, 2, 0, 4, 3, 7, 6, 8, 2, 9, 1])], |i| {
        let (b, c) = (|| bools(i), || ints(i).lower_elem(6));
        let at = || Tensor::<1, Int>::from_ints([2, 0], &b().device());
        let pick = || ints(i).remainder_scalar(3);
        let weights = b().float().cast(i[0].dtype()).sum() * 0.1;
        let raw = |f: &dyn Fn(burn_jvp::dual::RawTensor) -> burn_jvp::dual::RawTensor| {
            Tensor::<2, Bool>::from_dispatch(f(b().into_dispatch()))
        };
        let parts = vec![
            b().reshape([4, 3]), b().slice(s![0..1]).expand([3, 4]), b().swap_dims(0, 1), b().permute([1, 0]),
            b().flip([1]), b().unfold::<3, _>(1, 2, 1).reshape([9, 2]), b().repeat_dim(0, 2), b().slice(s![1.., ..2]),
            b().slice_assign(s![0..1, 1..3], b().slice(s![1..2, 0..2])), Tensor::cat(vec![b(), c()], 0),
            b().select(0, at()), b().gather(0, pick()), b().scatter(0, pick(), c(), IndexingUpdateOp::Add),
            b().select_assign(0, at(), c().slice(s![0..2]), IndexingUpdateOp::Add),
            b().mask_where(c(), b().bool_not()), b().mask_fill(c(), true), b().bool_and(c()).bool_or(c().bool_xor(b())),
            b().equal(c()), b().not_equal(c()), raw(&|t| Dispatch::bool_equal_elem(t, true.into())),
            raw(&|t| Dispatch::bool_not_equal_elem(t, true.into())), row(b().all()), row(b().any()), b().all_dim(1),
            b().any_dim(1),
            Tensor::zeros([3, 4], &b().device()).bool_or(b()), Tensor::ones([3, 4], &b().device()).bool_and(b()),
            Tensor::<2, Bool>::empty([3, 4], &b().device()).slice_assign(s![.., ..], b()),
        ];
        let x = where_true(i, parts).get::<2>();
        (x * weights.reshape([1, 1])).into()
    };
}
