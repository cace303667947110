//! Named arrays of f32 in SafeTensors files, with a checksum.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use sha2::{Digest, Sha256};

use crate::{ReadError, WriteError, failed};

/// Entry of the metadata with the checksum of the arrays.
const CHECKSUM: &str = "sha256";

/// Numbers of some shape.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// Sizes of the axes.
    pub shape: Vec<usize>,
    /// The numbers, the last axis varying fastest.
    pub values: Vec<f32>,
}

impl Array {
    /// The numbers with this index on the first axis.
    ///
    /// # Panics
    /// If the array has no such index.
    pub fn row(&self, index: usize) -> &[f32] {
        let width = self.shape[1..].iter().product::<usize>();
        &self.values[index * width..(index + 1) * width]
    }
}

/// A file of arrays that could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ArraysError {
    /// The file cannot be read at all.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The content is no set of f32 arrays, or not what was written.
    #[error("{0}")]
    Content(String),
}

/// Writes named arrays, completely or not at all.
///
/// # Errors
/// If a shape does not fit its numbers, or the file cannot be written.
pub fn write_arrays(path: &Path, arrays: &BTreeMap<String, Array>) -> Result<(), WriteError> {
    let invalid = |error| failed(path)(std::io::Error::other(error));
    let bytes_of = |array: &Array| -> Vec<u8> {
        let values = array.values.iter();
        values.flat_map(|value| value.to_le_bytes()).collect()
    };
    let bytes: Vec<Vec<u8>> = arrays.values().map(bytes_of).collect();
    let mut views = Vec::new();
    for ((name, array), bytes) in arrays.iter().zip(&bytes) {
        let view = TensorView::new(Dtype::F32, array.shape.clone(), bytes).map_err(invalid)?;
        views.push((name.as_str(), view));
    }
    let metadata = HashMap::from([(CHECKSUM.to_owned(), checksum(arrays))]);
    let file = safetensors::serialize(views, Some(metadata)).map_err(invalid)?;
    crate::write(path, &file)
}

/// Reads the arrays that [`write_arrays`] wrote.
/// Files of earlier versions have no checksum.
///
/// # Errors
/// If the file is missing, not of this form, or not what was written.
pub fn read_arrays(path: &Path) -> Result<BTreeMap<String, Array>, ArraysError> {
    let invalid = |error: safetensors::SafeTensorError| ArraysError::Content(error.to_string());
    let bytes = crate::read(path, u64::MAX)?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(invalid)?;
    let mut arrays = BTreeMap::new();
    for (name, view) in tensors.iter() {
        if view.dtype() != Dtype::F32 {
            return Err(ArraysError::Content(format!(
                "{name} holds {:?} numbers and not F32",
                view.dtype()
            )));
        }
        let values = view.data().chunks_exact(4);
        let values = values.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        let array = Array {
            shape: view.shape().to_vec(),
            values: values.collect(),
        };
        arrays.insert(name.to_owned(), array);
    }
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(invalid)?;
    let metadata = header.metadata().as_ref();
    match metadata.and_then(|entries| entries.get(CHECKSUM)) {
        Some(written) if *written != checksum(&arrays) => Err(ArraysError::Content(
            "its checksum does not fit its content: it was changed after it was written".to_owned(),
        )),
        _ => Ok(arrays),
    }
}

/// SHA-256 of names, shapes and numbers, in the order of the names.
fn checksum(arrays: &BTreeMap<String, Array>) -> String {
    let mut hash = Sha256::new();
    for (name, array) in arrays {
        hash.update(format!("{name:?} {:?}\n", array.shape));
        for value in &array.values {
            hash.update(value.to_le_bytes());
        }
    }
    let digest = hash.finalize();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
