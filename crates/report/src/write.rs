//! Files that are complete or absent: written beside their place, flushed to disk, then renamed into it.

use crate::ReportError;
use image::{ImageFormat, RgbImage};
use std::io::{Cursor, Write};
use std::path::Path;

/// Writes `bytes` to `path`. A reader, or a crash at any moment, sees the old file or the new one and nothing between.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), ReportError> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let attempt = || -> std::io::Result<()> {
        let mut builder = tempfile::Builder::new();
        // Temporary files are private by default; a report is made to be read like any other new file.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let mut file = builder.prefix(".sway-").tempfile_in(folder)?;
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
    fn the_error_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let error = write_atomic(&folder.path().join("none/b.txt"), b"").unwrap_err();
        assert!(error.to_string().contains("b.txt"), "{error}");
    }
}
