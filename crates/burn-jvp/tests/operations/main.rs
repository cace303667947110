//! Every operation on tensors, by samples: each rule against central differences, reverse mode, one tangent at a time
//! and single precision, for every subset of its inputs, and the classification of all operations against what the
//! samples record.

#[path = "../common/mod.rs"]
mod common;

mod classification;
mod elementwise;
mod entries;
mod grid_sample;
mod integers;
mod order;
mod powers;
mod products;
mod updates;

use burn::nn::Relu;
use burn::tensor::kind::Basic;
use burn::tensor::{Bool, Device, Float, Int, Tensor};
use burn_jvp::check::{CheckOptions, check_jvp, random_tangents};
use burn_jvp::{DynTensor, Jvp};

/// A function of several tensors.
pub type Function = fn(&[DynTensor]) -> DynTensor;

/// A function with the point at which its derivative is checked.
pub struct Sample {
    /// The point.
    pub inputs: Vec<DynTensor>,
    /// The function.
    pub function: Function,
}

/// Uniform numbers between 0.3 and 0.9.
pub fn positive<const R: usize>(shape: [usize; R]) -> DynTensor {
    common::random(shape, &Device::flex()).into()
}

/// Uniform numbers between −0.9 and 0.9.
pub fn mixed<const R: usize>(shape: [usize; R]) -> DynTensor {
    common::uniform(shape, -0.9, 0.9, &Device::flex()).into()
}

/// The numbers `values` in the shape `shape`.
pub fn given<const R: usize>(shape: [usize; R], values: &[f64]) -> DynTensor {
    let device = Device::flex();
    let options = (&device, burn::tensor::DType::F64);
    Tensor::<1>::from_data(values, options)
        .reshape(shape)
        .into()
}

/// Integers in the shape `shape`.
pub fn integers<const R: usize>(shape: [usize; R], values: &[i64]) -> DynTensor {
    let line = Tensor::<1, Int>::from_ints(values, &Device::flex());
    line.reshape(shape).into()
}

/// `$body` with `$x` the tensor at its rank and kind.
macro_rules! by_kind {
    ($t:expr, $x:ident => $body:expr) => {
        if $t.dtype().is_float() {
            by_kind!($t, Float, $x, $body, 1 2 3 4 5)
        } else if $t.dtype().is_bool() {
            by_kind!($t, Bool, $x, $body, 1 2 3 4 5)
        } else {
            by_kind!($t, Int, $x, $body, 1 2 3 4 5)
        }
    };
    ($t:expr, $kind:ty, $x:ident, $body:expr, $($r:literal)*) => {
        match $t.shape().len() {
            $($r => { let $x = $t.get_kind::<$r, $kind>(); $body })*
            r => panic!("rank {r}"),
        }
    };
}
pub(crate) use by_kind;

/// The same tensor with its first and last axis swapped in memory.
fn strided(t: &DynTensor) -> DynTensor {
    by_kind!(t, x => swapped(x).into())
}

fn swapped<const R: usize, K: Basic>(x: Tensor<R, K>) -> Tensor<R, K> {
    let options = (&x.device(), x.dtype());
    let data = x.swap_dims(0, R - 1).into_data();
    Tensor::from_data(data, options).swap_dims(0, R - 1)
}

/// Checks the derivatives of a sample for every subset of its float inputs, with three tangents, in contiguous and in
/// strided tensors.
pub fn check(name: &str, sample: &Sample, options: &CheckOptions) {
    let function = sample.function;
    let jvp = Jvp::new(move |_: &Relu, inputs: &[DynTensor]| function(inputs));
    let check = |layout: &str, inputs: &[DynTensor], layout_of: fn(&DynTensor) -> DynTensor| {
        let floats = inputs.iter().filter(|x| x.dtype().is_float()).count();
        for subset in 1..1_usize << floats {
            let mut tangents = random_tangents(inputs, 3, 1 + subset as u64);
            let present = tangents.iter_mut().filter(|t| t.is_some());
            for (_, t) in present.enumerate().filter(|(i, _)| (subset >> i) & 1 == 0) {
                *t = None;
            }
            tangents
                .iter_mut()
                .flatten()
                .for_each(|t| *t = layout_of(t));
            check_jvp(&jvp, &Relu::new(), inputs, &tangents, options)
                .unwrap_or_else(|e| panic!("{name}, {layout}, inputs {subset:b}: {e}"));
        }
    };
    check("contiguous", &sample.inputs, DynTensor::clone);
    // Burn's arithmetic on the CPU fails on strided tensors without entries.
    if sample.inputs.iter().all(|x| !x.shape().contains(&0)) {
        let inputs: Vec<DynTensor> = sample.inputs.iter().map(strided).collect();
        check("strided", &inputs, strided);
    }
}

/// Without reverse mode, for operations of which autodiff has no backward and for points at which it is not finite.
pub fn forward_only() -> CheckOptions {
    CheckOptions {
        adjoint: None,
        ..CheckOptions::default()
    }
}

/// Samples `name: options, [inputs], function;` with a test for each, and the list of them all.
macro_rules! samples {
    ($($name:ident: $options:expr, [$($input:expr),*], $function:expr;)*) => {
        $(
            #[test]
            fn $name() {
                let sample = $crate::Sample { inputs: vec![$($input),*], function: $function };
                $crate::check(stringify!($name), &sample, &$options);
            }
        )*

        /// The samples of this file.
        pub fn all() -> Vec<$crate::Sample> {
            vec![$($crate::Sample { inputs: vec![$($input),*], function: $function }),*]
        }
    };
}
pub(crate) use samples;
