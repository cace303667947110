//! Random numbers as a function of seed, stream and index, drawn on the CPU.
//!
//! There is no state between draws. A resumed run therefore draws the same numbers as an uninterrupted one, all devices draw
//! the same numbers, and two runs with the same seed share their noise.

use burn::tensor::{Device, Tensor, TensorData};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// Streams of random numbers. Different streams are independent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RandomStream {
    /// Images of a training batch and their mirroring; by step.
    Batch,
    /// Noise levels and noise of a training batch; by step.
    TrainingNoise,
    /// Noise of a sample; by sample and sampler step.
    Sample,
    /// Probes of a trace estimator; by sample, sampler step and probe.
    Probe,
    /// Parameters and points of synthetic measures; by part.
    Measure,
    /// Choice of held-out images.
    Split,
    /// Images, noise levels and noise of draws of the training loss; by quantity and draw.
    LossDraw,
    /// Weights of an untrained network; by the name of the weight.
    Weights,
}

/// The generator of a seed, a stream and an index of up to three numbers, below 2⁶⁴, 2⁶⁴ and 2³².
pub fn generator<const N: usize>(seed: u64, purpose: RandomStream, index: [u64; N]) -> ChaCha8Rng {
    const { assert!(N <= 3) };
    let mut numbers = [seed, 0, 0, 0];
    numbers[1..=N].copy_from_slice(&index);
    numbers[3] = (numbers[3] << 32) | purpose as u64;
    let mut key = [0; 32];
    for (bytes, number) in key.chunks_exact_mut(8).zip(numbers) {
        bytes.copy_from_slice(&number.to_le_bytes());
    }
    ChaCha8Rng::from_seed(key)
}

/// Standard normal numbers of shape `[n, d]`, in f32.
pub fn normal(rng: &mut ChaCha8Rng, [n, d]: [usize; 2], device: &Device) -> Tensor<2> {
    let values: Vec<f32> = StandardNormal.sample_iter(rng).take(n * d).collect();
    Tensor::from_data(TensorData::new(values, [n, d]), device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;

    #[test]
    fn every_part_of_the_name_makes_another_stream() {
        let draw =
            |seed, purpose, index: [u64; 3]| -> u64 { generator(seed, purpose, index).random() };
        let base = draw(1, RandomStream::Sample, [2, 3, 4]);
        assert_eq!(base, draw(1, RandomStream::Sample, [2, 3, 4]));
        for other in [
            draw(2, RandomStream::Sample, [2, 3, 4]),
            draw(1, RandomStream::Probe, [2, 3, 4]),
            draw(1, RandomStream::Sample, [3, 2, 4]),
            draw(1, RandomStream::Sample, [2, 3, 5]),
        ] {
            assert_ne!(base, other);
        }
    }
}
