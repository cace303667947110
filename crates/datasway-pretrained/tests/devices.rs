//! Other devices agree with the CPU backend on a network of diffusers: values, products with J and its transpose, and a sample.
//!
//! The test needs a cargo feature: `cargo test -p datasway-pretrained --features datasway-diffusion/wgpu --test devices`, or `ndarray`.
//! Without one, it prints that it was skipped.

use std::path::Path;

use burn::tensor::{DType, Device, Tensor};
use datasway_diffusion::device::{DEVICES, device};
use datasway_diffusion::sampler::{FrozenNoise, Sampler, sample};
use datasway_diffusion::schedule::karras;
use datasway_pretrained::{Pretrained, PretrainedOptions};

/// Entries of a picture.
const D: usize = 64;
/// Largest difference, relative to the largest entry.
const TOLERANCE: f32 = 1e-4;

/// Names and values of everything that is compared.
fn results(device: &Device) -> Vec<(&'static str, Vec<f32>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/folders/pipeline");
    let options = PretrainedOptions {
        device: device.clone(),
        ..PretrainedOptions::default()
    };
    let model = Pretrained::load(&folder, &options).unwrap();
    let model = model.score_model.denoiser();
    let draw = |seed: u64| FrozenNoise::new(seed).start([2, D], device, DType::F32);
    let tangents = Tensor::stack::<3>(vec![draw(1), draw(2)], 0);
    let (denoised, forwards) = model.jvp(draw(0), 0.7, tangents.clone()).unwrap();
    let (_, backwards) = model.vjp(draw(0), 0.7, tangents).unwrap();
    let sigmas = karras(6, 0.02, 80.0, 7.0);
    let noise = FrozenNoise::new(0);
    let samples = sample(model, &Sampler::Heun, &sigmas, draw(3), &noise).unwrap();
    vec![
        ("D", values(denoised)),
        ("J·v", values(forwards)),
        ("Jᵀ·c", values(backwards)),
        ("samples", values(samples)),
    ]
}

fn values<const R: usize>(tensor: Tensor<R>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap()
}

#[test]
fn an_imported_network_agrees_with_flex() {
    let ours = results(&Device::flex());
    let mut tried = 0;
    for name in DEVICES.into_iter().filter(|name| *name != "flex") {
        let Ok(other) = device(name) else {
            eprintln!("skipped: {name} is not compiled in (cargo feature {name})");
            continue;
        };
        tried += 1;
        for ((what, ours), (_, theirs)) in ours.iter().zip(results(&other)) {
            let largest = ours.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
            let gaps = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs());
            let error = gaps.fold(0.0_f32, f32::max);
            assert_eq!(ours.len(), theirs.len());
            assert!(
                error <= TOLERANCE * largest,
                "{name}: {what}: {error} of {largest}"
            );
            println!(
                "{name}: {what} differs by {:e} of the largest",
                error / largest
            );
        }
    }
    if tried == 0 {
        eprintln!("skipped: no device but flex is compiled in");
    }
}
