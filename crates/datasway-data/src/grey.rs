//! Colours of a source, before anything of it is read.

use crate::Source;

impl Source {
    /// Whether all of its images are grey, and so have one channel whatever is asked for.
    pub fn grey(&self) -> bool {
        matches!(self, Self::Mnist(_))
    }
}
