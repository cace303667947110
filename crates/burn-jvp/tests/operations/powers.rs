//! Powers and remainders, at zero too.

use crate::{forward_only, given, mixed, positive, samples};
use burn::nn::Relu;
use burn::tensor::Tensor;
use burn_jvp::check::CheckOptions;
use burn_jvp::{DynTensor, Jvp};

samples! {
    scalar_powers: CheckOptions::default(), [positive([3, 2])], |i| {
        let x = || i[0].get::<2>();
        (x().powi_scalar(3) + x().powi_scalar(-2) * x().powf_scalar(2.5) + x().powf_scalar(-0.5) + x().powi_scalar(0)
            + x().powf_scalar(0.0)).into()
    };
    scalar_powers_at_zero: forward_only(), [given([2], &[0.0, 0.0])], |i| {
        let x = || i[0].get::<1>();
        (x().powi_scalar(0) + x().powi_scalar(1) + x().powi_scalar(2) + x().powi_scalar(3)).into()
    };
    powers: CheckOptions::default(), [positive([3, 1]), mixed([1, 2])], |i| {
        i[0].get::<2>().powf(i[1].get::<2>()).into()
    };
    remainder: forward_only(), [mixed([4, 3]), positive([4, 1])], |i| {
        (i[0].get::<2>() * 5.0).remainder(i[1].get::<2>()).into()
    };
    remainder_of_a_negative_divisor: forward_only(), [mixed([4, 3]), positive([1, 3])], |i| {
        (i[0].get::<2>() * 5.0).remainder(-i[1].get::<2>()).into()
    };
    remainder_of_a_number: CheckOptions::default(), [mixed([4, 3])], |i| {
        (i[0].get::<2>().remainder_scalar(0.25) * i[0].get::<2>()).into()
    };
}

/// The derivatives of a function along the axes of its inputs, one input at a time.
fn partial_derivatives(function: crate::Function, inputs: &[DynTensor]) -> Vec<Vec<f64>> {
    let jvp = Jvp::new(move |_: &Relu, inputs: &[DynTensor]| function(inputs));
    let along = |index: usize| {
        let mut tangents = vec![None; inputs.len()];
        tangents[index] =
            Some(Tensor::<2>::ones_like(&inputs[index].get::<1>().unsqueeze()).into());
        let (_, t) = jvp
            .call(&Relu::new(), inputs, &tangents)
            .unwrap_or_else(|e| panic!("{e}"));
        t.map_or_else(
            || vec![0.0; inputs[index].shape()[0]],
            |t| crate::common::numbers(&t),
        )
    };
    (0..inputs.len()).map(along).collect()
}

#[test]
fn powers_of_zero_have_finite_derivatives_where_they_are_differentiable() {
    // 0ᵇ for b = 0, 1, 2 and 2.5, on the side where it is defined.
    let inputs = [given([4], &[0.0; 4]), given([4], &[0.0, 1.0, 2.0, 2.5])];
    let derivatives =
        partial_derivatives(|i| i[0].get::<1>().powf(i[1].get::<1>()).into(), &inputs);
    assert_eq!(derivatives[0], [0.0, 1.0, 0.0, 0.0], "in the base");
    assert_eq!(derivatives[1], [0.0; 4], "in the exponent");
    for (exponent, expected) in [(0.0, 0.0), (1.0, 1.0), (2.0, 0.0), (2.5, 0.0)] {
        let x = [given([1], &[0.0])];
        let derivative = match exponent {
            0.0 => partial_derivatives(|i| i[0].get::<1>().powf_scalar(0.0).into(), &x),
            1.0 => partial_derivatives(|i| i[0].get::<1>().powf_scalar(1.0).into(), &x),
            2.0 => partial_derivatives(|i| i[0].get::<1>().powf_scalar(2.0).into(), &x),
            _ => partial_derivatives(|i| i[0].get::<1>().powf_scalar(2.5).into(), &x),
        };
        assert_eq!(derivative, [[expected]], "exponent {exponent}");
    }
}
