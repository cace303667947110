//! Files of weights: SafeTensors, several of them with an index, and those of `torch.save`.

mod pytorch;
mod safetensors;
mod shards;
mod size;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::TensorData;

use crate::PretrainedError;

/// File names of diffusers, without their folder, from the best to the last resort. Half precision comes last.
pub const NAMES: [&str; 6] = [
    "diffusion_pytorch_model.safetensors",
    "diffusion_pytorch_model.safetensors.index.json",
    "diffusion_pytorch_model.bin",
    "diffusion_pytorch_model.bin.index.json",
    "diffusion_pytorch_model.fp16.safetensors",
    "diffusion_pytorch_model.fp16.bin",
];

/// The file of weights in a folder of diffusers.
///
/// # Errors
/// If there is none: the message lists the names that are looked for.
pub fn find(folder: &Path) -> Result<PathBuf, PretrainedError> {
    let files = NAMES.iter().map(|name| folder.join(name));
    let found = files.into_iter().find(|file| file.is_file());
    found.ok_or_else(|| PretrainedError::File {
        path: folder.to_owned(),
        message: format!(
            "has no file of weights: put one of {} there",
            NAMES.join(", ")
        ),
    })
}

/// The floating-point tensors of a file in single precision, by name. The name of the file tells its format.
///
/// # Errors
/// If the file, or one that it names, cannot be read, is damaged, or holds a number that is not finite.
pub fn read(path: &Path) -> Result<BTreeMap<String, TensorData>, PretrainedError> {
    if shards::is_index(path) {
        return shards::read(path, read);
    }
    let tensors = match path.extension().and_then(|extension| extension.to_str()) {
        Some("safetensors") => safetensors::read(path),
        Some("bin" | "pt" | "pth") => pytorch::read(path),
        _ => Err(
            "is no file of weights that is known: use .safetensors or a .bin of PyTorch".to_owned(),
        ),
    };
    // A damaged file may say anything.
    tensors.map_err(|message| PretrainedError::File {
        path: path.to_owned(),
        message: datasway_fs::one_line(&message),
    })
}

/// A file of weights, with the shards that it names if it is an index.
///
/// # Errors
/// If an index cannot be read.
pub fn files(path: &Path) -> Result<Vec<PathBuf>, PretrainedError> {
    let mut files = vec![path.to_owned()];
    if shards::is_index(path) {
        files.extend(shards::files(path)?);
    }
    Ok(files)
}

/// Writes tensors of single precision as SafeTensors, completely or not at all.
///
/// # Errors
/// If the file cannot be written.
pub fn write(path: &Path, tensors: &BTreeMap<String, TensorData>) -> Result<(), PretrainedError> {
    let bytes = safetensors::bytes(tensors).map_err(|message| PretrainedError::File {
        path: path.to_owned(),
        message,
    })?;
    Ok(datasway_fs::write(path, &bytes)?)
}
