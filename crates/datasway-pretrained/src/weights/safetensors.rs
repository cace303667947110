//! SafeTensors.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{DType, TensorData};
use datasway_diffusion::tensor_file::{FloatReader, finite};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

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

/// The bytes of a file with these tensors of single precision.
///
/// # Errors
/// A clause, if a tensor is of another type or holds a number that is not finite.
pub fn bytes(tensors: &BTreeMap<String, TensorData>) -> Result<Vec<u8>, String> {
    let mut views = BTreeMap::new();
    for (name, data) in tensors {
        if data.dtype() != DType::F32 {
            return Err(format!("{name} is not of single precision"));
        }
        finite(name, data)?;
        let shape = data.shape().iter().copied().collect();
        let view = TensorView::new(Dtype::F32, shape, data.as_bytes());
        views.insert(name, view.map_err(|error| error.to_string())?);
    }
    // Libraries for PyTorch look for this entry.
    let metadata = [("format".to_owned(), "pt".to_owned())].into();
    ::safetensors::serialize(views, Some(metadata)).map_err(|error| error.to_string())
}
