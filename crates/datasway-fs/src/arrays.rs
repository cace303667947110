//! Named f32 arrays in SafeTensors files.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensorError, SafeTensors, TensorView};
use sha2::{Digest, Sha256};

use crate::line::one_line;
use crate::read::ReadError;
use crate::write::WriteError;

/// Numbers of some shape, row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// Size of each dimension.
    pub shape: Vec<usize>,
    /// The numbers; their count is the product of the shape.
    pub values: Vec<f32>,
}

impl Array {
    /// The numbers of one index of the first dimension.
    ///
    /// # Panics
    /// If there is no such index.
    pub fn row(&self, index: usize) -> &[f32] {
        let width: usize = self.shape[1..].iter().product();
        &self.values[index * width..(index + 1) * width]
    }
}

/// A borrowed array and its name.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedArray<'a> {
    /// Name in the file.
    pub name: String,
    /// Size of each dimension.
    pub shape: Vec<usize>,
    /// The numbers, row by row.
    pub values: &'a [f32],
}

/// Errors of reading and writing arrays.
#[derive(Debug, thiserror::Error)]
pub enum ArrayError {
    /// The file cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The arrays cannot be laid out as SafeTensors: values do not fill a shape.
    #[error("{}: cannot be written: {reason}", path.display())]
    Layout {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: SafeTensorError,
    },
    /// The file is damaged, of another kind, or was changed after it was written.
    #[error("{}: cannot be read: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The reason, on one line.
        reason: String,
    },
    /// An array is missing or has another shape.
    #[error("{}: cannot be used: {reason}", path.display())]
    Unsuitable {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
}

/// Metadata entry with the checksum of all arrays.
const CHECKSUM: &str = "sha256";

/// The bytes of a SafeTensors file without a checksum.
///
/// # Errors
/// If values do not fill their shape.
pub fn serialize(arrays: &[NamedArray<'_>]) -> Result<Vec<u8>, SafeTensorError> {
    serialize_with(arrays, None)
}

fn serialize_with(
    arrays: &[NamedArray<'_>],
    metadata: Option<HashMap<String, String>>,
) -> Result<Vec<u8>, SafeTensorError> {
    let bytes = arrays.iter().map(|array| little_endian(array.values));
    let bytes: Vec<Vec<u8>> = bytes.collect();
    let mut views = Vec::new();
    for (array, bytes) in arrays.iter().zip(&bytes) {
        let view = TensorView::new(Dtype::F32, array.shape.clone(), bytes)?;
        views.push((array.name.as_str(), view));
    }
    safetensors::serialize(views, metadata)
}

/// Writes named arrays with a checksum, completely or not at all.
///
/// # Errors
/// If values do not fill their shape, or the file cannot be written.
pub fn write(path: &Path, arrays: &BTreeMap<String, Array>) -> Result<(), ArrayError> {
    let named = arrays.iter().map(|(name, array)| NamedArray {
        name: name.clone(),
        shape: array.shape.clone(),
        values: &array.values,
    });
    let named: Vec<NamedArray<'_>> = named.collect();
    let metadata = HashMap::from([(CHECKSUM.to_owned(), checksum(arrays))]);
    let bytes = serialize_with(&named, Some(metadata));
    let bytes = bytes.map_err(|reason| ArrayError::Layout {
        path: path.to_owned(),
        reason,
    })?;
    Ok(crate::write::write(path, &bytes)?)
}

/// Reads all arrays of a file that [`write()`] wrote. Files of earlier versions have no checksum.
///
/// # Errors
/// If the file is missing, damaged, holds other numbers than f32, or was changed after it was written.
pub fn read(path: &Path) -> Result<BTreeMap<String, Array>, ArrayError> {
    let damaged = |reason: &dyn std::fmt::Display| ArrayError::Damaged {
        path: path.to_owned(),
        reason: one_line(&reason.to_string()),
    };
    let bytes = crate::read::read(path, u64::MAX)?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(|error| damaged(&error))?;
    let mut arrays = BTreeMap::new();
    for (name, view) in tensors.iter() {
        if view.dtype() != Dtype::F32 {
            let dtype = view.dtype();
            return Err(damaged(&format!(
                "{name} holds {dtype:?} numbers and not F32"
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
    let (_, head) = SafeTensors::read_metadata(&bytes).map_err(|error| damaged(&error))?;
    let written = head
        .metadata()
        .as_ref()
        .and_then(|metadata| metadata.get(CHECKSUM));
    match written {
        Some(written) if *written != checksum(&arrays) => Err(damaged(
            &"its checksum does not fit its content: it was changed after it was written",
        )),
        _ => Ok(arrays),
    }
}

/// Reads one array by its name and checks its shape.
///
/// # Errors
/// As [`read`], and if the file has no such array or it has another shape.
pub fn read_one(path: &Path, name: &str, shape: &[usize]) -> Result<Array, ArrayError> {
    let unsuitable = |reason| ArrayError::Unsuitable {
        path: path.to_owned(),
        reason,
    };
    let array = read(path)?.remove(name);
    let array = array.ok_or_else(|| unsuitable(format!("it has no array {name}")))?;
    if array.shape == shape {
        Ok(array)
    } else {
        let stored = array.shape;
        Err(unsuitable(format!(
            "{name} has the shape {stored:?}, not {shape:?}"
        )))
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

fn little_endian(values: &[f32]) -> Vec<u8> {
    let bytes = values.iter().flat_map(|value| value.to_le_bytes());
    bytes.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_read_as_it_was_written_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("samples.safetensors");
        let array = Array {
            shape: vec![2, 1],
            values: vec![1.0, f32::NAN],
        };
        write(&path, &BTreeMap::from([("samples".to_owned(), array)])).unwrap();
        assert_eq!(read_one(&path, "samples", &[2, 1]).unwrap().values[0], 1.0);
        let bytes = std::fs::read(&path).unwrap();
        let other = String::from_utf8_lossy(&bytes[8..]).into_owned();
        assert!(other.contains("\"F32\"") && other.contains("[2,1]"));
        let damaged = |from: &str, to: &str| {
            let start = bytes
                .windows(from.len())
                .position(|w| w == from.as_bytes())
                .unwrap();
            let mut bytes = bytes.clone();
            bytes[start..start + to.len()].copy_from_slice(to.as_bytes());
            bytes
        };
        for (case, bytes) in [
            ("another type", damaged("\"F32\"", "\"I32\"")),
            ("another shape", damaged("[2,1]", "[1,2]")),
            ("another name", damaged("samples", "simples")),
            ("cut", bytes[..bytes.len() - 1].to_vec()),
            ("another number", {
                let mut bytes = bytes.clone();
                let last = bytes.len() - 1;
                bytes[last] ^= 0x40;
                bytes
            }),
            ("empty", Vec::new()),
            ("a length that lies", [&[0xff; 8], &bytes[8..]].concat()),
        ] {
            std::fs::write(&path, bytes).unwrap();
            let error = read_one(&path, "samples", &[2, 1]).unwrap_err().to_string();
            assert!(error.contains("samples.safetensors: "), "{case}: {error}");
        }
    }
}
