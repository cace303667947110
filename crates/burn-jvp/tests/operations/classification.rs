//! Operations that the samples record, against the classification of operations.

use crate::{Function, Sample, by_kind, given, mixed};
use burn::backend::ir::OperationIr;
use burn::nn::Relu;
use burn::tensor::kind::Basic;
use burn::tensor::{Bool, Device, DeviceConfig, Distribution, Float, Int, Tensor};
use burn_jvp::check::random_tangents;
use burn_jvp::coverage::{Class, OPERATIONS};
use burn_jvp::{DynTensor, Jvp, JvpError};
use std::collections::BTreeMap;

/// The groups of operations on tensors. The layers of the others have tests of their own.
const GROUPS: [&str; 8] = [
    "BaseFloat",
    "NumericFloat",
    "Float",
    "BaseInt",
    "NumericInt",
    "Int",
    "BaseBool",
    "Bool",
];

/// Operations that Burn 0.22.1 does not record. A power by integers wants base and exponent of one type, and the
/// others are recorded as operations that they are composed of. The rule of the first has a test beside it.
const NOT_RECORDED: [(&str, &str); 4] = [
    ("NumericFloat", "Powi"),
    ("Float", "IsNan"),
    ("Float", "IsInf"),
    ("NumericInt", "SumDims"),
];

/// The operations that a function records.
fn recorded(function: Function, inputs: &[DynTensor]) -> Vec<OperationIr> {
    let settings = Device::flex().settings();
    let types = DeviceConfig::default()
        .float_dtype(settings.float_dtype)
        .int_dtype(settings.int_dtype)
        .bool_dtype(settings.bool_dtype);
    let mut device = Device::capture();
    let captured = device.clone().capture_scope(|scope| {
        device.configure(types).expect("the types of the CPU");
        let constants = inputs.iter().map(|x| by_kind!(x, x => moved(x, &device)));
        function(&constants.collect::<Vec<_>>());
        scope.complete([], [])
    });
    captured.expect("a graph").graph.operations
}

/// A tensor as a constant on another device.
fn moved<const R: usize, K: Basic>(x: Tensor<R, K>, device: &Device) -> DynTensor {
    let dtype = x.dtype();
    Tensor::<R, K>::from_data(x.into_data(), (device, dtype)).into()
}

/// Group and name of an operation.
fn name(op: &OperationIr) -> (String, String) {
    let text = format!("{op:?}");
    let head = text.split('{').next().unwrap_or_default();
    let words: Vec<&str> = head
        .split(|c: char| !c.is_alphanumeric())
        .filter(|w| !w.is_empty())
        .collect();
    match words.as_slice() {
        [group, .., variant, _] => ((*group).to_owned(), (*variant).to_owned()),
        _ => (words.join("::"), String::new()),
    }
}

fn samples() -> Vec<Sample> {
    let files = [
        crate::elementwise::all(),
        crate::entries::all(),
        crate::grid_sample::all(),
        crate::integers::all(),
        crate::order::all(),
        crate::powers::all(),
        crate::products::all(),
        crate::updates::all(),
    ];
    files.into_iter().flatten().collect()
}

#[test]
fn every_operation_on_tensors_is_in_a_sample_and_of_its_class() {
    let mut operations = BTreeMap::new();
    for sample in samples() {
        for op in recorded(sample.function, &sample.inputs) {
            operations.entry(name(&op)).or_insert(op);
        }
    }
    let mut missing = Vec::new();
    for row in OPERATIONS.iter().filter(|row| GROUPS.contains(&row.group)) {
        for name in row.operations {
            let Some(op) = operations.get(&(row.group.to_owned(), (*name).to_owned())) else {
                missing.push((row.group, *name));
                continue;
            };
            let of_floats =
                op.inputs().any(|t| t.dtype.is_float()) && op.outputs().any(|t| t.dtype.is_float());
            let differentiated =
                matches!(row.class, Class::Differentiated | Class::PiecewiseConstant);
            assert_eq!(of_floats, differentiated, "{}::{name}", row.group);
        }
    }
    let refused = |(group, name): &(&str, &str)| {
        let mut rows = OPERATIONS
            .iter()
            .filter(|row| row.group == *group && row.operations.contains(name));
        rows.any(|row| matches!(row.class, Class::Refused(_)))
    };
    missing.retain(|operation| !refused(operation));
    assert_eq!(missing, NOT_RECORDED, "in no sample");
}

/// The error or the tangents of a function of one input.
fn tangents(function: Function, input: DynTensor) -> Result<Option<DynTensor>, JvpError> {
    let jvp = Jvp::new(move |_: &Relu, inputs: &[DynTensor]| function(inputs));
    let inputs = [input];
    let (_, t) = jvp.call(&Relu::new(), &inputs, &random_tangents(&inputs, 2, 0))?;
    Ok(t)
}

#[test]
fn piecewise_constant_operations_and_no_others_have_no_tangent() {
    let steps: [(&str, Function); 5] = [
        ("Sign", |i| i[0].get::<2>().sign().into()),
        ("Round", |i| i[0].get::<2>().round().into()),
        ("Floor", |i| i[0].get::<2>().floor().into()),
        ("Ceil", |i| i[0].get::<2>().ceil().into()),
        ("Trunc", |i| i[0].get::<2>().trunc().into()),
    ];
    let rows = OPERATIONS
        .iter()
        .filter(|row| row.class == Class::PiecewiseConstant);
    let listed: Vec<&str> = rows.flat_map(|row| row.operations).copied().collect();
    assert_eq!(listed, steps.map(|(name, _)| name));
    for (operation, function) in steps {
        let x = mixed([3, 2]);
        let ops = recorded(function, std::slice::from_ref(&x));
        assert!(ops.iter().any(|op| name(op).1 == operation), "{operation}");
        let t = tangents(function, x).unwrap_or_else(|e| panic!("{operation}: {e}"));
        assert!(t.is_none(), "{operation}");
    }
}

#[test]
fn operations_that_are_refused_say_why() {
    let refused: [(&str, Function); 2] = [
        ("Random", |i| {
            let x = i[0].get::<2>();
            (x.random_like(Distribution::Default) * x).into()
        }),
        ("IntRandom", |i| {
            let x = i[0].get::<2>();
            let noise =
                Tensor::<2, Int>::random([3, 2], Distribution::Uniform(0.0, 9.0), &x.device());
            (noise.float().cast(x.dtype()) * x).into()
        }),
    ];
    for (operation, function) in refused {
        let mut rows = OPERATIONS
            .iter()
            .filter(|row| row.operations.contains(&operation));
        let Some(Class::Refused(reason)) = rows.next().map(|row| row.class) else {
            panic!("{operation} is not of the class refused");
        };
        let error = tangents(function, given([3, 2], &[0.5; 6])).expect_err(operation);
        assert!(error.to_string().contains(operation), "{error}");
        assert!(error.to_string().ends_with(reason), "{error}");
    }
}
