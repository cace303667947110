//! Grids of samples during training.

use std::path::Path;

use anyhow::{Result, anyhow};
use burn::tensor::DType;
use datasway_diffusion::network::NetworkDenoiser;
use datasway_diffusion::sampler::{FrozenNoise, Sampler, sample};
use datasway_diffusion::schedule;
use datasway_report::{GridStyle, Picture, grid_png};
use datasway_training::config::TrainConfig;
use datasway_training::trainer::ScoreTrainer;

/// Draws 64 samples of the averaged network with Heun's method in 18 steps, always from the same noise, and writes a PNG grid.
pub fn sample_grid(config: &TrainConfig, trainer: &ScoreTrainer, path: &Path) -> Result<()> {
    let network = &config.network;
    let model = NetworkDenoiser::new(
        trainer.average().clone(),
        network.clone(),
        trainer.precondition(),
    );
    let noise = FrozenNoise::new(config.seed);
    let device = trainer.device();
    let start = noise.start([64, network.dim()], device, DType::F32);
    let samples = sample(&model, &Sampler::Heun, &schedule::edm(18), start, &noise)?;
    let values = samples.into_data().try_to_vec::<f32>();
    let values = values.map_err(|error| anyhow!("samples could not be read back: {error:?}"))?;
    let pictures = values.chunks_exact(network.dim()).map(|values| Picture {
        channels: network.image_channels,
        height: network.image_size,
        width: network.image_size,
        values,
    });
    let pictures: Vec<Picture> = pictures.collect();
    datasway_fs::write(path, &grid_png(&pictures, &GridStyle::default())?)?;
    Ok(())
}
