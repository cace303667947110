//! Sources of data sets.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use datasway_fs::grouped;

use crate::listing::Listing;
use crate::{DataError, LoadOptions, celeba, cifar, faces, folder, idx, memory};

/// A data set's format and place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// CelebA's layout.
    Celeba(PathBuf),
    /// MNIST or Fashion-MNIST idx files.
    Mnist(PathBuf),
    /// CIFAR-10 binary batches.
    Cifar10(PathBuf),
    /// A folder of images, or of subfolders of images, each a class. An image of CelebA's aligned proportions
    /// (178 x 218, 89 x 109, ...) is cropped as in CelebA's layout; of any other the centre square is kept.
    Folder(PathBuf),
    /// Procedural faces.
    Faces {
        /// Number of faces.
        count: usize,
        /// Seed of the faces.
        seed: u64,
    },
}

impl Source {
    /// Reads `celeba:PATH`, `mnist:PATH`, `cifar10:PATH`, `folder:PATH`, `faces:N`, `faces:N@SEED`, or a plain path.
    ///
    /// # Errors
    /// An unknown form, an absurd number of faces, or a plain path that does not exist.
    pub fn parse(text: &str) -> Result<Self, DataError> {
        let bad = |reason: String| DataError::BadSource {
            text: text.into(),
            reason,
        };
        let folder = |path: &str| {
            if path.is_empty() {
                Err(bad("names no folder".into()))
            } else {
                Ok(PathBuf::from(path))
            }
        };
        match text.split_once(':') {
            Some(("celeba", path)) => folder(path).map(Self::Celeba),
            Some(("mnist", path)) => folder(path).map(Self::Mnist),
            Some(("cifar10", path)) => folder(path).map(Self::Cifar10),
            Some(("folder", path)) => folder(path).map(Self::Folder),
            Some(("faces", count_and_seed)) => {
                let (count, seed) = count_and_seed
                    .split_once('@')
                    .unwrap_or((count_and_seed, "0"));
                let count = whole(count).filter(|n| (1..=faces::MOST).contains(n));
                Ok(Self::Faces {
                    count: count.ok_or_else(|| {
                        let most = grouped(faces::MOST);
                        bad(format!("does not ask for 1 to {most} faces in digits"))
                    })?,
                    seed: whole(seed).ok_or_else(|| {
                        bad("has a seed that is no whole number below 2^64".into())
                    })?,
                })
            }
            Some((kind, _)) if !Path::new(text).exists() && is_word(kind) => Err(bad(format!(
                "is of no known kind `{kind}`, and no such path exists"
            ))),
            _ => Self::detect(folder(text)?),
        }
    }

    fn detect(path: PathBuf) -> Result<Self, DataError> {
        if !path.exists() {
            return Err(DataError::Missing(path));
        }
        let has = |name: &str| path.join(name).exists();
        Ok(if has(celeba::TABLE) || has(celeba::IMAGES) {
            Self::Celeba(path)
        } else if idx::find(&path, &idx::IMAGES).is_ok() {
            Self::Mnist(path)
        } else if cifar::is_at(&path) {
            Self::Cifar10(path)
        } else {
            Self::Folder(path)
        })
    }

    pub(crate) fn list(&self, options: &LoadOptions) -> Result<Listing, DataError> {
        match self {
            Self::Celeba(path) => celeba::list(path),
            Self::Mnist(path) => idx::list(path),
            Self::Cifar10(path) => cifar::list(path),
            Self::Folder(path) => folder::list(path),
            Self::Faces { count, seed } => {
                let size = options.size.unwrap_or(64);
                let listed = (*count).min(options.limit.unwrap_or(usize::MAX));
                memory::needed(&self.to_string(), listed, 1, size)?;
                let mut listing = faces::list(listed, *seed, size);
                listing.report.held = *count;
                Ok(listing)
            }
        }
    }
}

/// A whole number written in digits alone.
pub(crate) fn whole<N: FromStr>(text: &str) -> Option<N> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// Tells whether a text before a colon looks like a kind of source rather than part of a path.
fn is_word(text: &str) -> bool {
    text.len() > 1 && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Celeba(path) => write!(f, "celeba:{}", path.display()),
            Self::Mnist(path) => write!(f, "mnist:{}", path.display()),
            Self::Cifar10(path) => write!(f, "cifar10:{}", path.display()),
            Self::Folder(path) => write!(f, "folder:{}", path.display()),
            Self::Faces { count, seed } => write!(f, "faces:{count}@{seed}"),
        }
    }
}
