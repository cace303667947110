//! The place in a file of each weight of a network.
//!
//! A network takes its tensors transposed, stacked and cut, and its weights must go back to where they came from. It is therefore
//! loaded once more, from tensors of the same names and shapes whose numbers are their own places: what arrives as a weight is
//! the place of that weight in the file.

use std::collections::BTreeMap;

use burn::tensor::{DType, Device, TensorData};
use datasway_diffusion::weights;

use crate::network::{NetworkPlan, PretrainedNetwork};
use crate::state_dict::StateDict;

/// Shape and first place of each tensor.
type FirstPlaces = BTreeMap<String, (Vec<usize>, usize)>;

/// The places in a file of the weights of a network.
pub struct Rearrangement {
    tensors: FirstPlaces,
    /// The numbers of the file.
    values: Vec<f32>,
    /// The place of each entry of each parameter.
    places: BTreeMap<String, Vec<usize>>,
}

impl Rearrangement {
    /// The places of the weights of `network`, which was loaded from `tensors` for this class.
    ///
    /// # Errors
    /// If a weight is not a number of the file, but computed from several.
    pub fn new(
        plan: &NetworkPlan,
        tensors: BTreeMap<String, TensorData>,
        class: Option<usize>,
        network: &PretrainedNetwork,
    ) -> Result<Self, String> {
        let (tensors, values) = placed(plan, plan.current_names(tensors)?);
        let numbered = tensors.iter().map(|(name, (shape, first))| {
            let count: usize = shape.iter().product();
            // Zero stands for a number that is not of the file.
            let places: Vec<f64> = (*first..first + count).map(|i| (i + 1) as f64).collect();
            (name.clone(), TensorData::new(places, shape.clone()))
        });
        let state = StateDict::new(numbered.collect(), &Device::flex(), DType::F64);
        let numbered = weights::collect(&plan.load(&state, class)?);
        let mut places = BTreeMap::new();
        for (path, weight) in weights::collect(network) {
            let sources = numbered.get(&path);
            let sources =
                sources.and_then(|sources| matching(&sources.data, &weight.data, &values));
            let sources = sources.ok_or_else(|| {
                format!(
                    "{path} is a sum of several weights of the file, where the class enters, and cannot be written back: only a model \
                     without such classes can be fine-tuned"
                )
            })?;
            places.insert(path, sources);
        }
        Ok(Self {
            tensors,
            values,
            places,
        })
    }

    /// The tensors of a file with the weights of a network like the one that was loaded, in single precision.
    ///
    /// # Errors
    /// If the network has other parameters.
    pub fn tensors(
        &self,
        network: &PretrainedNetwork,
    ) -> Result<BTreeMap<String, TensorData>, String> {
        let mut values = self.values.clone();
        let weights = weights::collect(network);
        for (path, places) in &self.places {
            let weight = weights
                .get(path)
                .filter(|w| w.data.num_elements() == places.len());
            let weight = weight.ok_or_else(|| format!("the network has no parameter {path}"))?;
            for (place, value) in places.iter().zip(weight.data.iter::<f32>()) {
                values[*place] = value;
            }
        }
        let tensor = |(name, (shape, first)): (&String, &(Vec<usize>, usize))| {
            let count: usize = shape.iter().product();
            let values = values[*first..first + count].to_vec();
            (name.clone(), TensorData::new(values, shape.clone()))
        };
        Ok(self.tensors.iter().map(tensor).collect())
    }
}

/// Shape and first place of each tensor, and the numbers in the order of their places. Copies have the places of their original.
fn placed(plan: &NetworkPlan, tensors: BTreeMap<String, TensorData>) -> (FirstPlaces, Vec<f32>) {
    let (mut places, mut values) = (BTreeMap::new(), Vec::new());
    let mut copies = Vec::new();
    for (name, data) in &tensors {
        let shape: Vec<usize> = data.shape().iter().copied().collect();
        let original = plan.original_of(name);
        match original.filter(|original| tensors.get(original) == Some(data)) {
            Some(original) => copies.push((name.clone(), shape, original)),
            None => {
                places.insert(name.clone(), (shape, values.len()));
                values.extend(data.iter::<f32>());
            }
        }
    }
    for (name, shape, original) in copies {
        let (_, first) = places[&original];
        places.insert(name, (shape, first));
    }
    (places, values)
}

/// The places of a parameter's entries, if each is a number of the file.
fn matching(places: &TensorData, weight: &TensorData, values: &[f32]) -> Option<Vec<usize>> {
    if places.shape() != weight.shape() {
        return None;
    }
    let place = |(place, value): (f64, f32)| {
        let index = (place as usize).checked_sub(1)?;
        let is_same = values.get(index)?.to_bits() == value.to_bits();
        (place.fract() == 0.0 && is_same).then_some(index)
    };
    places
        .iter::<f64>()
        .zip(weight.iter::<f32>())
        .map(place)
        .collect()
}
