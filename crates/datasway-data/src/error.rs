//! Reasons why data cannot be used, each in one sentence that says what to do.

use std::path::{Path, PathBuf};

/// Why data could not be loaded or selected.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A path that does not exist.
    #[error("{} is missing; check the path, or see datasets/README.md for how to get the data", place(.0))]
    Missing(PathBuf),
    /// An image that a table lists and the folder lacks.
    #[error("{} is listed in {} but missing{}; restore it", place(path), place(table), beside.as_ref().map(|p| format!(" (there is {})", place(p))).unwrap_or_default())]
    MissingImage {
        /// The image.
        path: PathBuf,
        /// The table that lists it.
        table: PathBuf,
        /// A file of the same name but for its ending, where there is one.
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
    /// A path that names no file or folder of the kind needed.
    #[error("{} {}", place(path), line(reason))]
    BadPath {
        /// The path.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
    /// A folder that can be read in two ways.
    #[error("{} {}", place(path), line(reason))]
    Ambiguous {
        /// The folder.
        path: PathBuf,
        /// Both readings and what to do.
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
        /// What is wrong.
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
        /// What is wrong.
        reason: String,
    },
    /// An image with fewer pixels than asked.
    #[error(
        "{} gives only {have}x{have} pixels where {want}x{want} were asked; replace it by a larger image",
        place(path)
    )]
    TooSmall {
        /// The file.
        path: PathBuf,
        /// Side in pixels after the crop.
        have: usize,
        /// Side asked, in pixels.
        want: usize,
    },
    /// A side of images that cannot be asked for.
    #[error("images of {0} pixels a side cannot be made; ask for 1 to {most}", most = crate::load::MOST_SIDE)]
    BadSize(usize),
    /// More pixels than memory holds.
    #[error(
        "`{}` takes {needed} of memory as images of {side}x{side} pixels, and {limit}; choose fewer or smaller images",
        line(name)
    )]
    TooLarge {
        /// The data set.
        name: String,
        /// Memory that its pixels take.
        needed: String,
        /// Side in pixels.
        side: usize,
        /// What there is instead.
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
        /// What was found instead, in brackets; may be empty.
        because: String,
    },
    /// An attribute the data set lacks.
    #[error(
        "attribute `{}` is unknown; the nearest are {}",
        line(name),
        line(nearest)
    )]
    UnknownAttribute {
        /// The name asked for.
        name: String,
        /// The nearest names, with commas.
        nearest: String,
    },
    /// A selection that cannot be used as written.
    #[error("selection `{}` {}", line(selection), line(reason))]
    BadSelection {
        /// The selection as written.
        selection: String,
        /// What is wrong and what to write.
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
        /// What is wrong.
        reason: String,
    },
}

impl DataError {
    /// Whether it is one image's fault, so that [`skip_bad`](crate::LoadOptions::skip_bad) would leave it out.
    pub fn is_of_one_image(&self) -> bool {
        matches!(
            self,
            Self::MissingImage { .. } | Self::BadImage { .. } | Self::TooSmall { .. }
        )
    }
}

/// A text from outside on one line: control characters escaped, cut at 300 characters.
pub(crate) fn line(text: &str) -> String {
    const MOST: usize = 300;
    let mut line: String = text
        .trim_end_matches(['\r', '\n'])
        .chars()
        .take(MOST)
        .map(|c| {
            if c.is_control() {
                c.escape_default().to_string()
            } else {
                c.to_string()
            }
        })
        .collect();
    if text.chars().nth(MOST).is_some() {
        line.push('…');
    }
    line
}

/// A path on one line.
pub(crate) fn place(path: &Path) -> String {
    line(&path.to_string_lossy())
}
