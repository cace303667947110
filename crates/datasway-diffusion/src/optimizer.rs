//! The optimiser's state as bytes, for checkpoints.

use std::collections::BTreeMap;

use burn::optim::ModuleOptimizer;
use burn::tensor::{Bytes, DType, TensorData};
use burn_pack::{Reader, Writer};

use crate::DiffusionError;
use crate::tensor_file::finite;
use crate::weights::{self, Weight};

/// Entries of AdamW's state for one parameter, by their names in Burn's record: two moments, the number of steps, the rank.
const MOMENTS: [&str; 2] = ["momentum.moment_1", "momentum.moment_2"];
const TIME: &str = "momentum.time";
const RANK: &str = "__rank";

/// The state of an optimiser as bytes. Equal states give equal bytes.
///
/// # Errors
/// If it cannot be written.
pub fn state(optimizer: &ModuleOptimizer) -> Result<Vec<u8>, DiffusionError> {
    let unwritable = |error: &dyn std::fmt::Display| {
        DiffusionError::Invalid(format!("the optimiser's state cannot be written: {error}"))
    };
    let bytes = optimizer.into_bytes().map_err(|error| unwritable(&error))?;
    in_order(bytes).map_err(|error| unwritable(&error))
}

/// The record with its tensors sorted by name. Burn writes them in the order of a hash table, which differs between runs.
fn in_order(record: Bytes) -> Result<Vec<u8>, burn_pack::Error> {
    let reader = Reader::from_bytes(record)?;
    let (scalars, paths) = (reader.scalars().clone(), reader.metadata().clone());
    let mut writer = Writer::new(reader.into_tensors()?);
    for (name, value) in scalars {
        writer = writer.with_scalar(&name, value);
    }
    for (name, path) in paths {
        writer = writer.with_metadata(&name, &path);
    }
    Ok(writer.into_bytes()?.to_vec())
}

/// A new AdamW optimiser with the state that [`state`] returned after `step` steps on these parameters.
///
/// # Errors
/// If the bytes are not such a state. Burn would panic, or silently drop missing moments.
pub fn restore(
    optimizer: ModuleOptimizer,
    state: Vec<u8>,
    parameters: &BTreeMap<String, Weight>,
    step: u64,
) -> Result<ModuleOptimizer, DiffusionError> {
    let unreadable = |error: &dyn std::fmt::Display| {
        DiffusionError::Invalid(format!(
            "the optimiser's state cannot be read ({error}): start again in a new folder"
        ))
    };
    let ids = parameters.iter().map(|(path, w)| (path.clone(), w.id));
    weights::check_ids(parameters.keys(), &ids.collect()).map_err(|error| unreadable(&error))?;
    let bytes = Bytes::from_bytes_vec(state.clone());
    let reader = Reader::from_bytes(bytes).map_err(|error| unreadable(&error))?;
    check(reader, parameters, step).map_err(|error| unreadable(&error))?;
    let state = Bytes::from_bytes_vec(state);
    optimizer
        .from_bytes(state)
        .map_err(|error| unreadable(&error))
}

/// Checks that the record has the state of every parameter and nothing else.
fn check(reader: Reader, parameters: &BTreeMap<String, Weight>, step: u64) -> Result<(), String> {
    if step == 0 && reader.tensor_names().is_empty() && reader.scalars().is_empty() {
        return Ok(());
    }
    let mut scalars = reader.scalars().clone();
    let tensors = reader.into_tensors().map_err(|error| error.to_string())?;
    let mut moments = BTreeMap::new();
    for tensor in tensors {
        let parts = tensor.into_parts().map_err(|error| error.to_string())?;
        let (name, dtype, shape, id, bytes) = parts;
        moments.insert(name, (dtype, shape, id, bytes));
    }
    for (path, Weight { id, data }) in parameters {
        for (leaf, expected) in [(TIME, step), (RANK, data.rank() as u64)] {
            match scalars.remove(&format!("{id}.{leaf}")).map(u64::try_from) {
                Some(Ok(number)) if number == expected => (),
                Some(_) => return Err(format!("{leaf} of {path} is not {expected}")),
                None => return Err(format!("{leaf} of {path} is missing")),
            }
        }
        for leaf in MOMENTS {
            let Some((dtype, shape, owner, bytes)) = moments.remove(&format!("{id}.{leaf}")) else {
                return Err(format!("{leaf} of {path} is missing"));
            };
            if dtype != DType::F32 || shape != *data.shape() || owner != Some(*id) {
                return Err(format!("{leaf} of {path} is not of its shape or type"));
            }
            let values = TensorData::from_bytes(bytes, shape, dtype);
            finite(&format!("{leaf} of {path}"), &values)?;
        }
    }
    let more = moments.keys().chain(scalars.keys()).next();
    more.map_or(Ok(()), |name| {
        Err(format!("{name:?} belongs to no parameter"))
    })
}
