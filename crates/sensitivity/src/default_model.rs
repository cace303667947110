//! The shipped model of procedural faces, which `scripts/default-checkpoint.sh` trains.

use std::path::Path;

use datasway_diffusion::DiffusionError;
use datasway_diffusion::checkpoint::Checkpoint;

/// Name of the model in the place of a file.
pub const NAME: &str = "checkpoints/faces16.safetensors (shipped)";
/// The default of `--add`.
pub const ADD: &str = "attr:Eyeglasses";
/// The default of `--remove`.
pub const REMOVE: &str = "attr:Blond_Hair";

const BYTES: &[u8] = include_bytes!("../../../checkpoints/faces16.safetensors");

/// The checkpoint of a file, or the shipped model without one. Notices of the file go to standard error.
///
/// # Errors
/// If the file is no complete checkpoint.
pub fn or_shipped(file: Option<&Path>) -> Result<Checkpoint, DiffusionError> {
    let Some(file) = file else {
        return Checkpoint::from_bytes(BYTES, Path::new(NAME));
    };
    let checkpoint = Checkpoint::load(file)?;
    notify(file, &checkpoint.notices);
    Ok(checkpoint)
}

/// Prints the notices of a file to standard error, one line each.
pub fn notify(file: &Path, notices: &[String]) {
    for notice in notices {
        datasway_cli::tell(format!("{}: {notice}", file.display()));
    }
}
