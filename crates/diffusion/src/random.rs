//! Random numbers as a function of (seed, purpose, step), drawn on the CPU.
//!
//! Nothing is carried from one step to the next, so a resumed run draws what an uninterrupted one
//! would have drawn, on every backend, and two runs with the same seed share their noise.

use burn::tensor::{Device, Tensor, TensorData};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, StandardNormal};

/// What a stream of random numbers is for; streams of different purposes never overlap.
#[derive(Debug, Clone, Copy)]
pub enum Purpose {
    /// Initial weights.
    Weights = 0,
    /// Which images a batch holds, and which of them are flipped.
    Batch = 1,
    /// Noise levels and noise of a training batch.
    TrainingNoise = 2,
    /// Noise from which samples start.
    Samples = 3,
}

/// The generator for a purpose at a step.
pub fn generator(seed: u64, purpose: Purpose, step: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream((step << 8) | purpose as u64);
    rng
}

/// Standard normal numbers of shape `[n, d]`, in f32.
pub fn normal(rng: &mut ChaCha8Rng, [n, d]: [usize; 2], device: &Device) -> Tensor<2> {
    let values: Vec<f32> = StandardNormal.sample_iter(rng).take(n * d).collect();
    Tensor::from_data(TensorData::new(values, [n, d]), device)
}
