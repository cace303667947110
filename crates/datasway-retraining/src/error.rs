//! What can go wrong with an experiment.

use std::fmt::Display;
use std::path::{Path, PathBuf};

/// Every error names what was wrong and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum RetrainError {
    /// The experiment contradicts itself or its data.
    #[error("{0}")]
    Experiment(String),
    /// A file could not be read or written.
    #[error("{}: {message}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What went wrong and what to do.
        message: String,
    },
    /// The images cannot be loaded or selected.
    #[error(transparent)]
    Data(#[from] datasway_data::DataError),
    /// A model, its training or its samples failed.
    #[error(transparent)]
    Model(#[from] datasway_diffusion::DiffusionError),
    /// An attribution method failed.
    #[error(transparent)]
    Attribution(#[from] datasway_attribution::AttributionError),
    /// A plot or a page could not be made.
    #[error(transparent)]
    Report(#[from] datasway_report::ReportError),
    /// A file could not be read at all.
    #[error(transparent)]
    Read(#[from] datasway_fs::ReadError),
    /// A file could not be written.
    #[error(transparent)]
    Write(#[from] datasway_fs::WriteError),
}

impl RetrainError {
    /// An error about the experiment.
    pub(crate) fn experiment(message: impl Into<String>) -> Self {
        Self::Experiment(datasway_fs::one_line(&message.into()))
    }

    /// Turns the system's reason into an error about a file: "cannot be read: …".
    pub(crate) fn file<E: Display>(path: &Path, what: &'static str) -> impl Fn(E) -> Self + use<E> {
        let path = path.to_owned();
        move |reason| Self::File {
            path: path.clone(),
            message: datasway_fs::one_line(&format!("{what}: {reason}")),
        }
    }
}
