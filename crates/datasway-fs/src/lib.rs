//! Files and folders that are complete or absent, and small helpers for result files.
//!
//! A file is written under a temporary name in the same folder, flushed to disk and then renamed.

pub mod arrays;
pub mod claim;
pub mod csv;
mod line;
pub mod names;
pub mod output;
pub mod process;

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use tempfile::Builder;

pub use line::one_line;

/// Prefix of temporary names. Only a killed process leaves such a file.
pub(crate) const BESIDE: &str = ".datasway-";

/// A file or folder that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be written ({reason}); check its permissions and the disk", path.display())]
pub struct WriteError {
    /// The file or folder.
    pub path: PathBuf,
    /// The system's error.
    pub reason: std::io::Error,
}

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
        /// Its size in bytes.
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

/// Writes `bytes` to `path`.
///
/// At every moment, also after a crash, `path` holds either the old file or the new one.
///
/// # Errors
/// If the folder is missing, or the disk is full or not writable.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    write_with(path, |file| file.write_all(bytes))
}

/// Writes a file in pieces: as [`write()`], with `fill` writing the content.
///
/// # Errors
/// As [`write()`], and the error of `fill`.
pub fn write_with(
    path: &Path,
    fill: impl FnOnce(&mut File) -> std::io::Result<()>,
) -> Result<(), WriteError> {
    let attempt = || {
        ensure_replaceable(path)?;
        let mut file = beside(0o666).tempfile_in(folder_of(path))?;
        fill(file.as_file_mut())?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    };
    attempt().map_err(failed(path))
}

/// Refuses paths of folders, pipes and devices, which renaming would replace by a regular file.
fn ensure_replaceable(path: &Path) -> std::io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(state) if !(state.is_file() || state.is_symlink()) => Err(std::io::Error::other(
            "a folder, pipe or device has this name",
        )),
        _ => Ok(()),
    }
}

/// Checks that new files can be created in a folder.
///
/// # Errors
/// If they cannot.
pub fn ensure_writable(folder: &Path) -> Result<(), WriteError> {
    match beside(0o600).tempfile_in(folder) {
        Ok(_) => Ok(()),
        Err(reason) => Err(failed(folder)(reason)),
    }
}

/// Removes temporary files that killed processes left in a folder claimed by this process.
///
/// # Errors
/// If the folder cannot be read or a file cannot be removed.
pub fn remove_leftovers(folder: &Path) -> Result<(), WriteError> {
    let attempt = || {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let ours = name.to_str().is_some_and(|name| {
                name.starts_with(BESIDE) && ![claim::FILE, output::LIST].contains(&name)
            });
            if ours && entry.file_type()?.is_file() {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    };
    attempt().map_err(failed(folder))
}

/// The folder of a file; `.` for a bare file name.
pub fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// A builder of temporary files with this mode, as far as the umask allows.
///
/// The default mode of temporary files is private, but results are meant to be readable like any other new file.
pub(crate) fn beside(mode: u32) -> Builder<'static, 'static> {
    let mut builder = Builder::new();
    builder.prefix(BESIDE);
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(mode));
    #[cfg(not(unix))]
    let _ = mode;
    builder
}

pub(crate) fn failed(path: &Path) -> impl Fn(std::io::Error) -> WriteError + use<> {
    let path = path.to_path_buf();
    move |reason| WriteError {
        path: path.clone(),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        write(&path, b"first and longer").unwrap();
        write(&path, b"second").unwrap();
        let full = std::io::Error::other("full");
        let error = write_with(&path, |file| {
            file.write_all(b"half of the")?;
            Err(full)
        });
        assert!(
            error
                .unwrap_err()
                .to_string()
                .contains("a.txt cannot be written (full)")
        );
        assert_eq!(std::fs::read(&path).unwrap(), b"second");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    /// New files get the mode that the umask allows, so that a group that shares a folder can read them.
    #[cfg(unix)]
    #[test]
    fn a_file_can_be_read_by_whoever_can_read_new_files() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let mode = |name: &str| {
            let metadata = std::fs::metadata(folder.path().join(name)).unwrap();
            metadata.permissions().mode()
        };
        std::fs::write(folder.path().join("plain"), b"").unwrap();
        write(&folder.path().join("ours"), b"").unwrap();
        assert_eq!(mode("ours"), mode("plain"));
    }

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

    #[cfg(unix)]
    #[test]
    fn what_is_no_file_is_not_replaced_by_one() {
        use std::os::unix::fs::FileTypeExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let _socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let error = write(&path, b"x").unwrap_err().to_string();
        assert!(error.contains("pipe or device"), "{error}");
        let state = std::fs::symlink_metadata(&path).unwrap();
        assert!(state.file_type().is_socket());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_error_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let error = write(&folder.path().join("none/b.txt"), b"").unwrap_err();
        assert!(error.to_string().contains("b.txt"), "{error}");
        // Whoever prints the causes of an error too must not say this one twice.
        assert!(std::error::Error::source(&error).is_none());
    }
}
