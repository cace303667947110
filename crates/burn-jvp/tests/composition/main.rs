//! Random compositions of operations: value, central differences, and K tangents against one at a time.
//!
//! A program is a list of operations, each on values before it. Inputs and programs are random with a fixed seed, and a
//! program that fails is shrunk to the shortest that does. The variable `COMPOSITIONS` is another number of programs.

#[path = "../common/mod.rs"]
mod common;

mod operations;

use burn::nn::Relu;
use burn::tensor::{DType, Device, Tensor};
use burn_jvp::check::random_tangents;
use burn_jvp::{DynTensor, Jvp};
use common::{numbers, pick, step};
use operations::{OPERATIONS, SHAPE};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};
use std::cell::Cell;
use std::fmt;

/// Number of programs of a usual run.
const PROGRAMS: u32 = 3000;

/// Largest number of operations of a program.
const LENGTH: usize = 12;

/// Step of the central differences.
const STEP: f64 = 1e-5;

/// Tolerance of the derivatives, relative to the 2-norm of the differences, which counts as at least 1.
const TOLERANCE: f64 = 1e-6;

/// One operation with its two operands, counted back from the last value.
#[derive(Clone)]
struct Instruction {
    operation: usize,
    operands: [usize; 2],
}

impl fmt::Debug for Instruction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b] = self.operands;
        write!(f, "{}(−{a}, −{b})", OPERATIONS[self.operation].0)
    }
}

/// A program with the seed of its inputs.
#[derive(Clone, Debug)]
struct Program {
    instructions: Vec<Instruction>,
    seed: u64,
}

impl Program {
    /// The last value.
    fn run(&self, inputs: &[DynTensor]) -> DynTensor {
        let mut values: Vec<Tensor<2>> = inputs.iter().map(DynTensor::get).collect();
        for instruction in &self.instructions {
            let [a, b] = instruction
                .operands
                .map(|back| &values[values.len() - 1 - back % values.len()]);
            let (name, function) = OPERATIONS[instruction.operation];
            let value = function(a.clone(), b.clone());
            assert_eq!(value.dims(), SHAPE, "shape of {name}");
            values.push(value);
        }
        values.pop().expect("the inputs at least").into()
    }

    /// Two inputs, uniform between −1 and 1.
    fn inputs(&self) -> Vec<DynTensor> {
        // The same numbers for the same seed, in another range.
        let zeros = || Tensor::<2>::zeros(SHAPE, (&Device::flex(), DType::F64)).into();
        let inputs: Vec<DynTensor> = vec![zeros(), zeros()];
        let numbers = random_tangents(&inputs, 1, self.seed).into_iter().flatten();
        let scaled = numbers.map(|t| DynTensor::from(t.get::<3>().reshape(SHAPE) / 0.3));
        scaled.collect()
    }
}

fn programs() -> impl Strategy<Value = Program> {
    // Mostly recent values, so that an operation can be left out of a program that fails.
    let operand = || prop_oneof![4 => 0..4_usize, 1 => 0..LENGTH + 2];
    let instruction =
        (0..OPERATIONS.len(), operand(), operand()).prop_map(|(operation, a, b)| Instruction {
            operation,
            operands: [a, b],
        });
    let seed = any::<u64>().no_shrink();
    (vec(instruction, 1..=LENGTH), seed)
        .prop_map(|(instructions, seed)| Program { instructions, seed })
}

/// The 2-norm of `a − b`.
fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).powi(2))
        .sum::<f64>()
        .sqrt()
}

/// The values of a program at `x + h·v`.
fn moved(
    program: &Program,
    inputs: &[DynTensor],
    directions: &[Option<DynTensor>],
    h: f64,
) -> Vec<f64> {
    let moved = inputs.iter().zip(directions).map(|(x, v)| match v {
        Some(v) => step(x, v, h),
        None => x.clone(),
    });
    numbers(&program.run(&moved.collect::<Vec<_>>()))
}

/// The central difference `(f(x + h·v) − f(x − h·v))/2h` from three values around x, and the 2-norm of the difference
/// between those of both sides, `(f(x + h·v) − 2·f(x) + f(x − h·v))/h`.
fn differences(down: &[f64], y: &[f64], up: &[f64], h: f64) -> (Vec<f64>, f64) {
    let central = up
        .iter()
        .zip(down)
        .map(|(up, down)| (up - down) / (2.0 * h));
    let middle: Vec<f64> = up
        .iter()
        .zip(down)
        .map(|(up, down)| (up + down) / 2.0)
        .collect();
    (central.collect(), distance(&middle, y) * 2.0 / h)
}

/// Checks a program along two directions, the second with its own choice of inputs. True if it is smooth at its inputs.
fn check(program: &Program) -> Result<bool, TestCaseError> {
    let inputs = program.inputs();
    let jvp = Jvp::new(|_: &Relu, inputs: &[DynTensor]| program.run(inputs));
    let derivatives = |tangents: &[Option<DynTensor>]| {
        let (y, t) = jvp
            .call(&Relu::new(), &inputs, tangents)
            .map_err(|e| TestCaseError::fail(e.to_string()))?;
        let k = tangents
            .iter()
            .flatten()
            .map(|t| t.shape()[0])
            .max()
            .unwrap_or(0);
        let zeros = vec![0.0; k * numbers(&y).len()];
        Ok::<_, TestCaseError>((numbers(&y), t.map_or(zeros, |t| numbers(&t))))
    };
    let mut tangents = random_tangents(&inputs, 2, program.seed ^ 1);
    if program.seed.is_multiple_of(3) {
        tangents[(program.seed / 3 % 2) as usize] = None;
    }
    let (y, both) = derivatives(&tangents)?;
    prop_assert_eq!(&y, &numbers(&program.run(&inputs)), "value");
    let mut smooth = true;
    for (direction, joint) in both.chunks(y.len()).enumerate() {
        let one: Vec<Option<DynTensor>> = tangents
            .iter()
            .map(|t| t.as_ref().map(|t| pick(t, direction)))
            .collect();
        let (_, alone) = derivatives(&one)?;
        let norm = joint.iter().map(|d| d * d).sum::<f64>().sqrt().max(1.0);
        prop_assert!(
            distance(&alone, joint) <= 1e-12 * norm,
            "one tangent against two"
        );
        let direction: Vec<Option<DynTensor>> = one
            .iter()
            .map(|t| t.as_ref().map(|t| t.get::<3>().reshape(SHAPE).into()))
            .collect();
        let around = |h: f64| {
            let [down, up] = [-h, h].map(|h| moved(program, &inputs, &direction, h));
            differences(&down, &y, &up, h)
        };
        let (coarse, bend) = around(STEP);
        let (fine, _) = around(STEP / 2.0);
        // The error of the coarse difference is four times that of the fine one, if the function is smooth.
        let error = distance(&coarse, &fine);
        let norm = distance(&fine, &vec![0.0; fine.len()]).max(1.0);
        if (error + bend).is_nan() || error.max(bend) > 1e-3 * norm {
            smooth = false;
            continue;
        }
        let gap = distance(joint, &fine);
        prop_assert!(
            gap <= TOLERANCE * norm + 4.0 * error,
            "a distance of {gap:e} for a norm of {norm:e}"
        );
    }
    Ok(smooth)
}

#[test]
fn compositions_have_the_derivatives_of_central_differences() {
    let count = std::env::var("COMPOSITIONS")
        .map_or(PROGRAMS, |n| n.parse().expect("a number of programs"));
    let config = Config {
        cases: count,
        rng_seed: RngSeed::Fixed(21),
        failure_persistence: None,
        ..Config::default()
    };
    let rough = Cell::new(0);
    let result = TestRunner::new(config).run(&programs(), |program| {
        if !check(&program)? {
            rough.set(rough.get() + 1);
        }
        Ok(())
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
    // A step beside the point leaves few programs unchecked.
    let rough = rough.get();
    println!("{rough} of {count} programs have a step near their inputs");
    assert!(rough < count / 50, "{rough} programs are not smooth");
}
