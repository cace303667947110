//! A custom operation with its rule, and rules with mistakes, which the checker finds.

mod common;

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::capture::CaptureBackend;
use burn::backend::ir::{CustomOpIr, OperationIr, OperationOutput, TensorIr};
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::module::{Module, Param};
use burn::tensor::{DType, Device, Tensor};
use burn_jvp::check::{CheckError, CheckOptions, Property, check_jvp, random_tangents};
use burn_jvp::dual::{dims, expand, lift, narrow, reshape};
use burn_jvp::{CustomRule, Dual, DynTensor, Jvp, JvpError, RawTensor, Refusal};
use burn_router::RouterClient;
use common::random;

const CUBE: &str = "test.cube";

/// The operation x³. On autodiff its default body is differentiated by Burn.
#[backend_extension(Flex, Capture, Autodiff)]
trait CubeBackend: Backend {
    fn cube(x: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::float_mul(x.clone(), Self::float_mul(x.clone(), x))
    }
}

impl CubeBackend for Flex {}

impl<B: Backend, C: CheckpointStrategy> CubeBackend for Autodiff<B, C> {}

impl CubeBackend for CaptureBackend {
    fn cube(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let client = x.client.clone();
        let out = TensorIr::uninit(client.create_empty_handle(), x.shape(), x.dtype());
        let op = CustomOpIr::new(CUBE, &[x.into_ir()], &[out]);
        client.register(OperationIr::Custom(op)).output()
    }
}

fn cube(x: Tensor<2>) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as CubeBackend>::cube(x.into_dispatch()))
}

/// `y = x³`: `y' = 3·x²·x'`.
struct CubeRule;

impl CustomRule for CubeRule {
    fn id(&self) -> &str {
        CUBE
    }

    fn jvp(&self, _op: &CustomOpIr, inputs: Vec<Dual>, _k: usize) -> Result<Vec<Dual>, Refusal> {
        let [x]: [Dual; 1] = inputs.try_into().map_err(|_| Refusal::unknown())?;
        let tangent = x.tangent.map(|t| {
            let x = Tensor::<3>::from_dispatch(lift(&x.primal));
            (Tensor::from_dispatch(t) * x.powi_scalar(2) * 3.0).into_dispatch()
        });
        let primal = Dispatch::cube(x.primal);
        Ok(vec![Dual { primal, tangent }])
    }
}

/// A mistake in the rule of the cube.
#[derive(Debug)]
enum Mistake {
    /// The derivative is doubled.
    Slope,
    /// There is no derivative.
    Zero,
    /// The value is doubled.
    Value,
    /// All tangents are taken for the first.
    Stack,
    /// The derivative is doubled in single precision.
    Single,
    /// The tangents have no leading axis if there is one.
    Shape,
    /// There is a second output.
    Count,
}

impl CustomRule for Mistake {
    fn id(&self) -> &str {
        CUBE
    }

    fn jvp(&self, op: &CustomOpIr, inputs: Vec<Dual>, k: usize) -> Result<Vec<Dual>, Refusal> {
        let single = inputs[0].primal.dtype() == DType::F32;
        let double = |t: RawTensor| Dispatch::float_mul_scalar(t, 2.0.into());
        let mut outputs = CubeRule.jvp(op, inputs, k)?;
        let Dual { primal, tangent } = outputs.remove(0);
        let y = match self {
            Self::Zero => Dual::constant(primal),
            Self::Value => Dual {
                primal: double(primal),
                tangent,
            },
            _ => Dual {
                primal,
                tangent: tangent.map(|t| match self {
                    Self::Slope => double(t),
                    Self::Single if single => double(t),
                    Self::Stack => expand(narrow(t.clone(), 0..1), &dims(&t)),
                    Self::Shape if k == 1 => reshape(t.clone(), &dims(&t)[1..]),
                    _ => t,
                }),
            },
        };
        if matches!(self, Self::Count) {
            outputs.push(y.clone());
        }
        outputs.push(y);
        Ok(outputs)
    }
}

#[derive(Module, Debug)]
struct Scale {
    by: Param<Tensor<2>>,
}

fn check(rules: &[&'static dyn CustomRule]) -> Result<(), CheckError> {
    let device = Device::flex();
    let module = Scale {
        by: Param::from_tensor(random([3, 4], &device)),
    };
    let jvp = Jvp::new(|m: &Scale, i: &[DynTensor]| {
        (cube(i[0].get::<2>() * m.by.val()) + i[1].get::<2>()).into()
    })
    .with_rules(rules);
    let inputs = [
        random([3, 4], &device).into(),
        random([3, 1], &device).into(),
    ];
    let tangents = random_tangents(&inputs, 3, 0);
    check_jvp(&jvp, &module, &inputs, &tangents, &CheckOptions::default())
}

#[test]
fn a_right_rule_passes() {
    check(&[&CubeRule]).expect("the derivative of a cube");
}

#[test]
fn the_later_of_two_rules_takes_effect() {
    check(&[&Mistake::Slope, &CubeRule]).expect("the later rule");
    check(&[&CubeRule, &Mistake::Slope]).expect_err("the later rule");
}

#[test]
fn wrong_rules_are_found() {
    static RULES: [(Mistake, Property); 5] = [
        (Mistake::Slope, Property::Difference),
        (Mistake::Zero, Property::Difference),
        (Mistake::Value, Property::Value),
        (Mistake::Stack, Property::Stacking),
        (Mistake::Single, Property::SinglePrecision),
    ];
    for (mistake, expected) in &RULES {
        let error = check(&[mistake]).expect_err("a mistake");
        let CheckError::Numbers { property, .. } = error else {
            panic!("{mistake:?}: {error}");
        };
        assert_eq!(property, *expected, "{mistake:?}");
    }
}

#[test]
fn outputs_that_do_not_fit_the_record_are_refused() {
    for mistake in [&Mistake::Shape, &Mistake::Count] {
        let error = check(&[mistake]).expect_err("a misfit");
        let refused = matches!(error, CheckError::Jvp(JvpError::Unsupported { .. }));
        assert!(refused, "{error}");
        let text = error.to_string();
        assert!(text.contains("the outputs of its rule"), "{text}");
    }
}

#[test]
fn without_a_rule_the_operation_is_named() {
    let error = check(&[]).expect_err("no rule").to_string();
    assert!(
        error.contains("Custom(test.cube)") && error.contains("knows no derivative"),
        "{error}"
    );
}

#[test]
fn what_cannot_be_checked_is_said() {
    let device = Device::flex();
    let module = Scale {
        by: Param::from_tensor(random([3, 4], &device)),
    };
    let jvp = Jvp::new(|_: &Scale, i: &[DynTensor]| i[0].clone());
    let options = CheckOptions::default();
    let x: DynTensor = random([3, 4], &device).into();
    let single: DynTensor = random([3, 4], &device).cast(DType::F32).into();
    for (x, tangents) in [
        (x.clone(), vec![None]),
        (single.clone(), random_tangents(&[single], 1, 0)),
    ] {
        let error = check_jvp(&jvp, &module, &[x], &tangents, &options).expect_err("arguments");
        assert!(matches!(error, CheckError::Arguments(_)), "{error}");
    }
}
