//! Files and folders that are complete or absent: written beside their place, flushed to disk, then renamed into it.

pub mod claim;
pub mod names;
pub mod output;

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use tempfile::Builder;

/// What is written stands beside its place under a name that begins like this; only a process that was killed leaves one.
pub(crate) const BESIDE: &str = ".sway-";

/// A file or folder that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be written ({reason}); check its permissions and the disk", path.display())]
pub struct WriteError {
    /// What was to be written.
    pub path: PathBuf,
    /// What the system said.
    pub reason: std::io::Error,
}

/// Writes `bytes` to `path`. A reader, or a crash at any moment, sees the old file or the new one and nothing between.
///
/// # Errors
/// If its folder is missing, or the disk is full or refuses.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    write_with(path, |file| file.write_all(bytes))
}

/// [`write()`] in pieces: `fill` is handed the new file.
///
/// # Errors
/// As [`write()`], and what `fill` fails with.
pub fn write_with(
    path: &Path,
    fill: impl FnOnce(&mut File) -> std::io::Result<()>,
) -> Result<(), WriteError> {
    let attempt = || {
        let mut file = beside(0o666).tempfile_in(folder_of(path))?;
        fill(file.as_file_mut())?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    };
    attempt().map_err(failed(path))
}

/// Fills a new folder and puts it in the place of `path`, with all that was in there: nothing of an earlier one stays beside
/// the new. If `fill` fails, the old folder stays as it was.
///
/// # Errors
/// If the disk is full or refuses, and what `fill` fails with.
pub fn replace_folder<E: From<WriteError>>(
    path: &Path,
    fill: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    let begin = || {
        std::fs::create_dir_all(folder_of(path))?;
        beside(0o777).tempdir_in(folder_of(path))
    };
    let new = begin().map_err(failed(path))?;
    fill(new.path())?;
    let end = || {
        if path.exists() {
            std::fs::remove_dir_all(path)?;
        }
        std::fs::rename(new.path(), path)
    };
    Ok(end().map_err(failed(path))?)
}

/// The folder that a file is in: `.` for a bare name.
pub fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Temporary files are private by default; what is made here is to be read like any other new file, so far as the umask allows.
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

    /// A checkpoint in a folder that a group shares is no use if only its writer can read it.
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
        std::fs::create_dir(folder.path().join("plain folder")).unwrap();
        replace_folder(&folder.path().join("our folder"), |_| {
            Ok::<(), WriteError>(())
        })
        .unwrap();
        assert_eq!(mode("our folder"), mode("plain folder"));
    }

    #[test]
    fn a_folder_is_replaced_whole_or_left_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table");
        replace_folder(&path, |new| write(&new.join("a"), b"")).unwrap();
        replace_folder(&path, |new| write(&new.join("b"), b"")).unwrap();
        replace_folder(&path, |new| {
            write(&new.join("c"), b"")?;
            write(&new.join("none/d"), b"")
        })
        .unwrap_err();
        let names = |path: &Path| -> Vec<_> {
            let files = std::fs::read_dir(path).unwrap();
            files.map(|file| file.unwrap().file_name()).collect()
        };
        assert_eq!(names(&path), ["b"]);
        assert_eq!(names(folder.path()), ["table"]);
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
