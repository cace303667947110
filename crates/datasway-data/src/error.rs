//! Errors of loading and selecting data. Each message is one sentence with the remedy.

use std::path::PathBuf;

use crate::words::{line, place};

/// Errors of loading and selecting data.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A path that does not exist.
    #[error("{} is missing; check the path, or see datasets/README.md for how to get the data", place(.0))]
    Missing(PathBuf),
    /// An image that is listed in a table but missing in the folder.
    #[error("{} is listed in {} but missing{}; restore it", place(path), place(table), beside.as_ref().map(|p| format!(" (there is {})", place(p))).unwrap_or_default())]
    MissingImage {
        /// The image.
        path: PathBuf,
        /// The table that lists it.
        table: PathBuf,
        /// A file whose name differs in its extension only, if there is one.
        beside: Option<PathBuf>,
    },
    /// A file that cannot be read or written.
    #[error(
        "{} cannot be read or written ({reason}); check its permissions and the disk",
        place(path)
    )]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        reason: std::io::Error,
    },
    /// A path that is not a file or folder of the required kind.
    #[error("{} {}", place(path), line(reason))]
    BadPath {
        /// The path.
        path: PathBuf,
        /// The problem and the advice.
        reason: String,
    },
    /// A folder that can be read in two ways.
    #[error("{} {}", place(path), line(reason))]
    Ambiguous {
        /// The folder.
        path: PathBuf,
        /// Both readings and the advice.
        reason: String,
    },
    /// A truncated or non-image file.
    #[error(
        "{} is truncated or not an image that can be used ({}); replace it",
        place(path),
        line(reason)
    )]
    BadImage {
        /// The file.
        path: PathBuf,
        /// The decoder's reason.
        reason: String,
    },
    /// A binary file (idx, CIFAR) whose header or length is wrong.
    #[error("{} {}; fetch the file again", place(path), line(reason))]
    BadBinary {
        /// The file.
        path: PathBuf,
        /// The problem.
        reason: String,
    },
    /// A CelebA table whose names or counts do not match.
    #[error(
        "{} {}; restore the file that came with the images",
        place(path),
        line(reason)
    )]
    BadAttributes {
        /// The file.
        path: PathBuf,
        /// The problem.
        reason: String,
    },
    /// An image with fewer pixels than requested.
    #[error(
        "{} gives only {have}x{have} pixels where {want}x{want} were asked; replace it by a larger image",
        place(path)
    )]
    TooSmall {
        /// The file.
        path: PathBuf,
        /// Side in pixels after the crop.
        have: usize,
        /// Requested side in pixels.
        want: usize,
    },
    /// A picture of another size than the images, where nothing is resized.
    #[error(
        "{} has {width}x{height} pixels where {want}x{want} were asked and nothing is resized; choose another crop, or another size",
        place(path)
    )]
    OtherSize {
        /// The file.
        path: PathBuf,
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// Requested side in pixels.
        want: usize,
    },
    /// An invalid image side.
    #[error("images of {0} pixels a side cannot be made; ask for 1 to {most}", most = crate::limits::MOST_SIDE)]
    BadSize(usize),
    /// More pixels than fit into memory.
    #[error(
        "`{}` takes {needed} of memory as images of {side}x{side} pixels, and {limit}; choose fewer or smaller images",
        line(name)
    )]
    TooLarge {
        /// The data set.
        name: String,
        /// Memory of its pixels.
        needed: String,
        /// Side in pixels.
        side: usize,
        /// Available memory.
        limit: String,
    },
    /// Nothing was selected or loaded.
    #[error(
        "`{}` selects no image{}; choose another selection or data set",
        line(selection),
        line(because)
    )]
    Empty {
        /// The selection or data set as written.
        selection: String,
        /// Other content, in brackets; may be empty.
        because: String,
    },
    /// An attribute that the data set does not have.
    #[error(
        "attribute `{}` is unknown; the nearest are {}",
        line(name),
        line(nearest)
    )]
    UnknownAttribute {
        /// The requested name.
        name: String,
        /// The most similar names, separated by commas.
        nearest: String,
    },
    /// A selection that cannot be used as written.
    #[error("selection `{}` {}", line(selection), line(reason))]
    BadSelection {
        /// The selection as written.
        selection: String,
        /// The problem and the correct form.
        reason: String,
    },
    /// A source that cannot be understood.
    #[error(
        "`{}` {}; write celeba:PATH, mnist:PATH, cifar10:PATH, folder:PATH, faces:N or faces:N@SEED",
        line(text),
        line(reason)
    )]
    BadSource {
        /// The source as written.
        text: String,
        /// The problem.
        reason: String,
    },
}

impl DataError {
    /// True if the error concerns a single image, which [`skip_bad`](crate::LoadOptions::skip_bad) would leave out.
    pub fn is_of_one_image(&self) -> bool {
        matches!(
            self,
            Self::MissingImage { .. }
                | Self::BadImage { .. }
                | Self::TooSmall { .. }
                | Self::OtherSize { .. }
        )
    }
}
