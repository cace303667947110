//! Where jobs keep their results.
//!
//! A job is done if and only if its result file exists; result files are written beside their place and renamed.

use std::collections::{BTreeMap, HashMap};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use datasway_fs::names::cut;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use sha2::{Digest, Sha256};

use crate::RetrainError;
use crate::jobs::{Job, Work};

/// Characters of a key in the name of a folder.
const SHORT: usize = 8;

/// Bytes of a label in the name of a folder: with the rest of the name, fewer than file systems allow.
const LABEL: usize = 180;

/// The folders of an experiment's jobs, `KIND-LABEL-KEY` in one folder.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
    folders: Vec<PathBuf>,
}

impl Store {
    /// The folders for these jobs below `out`. One that is there under the same key is taken whatever its label; none is made.
    ///
    /// # Errors
    /// If the folder is there but cannot be read.
    pub fn open(out: &Path, jobs: &[Job]) -> Result<Self, RetrainError> {
        let root = out.join("jobs");
        let entries = match std::fs::read_dir(&root) {
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            entries => Some(entries.map_err(RetrainError::file(&root, "cannot be read"))?),
        };
        let names: Vec<String> = entries
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect();
        let place = |job: &Job| {
            let key = format!("-{}", &job.key[..SHORT]);
            let known = names.iter().find(|name| name.ends_with(&key));
            let name = known.cloned().unwrap_or_else(|| {
                let plain = |c: char| {
                    if c.is_alphanumeric() || ".-".contains(c) {
                        c
                    } else {
                        '_'
                    }
                };
                let label: String = job.label.chars().map(plain).take(60).collect();
                format!("{}-{}{key}", job.kind, cut(&label, LABEL))
            });
            root.join(name)
        };
        Ok(Self {
            folders: jobs.iter().map(place).collect(),
            root,
        })
    }

    /// Makes the folder that holds all of them.
    ///
    /// # Errors
    /// If that is not possible, or would be beside what is not of an experiment.
    pub fn make(&self) -> Result<(), RetrainError> {
        let out = datasway_fs::folder_of(&self.root);
        let visible = |entry: std::io::Result<std::fs::DirEntry>| {
            let name = entry.ok()?.file_name().to_string_lossy().into_owned();
            // Tables may have been asked for before there was a job.
            (!name.starts_with('.') && name != "table").then_some(name)
        };
        if !self.root.exists()
            && let Ok(entries) = std::fs::read_dir(out)
            && let Some(found) = entries.filter_map(visible).min()
        {
            return Err(RetrainError::experiment(format!(
                "{} holds {found} and is not the folder of an experiment; choose another folder with --out",
                out.display()
            )));
        }
        std::fs::create_dir_all(&self.root).map_err(RetrainError::file(
            &self.root,
            "cannot be made; choose another folder with --out",
        ))
    }

    /// The folder that holds all of them.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A job's folder.
    pub fn folder(&self, job: usize) -> &Path {
        &self.folders[job]
    }

    /// A job's result.
    pub fn result(&self, job: usize, work: &Work) -> PathBuf {
        self.folders[job].join(match work {
            Work::Train { .. } => "model.safetensors",
            Work::Sample { .. } => "samples.safetensors",
            Work::Sensitivity { .. } | Work::Baseline { .. } => "prediction.safetensors",
            Work::Losses { .. } => "losses.safetensors",
            Work::Attribution { .. } => "scores.safetensors",
        })
    }
}

/// Numbers of some shape.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// The shape.
    pub shape: Vec<usize>,
    /// The numbers, row by row.
    pub values: Vec<f32>,
}

/// Entry of a result's metadata with the checksum of its arrays.
const CHECKSUM: &str = "sha256";

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

/// Writes named arrays as SafeTensors with a checksum, completely or not at all.
///
/// # Errors
/// If the file cannot be written.
pub fn write_arrays(path: &Path, arrays: &BTreeMap<String, Array>) -> Result<(), RetrainError> {
    let fail = RetrainError::file(path, "cannot be written");
    let bytes = |array: &Array| -> Vec<u8> {
        let values = array.values.iter();
        values.flat_map(|value| value.to_le_bytes()).collect()
    };
    let bytes: Vec<Vec<u8>> = arrays.values().map(bytes).collect();
    let mut views = Vec::new();
    for ((name, array), bytes) in arrays.iter().zip(&bytes) {
        let view = TensorView::new(Dtype::F32, array.shape.clone(), bytes).map_err(&fail)?;
        views.push((name.as_str(), view));
    }
    let metadata = HashMap::from([(CHECKSUM.to_owned(), checksum(arrays))]);
    let file = safetensors::serialize(views, Some(metadata)).map_err(&fail)?;
    Ok(datasway_fs::write(path, &file)?)
}

/// Reads what [`write_arrays`] wrote. Results of earlier versions have no checksum.
///
/// # Errors
/// If the file is missing, not of this form, or not what was written.
pub fn read_arrays(path: &Path) -> Result<BTreeMap<String, Array>, RetrainError> {
    let fail = "cannot be read; delete it and run the experiment again";
    let bytes = datasway_fs::read(path, u64::MAX)?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(RetrainError::file(path, fail))?;
    let mut arrays = BTreeMap::new();
    for (name, view) in tensors.iter() {
        if view.dtype() != Dtype::F32 {
            let reason = format!("{name} holds {:?} numbers and not F32", view.dtype());
            return Err(RetrainError::file(path, fail)(reason));
        }
        let values = view.data().chunks_exact(4);
        let values = values.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        let shape = view.shape().to_vec();
        arrays.insert(
            name.to_owned(),
            Array {
                shape,
                values: values.collect(),
            },
        );
    }
    let (_, head) = SafeTensors::read_metadata(&bytes).map_err(RetrainError::file(path, fail))?;
    let written = head.metadata().as_ref().and_then(|all| all.get(CHECKSUM));
    match written {
        Some(written) if *written != checksum(&arrays) => Err(RetrainError::file(path, fail)(
            "its checksum does not fit its content: it was changed after it was written",
        )),
        _ => Ok(arrays),
    }
}

/// One of them by name and shape.
///
/// # Errors
/// If the file has no such array.
pub fn read_array(path: &Path, name: &str, shape: &[usize]) -> Result<Array, RetrainError> {
    let fail = RetrainError::file(
        path,
        "cannot be used; delete it and run the experiment again",
    );
    let array = read_arrays(path)?.remove(name);
    let array = array.ok_or_else(|| fail(format!("it has no array {name}")))?;
    match array.shape == shape {
        true => Ok(array),
        false => Err(fail(format!(
            "{name} has the shape {:?}, not {shape:?}",
            array.shape
        ))),
    }
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
        write_arrays(&path, &BTreeMap::from([("samples".to_owned(), array)])).unwrap();
        assert_eq!(
            read_array(&path, "samples", &[2, 1]).unwrap().values[0],
            1.0
        );
        let bytes = std::fs::read(&path).unwrap();
        let other = String::from_utf8_lossy(&bytes[8..]).into_owned();
        assert!(other.contains("\"F32\"") && other.contains("[2,1]"));
        let damaged = |from: &str, to: &str| {
            let at = bytes
                .windows(from.len())
                .position(|w| w == from.as_bytes())
                .unwrap();
            let mut bytes = bytes.clone();
            bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
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
            let error = read_array(&path, "samples", &[2, 1])
                .unwrap_err()
                .to_string();
            assert!(error.contains("samples.safetensors: "), "{case}: {error}");
        }
    }
}
