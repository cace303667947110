//! Removal of temporary files.

use std::path::Path;

use crate::write::{BESIDE, WriteError, failed};
use crate::{claim, output};

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
