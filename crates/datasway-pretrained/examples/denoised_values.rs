//! Writes points, noise levels and what a model makes of them, for a comparison with PyTorch:
//! `cargo run --release -p datasway-pretrained --example denoised_values -- MODEL OUT.safetensors`
//!
//! MODEL is a checkpoint of `train`, or the folder of a model of another library. The file has `x` `[σ, n, d]`, `sigmas`, and
//! `denoised` `[σ, n, d]`, in single precision. `scripts/peers/diffusers_export.py` reads it.

use std::error::Error;
use std::path::Path;

use burn::tensor::Device;
use datasway_diffusion::checkpoint::Checkpoint;
use datasway_diffusion::denoiser::Denoiser;
use datasway_diffusion::network::NetworkDenoiser;
use datasway_diffusion::random::{RandomStream, generator, normal};
use datasway_diffusion::schedule::{SIGMA_MAX, SIGMA_MIN};
use datasway_pretrained::{Pretrained, PretrainedOptions, is_pretrained};
use safetensors::tensor::{Dtype, TensorView};

/// Noise levels, of equal ratio.
const LEVELS: usize = 10;
/// Points at a level.
const POINTS: usize = 3;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, out] = &arguments[..] else {
        return Err("name a model and the file to write".into());
    };
    let path = Path::new(model);
    if is_pretrained(path) {
        let model = Pretrained::load(path, &PretrainedOptions::default())?;
        return write(model.score_model.denoiser(), model.sigma_range, out);
    }
    let model = NetworkDenoiser::from_checkpoint(&Checkpoint::load(path)?, &Device::flex())?;
    write(&model, [SIGMA_MIN, SIGMA_MAX], out)
}

fn write(
    model: &dyn Denoiser,
    [lowest, highest]: [f64; 2],
    out: &str,
) -> Result<(), Box<dyn Error>> {
    let device = Device::flex();
    let (mut points, mut levels, mut denoised) = (Vec::new(), Vec::new(), Vec::new());
    for i in 0..LEVELS {
        let sigma = lowest * (highest / lowest).powf(i as f64 / (LEVELS - 1) as f64);
        let mut rng = generator(0, RandomStream::Sample, [i as u64]);
        // Points of pictures with deviations of about 1/2, and their noise.
        let x = normal(&mut rng, [POINTS, model.dim()], &device) * sigma.hypot(0.5);
        denoised.extend(model.denoise(x.clone(), sigma)?.into_data().iter::<f32>());
        points.extend(x.into_data().iter::<f32>());
        levels.extend(sigma.to_le_bytes());
    }
    let bytes =
        |values: &[f32]| -> Vec<u8> { values.iter().flat_map(|v| v.to_le_bytes()).collect() };
    let (points, denoised) = (bytes(&points), bytes(&denoised));
    let shape = vec![LEVELS, POINTS, model.dim()];
    let tensors = [
        ("x", TensorView::new(Dtype::F32, shape.clone(), &points)?),
        (
            "sigmas",
            TensorView::new(Dtype::F64, vec![LEVELS], &levels)?,
        ),
        ("denoised", TensorView::new(Dtype::F32, shape, &denoised)?),
    ];
    std::fs::write(out, safetensors::serialize(tensors, None)?)?;
    Ok(())
}
