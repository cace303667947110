//! Files that are complete or absent: written beside their place, flushed to disk, then renamed into it.

use crate::ReportError;
use image::{ImageFormat, RgbImage};
use std::io::{Cursor, Write};
use std::path::Path;

/// Writes `bytes` to `path`. A reader, or a crash at any moment, sees the old file or the new one and nothing between.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), ReportError> {
    let attempt = || -> std::io::Result<()> {
        let mut builder = tempfile::Builder::new();
        // Temporary files are private by default; a report is made to be read like any other new file.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let mut file = builder.prefix(".sway-").tempfile_in(folder_of(path))?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    };
    attempt().map_err(|source| ReportError::Write {
        path: path.to_path_buf(),
        source,
    })
}

/// Fills a new folder and puts it in the place of `path`, with all that was in there: nothing of an earlier report stays beside
/// the new one. If `fill` fails, the old folder stays as it was.
pub fn replace_folder<E: From<ReportError>>(
    path: &Path,
    fill: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    let failed = |source| ReportError::Write {
        path: path.to_path_buf(),
        source,
    };
    let begin = || {
        let mut builder = tempfile::Builder::new();
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
        std::fs::create_dir_all(folder_of(path))?;
        builder.prefix(".sway-").tempdir_in(folder_of(path))
    };
    let new = begin().map_err(failed)?;
    fill(new.path())?;
    let end = || {
        if path.exists() {
            std::fs::remove_dir_all(path)?;
        }
        std::fs::rename(new.path(), path)
    };
    Ok(end().map_err(failed)?)
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// An image as the bytes of a PNG file.
pub fn png_bytes(image: &RgbImage) -> Result<Vec<u8>, ReportError> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, ImageFormat::Png)?;
    Ok(bytes.into_inner())
}

/// Encodes an image and writes it with [`write_atomic`].
pub fn write_png(path: &Path, image: &RgbImage) -> Result<(), ReportError> {
    write_atomic(path, &png_bytes(image)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        write_atomic(&path, b"first and longer").unwrap();
        write_atomic(&path, b"second").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"second");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_is_replaced_whole_or_left_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table");
        replace_folder(&path, |new| write_atomic(&new.join("a"), b"")).unwrap();
        replace_folder(&path, |new| write_atomic(&new.join("b"), b"")).unwrap();
        replace_folder(&path, |new| {
            write_atomic(&new.join("c"), b"")?;
            write_atomic(&new.join("none/d"), b"")
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
        let error = write_atomic(&folder.path().join("none/b.txt"), b"").unwrap_err();
        assert!(error.to_string().contains("b.txt"), "{error}");
    }
}
