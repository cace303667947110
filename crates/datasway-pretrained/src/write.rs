//! Files and folders of models.

use std::path::Path;

use datasway_fs::WriteError;
use serde_json::Value;

use crate::PretrainedError;
use crate::diffusers::folder::MAX_CONFIG_BYTES;

/// Makes a folder and those above it.
pub fn make(folder: &Path) -> Result<(), PretrainedError> {
    std::fs::create_dir_all(folder).map_err(|reason| {
        PretrainedError::Write(WriteError {
            path: folder.to_owned(),
            reason,
        })
    })
}

/// Copies a configuration, whole or not at all.
pub fn copy(from: &Path, to: &Path) -> Result<(), PretrainedError> {
    let bytes = datasway_fs::read(from, MAX_CONFIG_BYTES)?;
    Ok(datasway_fs::write(to, &bytes)?)
}

/// Writes a configuration, whole or not at all.
pub fn put_json(path: &Path, config: &Value) -> Result<(), PretrainedError> {
    let text = format!("{config:#}\n");
    Ok(datasway_fs::write(path, text.as_bytes())?)
}
