//! The difference that clamped denoised images make, where it is known.

use burn::tensor::{DType, Device};
use datasway_diffusion::sampler::{FrozenNoise, Sampler};
use datasway_sensitivity::measure::Gaussian;
use datasway_sensitivity::{CLIPPED_SAMPLES, ClipDifference, SensitivityConfig};

/// Entries of a sample.
const D: usize = 6;

fn config(sigmas: Vec<f64>) -> SensitivityConfig {
    SensitivityConfig {
        sampler: Sampler::Euler,
        sigmas,
        ..SensitivityConfig::default()
    }
}

/// With one step of Euler's method a sample is `D(σ·n)`, so the clamped one is the same number clamped.
#[test]
fn one_step_is_clamped_entry_by_entry() {
    let device = Device::flex();
    let model = Gaussian::diagonal(&[0.0; D], &[9.0; D], &device, DType::F32).unwrap();
    let config = config(vec![4.0, 0.0]);
    let noise = FrozenNoise::new(config.seed).start([12, D], &device, DType::F64);
    let noise: Vec<f64> = noise.into_data().iter::<f64>().collect();
    // D(x) = 9/(9 + 16)·x at x = 4n.
    let samples: Vec<f64> = noise.iter().map(|n| 4.0 * 9.0 / 25.0 * n).collect();
    let narrow: Vec<f32> = samples.iter().map(|s| *s as f32).collect();
    let difference = ClipDifference::measure(&model, 1.0, &narrow, &config, &device).unwrap();
    let kept = &samples[..CLIPPED_SAMPLES * D];
    let gaps: Vec<f64> = kept
        .iter()
        .map(|s| 127.5 * (s.abs() - 1.0).max(0.0))
        .collect();
    let largest = gaps.iter().copied().fold(0.0, f64::max);
    let mean = gaps.iter().map(|g| g * g).sum::<f64>() / gaps.len() as f64;
    assert_eq!(difference.samples, CLIPPED_SAMPLES);
    assert!(largest > 20.0, "the test clamps something");
    assert!((difference.largest - largest).abs() < 1e-3 * largest);
    assert!((difference.root_mean_square - mean.sqrt()).abs() < 1e-3 * mean.sqrt());
}

#[test]
fn a_wide_clamp_changes_nothing_and_no_sample_is_refused() {
    let device = Device::flex();
    let model = Gaussian::diagonal(&[0.0; D], &[0.04; D], &device, DType::F32).unwrap();
    let config = config(vec![4.0, 0.5, 0.0]);
    let start = FrozenNoise::new(config.seed).start([3, D], &device, DType::F32);
    let samples = datasway_diffusion::sampler::sample(
        &model,
        &config.sampler,
        &config.sigmas,
        start,
        &FrozenNoise::new(config.seed),
    );
    let samples: Vec<f32> = samples.unwrap().into_data().iter::<f32>().collect();
    let difference = ClipDifference::measure(&model, 100.0, &samples, &config, &device).unwrap();
    assert_eq!((difference.samples, difference.largest), (3, 0.0));
    assert!(ClipDifference::measure(&model, 1.0, &[], &config, &device).is_err());
}
