//! Channels of a source that are known before it is read.

use crate::Source;

impl Source {
    /// True if all images of the source are grey and therefore have one channel.
    pub fn grey(&self) -> bool {
        matches!(self, Self::Mnist(_))
    }
}
