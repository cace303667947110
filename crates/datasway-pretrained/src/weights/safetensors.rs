//! SafeTensors.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::TensorData;
use datasway_diffusion::tensor_file::FloatReader;
use safetensors::SafeTensors;

use super::size::{MAX_BYTES, check};

/// The tensors of a file. Whole numbers, which no weight is, are left out.
///
/// # Errors
/// A clause that says why not.
pub fn read(path: &Path) -> Result<BTreeMap<String, TensorData>, String> {
    check(path)?;
    let bytes = datasway_fs::read(path, MAX_BYTES).map_err(|error| error.to_string())?;
    parse(&bytes)
}

fn parse(bytes: &[u8]) -> Result<BTreeMap<String, TensorData>, String> {
    let file = SafeTensors::deserialize(bytes)
        .map_err(|error| format!("is no complete SafeTensors file ({error}): fetch it again"))?;
    let mut reader = FloatReader::default();
    let mut tensors = BTreeMap::new();
    for (name, view) in file.tensors() {
        let data = reader.read(&name, &view)?;
        tensors.insert(name, data);
    }
    Ok(tensors)
}
