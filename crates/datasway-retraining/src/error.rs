//! Errors of experiments.

use std::fmt::Display;
use std::path::{Path, PathBuf};

/// An error of an experiment, its jobs or its reports.
#[derive(Debug, thiserror::Error)]
pub enum RetrainError {
    /// The experiment contradicts itself or its data.
    #[error("{0}")]
    Experiment(String),
    /// No variant is done with any seed, so that there is nothing to evaluate.
    #[error("no variant is done with any seed yet")]
    NothingDone,
    /// A folder that should hold results has other content.
    #[error("{} holds {name} and is not the folder of an experiment", path.display())]
    ForeignFolder {
        /// The folder.
        path: PathBuf,
        /// One of its entries.
        name: String,
    },
    /// The folder of the jobs cannot be made.
    #[error("{}: cannot be made: {reason}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Error of the system.
        reason: std::io::Error,
    },
    /// A file could not be read or written.
    #[error("{}: {message}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The problem and its remedy.
        message: String,
    },
    /// Images cannot be loaded or selected.
    #[error(transparent)]
    Data(#[from] datasway_data::DataError),
    /// A model, its training or its samples failed.
    #[error(transparent)]
    Model(#[from] datasway_diffusion::DiffusionError),
    /// The folder of a base model cannot be used.
    #[error(transparent)]
    Pretrained(#[from] datasway_pretrained::PretrainedError),
    /// An attribution method failed.
    #[error(transparent)]
    Attribution(#[from] datasway_attribution::AttributionError),
    /// A plot or a page could not be made.
    #[error(transparent)]
    Report(#[from] datasway_report::ReportError),
    /// A file could not be read.
    #[error(transparent)]
    Read(#[from] datasway_fs::ReadError),
    /// A file could not be written.
    #[error(transparent)]
    Write(#[from] datasway_fs::WriteError),
}

impl RetrainError {
    /// An error of the experiment, as one line.
    pub(crate) fn experiment(message: impl Into<String>) -> Self {
        Self::Experiment(datasway_fs::one_line(&message.into()))
    }

    /// Turns a reason into an error of a file: `PATH: PROBLEM: REASON`.
    pub(crate) fn file<E: Display>(
        path: &Path,
        problem: &'static str,
    ) -> impl Fn(E) -> Self + use<E> {
        let path = path.to_owned();
        move |reason| Self::File {
            path: path.clone(),
            message: datasway_fs::one_line(&format!("{problem}: {reason}")),
        }
    }
}
