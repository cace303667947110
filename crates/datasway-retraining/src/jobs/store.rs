//! The folders of jobs and their result files.
//!
//! A job is done if and only if its result file exists.
//! Result files are written completely and then renamed into their places.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use datasway_fs::arrays::{self, Array, ArrayError};
use datasway_fs::names::cut;

use super::job::{Job, JobId, Task};
use crate::RetrainError;

/// Characters of a key in the name of a folder.
const KEY_CHARACTERS: usize = 8;

/// Largest number of characters of a label in the name of a folder.
const LABEL_CHARACTERS: usize = 60;

/// Largest number of bytes of a label in the name of a folder.
/// With kind and key the name is shorter than file systems allow.
const LABEL_BYTES: usize = 180;

/// The folder of all jobs in that of the experiment.
const JOBS: &str = "jobs";

/// Message for a result file that cannot be read.
const CANNOT_BE_READ: &str = "cannot be read; delete it and run the experiment again";

/// Message for a result file that does not fit the experiment.
pub(crate) const CANNOT_BE_USED: &str = "cannot be used; delete it and run the experiment again";

/// The folders of the jobs of an experiment, `KIND-LABEL-KEY` in one folder.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
    folders: Vec<PathBuf>,
}

impl Store {
    /// The folders of the jobs of a plan below `out`; none is made.
    /// A folder that exists under the key of a job is taken whatever its label.
    ///
    /// # Errors
    /// If the folder exists but cannot be read.
    pub fn open(out: &Path, jobs: &[Job]) -> Result<Self, RetrainError> {
        let root = out.join(JOBS);
        let entries = match std::fs::read_dir(&root) {
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            entries => Some(entries.map_err(RetrainError::file(&root, "cannot be read"))?),
        };
        let names: Vec<String> = entries
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect();
        let folder = |job: &Job| {
            let key = format!("-{}", &job.key[..KEY_CHARACTERS]);
            let existing = names.iter().find(|name| name.ends_with(&key));
            let name = existing.cloned().unwrap_or_else(|| {
                let label = folder_label(&job.label);
                format!("{}-{label}{key}", job.kind)
            });
            root.join(name)
        };
        Ok(Self {
            folders: jobs.iter().map(folder).collect(),
            root,
        })
    }

    /// Makes the folder of all jobs.
    ///
    /// # Errors
    /// If the folder cannot be made, or would be made beside files that are not of an experiment.
    pub fn make(&self) -> Result<(), RetrainError> {
        let out = datasway_fs::folder_of(&self.root);
        let foreign = |entry: std::io::Result<std::fs::DirEntry>| {
            let name = entry.ok()?.file_name().to_string_lossy().into_owned();
            is_foreign(&name).then_some(name)
        };
        if !self.root.exists()
            && let Ok(entries) = std::fs::read_dir(out)
            && let Some(name) = entries.filter_map(foreign).min()
        {
            return Err(RetrainError::ForeignFolder {
                path: out.to_owned(),
                name,
            });
        }
        std::fs::create_dir_all(&self.root).map_err(|reason| RetrainError::Folder {
            path: self.root.clone(),
            reason,
        })
    }

    /// The folder of all jobs.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of a job.
    pub fn folder(&self, job: JobId) -> &Path {
        &self.folders[job.index()]
    }

    /// The result file of a job with this task.
    pub fn result(&self, job: JobId, task: &Task) -> PathBuf {
        self.folder(job).join(match task {
            Task::Given | Task::Train { .. } => "model.safetensors",
            Task::Sample { .. } => "samples.safetensors",
            Task::Sensitivity { .. }
            | Task::Combination { .. }
            | Task::Average { .. }
            | Task::Baseline { .. } => "prediction.safetensors",
            Task::Losses { .. } => "losses.safetensors",
            Task::WeightAlignment { .. } => "products.safetensors",
            Task::Attribution { .. } => "scores.safetensors",
        })
    }

    /// The checkpoint of a training job that is not done.
    pub fn checkpoint(&self, job: JobId) -> PathBuf {
        self.folder(job).join("checkpoint.safetensors")
    }
}

/// True if an entry of the folder of an experiment is not of one.
///
/// Tables may have been written before the first job, and another runner may have made the folder of all jobs since it was looked for.
fn is_foreign(name: &str) -> bool {
    !name.starts_with('.') && name != "table" && name != JOBS
}

/// A label as a part of the name of a folder.
fn folder_label(label: &str) -> String {
    let plain = |c: char| {
        if c.is_alphanumeric() || ".-".contains(c) {
            c
        } else {
            '_'
        }
    };
    let label: String = label.chars().map(plain).take(LABEL_CHARACTERS).collect();
    cut(&label, LABEL_BYTES).to_owned()
}

/// Writes the arrays of a result file.
///
/// # Errors
/// If the file cannot be written.
pub(super) fn write_arrays(
    path: &Path,
    arrays: &BTreeMap<String, Array>,
) -> Result<(), RetrainError> {
    arrays::write(path, arrays).map_err(with_advice)
}

/// The arrays of a result file.
///
/// # Errors
/// If the file is missing or not what was written.
pub(crate) fn read_arrays(path: &Path) -> Result<BTreeMap<String, Array>, RetrainError> {
    arrays::read(path).map_err(with_advice)
}

/// One array of a result file, of an expected shape.
///
/// # Errors
/// If the file is missing, not what was written, or has no such array.
pub(super) fn read_array(path: &Path, name: &str, shape: &[usize]) -> Result<Array, RetrainError> {
    arrays::read_one(path, name, shape).map_err(with_advice)
}

/// Adds to an error about a result file how to get another one.
fn with_advice(error: ArrayError) -> RetrainError {
    match error {
        ArrayError::Read(error) => error.into(),
        ArrayError::Write(error) => error.into(),
        ArrayError::Layout { path, reason } => {
            RetrainError::file(&path, "cannot be written")(reason)
        }
        ArrayError::Damaged { path, reason } => RetrainError::file(&path, CANNOT_BE_READ)(reason),
        ArrayError::Unsuitable { path, reason } => {
            RetrainError::file(&path, CANNOT_BE_USED)(reason)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn runners_that_begin_together_make_one_folder() {
        let folder = tempfile::tempdir().unwrap();
        for round in 0..50 {
            let out = folder.path().join(round.to_string());
            std::fs::create_dir(&out).unwrap();
            let begin = Barrier::new(8);
            std::thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| {
                        let store = Store::open(&out, &[]).unwrap();
                        begin.wait();
                        store.make().unwrap();
                    });
                }
            });
        }
        let out = folder.path().join("other");
        std::fs::create_dir(&out).unwrap();
        std::fs::write(out.join("photo.png"), "").unwrap();
        let error = Store::open(&out, &[]).unwrap().make().unwrap_err();
        assert!(matches!(error, RetrainError::ForeignFolder { name, .. } if name == "photo.png"));
    }
}
