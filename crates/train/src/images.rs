//! Loading of images with messages for the command line.

use anyhow::{Result, anyhow};
use datasway_data::{DataError, Dataset, LoadOptions, Source};

/// Loads the images of `source` and prints a summary. `size` is the option that sets their size, for errors.
pub fn load(source: &Source, options: &LoadOptions, size: &str) -> Result<Dataset> {
    let images = datasway_data::load(source, options).map_err(|error| advised(error, size))?;
    datasway_cli::tell(images.summary());
    Ok(images)
}

/// The error with advice on options.
fn advised(error: DataError, size: &str) -> anyhow::Error {
    match error {
        DataError::TooSmall { .. } => anyhow!(
            "{error}, ask for smaller images with {size}, or leave such images out with --skip-bad"
        ),
        DataError::TooLarge { .. } | DataError::BadSize(_) => anyhow!("{error} with {size}"),
        _ if error.is_of_one_image() => {
            anyhow!("{error} or leave such images out with --skip-bad")
        }
        _ => error.into(),
    }
}
