//! Loading of images with messages for the command line.

use anyhow::{Result, anyhow};
use datasway_data::{DataError, Dataset, LoadOptions, Source};

/// Setting that decides the size of images, for errors.
#[derive(Clone, Copy)]
pub enum SizeSetting {
    /// This option.
    Option(&'static str),
    /// The model that `--from` names.
    Model,
}

/// Loads the images of `source` and prints a summary.
pub fn load(source: &Source, options: &LoadOptions, size: SizeSetting) -> Result<Dataset> {
    let images = datasway_data::load(source, options).map_err(|error| advised(error, size))?;
    datasway_cli::tell(images.summary());
    Ok(images)
}

/// The error with advice on options.
fn advised(error: DataError, size: SizeSetting) -> anyhow::Error {
    match (&error, size) {
        (DataError::TooSmall { .. }, SizeSetting::Option(option)) => anyhow!(
            "{error}, ask for smaller images with {option}, or leave such images out with --skip-bad"
        ),
        (DataError::TooSmall { .. }, SizeSetting::Model) => anyhow!(
            "{error}, enlarge it as the model's training did with --filter bilinear, bicubic or lanczos, or leave such images out with \
             --skip-bad"
        ),
        (DataError::TooLarge { .. } | DataError::BadSize(_), SizeSetting::Option(option)) => {
            anyhow!("{error} with {option}")
        }
        (DataError::TooLarge { .. }, SizeSetting::Model) => anyhow!("{error} with --limit"),
        _ if error.is_of_one_image() => {
            anyhow!("{error} or leave such images out with --skip-bad")
        }
        _ => error.into(),
    }
}
