//! Run information of influences, and the images of a run.

use datasway_data::Dataset;
use serde::Serialize;

use crate::picture_arguments::GivenPictures;
use crate::replay::RecordedOptions;
use crate::run_info::RunInfo;

/// Run information of influences.
#[derive(Debug, Clone, Serialize)]
pub struct InfluenceRun {
    /// Model and options.
    #[serde(flatten)]
    pub info: RunInfo,
    /// The functionals, as the arguments name them.
    pub of: Vec<String>,
    /// The options of the run.
    #[serde(flatten)]
    pub recorded: RecordedOptions,
    /// The pictures in the place of samples.
    #[serde(skip)]
    pub pictures: Option<GivenPictures>,
}

/// The images whose influence was computed.
#[derive(Clone, Copy)]
pub struct ImageSets<'a> {
    /// The training images.
    pub training: &'a Dataset,
    /// The images outside the training set.
    pub candidates: Option<&'a Dataset>,
    /// True if they are on the page.
    pub shown: bool,
}
