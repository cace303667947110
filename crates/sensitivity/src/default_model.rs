//! The model of procedural faces that comes with Datasway; `scripts/default-checkpoint.sh` makes it.

use std::path::Path;

use datasway_diffusion::DiffusionError;
use datasway_diffusion::checkpoint::Checkpoint;

/// What it is called where a file is named.
pub const NAME: &str = "checkpoints/faces16.safetensors (shipped)";
/// What is added and removed if nothing is named.
pub const ADD: &str = "attr:Eyeglasses";
/// See [`ADD`].
pub const REMOVE: &str = "attr:Blond_Hair";

const BYTES: &[u8] = include_bytes!("../../../checkpoints/faces16.safetensors");

/// A file, or the shipped model if none is named; says what had to be converted.
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

/// Tells the user how a file was read, a line for each notice.
pub fn notify(file: &Path, notices: &[String]) {
    for notice in notices {
        datasway_cli::tell(format!("{}: {notice}", file.display()));
    }
}
