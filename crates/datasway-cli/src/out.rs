//! The folder of `--out`.

use std::path::Path;

use anyhow::{Result, anyhow};
use datasway_fs::output::{Kind, OutputError, OutputFolder, ResultFolder};

/// The folder for files that grow in place, claimed by this process.
///
/// # Errors
/// As [`OutputFolder::open`], with what to do about it.
pub fn output_folder(path: &Path, kind: &'static Kind) -> Result<OutputFolder> {
    OutputFolder::open(path, kind).map_err(advise)
}

/// The folder for results that are put into their places when they are complete, claimed by this process.
///
/// # Errors
/// As [`ResultFolder::begin`], with what to do about it.
pub fn result_folder(path: &Path, kind: &'static Kind) -> Result<ResultFolder> {
    ResultFolder::begin(path, kind).map_err(advise)
}

fn advise(error: OutputError) -> anyhow::Error {
    match error {
        OutputError::Held { .. } => {
            anyhow!("{error}: wait until it has ended, or choose another folder with --out")
        }
        error => anyhow!("{error}: choose another folder with --out"),
    }
}
