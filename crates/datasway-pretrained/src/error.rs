//! Errors of models of other libraries.

use std::path::PathBuf;

use datasway_diffusion::DiffusionError;
use datasway_fs::{ReadError, WriteError};

/// Errors of models of other libraries. Each message names the file or field and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum PretrainedError {
    /// A file is missing, too large or cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A file is no model of the kind that it should be.
    #[error("{}: {message}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The problem and the remedy.
        message: String,
    },
    /// A model of a kind that is not supported.
    #[error("{}: {message}", path.display())]
    Unsupported {
        /// The file or folder.
        path: PathBuf,
        /// The feature, and what would be needed.
        message: String,
    },
    /// The tensors of a file are not those of the network that its configuration describes.
    #[error("{}: {message}", path.display())]
    Weights {
        /// The file.
        path: PathBuf,
        /// The missing, left over and misshapen tensors.
        message: String,
    },
    /// The model itself is not valid.
    #[error(transparent)]
    Model(#[from] DiffusionError),
}
