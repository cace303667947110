//! Where jobs keep their results.
//!
//! A job is done if and only if its result file exists; result files are written beside their place and renamed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::RetrainError;
use crate::jobs::{Job, Work};

/// Characters of a key in the name of a folder.
const SHORT: usize = 8;

/// The folders of an experiment's jobs, `KIND-LABEL-KEY` in one folder.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
    folders: Vec<PathBuf>,
}

impl Store {
    /// The folders for these jobs below `out`. One that is there under the same key is taken whatever its label.
    ///
    /// # Errors
    /// If the folder cannot be made or read.
    pub fn open(out: &Path, jobs: &[Job]) -> Result<Self, RetrainError> {
        let root = out.join("jobs");
        std::fs::create_dir_all(&root).map_err(RetrainError::file(
            &root,
            "cannot be made; choose another folder with --out",
        ))?;
        let entries =
            std::fs::read_dir(&root).map_err(RetrainError::file(&root, "cannot be read"))?;
        let names: Vec<String> = entries
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
                format!("{}-{label}{key}", job.kind)
            });
            root.join(name)
        };
        Ok(Self {
            folders: jobs.iter().map(place).collect(),
            root,
        })
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

/// Writes named arrays as SafeTensors, completely or not at all.
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
    let file = safetensors::serialize(views, None).map_err(&fail)?;
    Ok(files::write(path, &file)?)
}

/// Reads what [`write_arrays`] wrote.
///
/// # Errors
/// If the file is missing or not of this form.
pub fn read_arrays(path: &Path) -> Result<BTreeMap<String, Array>, RetrainError> {
    let fail = "cannot be read; delete it and run the experiment again";
    let bytes = std::fs::read(path).map_err(RetrainError::file(path, fail))?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(RetrainError::file(path, fail))?;
    let array = |view: &TensorView| Array {
        shape: view.shape().to_vec(),
        values: view
            .data()
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect(),
    };
    let tensors = tensors.tensors();
    Ok(tensors
        .iter()
        .map(|(name, view)| (name.clone(), array(view)))
        .collect())
}

/// One of them by name.
///
/// # Errors
/// If the file has no such array.
pub fn read_array(path: &Path, name: &str) -> Result<Array, RetrainError> {
    read_arrays(path)?.remove(name).ok_or_else(|| {
        let fail = RetrainError::file(
            path,
            "cannot be used; delete it and run the experiment again",
        );
        fail(format!("it has no array {name}"))
    })
}
