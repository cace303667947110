//! Errors of models of other libraries.

use std::path::PathBuf;

use datasway_diffusion::DiffusionError;
use datasway_fs::{ReadError, WriteError, one_line};

/// Errors of models of other libraries. Each message names the file or field and the remedy, in one line: a damaged file may say
/// anything.
#[derive(Debug, thiserror::Error)]
pub enum PretrainedError {
    /// A file is missing, too large or cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A file is no model of the kind that it should be.
    #[error("{}: {}", path.display(), one_line(message))]
    File {
        /// The file.
        path: PathBuf,
        /// The problem and the remedy.
        message: String,
    },
    /// A model of a kind that is not supported.
    #[error("{}: {}", path.display(), one_line(message))]
    Unsupported {
        /// The file or folder.
        path: PathBuf,
        /// The feature, and what would be needed.
        message: String,
    },
    /// The tensors of a file are not those of the network that its configuration describes.
    #[error("{}: {}", path.display(), one_line(message))]
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
