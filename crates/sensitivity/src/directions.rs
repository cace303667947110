//! The changes of the training data that are asked about.

use std::path::Path;

use crate::rank::output::RankedDirection;
use anyhow::{Result, ensure};
use burn::tensor::DType;
use datasway_data::{Selected, Selection};
use datasway_diffusion::denoiser::Denoiser;
use datasway_diffusion::network::NetworkDenoiser;
use datasway_diffusion::sampler::{FrozenNoise, Sampler, sample};
use datasway_sensitivity::density::moment_matched_gaussian;
use datasway_sensitivity::measure::{Empirical, Measure, ModelMeasure};
use datasway_sensitivity::ranking::rank;
use datasway_sensitivity::sensitivities::{Sensitivities, SensitivityConfig};

use crate::command::Arguments;
use crate::default_model;
use crate::trained::TrainedModel;

/// ImagePoints of a direction shown on the page.
const SHOWN: usize = 20;

/// One change of the training data.
pub struct Direction {
    selection: String,
    removing: bool,
    /// Number of images; 0 where the direction is a model.
    count: usize,
    /// Pictures for the page, `[k, d]`.
    pictures: Vec<f32>,
    /// ν.
    pub measure: Box<dyn Measure>,
}

/// What stands before the checkpoint of a change that is what another model was trained on.
pub const MODEL: &str = "model:";

/// Whether a change is what another model was trained on, `model:CHECKPOINT`.
pub fn is_model(text: &str) -> bool {
    text.starts_with(MODEL)
}

/// Every change that the arguments name.
pub fn directions(
    arguments: &Arguments,
    settings: &SensitivityConfig,
    model: &TrainedModel,
) -> Result<Vec<Direction>> {
    let added = arguments.add.iter().map(|text| (text, false));
    let removed = arguments.remove.iter().map(|text| (text, true));
    added
        .chain(removed)
        .map(|(text, removing)| match text.strip_prefix(MODEL) {
            Some(file) => of_model(arguments, settings, model, text, Path::new(file)),
            None => of_images(arguments, model, text, removing),
        })
        .collect()
}

fn of_images(
    arguments: &Arguments,
    model: &TrainedModel,
    text: &str,
    removing: bool,
) -> Result<Direction> {
    let images = match Selection::parse(text)?.resolve(&model.images, &model.options)? {
        Selected::Indices(indices) => model.images.subset(&indices),
        Selected::External(set) => {
            datasway_cli::tell(set.summary());
            set
        }
    };
    let mut pictures = Vec::new();
    if !arguments.no_photos {
        let first: Vec<usize> = (0..images.len().min(SHOWN)).collect();
        images.fill(&first, &mut pictures);
    }
    let measure = Empirical::of_images(&images, model.mirrored, &model.device)?;
    Ok(Direction {
        selection: text.to_owned(),
        removing,
        count: images.len(),
        pictures,
        measure: Box::new(measure),
    })
}

/// A direction known only through a second model; the page shows samples of it.
fn of_model(
    arguments: &Arguments,
    settings: &SensitivityConfig,
    model: &TrainedModel,
    text: &str,
    file: &Path,
) -> Result<Direction> {
    let checkpoint = default_model::or_shipped(Some(file))?;
    let (theirs, ours) = (&checkpoint.header.network, model.images.shape);
    ensure!(
        (theirs.image_size, theirs.image_channels) == (ours.width, ours.channels),
        "--add {text}: is a model of images of {side}×{side} pixels with {} channels, but samples are {}×{} with {}: name one of such \
         images",
        theirs.image_channels,
        ours.width,
        ours.height,
        ours.channels,
        side = theirs.image_size
    );
    let other = NetworkDenoiser::from_checkpoint(&checkpoint, &model.device)?;
    let mut pictures = Vec::new();
    if !arguments.no_photos {
        let noise = FrozenNoise::new(settings.seed);
        let unit = noise.start([SHOWN, other.dim()], &model.device, DType::F32);
        let samples = sample(&other, &Sampler::Heun, &settings.sigmas, unit, &noise)?;
        pictures = samples.into_data().iter::<f32>().collect();
    }
    let start = moment_matched_gaussian(&checkpoint, &model.device)?;
    let trace = arguments.common.trace().of_model(&checkpoint);
    let measure = ModelMeasure::new(other, start, trace, &settings.sigmas)?;
    Ok(Direction {
        selection: text.to_owned(),
        removing: false,
        count: 0,
        pictures,
        measure: Box::new(measure),
    })
}

/// The directions with their rankings.
pub fn shown(directions: Vec<Direction>, results: &Sensitivities) -> Vec<RankedDirection> {
    let show = |(k, direction): (usize, Direction)| RankedDirection {
        ranking: rank(results, k, !is_model(&direction.selection)),
        selection: direction.selection,
        removing: direction.removing,
        count: direction.count,
        pictures: direction.pictures,
    };
    directions.into_iter().enumerate().map(show).collect()
}
