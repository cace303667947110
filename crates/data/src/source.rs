//! Where a data set comes from.

use std::fmt;
use std::path::PathBuf;

use crate::listing::Listing;
use crate::{DataError, celeba, cifar, faces, folder, idx};

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
        /// How many.
        count: usize,
        /// The seed that they are drawn from.
        seed: u64,
    },
}

impl Source {
    /// Reads `celeba:PATH`, `mnist:PATH`, `cifar10:PATH`, `folder:PATH`, `faces:N`, `faces:N@SEED`, or a plain path.
    ///
    /// # Errors
    /// An unknown form, or a plain path that does not exist.
    pub fn parse(text: &str) -> Result<Self, DataError> {
        let bad = || DataError::BadSource(text.into());
        match text.split_once(':') {
            Some(("celeba", path)) => Ok(Self::Celeba(path.into())),
            Some(("mnist", path)) => Ok(Self::Mnist(path.into())),
            Some(("cifar10", path)) => Ok(Self::Cifar10(path.into())),
            Some(("folder", path)) => Ok(Self::Folder(path.into())),
            Some(("faces", rest)) => {
                let (count, seed) = rest.split_once('@').unwrap_or((rest, "0"));
                Ok(Self::Faces {
                    count: count.parse().map_err(|_| bad())?,
                    seed: seed.parse().map_err(|_| bad())?,
                })
            }
            _ => Self::detect(text.into()),
        }
    }

    fn detect(path: PathBuf) -> Result<Self, DataError> {
        if !path.exists() {
            return Err(DataError::Missing(path));
        }
        Ok(if path.join("list_attr_celeba.txt").exists() {
            Self::Celeba(path)
        } else if idx::find(&path, "train-images-idx3-ubyte").is_ok() {
            Self::Mnist(path)
        } else if path.join("data_batch_1.bin").exists() {
            Self::Cifar10(path)
        } else {
            Self::Folder(path)
        })
    }

    pub(crate) fn list(&self, size: Option<usize>) -> Result<Listing, DataError> {
        match self {
            Self::Celeba(path) => celeba::list(path),
            Self::Mnist(path) => idx::list(path),
            Self::Cifar10(path) => cifar::list(path),
            Self::Folder(path) => folder::list(path),
            Self::Faces { count, seed } => Ok(faces::list(*count, *seed, size.unwrap_or(64))),
        }
    }
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
