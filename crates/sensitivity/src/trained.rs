//! A trained model with the images it was trained on.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use burn::tensor::Device;
use datasway_data::{Dataset, LoadOptions, Source};
use datasway_diffusion::checkpoint::Checkpoint;
use datasway_diffusion::device::device;
use datasway_diffusion::network::NetworkDenoiser;

use crate::default_model;

/// What every question is asked of.
pub struct TrainedModel {
    /// The model's file, for people.
    pub name: String,
    /// What was saved of it.
    pub checkpoint: Checkpoint,
    /// The network.
    pub network: NetworkDenoiser,
    /// The training images, as their fingerprint proves.
    pub images: Dataset,
    /// How they were loaded: images from elsewhere must be alike.
    pub options: LoadOptions,
    /// Whether their mirror images were trained on too.
    pub mirrored: bool,
    /// Where to compute.
    pub device: Device,
}

impl TrainedModel {
    /// Loads a checkpoint, the shipped one if none is named, and its images, from elsewhere if `data` says so.
    pub fn load(
        checkpoint: Option<&Path>,
        data: Option<&str>,
        cache: &Path,
        on: &str,
    ) -> Result<Self> {
        let name = match checkpoint {
            Some(file) => file.display().to_string(),
            None => default_model::NAME.to_owned(),
        };
        let checkpoint = default_model::or_shipped(checkpoint)?;
        let device = device(on)?;
        let network = NetworkDenoiser::from_checkpoint(&checkpoint, &device)?;
        let header = &checkpoint.header;
        let options = LoadOptions {
            size: Some(header.network.image_size),
            grey: header.network.image_channels == 1,
            limit: header.limit,
            skip_bad: header.skip_bad,
            cache_dir: Some(cache.to_owned()),
            progress: true,
        };
        let source = data.unwrap_or(&header.data);
        let images =
            Source::parse(source).and_then(|source| datasway_data::load(&source, &options));
        let images = match data {
            Some(_) => images?,
            None => images.with_context(|| {
                format!("the images of {name}, which --data may name where they are now")
            })?,
        };
        datasway_cli::tell(images.summary());
        ensure!(
            images.fingerprint == header.fingerprint,
            "{name} was trained on {} (fingerprint {}), but {source} has fingerprint {}: pass the training images with --data",
            header.data,
            header.fingerprint,
            images.fingerprint
        );
        let training: toml::Table = header.training.parse()?;
        let mirrored = training.get("flip").and_then(toml::Value::as_bool) == Some(true);
        Ok(Self {
            name,
            network,
            images,
            options,
            mirrored,
            device,
            checkpoint,
        })
    }
}
