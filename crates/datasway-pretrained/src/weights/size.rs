//! The size of a file of weights.

use std::path::Path;

/// Largest file of weights: that of two billion numbers in single precision.
pub const MAX_BYTES: u64 = 8 << 30;

/// Checks that a file is a regular one of no more than [`MAX_BYTES`].
///
/// # Errors
/// A clause that says why not.
pub fn check(path: &Path) -> Result<(), String> {
    let metadata = std::fs::metadata(path).map_err(|error| format!("cannot be read ({error})"))?;
    if !metadata.is_file() {
        return Err("is not a file".to_owned());
    }
    if metadata.len() > MAX_BYTES {
        return Err(format!(
            "has {} bytes, which is more than the {MAX_BYTES} that are read",
            metadata.len()
        ));
    }
    Ok(())
}
