//! Grids of samples during training.

use std::path::Path;

use anyhow::{Result, anyhow};
use burn::tensor::{DType, Device};
use datasway_diffusion::denoiser::Denoiser;
use datasway_diffusion::sampler::{FrozenNoise, Sampler, sample};
use datasway_report::{GridStyle, Picture, grid_png};

/// Steps of Heun's method.
pub const STEPS: usize = 18;

/// Draws 64 samples with Heun's method on these noise levels, always from the same noise, and writes a PNG grid.
pub fn sample_grid(
    model: &dyn Denoiser,
    [channels, height, width]: [usize; 3],
    sigmas: &[f64],
    seed: u64,
    device: &Device,
    path: &Path,
) -> Result<()> {
    let noise = FrozenNoise::new(seed);
    let start = noise.start([64, model.dim()], device, DType::F32);
    let samples = sample(model, &Sampler::Heun, sigmas, start, &noise)?;
    let values = samples.into_data().try_to_vec::<f32>();
    let values = values.map_err(|error| anyhow!("samples could not be read back: {error:?}"))?;
    let pictures = values.chunks_exact(model.dim()).map(|values| Picture {
        channels,
        height,
        width,
        values,
    });
    let pictures: Vec<Picture> = pictures.collect();
    datasway_fs::write(path, &grid_png(&pictures, &GridStyle::default())?)?;
    Ok(())
}
