//! Reading of whole files of bounded size.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// A file that could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The system reports an error.
    #[error("{}: cannot be read ({reason})", path.display())]
    System {
        /// The file.
        path: PathBuf,
        /// The system's error.
        reason: std::io::Error,
    },
    /// It is a folder, a pipe or a device.
    #[error("{}: is not a file", .0.display())]
    NotFile(PathBuf),
    /// It is larger than any valid file of its kind.
    #[error("{}: has {size} bytes, which is more than the {most} that are read", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Size of the file in bytes.
        size: u64,
        /// The largest size that is read, in bytes.
        most: u64,
    },
}

/// Reads a whole file of at most `most` bytes.
///
/// # Errors
/// If the file is missing, is not a regular file, is larger, or cannot be read.
pub fn read(path: &Path, most: u64) -> Result<Vec<u8>, ReadError> {
    let fail = |reason| ReadError::System {
        path: path.to_owned(),
        reason,
    };
    // Opening a pipe would block.
    let metadata = std::fs::metadata(path).map_err(fail)?;
    if !metadata.is_file() {
        return Err(ReadError::NotFile(path.to_owned()));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(fail)?;
    file.take(most.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(fail)?;
    let size = metadata.len().max(bytes.len() as u64);
    if size > most {
        Err(ReadError::TooLarge {
            path: path.to_owned(),
            size,
            most,
        })
    } else {
        Ok(bytes)
    }
}

/// Reads a whole text file of at most `most` bytes.
///
/// # Errors
/// As [`read`], and if the file is not UTF-8.
pub fn read_text(path: &Path, most: u64) -> Result<String, ReadError> {
    let text = String::from_utf8(read(path, most)?);
    text.map_err(|error| ReadError::System {
        path: path.to_owned(),
        reason: std::io::Error::new(std::io::ErrorKind::InvalidData, error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_a_sane_size_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        std::fs::write(&path, [b'a', 0xff]).unwrap();
        assert_eq!(read(&path, 2).unwrap(), [b'a', 0xff]);
        let errors = [
            read(&path, 1).unwrap_err(),
            read(folder.path(), 9).unwrap_err(),
            read(&folder.path().join("none"), 9).unwrap_err(),
            read_text(&path, 9).unwrap_err(),
        ];
        let says = [
            "more than the 1",
            "is not a file",
            "none: cannot be read",
            "utf-8",
        ];
        for (error, says) in errors.iter().zip(says) {
            assert!(error.to_string().contains(says), "{error}");
        }
    }
}
