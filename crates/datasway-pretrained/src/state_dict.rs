//! The tensors of a file by name, taken by a network while it is built.

use std::cell::RefCell;
use std::collections::BTreeMap;

use burn::module::Param;
use burn::tensor::{DType, Device, Tensor, TensorData};
use datasway_diffusion::random::{RandomStream, generator};
use rand::RngExt;
use sha2::{Digest, Sha256};

/// Numbers of a network for each one of its file beyond which the network is not built to list what is missing: damaged
/// configurations describe large ones.
const MOST_NUMBERS: u64 = 8;
/// Numbers of a network that is built whatever its file holds.
const SMALL_NETWORK: u64 = 1 << 20;
/// Names that an error lists before it counts the rest.
const LISTED: usize = 8;

/// The tensors of a file by name.
///
/// A network is built by taking each of its tensors by name and shape. What is missing or has another shape is noted and
/// filled with zeros, so that [`finish`](Self::finish) can list all faults at once.
pub struct StateDict {
    remaining: RefCell<BTreeMap<String, TensorData>>,
    faults: RefCell<Faults>,
    /// The seed of tensors that are drawn in the place of a file's.
    seed: Option<u64>,
    device: Device,
    dtype: DType,
}

#[derive(Default)]
struct Faults {
    missing: Vec<String>,
    misshapen: Vec<String>,
}

impl StateDict {
    /// The tensors of a file, for a network on `device` with numbers of `dtype`.
    pub fn new(tensors: BTreeMap<String, TensorData>, device: &Device, dtype: DType) -> Self {
        Self {
            remaining: RefCell::new(tensors),
            faults: RefCell::default(),
            seed: None,
            device: device.clone(),
            dtype,
        }
    }

    /// Tensors of an untrained network without a file, drawn as they are asked for: scales are one, biases zero, and other
    /// weights uniform within `±1/√(inputs of a unit)`, as PyTorch initialises its layers.
    pub fn drawn(seed: u64, device: &Device, dtype: DType) -> Self {
        Self {
            seed: Some(seed),
            ..Self::new(BTreeMap::new(), device, dtype)
        }
    }

    /// Checks that a network of about `numbers` weights may be that of the file, before it is built.
    ///
    /// # Errors
    /// A clause with both numbers, if the network is far larger.
    pub fn check_numbers(&self, numbers: u64) -> Result<(), String> {
        let tensors = self.remaining.borrow();
        let stored: u64 = tensors
            .values()
            .map(|data| data.num_elements() as u64)
            .sum();
        if numbers <= SMALL_NETWORK.max(MOST_NUMBERS.saturating_mul(stored)) {
            return Ok(());
        }
        Err(format!(
            "the file has {stored} weights, and its configuration describes a network of about {numbers}: it is of another network"
        ))
    }

    /// All tensors, with names from the root.
    pub fn root(&self) -> StateScope<'_> {
        StateScope {
            dict: self,
            prefix: String::new(),
        }
    }

    /// Renames or drops tensors before they are taken.
    pub fn rename(&self, rename: impl Fn(&str) -> Option<String>) {
        let tensors = std::mem::take(&mut *self.remaining.borrow_mut());
        let renamed = tensors
            .into_iter()
            .filter_map(|(name, data)| Some((rename(&name)?, data)));
        *self.remaining.borrow_mut() = renamed.collect();
    }

    /// Replaces all tensors before they are taken.
    ///
    /// # Errors
    /// The result of `replace`.
    pub fn replace(
        &self,
        replace: impl FnOnce(
            BTreeMap<String, TensorData>,
        ) -> Result<BTreeMap<String, TensorData>, String>,
    ) -> Result<(), String> {
        let tensors = std::mem::take(&mut *self.remaining.borrow_mut());
        *self.remaining.borrow_mut() = replace(tensors)?;
        Ok(())
    }

    /// Checks that every tensor was there, had its shape and was taken.
    ///
    /// # Errors
    /// A clause that lists the tensors that are missing, misshapen and left over.
    pub fn finish(self) -> Result<(), String> {
        let Faults { missing, misshapen } = self.faults.into_inner();
        let unused: Vec<String> = self.remaining.into_inner().into_keys().collect();
        if let Some(name) = unused.iter().find(|name| name.contains("lora")) {
            return Err(format!(
                "the file holds a LoRA, such as {name}, which is a change of another model: merge it into that model with diffusers, \
                 and name the result"
            ));
        }
        let clauses = [
            ("lacks", missing),
            ("has with another shape", misshapen),
            ("has beyond the network", unused),
        ];
        let clauses: Vec<String> = clauses
            .into_iter()
            .filter(|(_, names)| !names.is_empty())
            .map(|(verb, names)| format!("{verb} {}", listed(&names)))
            .collect();
        if clauses.is_empty() {
            return Ok(());
        }
        Err(format!(
            "the file {}: its configuration describes another network",
            clauses.join("; ")
        ))
    }

    fn take(&self, name: String, shape: &[usize]) -> TensorData {
        if let Some(seed) = self.seed {
            return drawn(seed, &name, shape);
        }
        let mut faults = self.faults.borrow_mut();
        match self.remaining.borrow_mut().remove(&name) {
            Some(data) if data.shape().as_slice() == shape => return data,
            Some(data) => faults.misshapen.push(format!(
                "{name} ({:?} in the place of {shape:?})",
                data.shape().as_slice()
            )),
            None => faults.missing.push(name),
        }
        TensorData::zeros::<f32, _>(shape.to_vec())
    }
}

/// An untrained weight, a function of the seed and its name.
fn drawn(seed: u64, name: &str, shape: &[usize]) -> TensorData {
    let numbers: usize = shape.iter().product();
    let values: Vec<f32> = match shape {
        [_] if name.ends_with("weight") => vec![1.0; numbers],
        [_, inputs @ ..] if !inputs.is_empty() => {
            let bound = (inputs.iter().product::<usize>() as f32).powf(-0.5);
            let index = Sha256::digest(name.as_bytes());
            let index = u64::from_le_bytes(index[..8].try_into().expect("a digest of 32 bytes"));
            let mut rng = generator(seed, RandomStream::Weights, [index]);
            let draw = || bound * (2.0 * rng.random::<f32>() - 1.0);
            std::iter::repeat_with(draw).take(numbers).collect()
        }
        _ => vec![0.0; numbers],
    };
    TensorData::new(values, shape.to_vec())
}

/// The first names, and the number of the others.
fn listed(names: &[String]) -> String {
    let shown = names[..names.len().min(LISTED)].join(", ");
    match names.len().checked_sub(LISTED) {
        None | Some(0) => shown,
        Some(more) => format!("{shown} and {more} more"),
    }
}

/// The tensors whose names begin with a prefix.
#[derive(Clone)]
pub struct StateScope<'a> {
    dict: &'a StateDict,
    prefix: String,
}

impl<'a> StateScope<'a> {
    /// The tensors of a submodule: `at("down_blocks.0")`.
    pub fn at(&self, name: &str) -> StateScope<'a> {
        StateScope {
            dict: self.dict,
            prefix: self.name(name),
        }
    }

    /// The tensors of an element of a list.
    pub fn index(&self, index: usize) -> StateScope<'a> {
        self.at(&index.to_string())
    }

    /// True if the file has this tensor, and it has not been taken.
    pub fn has(&self, name: &str) -> bool {
        self.dict.remaining.borrow().contains_key(&self.name(name))
    }

    /// Takes a tensor of this shape.
    pub fn tensor<const D: usize>(&self, name: &str, shape: [usize; D]) -> Tensor<D> {
        let data = self.dict.take(self.name(name), &shape);
        Tensor::from_data(data, (&self.dict.device, self.dict.dtype))
    }

    /// Takes a tensor of this shape as a parameter.
    pub fn parameter<const D: usize>(&self, name: &str, shape: [usize; D]) -> Param<Tensor<D>> {
        Param::from_tensor(self.tensor(name, shape))
    }

    /// The device of the network.
    pub fn device(&self) -> &Device {
        &self.dict.device
    }

    /// The precision of the network.
    pub fn dtype(&self) -> DType {
        self.dict.dtype
    }

    /// The full name of a tensor.
    fn name(&self, name: &str) -> String {
        if self.prefix.is_empty() {
            return name.to_owned();
        }
        format!("{}.{name}", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_missing_misshapen_or_left_over_is_listed() {
        let tensor = |shape: &[usize]| TensorData::zeros::<f32, _>(shape.to_vec());
        let tensors = [
            ("a.weight".to_owned(), tensor(&[2, 3])),
            ("a.bias".to_owned(), tensor(&[3])),
            ("b.weight".to_owned(), tensor(&[1])),
        ];
        let dict = StateDict::new(tensors.into(), &Device::flex(), DType::F32);
        let a = dict.root().at("a");
        assert_eq!(a.tensor("weight", [2, 3]).dims(), [2, 3]);
        assert_eq!(a.tensor("bias", [2]).dims(), [2]);
        assert_eq!(a.tensor("scale", [2]).dims(), [2]);
        let message = dict.finish().unwrap_err();
        for part in [
            "lacks a.scale",
            "a.bias ([3] in the place of [2])",
            "beyond the network b.weight",
        ] {
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn a_change_of_another_model_is_named() {
        let tensors = [("a.lora_A.weight", [2]), ("a.weight", [2])]
            .map(|(name, shape)| (name.to_owned(), TensorData::zeros::<f32, _>(shape)));
        let dict = StateDict::new(tensors.into(), &Device::flex(), DType::F32);
        let message = dict.finish().unwrap_err();
        assert!(
            message.contains("a LoRA, such as a.lora_A.weight"),
            "{message}"
        );
    }

    #[test]
    fn drawn_weights_are_a_function_of_seed_and_name() {
        let values = |seed, module: &str, name: &str, shape: [usize; 2]| {
            let dict = StateDict::drawn(seed, &Device::flex(), DType::F32);
            let tensor: Tensor<2> = dict.root().at(module).tensor(name, shape);
            dict.finish().unwrap();
            tensor.into_data().iter::<f64>().collect::<Vec<f64>>()
        };
        let first = values(1, "a", "weight", [50, 4]);
        assert_eq!(first, values(1, "a", "weight", [50, 4]));
        assert_ne!(first, values(2, "a", "weight", [50, 4]));
        assert_ne!(first, values(1, "b", "weight", [50, 4]));
        let largest = first.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
        assert!(largest > 0.4 && largest <= 0.5, "{largest}");
    }
}
