//! Updates at indices, in each of the five ways and for each manner of indexing.

use crate::{forward_only, given, integers, mixed, samples};
use burn::tensor::{IndexingUpdateOp, Tensor, s};
use burn_jvp::DynTensor;

/// Values `[3, 4]` scattered into `[5, 4]` along the first axis. Places of the first column occur twice.
fn scatter(i: &[DynTensor], update: IndexingUpdateOp) -> Tensor<2> {
    i[0].get::<2>()
        .scatter(0, i[2].get_kind(), i[1].get(), update)
}

/// Slices `[5, 3]` written along the second axis of `[5, 4]`.
fn select(i: &[DynTensor], update: IndexingUpdateOp) -> Tensor<2> {
    i[0].get::<2>()
        .select_assign(1, i[2].get_kind(), i[1].get(), update)
}

/// Values `[3, 2]` written into `[4, 3, 2]` at indices `[3, 2]` of its first two axes.
fn several(i: &[DynTensor], update: IndexingUpdateOp) -> Tensor<3> {
    i[0].get::<3>().scatter_nd(
        i[2].get_kind::<2, burn::tensor::Int>(),
        i[1].get::<2>(),
        update,
    )
}

/// Distinct places in each column.
fn distinct() -> DynTensor {
    integers([3, 4], &[0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1])
}

/// Places that occur twice in the first column and three times in the second.
fn repeated() -> DynTensor {
    integers([3, 4], &[2, 1, 2, 3, 2, 1, 1, 2, 3, 1, 0, 1])
}

fn pairs() -> DynTensor {
    integers([3, 2], &[0, 2, 3, 1, 2, 0])
}

fn repeated_pairs() -> DynTensor {
    integers([3, 2], &[0, 2, 3, 1, 0, 2])
}

/// A target and values with zeros that meet: none, one and two at a place, in target and values.
fn target_with_zeros() -> DynTensor {
    let mut values = vec![0.5; 20];
    values[9] = 0.0;
    values[4] = 0.0;
    given([5, 4], &values)
}

fn values_with_zeros() -> DynTensor {
    given(
        [3, 4],
        &[0.0, 0.7, -0.4, 0.2, 0.6, 0.0, 0.9, -0.3, 0.8, 0.3, 0.0, 0.1],
    )
}

samples! {
    scatter_add: forward_only(), [mixed([5, 4]), mixed([3, 4]), repeated()],
        |i| scatter(i, IndexingUpdateOp::Add).into();
    scatter_assign: forward_only(), [mixed([5, 4]), mixed([3, 4]), distinct()],
        |i| scatter(i, IndexingUpdateOp::Assign).into();
    scatter_mul: forward_only(), [mixed([5, 4]), mixed([3, 4]), repeated()],
        |i| scatter(i, IndexingUpdateOp::Mul).into();
    scatter_mul_with_zeros: forward_only(), [target_with_zeros(), values_with_zeros(), repeated()],
        |i| scatter(i, IndexingUpdateOp::Mul).into();
    scatter_min: forward_only(), [mixed([5, 4]), mixed([3, 4]), repeated()],
        |i| scatter(i, IndexingUpdateOp::Min).into();
    scatter_max: forward_only(), [mixed([5, 4]), mixed([3, 4]), repeated()],
        |i| scatter(i, IndexingUpdateOp::Max).into();
    scatter_none: forward_only(), [mixed([5, 4]), mixed([0, 4]), integers([0, 4], &[])],
        |i| scatter(i, IndexingUpdateOp::Add).into();
    scatter_nd_add: forward_only(), [mixed([4, 3, 2]), mixed([3, 2]), repeated_pairs()],
        |i| several(i, IndexingUpdateOp::Add).into();
    scatter_nd_assign: forward_only(), [mixed([4, 3, 2]), mixed([3, 2]), pairs()],
        |i| several(i, IndexingUpdateOp::Assign).into();
    scatter_nd_mul: forward_only(), [mixed([4, 3, 2]), mixed([3, 2]), repeated_pairs()],
        |i| several(i, IndexingUpdateOp::Mul).into();
    scatter_nd_min: forward_only(), [mixed([4, 3, 2]), mixed([3, 2]), repeated_pairs()],
        |i| several(i, IndexingUpdateOp::Min).into();
    scatter_nd_max: forward_only(), [mixed([4, 3, 2]), mixed([3, 2]), repeated_pairs()],
        |i| several(i, IndexingUpdateOp::Max).into();
    select_add: forward_only(), [mixed([5, 4]), mixed([5, 3]), integers([3], &[1, 3, 1])],
        |i| select(i, IndexingUpdateOp::Add).into();
    select_assign: forward_only(), [mixed([5, 4]), mixed([5, 3]), integers([3], &[1, 3, 0])],
        |i| select(i, IndexingUpdateOp::Assign).into();
    select_mul: forward_only(), [mixed([5, 4]), mixed([5, 3]), integers([3], &[1, 3, 1])],
        |i| select(i, IndexingUpdateOp::Mul).into();
    select_min: forward_only(), [mixed([5, 4]), mixed([5, 3]), integers([3], &[1, 3, 1])],
        |i| select(i, IndexingUpdateOp::Min).into();
    select_max: forward_only(), [mixed([5, 4]), mixed([5, 3]), integers([3], &[1, 3, 1])],
        |i| select(i, IndexingUpdateOp::Max).into();
    gather_nd: forward_only(), [mixed([4, 3, 2]), repeated_pairs()],
        |i| i[0].get::<3>().gather_nd::<2, 2>(i[1].get_kind()).into();
    gather_nd_of_entries: forward_only(), [mixed([4, 3]), pairs()],
        |i| i[0].get::<2>().gather_nd::<2, 1>(i[1].get_kind()).into();
}

#[test]
fn a_maximum_over_a_target_of_minus_infinity_has_the_tangents_of_the_values() {
    use burn::nn::Relu;
    let function: crate::Function = |i| {
        let target = i[0]
            .get::<2>()
            .full_like(f64::NEG_INFINITY)
            .slice(s![0..1])
            .repeat_dim(0, 5);
        target
            .scatter(0, i[1].get_kind(), i[0].get(), IndexingUpdateOp::Max)
            .into()
    };
    let jvp = burn_jvp::Jvp::new(move |_: &Relu, inputs: &[DynTensor]| function(inputs));
    let inputs = [mixed([3, 4]), distinct()];
    let tangents = burn_jvp::check::random_tangents(&inputs, 1, 0);
    let (_, t) = jvp
        .call(&Relu::new(), &inputs, &tangents)
        .unwrap_or_else(|e| panic!("{e}"));
    let sum = |t: &DynTensor| crate::common::numbers(t).iter().sum::<f64>();
    let (got, given) = (
        sum(&t.expect("a tangent")),
        sum(tangents[0].as_ref().expect("of floats")),
    );
    assert!((got - given).abs() < 1e-12, "{got} for {given}");
}
