//! Errors of models, samples and their files.

use std::path::PathBuf;

/// Errors of models, samples and their files. Each message names the problem and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum DiffusionError {
    /// A setting is outside its range or contradicts another one.
    #[error("{}", line(.0))]
    Invalid(String),
    /// A tensor does not have the shape that the model or measure expects.
    #[error("{what} has shape {found:?}, expected {expected:?}")]
    Shape {
        /// The tensor.
        what: String,
        /// The shape of that tensor.
        found: Vec<usize>,
        /// The expected shape.
        expected: Vec<usize>,
    },
    /// A value that must be finite is not.
    #[error("{}", line(.0))]
    NotFinite(String),
    /// An operation that is not defined for this combination of parts.
    #[error("{}", line(.0))]
    Unsupported(String),
    /// The forward-mode derivative of the network failed.
    #[error("the network cannot be differentiated: {}", line(.0))]
    Jvp(String),
    /// A file could not be read or written.
    #[error("{}: {}", line(&path.to_string_lossy()), line(message))]
    File {
        /// The file.
        path: PathBuf,
        /// The problem and the remedy.
        message: String,
    },
}

/// Largest number of characters of a part of a message.
const LONGEST: usize = 900;

/// A text on one line. Quoted file content may have any length and hold any character.
fn line(text: &str) -> String {
    let blank = |c: char| if c.is_control() { ' ' } else { c };
    let mut line: String = text.chars().map(blank).take(LONGEST).collect();
    if text.chars().nth(LONGEST).is_some() {
        line.push('…');
    }
    line
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
