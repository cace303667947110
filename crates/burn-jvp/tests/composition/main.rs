//! Random compositions of operations: value, central differences, and K tangents against one at a time.
//!
//! A program is a list of operations, each on values before it. Inputs and programs are random with a fixed seed, and a
//! program that fails is shrunk to the shortest that does.

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

/// Number of programs.
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
    let operand = || 0..LENGTH + 2;
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

/// `(f(x + h·v) − f(x − h·v))/2h`.
fn central_difference(
    program: &Program,
    inputs: &[DynTensor],
    directions: &[Option<DynTensor>],
    h: f64,
) -> Vec<f64> {
    let value = |h: f64| {
        let moved = inputs.iter().zip(directions).map(|(x, v)| match v {
            Some(v) => step(x, v, h),
            None => x.clone(),
        });
        numbers(&program.run(&moved.collect::<Vec<_>>()))
    };
    let (up, down) = (value(h), value(-h));
    up.iter()
        .zip(&down)
        .map(|(up, down)| (up - down) / (2.0 * h))
        .collect()
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
        let coarse = central_difference(program, &inputs, &direction, STEP);
        let fine = central_difference(program, &inputs, &direction, STEP / 2.0);
        // The error of the coarse difference is four times that of the fine one, if the function is smooth.
        let (error, norm) = (
            distance(&coarse, &fine),
            distance(&fine, &vec![0.0; fine.len()]).max(1.0),
        );
        if !(error <= 1e-3 * norm) {
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
    let config = Config {
        cases: PROGRAMS,
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
    println!(
        "{} of {PROGRAMS} programs have a step near their inputs",
        rough.get()
    );
    assert!(
        rough.get() < PROGRAMS / 50,
        "{} programs are not smooth",
        rough.get()
    );
}
