//! Arguments of `sensitivity check`.

use std::path::PathBuf;

use datasway_cli::number::{self, count, real};

use crate::model_arguments::ModelArgs;

/// Tells whether a model is one of the data, before hours of work: its denoising loss by noise level beside what the best linear
/// denoiser reaches, samples, and the time and memory of a run. Ends with exit code 1 if the model does not fit the data.
#[derive(clap::Args)]
pub struct CheckArgs {
    /// Samples of the ranking and of the influences whose time is estimated
    #[arg(long, default_value_t = 64, value_parser = count(number::SAMPLES))]
    pub(super) samples: usize,
    /// Changes of the data in that ranking
    #[arg(long, default_value_t = 2, value_name = "COUNT", value_parser = count(number::PROBES))]
    pub(super) changes: usize,
    /// Functional whose influences are estimated, as in `influence`; repeatable
    #[arg(long = "of", value_name = "FUNCTIONAL", default_value = "principal")]
    pub(super) functionals: Vec<String>,
    /// Images whose loss is measured [default: 256, or as many as --minutes allows, but 8 at least]
    #[arg(long, value_parser = count(number::IMAGES))]
    pub(super) images: Option<usize>,
    /// Minutes that the check may take: for a large model, fewer images are measured and fewer samples drawn, and the page says so
    #[arg(long, default_value_t = 5.0, value_parser = real(number::MINUTES))]
    pub(super) minutes: f64,
    /// Write datasway.toml beside a model of another library that fits: data, crop, filter and fingerprints, for later runs
    #[arg(long)]
    pub(super) write: bool,
    #[command(flatten)]
    pub(super) model: ModelArgs,
    /// Folder of the results
    #[arg(long, default_value = "runs/check")]
    pub(super) out: PathBuf,
}
