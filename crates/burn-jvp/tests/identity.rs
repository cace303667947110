//! Parameters are bound by their ids: none takes another's place, and what cannot be evaluated is an error.

mod common;

use burn::module::{Module, Param, ParamId};
use burn::tensor::{DType, Device, Tensor};
use burn_jvp::{DynTensor, Jvp, JvpError};
use common::{numbers, random};

/// `a·x + b·x²` with a constant shift.
#[derive(Module, Debug)]
struct Two {
    a: Param<Tensor<2>>,
    b: Param<Tensor<2>>,
    shift: Param<Tensor<1>>,
}

fn f(m: &Two, x: Tensor<2>) -> Tensor<2> {
    x.clone() * m.a.val() + x.clone() * x * m.b.val() + m.shift.val().unsqueeze()
}

fn with_ids(ids: [u64; 3], [a, b]: [Tensor<2>; 2], shift: Tensor<1>) -> Two {
    let [i, j, k] = ids.map(ParamId::from);
    Two {
        a: Param::initialized(i, a),
        b: Param::initialized(j, b),
        shift: Param::initialized(k, shift),
    }
}

type Call = Result<(Vec<f64>, Vec<f64>), JvpError>;

fn call(module: &Two, x: &Tensor<2>, t: &Tensor<3>) -> Call {
    let jvp = Jvp::new(|m: &Two, i: &[DynTensor]| f(m, i[0].get()).into());
    let inputs = [x.clone().into()];
    let (y, t) = jvp.call(module, &inputs, &[Some(t.clone().into())])?;
    Ok((numbers(&y), numbers(&t.expect("a tangent"))))
}

#[test]
fn two_parameters_of_one_id_are_refused_by_name() {
    let device = Device::flex();
    let (x, t) = (random([2, 3], &device), random([2, 2, 3], &device));
    let weights = [random([2, 3], &device), random([2, 3], &device)];
    let shift = random([3], &device);
    let module = |ids| with_ids(ids, weights.clone(), shift.clone());
    let right = call(&module([1, 2, 3]), &x, &t).expect("ids of their own");
    assert_eq!(right, call(&module([9, 1, 0]), &x, &t).expect("other ids"));
    for (ids, pair) in [
        ([0, 0, 0], ["a", "b"]),
        ([7, 7, 1], ["a", "b"]),
        ([7, 1, 7], ["a", "shift"]),
        ([1, 7, 7], ["b", "shift"]),
    ] {
        let error = call(&module(ids), &x, &t).expect_err("one id for two");
        let JvpError::SameId { first, second } = &error else {
            panic!("{ids:?}: {error}");
        };
        assert_eq!([first, second], pair, "{ids:?}");
    }
}

#[test]
fn a_tensor_that_is_used_twice_may_share_its_id() {
    let device = Device::flex();
    let (x, t) = (random([2, 3], &device), random([2, 2, 3], &device));
    let (weight, shift) = (random([2, 3], &device), random([3], &device));
    let shared = with_ids([5, 5, 1], [weight.clone(), weight.clone()], shift.clone());
    let apart = with_ids([5, 6, 1], [weight.clone(), weight], shift);
    let (value, derivative) = call(&shared, &x, &t).expect("shared weights");
    assert_eq!((value.clone(), derivative), call(&apart, &x, &t).unwrap());
    assert_eq!(value, numbers(&f(&shared, x).into()));
}

#[test]
fn inputs_and_weights_that_do_not_fit_are_errors() {
    let device = Device::flex();
    let weights = [random([2, 3], &device), random([2, 3], &device)];
    let module = with_ids([1, 2, 3], weights, random([3], &device));
    let x = random([2, 3], &device);
    let cases: [(&str, Tensor<2>, Tensor<3>, &str); 4] = [
        (
            "no tangents",
            x.clone(),
            random([0, 2, 3], &device),
            "does not stack",
        ),
        (
            "tangents of another type",
            x.clone(),
            random([1, 2, 3], &device).cast(DType::F32),
            "does not stack",
        ),
        (
            "weights of another type",
            x.clone().cast(DType::F32),
            random([1, 2, 3], &device).cast(DType::F32),
            "the inputs are of F32 and weights of F64",
        ),
        (
            "inputs that do not fit the weights",
            random([2, 4], &device),
            random([1, 2, 4], &device),
            "recording the function failed",
        ),
    ];
    for (name, x, t, says) in cases {
        let error = call(&module, &x, &t).expect_err(name).to_string();
        assert!(error.contains(says), "{name}: {error}");
    }
}

#[test]
fn no_rows_have_no_derivatives() {
    let device = Device::flex();
    let weights = [random([1, 3], &device), random([1, 3], &device)];
    let module = with_ids([1, 2, 3], weights, random([3], &device));
    let (x, t) = (random([0, 3], &device), random([2, 0, 3], &device));
    assert_eq!(call(&module, &x, &t).expect("no rows"), (vec![], vec![]));
}

#[test]
fn a_tangent_that_is_not_finite_stays_so() {
    let device = Device::flex();
    let weights = [random([2, 3], &device), random([2, 3], &device)];
    let module = with_ids([1, 2, 3], weights, random([3], &device));
    let t = random([1, 2, 3], &device) * f64::NAN;
    let (value, derivative) = call(&module, &random([2, 3], &device), &t).unwrap();
    assert!(value.iter().all(|v| v.is_finite()) && derivative.iter().all(|v| v.is_nan()));
}
