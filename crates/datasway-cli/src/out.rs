//! Output folders of `--out`, with advice in errors.

use std::path::Path;

use anyhow::{Result, anyhow};
use datasway_fs::output::{Kind, OutputError, OutputFolder, ResultFolder};

/// Claims a folder for files that grow in place.
///
/// # Errors
/// As [`OutputFolder::open`], with advice.
pub fn output_folder(path: &Path, kind: &'static Kind) -> Result<OutputFolder> {
    OutputFolder::open(path, kind).map_err(advise)
}

/// Claims a folder for results that are put into place when they are complete.
///
/// # Errors
/// As [`ResultFolder::begin`], with advice.
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
