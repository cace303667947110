//! Checks of input and output files before a run starts.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use datasway_diffusion::DiffusionError;

/// Refuses a network whose channels do not match the images.
pub fn ensure_channels(data: &str, grey: bool, channels: usize) -> Result<()> {
    match (grey, channels) {
        (_, 1) | (false, 3) => Ok(()),
        (true, _) => bail!(
            "the images of {data} are grey, but the network takes {channels} channels: use --preset mnist16 or mnist28, or \
             --set network.image_channels=1"
        ),
        (false, _) => bail!(
            "images have 1 channel or 3, but the network takes {channels}: set network.image_channels to one of these"
        ),
    }
}

/// Refuses an `--export` file that cannot be written or belongs to the run itself.
pub fn ensure_export(file: &Path, checkpoint: &Path) -> Result<()> {
    let name = file.display();
    let folder = datasway_fs::folder_of(file);
    ensure!(
        folder.is_dir(),
        "--export {name}: there is no folder {}; make it first",
        folder.display()
    );
    let slash = name.to_string().ends_with('/');
    ensure!(
        !file.is_dir() && !slash && file.file_name().is_some(),
        "--export {name} is a folder: name a file in it"
    );
    ensure!(
        !file.exists() || file.is_file(),
        "--export {name} is a pipe or device: name a file"
    );
    let real = |path: &Path| {
        let folder = datasway_fs::folder_of(path).canonicalize().ok();
        path.canonicalize()
            .ok()
            .or_else(|| Some(folder?.join(path.file_name()?)))
    };
    ensure!(
        real(file) != real(checkpoint),
        "--export {name} is the run's own checkpoint: name another file"
    );
    let owns = |name_of_run: &str| real(file) == real(&checkpoint.with_file_name(name_of_run));
    ensure!(
        !["run.toml", "loss.csv"].iter().copied().any(owns),
        "--export {name} is a file of the run: name another file"
    );
    datasway_fs::ensure_writable(folder).with_context(|| format!("--export {name}"))
}

/// Loads the file from which `--resume` continues.
pub fn resumed<T>(file: &Path, load: impl FnOnce(&Path) -> Result<T, DiffusionError>) -> Result<T> {
    ensure!(
        file.exists(),
        "there is nothing to resume: {} does not exist; leave --resume out to begin",
        file.display()
    );
    Ok(load(file)?)
}
