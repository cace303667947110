//! SafeTensors files with a JSON header and a checksum.
//!
//! The header is an entry of the metadata. The tensor `checksum` (32 bytes) is the SHA-256 of the header and of the name, type,
//! shape and bytes of every other tensor. Earlier versions wrote no checksum, and their files are read without this check.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use burn::tensor::{Bytes, DType, TensorData};
use safetensors::tensor::{Dtype, Metadata, SafeTensorError, TensorInfo, TensorView};
use serde::de::IgnoredAny;
use sha2::{Digest, Sha256};

use crate::DiffusionError;
use crate::unique::Unique;

/// Name of the tensor that holds the checksum.
const CHECKSUM: &str = "checksum";
/// Bytes of the number that holds the length of names, types and shapes.
const PREFIX: usize = 8;
/// Largest length of names, types and shapes: a hundred times the need of the largest preset.
const MAX_NAMES: u64 = 8 << 20;

/// The bytes of a file: `header` in the metadata entry `entry`, the tensors, and their checksum.
///
/// # Errors
/// If a tensor's bytes are not those of its shape, or there are too many tensors.
pub fn serialize(
    entry: &str,
    header: String,
    tensors: BTreeMap<String, TensorView<'_>>,
) -> Result<Vec<u8>, SafeTensorError> {
    let parts = tensors.iter().map(|(name, view)| Part {
        name,
        dtype: view.dtype(),
        shape: view.shape(),
        bytes: view.data(),
    });
    let digest = checksum(entry, &header, parts);
    let checksum = TensorView::new(Dtype::U8, vec![digest.len()], &digest)?;
    let metadata = [(entry.to_owned(), header)].into_iter().collect();
    let tensors = tensors.into_iter().chain([(CHECKSUM.to_owned(), checksum)]);
    let bytes = safetensors::serialize(tensors, Some(metadata))?;
    if names_length(&bytes) <= MAX_NAMES {
        Ok(bytes)
    } else {
        Err(SafeTensorError::HeaderTooLarge)
    }
}

/// Header, names, types and shapes of a file, read before its tensors.
pub struct Head {
    entry: String,
    /// The header's JSON.
    pub header: String,
    /// Type, shape and position of every tensor except the checksum.
    pub tensors: BTreeMap<String, TensorInfo>,
    checksum: Option<TensorInfo>,
    /// Position of the first tensor's bytes.
    body: usize,
}

impl Head {
    /// Reads the beginning of a file of `length` bytes. The header is the first of the metadata `entries` that exists; returns `None`
    /// if there is none.
    ///
    /// # Errors
    /// A clause with the reason why this is not a complete SafeTensors file.
    pub fn parse(beginning: &[u8], length: u64, entries: &[&str]) -> Result<Option<Self>, String> {
        let names = names_length(beginning);
        let body = PREFIX as u64 + names.min(MAX_NAMES);
        if beginning.len() < PREFIX || names > MAX_NAMES || body > length {
            return Err("its first bytes are not those of one, or its end is missing".to_owned());
        }
        let Some(text) = beginning.get(PREFIX..body as usize) else {
            return Err("its end is missing".to_owned());
        };
        let bad =
            |error: serde_json::Error| format!("its names and shapes cannot be read: {error}");
        let _: Unique<Unique<IgnoredAny>> = serde_json::from_slice(text).map_err(bad)?;
        let metadata: Metadata = serde_json::from_slice(text).map_err(bad)?;
        let end = metadata.data_len() as u64;
        if end.checked_add(body) != Some(length) {
            return Err(format!(
                "it should have {end} bytes after its header, and has {}",
                length - body
            ));
        }
        let header = metadata.metadata().as_ref().and_then(|texts| {
            let mut headers = entries.iter().map(|entry| (*entry, texts.get(*entry)));
            headers.find_map(|(entry, header)| Some((entry, header?.clone())))
        });
        let Some((entry, header)) = header else {
            return Ok(None);
        };
        let infos = metadata.tensors().into_iter();
        let mut tensors: BTreeMap<String, TensorInfo> =
            infos.map(|(name, info)| (name, info.clone())).collect();
        Ok(Some(Self {
            entry: entry.to_owned(),
            header,
            checksum: tensors.remove(CHECKSUM),
            tensors,
            body: body as usize,
        }))
    }

    /// The bytes of a tensor of this file.
    pub fn bytes<'a>(&self, info: &TensorInfo, file: &'a [u8]) -> &'a [u8] {
        let (start, end) = info.data_offsets;
        &file[self.body + start..self.body + end]
    }

    /// Compares the checksum with the tensors, if the file has one.
    ///
    /// # Errors
    /// A sentence, if any bit has changed since the file was written.
    fn verify(&self, file: &[u8]) -> Result<(), String> {
        let Some(info) = &self.checksum else {
            return Ok(());
        };
        let parts = self.tensors.iter().map(|(name, info)| Part {
            name,
            dtype: info.dtype,
            shape: &info.shape,
            bytes: self.bytes(info, file),
        });
        let expected = checksum(&self.entry, &self.header, parts);
        if info.dtype == Dtype::U8 && self.bytes(info, file) == expected {
            return Ok(());
        }
        Err(format!(
            "its checksum does not fit its content: it was damaged after it was written; take another copy (if it was changed on \
             purpose, remove its tensor {CHECKSUM})"
        ))
    }
}

/// Reads a whole file after `check` has accepted its names, types and shapes. Nothing else is read before.
///
/// # Errors
/// If it cannot be read, is not a regular file, or `check` fails for its beginning and the length of the file.
pub fn read(
    path: &Path,
    what: &str,
    check: impl FnOnce(&[u8], u64) -> Result<(), DiffusionError>,
) -> Result<Vec<u8>, DiffusionError> {
    let fail = |reason: &dyn std::fmt::Display| {
        DiffusionError::file(path, format!("cannot read the {what}: {reason}"))
    };
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(fail(&"there is no such file: name one that is there"));
        }
        Err(error) => return Err(fail(&error)),
    };
    if metadata.is_dir() {
        return Err(fail(&"it is a folder: name the file"));
    }
    if !metadata.is_file() {
        return Err(fail(&"it is not a file"));
    }
    let mut file = File::open(path).map_err(|error| fail(&error))?;
    let length = file.metadata().map_err(|error| fail(&error))?.len();
    let mut bytes = Vec::new();
    let mut more = |bytes: &mut Vec<u8>, count: u64| -> Result<(), DiffusionError> {
        let space = usize::try_from(count).is_ok_and(|n| bytes.try_reserve_exact(n).is_ok());
        if !space {
            return Err(fail(&format!("its {length} bytes do not fit into memory")));
        }
        let read = (&mut file).take(count).read_to_end(bytes);
        read.map(drop).map_err(|error| fail(&error))
    };
    more(&mut bytes, PREFIX as u64)?;
    let names = names_length(&bytes).min(MAX_NAMES);
    more(&mut bytes, names)?;
    check(&bytes, length)?;
    let remaining = length.saturating_sub(bytes.len() as u64);
    more(&mut bytes, remaining)?;
    Ok(bytes)
}

/// Length of names, types and shapes, the first number of a file; 0 for an empty file.
fn names_length(bytes: &[u8]) -> u64 {
    let prefix = bytes.first_chunk::<PREFIX>();
    prefix.map_or(0, |prefix| u64::from_le_bytes(*prefix))
}

/// The parts of a tensor that enter the checksum.
struct Part<'a> {
    name: &'a str,
    dtype: Dtype,
    shape: &'a [usize],
    bytes: &'a [u8],
}

/// SHA-256 of the header and of the tensors, by name.
fn checksum<'a>(entry: &str, header: &str, tensors: impl Iterator<Item = Part<'a>>) -> [u8; 32] {
    let mut hash = Sha256::new();
    // Each content is preceded by its length, so that parts with different boundaries give different checksums.
    let mut add = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    add(entry.as_bytes());
    add(header.as_bytes());
    for tensor in tensors {
        add(tensor.name.as_bytes());
        add(format!("{:?} {:?}", tensor.dtype, tensor.shape).as_bytes());
        add(tensor.bytes);
    }
    hash.finalize().into()
}

/// Reader of float tensors as f32 that records conversions.
#[derive(Debug, Default)]
pub struct FloatReader {
    /// For each type: name of the first tensor, number of tensors, and whether any number was rounded.
    converted: BTreeMap<String, (String, usize, bool)>,
}

impl FloatReader {
    /// The numbers of a tensor. F16, BF16 and F64 are converted to the nearest f32.
    ///
    /// # Errors
    /// A sentence that names the tensor, if it is of another type or holds a number that is not finite.
    pub fn read(&mut self, name: &str, view: &TensorView<'_>) -> Result<TensorData, String> {
        let dtype = match view.dtype() {
            Dtype::F32 => DType::F32,
            Dtype::F16 => DType::F16,
            Dtype::BF16 => DType::BF16,
            Dtype::F64 => DType::F64,
            other => {
                return Err(format!(
                    "{name} holds {other:?} numbers; only F32, F64, F16 and BF16 can be read"
                ));
            }
        };
        let bytes = Bytes::from_bytes_vec(view.data().to_vec());
        let stored = TensorData::from_bytes(bytes, view.shape().to_vec(), dtype);
        if dtype == DType::F32 {
            finite(name, &stored)?;
            return Ok(stored);
        }
        let data = stored.clone().try_cast(DType::F32);
        let data = data.map_err(|error| format!("{name} cannot be converted: {error}"))?;
        finite(name, &data)?;
        let rounded = stored
            .iter::<f64>()
            .zip(data.iter::<f64>())
            .any(|(a, b)| a != b);
        let entry = self.converted.entry(format!("{:?}", view.dtype()));
        let (_, count, any) = entry.or_insert_with(|| (name.to_owned(), 0, false));
        (*count, *any) = (*count + 1, *any || rounded);
        Ok(data)
    }

    /// Compares the checksum of the file and returns notices about conversions.
    ///
    /// A file with other types than F32 was rewritten by another program, so its checksum is not compared, and a notice is returned.
    ///
    /// # Errors
    /// A sentence, if the checksum does not match.
    pub fn finish(self, head: &Head, file: &[u8]) -> Result<Vec<String>, String> {
        let mut notices = self.notices();
        if notices.is_empty() {
            head.verify(file)?;
        } else if head.checksum.is_some() {
            notices.push("another program wrote these, so the checksum was not compared".into());
        }
        Ok(notices)
    }

    /// Notices about conversions, one sentence for each type.
    fn notices(&self) -> Vec<String> {
        let sentence = |(dtype, (first, count, rounded)): (&String, &(String, usize, bool))| {
            let more = match count {
                1 => "holds".to_owned(),
                n => format!("and {} more tensors hold", n - 1),
            };
            let how = if *rounded {
                "rounded to the nearest F32"
            } else {
                "converted to F32, exactly"
            };
            format!("{first} {more} {dtype} numbers: {how}")
        };
        self.converted.iter().map(sentence).collect()
    }
}

/// Checks that every number of a float tensor is finite.
///
/// # Errors
/// A clause that names the tensor.
pub fn finite(name: &str, data: &TensorData) -> Result<(), String> {
    match data.iter::<f64>().find(|value| !value.is_finite()) {
        None => Ok(()),
        Some(value) => Err(format!(
            "{name} holds {value}, which is not a finite number"
        )),
    }
}
