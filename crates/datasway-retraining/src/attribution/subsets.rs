//! Random parts of the training data.

use datasway_data::{Dataset, LoadOptions, Selected, Selection};
use datasway_diffusion::random::{RandomStream, generator};
use rand::seq::index;
use sha2::{Digest, Sha256};

use super::Benchmark;
use crate::RetrainError;

/// Indices of all parts together, at most.
const NUMBERS: usize = 1 << 27;

/// The benchmark's parts of `n` training images, each drawn without replacement: indices, ascending. A part depends on the seed and
/// its place only, so that more of them do not change the first ones.
///
/// # Errors
/// If a part would be empty or everything.
pub fn draw(benchmark: &Benchmark, n: usize) -> Result<Vec<Vec<usize>>, RetrainError> {
    let size = (benchmark.fraction * n as f64).round() as usize;
    if size == 0 || size >= n {
        return Err(RetrainError::experiment(format!(
            "attribution: a part of {n} training images must have at least 1 and not all of them; fraction = {} makes {size}",
            benchmark.fraction
        )));
    }
    let numbers = size.saturating_mul(benchmark.subsets);
    if numbers > NUMBERS {
        return Err(RetrainError::experiment(format!(
            "attribution: {} parts of {size} images are {numbers} numbers to hold, and {NUMBERS} are allowed: choose fewer subsets or a \
             smaller fraction",
            benchmark.subsets
        )));
    }
    let part = |k: usize| {
        let mut rng = generator(benchmark.seed, RandomStream::Measure, [k as u64]);
        let mut indices = index::sample(&mut rng, n, size).into_vec();
        indices.sort_unstable();
        indices
    };
    Ok((0..benchmark.subsets).map(part).collect())
}

/// The benchmark's groups: indices, ascending.
///
/// # Errors
/// If a selection finds no training images, or all of them.
pub fn groups(
    benchmark: &Benchmark,
    images: &Dataset,
    options: &LoadOptions,
) -> Result<Vec<Vec<usize>>, RetrainError> {
    let group = |text: &String| {
        let refuse = |why: &str| RetrainError::experiment(format!("attribution: {text} {why}"));
        match Selection::parse(text)?.resolve(images, options)? {
            Selected::External(_) => Err(refuse("is not a group of training images")),
            Selected::Indices(all) if all.len() == images.len() => {
                Err(refuse("is all training images: nothing is left without it"))
            }
            Selected::Indices(mut indices) => {
                indices.sort_unstable();
                Ok(indices)
            }
        }
    };
    benchmark.groups.iter().map(group).collect()
}

/// What tells a part from others: SHA-256 of its indices, in hexadecimal.
pub fn fingerprint(indices: &[usize]) -> String {
    let mut hash = Sha256::new();
    for &index in indices {
        hash.update((index as u64).to_le_bytes());
    }
    hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
}
