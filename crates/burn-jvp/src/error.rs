//! Errors of recording and differentiating a function.

use crate::rule::Refusal;

/// The reason why a derivative could not be computed.
#[derive(Debug, thiserror::Error)]
pub enum JvpError {
    /// The recorded function uses an operation that has no rule.
    #[error(
        "no forward-mode rule for {operation} (operation {index} of {count}, output shape {shape:?}): {reason}"
    )]
    Unsupported {
        /// Group and name of the operation, as in Burn's graph representation.
        operation: String,
        /// Position in the recorded graph, from 1.
        index: usize,
        /// Number of operations in the recorded graph.
        count: usize,
        /// Shape of its first output.
        shape: Vec<usize>,
        /// Reason of the refusal.
        reason: Refusal,
    },
    /// The function could not be recorded.
    #[error("recording the function failed: {0}")]
    Capture(String),
    /// Two different parameters of the module have one id, by which weights are bound.
    #[error(
        "the parameters {first} and {second} differ but have the same id: give each an id of its own"
    )]
    SameId {
        /// Path of the first.
        first: String,
        /// Path of the second.
        second: String,
    },
    /// Inputs and tangents do not fit together.
    #[error("{0}")]
    Shape(String),
}
