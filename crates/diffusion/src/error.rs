//! What can go wrong with a model, its samples or its files.

use std::path::PathBuf;

/// Every error names what was wrong and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum DiffusionError {
    /// A setting is outside its range or contradicts another one.
    #[error("{0}")]
    Config(String),
    /// A tensor does not have the shape that the model or measure expects.
    #[error("{what} has shape {found:?}, expected {expected:?}")]
    Shape {
        /// The tensor.
        what: String,
        /// The shape it has.
        found: Vec<usize>,
        /// The shape it should have.
        expected: Vec<usize>,
    },
    /// A value that must be finite is not.
    #[error("{0}")]
    NotFinite(String),
    /// Something that is not defined for this combination of parts.
    #[error("{0}")]
    Unsupported(String),
    /// The forward-mode derivative of the network failed.
    #[error("the network cannot be differentiated: {0}")]
    Jvp(String),
    /// A file could not be read or written.
    #[error("{}: {message}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What went wrong and what to do.
        message: String,
    },
}

impl DiffusionError {
    /// An error about a file.
    pub fn file(path: impl Into<PathBuf>, message: impl ToString) -> Self {
        Self::File {
            path: path.into(),
            message: message.to_string(),
        }
    }
}
