//! Writing of files that are complete or absent.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use tempfile::Builder;

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
        let mut file = temporary_builder(0o666).tempfile_in(folder_of(path))?;
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
    match temporary_builder(0o600).tempfile_in(folder) {
        Ok(_) => Ok(()),
        Err(reason) => Err(failed(folder)(reason)),
    }
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
pub(crate) fn temporary_builder(mode: u32) -> Builder<'static, 'static> {
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
