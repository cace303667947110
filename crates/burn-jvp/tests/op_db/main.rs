//! PyTorch's own test inputs: values and derivatives agree with `torch.func.jvp`.
//!
//! `scripts/torch_op_db_fixture.py` makes the fixture from the databases with which PyTorch tests its operations
//! (`op_db`) and modules (`module_db`). Each sample is replayed in double and in single precision: with tangents of all
//! inputs and parameters at once, and with the tangents of one of them at a time. A replay that does not agree must be
//! on the list of [`exceptions`], and an exception that no replay needs fails the test.
//!
//! The variable `OP_DB` names another fixture, such as the full one of the script's `--full`, and `OP_DB_ONLY` a prefix
//! of the operations to replay. With either, exceptions that no replay needs do not count.

mod arguments;
mod exceptions;
mod fixture;
mod layers;
mod modules;
mod operations;
mod report;
mod updates;

use arguments::Arguments;
use burn::tensor::FloatDType;
use burn_jvp::{DynTensor, Jvp, JvpError, ParameterTangents, Tangents};
use exceptions::Failure;
use fixture::{Case, Variable, cast, numbers, spread};
use modules::Layer;
use report::{Outcome, Report};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Tolerances: the distance of two lists of numbers in the 2-norm, relative to the norm of PyTorch's, which counts as
/// at least 1.
const PRECISIONS: [(FloatDType, f64); 2] = [(FloatDType::F64, 1e-12), (FloatDType::F32, 1e-5)];

/// The shape without axes of one entry: Burn has no rank 0 and keeps reduced axes.
fn squeezed(shape: &[usize]) -> Vec<usize> {
    shape.iter().copied().filter(|n| *n != 1).collect()
}

/// The relative distance of two lists of numbers. Entries that are not finite must be alike.
fn distance(actual: &[f64], expected: &[f64]) -> f64 {
    if actual.len() != expected.len() {
        return f64::INFINITY;
    }
    let (mut gap, mut norm) = (0.0, 0.0);
    for (a, e) in actual.iter().zip(expected) {
        if e.is_finite() {
            gap += (a - e).powi(2);
            norm += e.powi(2);
        } else if !(a == e || a.is_nan() && e.is_nan()) {
            return f64::INFINITY;
        }
    }
    let gap = f64::sqrt(gap) / f64::sqrt(norm).max(1.0);
    if gap.is_nan() { f64::INFINITY } else { gap }
}

/// The text of a panic.
fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|s| s.to_string()))
        .unwrap_or_default()
}

/// The float outputs of a case.
fn outputs(case: &Case, layer: &Layer, tensors: &[DynTensor]) -> Vec<DynTensor> {
    let arguments = |call| Arguments {
        case,
        call,
        tensors,
    };
    if case.name.starts_with("module.") {
        vec![layer.forward(&arguments(&case.forward))]
    } else {
        operations::apply(&arguments(&case.call))
    }
}

/// Compares values and derivatives of one sample in each precision.
fn replay(case: &Case) -> Outcome {
    let mut outcome = Outcome::default();
    for (index, (precision, tolerance)) in PRECISIONS.into_iter().enumerate() {
        if !modules::has_precision(case, precision) {
            continue;
        }
        let inputs: Vec<DynTensor> = case.inputs.iter().map(|x| cast(x, precision)).collect();
        let eager = catch_unwind(AssertUnwindSafe(|| {
            let layer = Layer::new(case, precision);
            let values = outputs(case, &layer, &inputs);
            (layer, values)
        }));
        let (layer, values) = match eager {
            Ok(pair) => pair,
            Err(panic) => {
                outcome.stop(case, &message(&*panic));
                return outcome;
            }
        };
        let count = case.values.len();
        if values.len() != count {
            outcome.fail(
                Failure::Value,
                format!("{} outputs for {count}", values.len()),
            );
            return outcome;
        }
        let mut comparable = true;
        for (value, (shape, expected)) in values.iter().zip(&case.values) {
            let gap = if squeezed(&value.shape()) == squeezed(shape) {
                distance(&numbers(value), expected)
            } else {
                f64::INFINITY
            };
            if gap > tolerance {
                comparable &= gap.is_finite();
                let text = format!("{precision:?} {:?} for {shape:?}: {gap:.1e}", value.shape());
                outcome.fail(Failure::of(gap, Failure::Value), text);
            }
        }
        if comparable {
            for j in 0..count {
                derivatives(
                    case,
                    &layer,
                    j,
                    &inputs,
                    (index, precision, tolerance),
                    &mut outcome,
                );
            }
        }
    }
    outcome
}

/// The replays of a sample: all directions at once, and the directions that move one variable alone.
fn replays(case: &Case) -> Vec<(Vec<usize>, Option<Variable<'_>>)> {
    let mut replays = vec![((0..case.directions()).collect(), None)];
    let variables = case.variables();
    if variables.len() > 1 {
        let alone = variables
            .iter()
            .map(|(v, _)| (case.directions_of_its_own(*v), Some(*v)));
        replays.extend(alone.filter(|(rows, _)| !rows.is_empty()));
    }
    replays
}

/// The tangents in the directions `rows`, of one variable or of all.
fn tangents(
    case: &Case,
    layer: &Layer,
    precision: FloatDType,
    rows: &[usize],
    only: Option<Variable>,
) -> Result<Tangents, JvpError> {
    let stacks = case.tangents.iter().zip(&case.directions).enumerate();
    let inputs = stacks.map(|(i, (t, directions))| {
        let t = t.as_ref()?;
        only.is_none_or(|v| v == Variable::Input(i))
            .then(|| cast(&spread(t, directions, rows), precision))
    });
    let inputs = inputs.collect();
    let parameters = if matches!(only, Some(Variable::Input(_))) || case.parameters.is_empty() {
        ParameterTangents::new()
    } else {
        layer.tangents(case, precision, rows)?
    };
    Ok(Tangents { inputs, parameters })
}

/// Compares the derivatives of output `j`: along all directions at once, then in one input or parameter at a time.
fn derivatives(
    case: &Case,
    layer: &Layer,
    j: usize,
    inputs: &[DynTensor],
    (index, precision, tolerance): (usize, FloatDType, f64),
    outcome: &mut Outcome,
) {
    let jvp = Jvp::new(|layer: &Layer, tensors: &[DynTensor]| {
        outputs(case, layer, tensors).swap_remove(j)
    });
    let k = case.directions();
    let expected = &case.derivatives[j];
    let n = expected.len() / k.max(1);
    for (rows, only) in replays(case) {
        outcome.replays += 1;
        let block = rows.iter().map(|row| &expected[row * n..(row + 1) * n]);
        let expected = block.collect::<Vec<_>>().concat();
        let result = catch_unwind(AssertUnwindSafe(|| {
            let tangents = tangents(case, layer, precision, &rows, only)?;
            let (_, t) = jvp.along(layer, inputs, &tangents)?;
            Ok(t.map_or_else(|| vec![0.0; expected.len()], |t| numbers(&t)))
        }));
        match result {
            Ok(Ok(actual)) => {
                let gap = distance(&actual, &expected);
                if gap <= tolerance {
                    outcome.agreeing += 1;
                    outcome.errors[index] = outcome.errors[index].max(gap);
                } else {
                    let text = format!("{precision:?} output {j}: {gap:.1e}");
                    outcome.fail(Failure::of(gap, Failure::Derivative), text);
                }
            }
            Ok(Err(JvpError::Unsupported {
                operation, reason, ..
            })) => {
                outcome.fail(Failure::Refused, format!("{operation}: {reason}"));
            }
            Ok(Err(error)) => outcome.fail(Failure::Recording, error.to_string()),
            Err(panic) => outcome.fail(Failure::Panic, message(&*panic)),
        }
    }
}

#[test]
fn samples_of_pytorch_agree_with_torch_func_jvp() {
    let other = std::env::var_os("OP_DB");
    let bytes = match &other {
        Some(path) => std::fs::read(path).expect("the fixture that OP_DB names"),
        None => include_bytes!("../fixtures/op_db.safetensors.gz").to_vec(),
    };
    let prefix = std::env::var("OP_DB_ONLY").unwrap_or_default();
    let cases = fixture::read(&bytes);
    let mut report = Report::default();
    // Samples that cannot be recorded panic inside, which is counted and not printed.
    std::panic::set_hook(Box::new(|_| {}));
    for case in cases.iter().filter(|case| case.name.starts_with(&prefix)) {
        report.add(case, &replay(case));
    }
    let _ = std::panic::take_hook();
    println!("{report}");
    let stale = if other.is_none() && prefix.is_empty() {
        report.stale_exceptions()
    } else {
        Vec::new()
    };
    let unexplained = report.unexplained();
    assert!(
        unexplained.is_empty() && stale.is_empty(),
        "{} without explanation:\n{}\nexceptions that no sample needs: {stale:?}",
        unexplained.len(),
        unexplained.join("\n")
    );
    if other.is_none() && prefix.is_empty() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/PYTORCH.md");
        let page = report.page();
        if std::env::var_os("UPDATE_PYTORCH").is_some() {
            std::fs::write(path, &page).expect("the page");
        }
        let published = std::fs::read_to_string(path).expect("the page");
        assert_eq!(published, page, "PYTORCH.md: run with UPDATE_PYTORCH=1");
    }
}
