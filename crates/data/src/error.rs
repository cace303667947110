//! What can be wrong with data, each in one sentence that says what to do.

use std::path::PathBuf;

/// Why data could not be loaded or selected.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A path that does not exist.
    #[error("{} is missing; check the path, or see datasets/README.md for how to get the data", .0.display())]
    Missing(PathBuf),
    /// An image that a table lists and the folder lacks.
    #[error("{} is listed in {} but missing; restore it or pass --skip-bad", path.display(), table.display())]
    MissingImage {
        /// The image.
        path: PathBuf,
        /// The table that lists it.
        table: PathBuf,
    },
    /// A file that cannot be read or written.
    #[error("{} cannot be read or written ({reason}); check its permissions and the disk", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        reason: std::io::Error,
    },
    /// A truncated or non-image file.
    #[error("{} is truncated or not an image ({reason}); replace it or pass --skip-bad", path.display())]
    BadImage {
        /// The file.
        path: PathBuf,
        /// The decoder's reason.
        reason: String,
    },
    /// A binary file (idx, CIFAR) whose header or length is wrong.
    #[error("{} {reason}; fetch the file again", path.display())]
    BadBinary {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A CelebA table whose names or counts do not match.
    #[error("{} {reason}; restore the file that came with the images", path.display())]
    BadAttributes {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// An image with fewer pixels than asked.
    #[error("{} gives only {have}x{have} pixels where {want}x{want} were asked; pass a smaller --size or --skip-bad", path.display())]
    TooSmall {
        /// The file.
        path: PathBuf,
        /// Side in pixels after the crop.
        have: usize,
        /// Side asked, in pixels.
        want: usize,
    },
    /// Nothing was selected or loaded.
    #[error("`{0}` selects no image; choose another selection or data set")]
    Empty(String),
    /// An attribute the data set lacks.
    #[error("attribute `{name}` is unknown; the nearest are {nearest}")]
    UnknownAttribute {
        /// The name asked for.
        name: String,
        /// The nearest names, with commas.
        nearest: String,
    },
    /// A selection that cannot be used as written.
    #[error("selection `{selection}` {reason}")]
    BadSelection {
        /// The selection as written.
        selection: String,
        /// What is wrong and what to write.
        reason: String,
    },
    /// A source that cannot be understood.
    #[error(
        "`{0}` is no data set; write celeba:PATH, mnist:PATH, cifar10:PATH, folder:PATH or faces:N"
    )]
    BadSource(String),
}
