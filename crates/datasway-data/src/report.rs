//! Report on the content of a source.

use serde::{Deserialize, Serialize};

/// Content of a source besides the loaded images.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Images in the source, before a limit.
    pub held: usize,
    /// Content that was passed over, such as `3 .gif` or `1 hidden folder`.
    pub passed_over: Vec<String>,
    /// Sentences about content that may be a mistake.
    pub notices: Vec<String>,
}
