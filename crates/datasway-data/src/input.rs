//! Reading of regular files of bounded size, and of folders.

use std::fs::{File, Metadata};
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::DataError;

/// Largest image file in bytes.
pub(crate) const MOST_IMAGE: u64 = 256 << 20;
/// Largest table in bytes.
pub(crate) const MOST_TABLE: u64 = 1 << 30;

/// The state of a regular file, symbolic links followed: a pipe, device or folder is refused before it is opened.
pub(crate) fn regular(path: &Path) -> Result<Metadata, DataError> {
    let state = std::fs::metadata(path).map_err(|e| io(path, e))?;
    if state.is_file() {
        return Ok(state);
    }
    let what = if state.is_dir() {
        "folder"
    } else {
        "pipe or device"
    };
    Err(DataError::BadPath {
        path: path.into(),
        reason: format!("is a {what} where a file is needed; remove it or name another path"),
    })
}

/// Reads a whole regular file of at most `most` bytes; a path that does not exist is its own error.
pub(crate) fn read(path: &Path, most: u64) -> Result<Vec<u8>, DataError> {
    let too_large = || DataError::BadPath {
        path: path.into(),
        reason: format!(
            "is larger than {} MiB, the most that is read of such a file; replace it",
            most >> 20
        ),
    };
    if regular(path)?.len() > most {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    let mut file = File::open(path).map_err(|e| io(path, e))?.take(most + 1);
    file.read_to_end(&mut bytes).map_err(|e| io(path, e))?;
    if bytes.len() as u64 > most {
        Err(too_large())
    } else {
        Ok(bytes)
    }
}

/// Entries of a folder, sorted by path.
pub(crate) fn entries(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let state = std::fs::metadata(folder).map_err(|e| io(folder, e))?;
    if !state.is_dir() {
        return Err(DataError::BadPath {
            path: folder.into(),
            reason: "is a file where a folder is needed; name the folder that holds it".into(),
        });
    }
    let mut paths = std::fs::read_dir(folder)
        .and_then(|d| {
            d.map(|e| e.map(|e| e.path()))
                .collect::<Result<Vec<_>, _>>()
        })
        .map_err(|e| io(folder, e))?;
    paths.sort();
    Ok(paths)
}

/// A system error about `path`.
pub(crate) fn io(path: &Path, reason: std::io::Error) -> DataError {
    if reason.kind() == std::io::ErrorKind::NotFound {
        return DataError::Missing(path.into());
    }
    DataError::Io {
        path: path.into(),
        reason,
    }
}
