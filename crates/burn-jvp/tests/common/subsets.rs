//! Checks of a layer along tangents of every subset of its inputs.

use super::random;
use crate::by_rank;
use burn::nn::Gelu;
use burn::tensor::{DType, Device, Tensor};
use burn_jvp::check::{CheckOptions, check_jvp, random_tangents};
use burn_jvp::{DynTensor, Jvp};

/// A layer as a function of its data and its weights.
pub type Layer = fn(&[DynTensor]) -> DynTensor;

/// Random inputs of these shapes.
pub fn random_inputs(shapes: &[&[usize]]) -> Vec<DynTensor> {
    let device = Device::flex();
    let input = |shape: &&[usize]| -> DynTensor {
        match **shape {
            [a] => random([a], &device).into(),
            [a, b] => random([a, b], &device).into(),
            [a, b, c] => random([a, b, c], &device).into(),
            [a, b, c, d] => random([a, b, c, d], &device).into(),
            [a, b, c, d, e] => random([a, b, c, d, e], &device).into(),
            _ => panic!("rank {}", shape.len()),
        }
    };
    shapes.iter().map(input).collect()
}

/// The same tensor with its axes stored in reverse, if it is of floats.
fn reversed(t: &DynTensor) -> DynTensor {
    fn reverse<const R: usize>(t: Tensor<R>) -> DynTensor {
        let device = t.device();
        let axes: [isize; R] = std::array::from_fn(|i| (R - 1 - i) as isize);
        let data = t.permute(axes).into_data();
        Tensor::<R>::from_data(data, (&device, DType::F64))
            .permute(axes)
            .into()
    }
    if !t.dtype().is_float() {
        return t.clone();
    }
    by_rank!(t, t, reverse(t), 1 2 3 4 5 6)
}

/// Checks a layer along tangents of every subset of its inputs.
pub fn check(name: &str, layer: Layer, inputs: &[DynTensor], options: &CheckOptions) {
    let jvp = Jvp::new(|_: &Gelu, i: &[DynTensor]| layer(i));
    let tangents = random_tangents(inputs, 3, 0);
    for subset in 1..1 << inputs.len() {
        let active: Vec<Option<DynTensor>> = tangents
            .iter()
            .enumerate()
            .map(|(i, t)| t.clone().filter(|_| subset >> i & 1 == 1))
            .collect();
        if active.iter().all(Option::is_none) {
            continue;
        }
        check_jvp(&jvp, &Gelu::new(), inputs, &active, options)
            .unwrap_or_else(|e| panic!("{name}, inputs {subset:b}: {e}"));
    }
    // Burn slices no empty tensor whose axes are reversed.
    if inputs.iter().any(|x| x.shape().contains(&0)) {
        return;
    }
    let inputs: Vec<DynTensor> = inputs.iter().map(reversed).collect();
    let tangents: Vec<Option<DynTensor>> =
        tangents.iter().map(|t| t.as_ref().map(reversed)).collect();
    check_jvp(&jvp, &Gelu::new(), &inputs, &tangents, options)
        .unwrap_or_else(|e| panic!("{name}, not contiguous: {e}"));
}
