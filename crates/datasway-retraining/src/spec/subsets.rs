//! Random subsets and groups of the training images.

use datasway_data::{Dataset, LoadOptions, Selected, Selection};
use datasway_diffusion::random::{RandomStream, generator};
use rand::seq::index;
use sha2::{Digest, Sha256};

use super::benchmark::Benchmark;
use crate::RetrainError;

/// Largest number of indices of all subsets together.
const MAX_INDICES: usize = 1 << 27;

/// Draws the random subsets of a benchmark among `n` training images, each without replacement.
///
/// Returns the indices of each subset, ascending.
/// A subset depends on the seed and its position only, so that the first ones do not change with the number of subsets.
///
/// # Errors
/// If a subset would be empty or hold all images.
pub fn draw(benchmark: &Benchmark, n: usize) -> Result<Vec<Vec<usize>>, RetrainError> {
    let size = (benchmark.fraction * n as f64).round() as usize;
    if size == 0 || size >= n {
        return Err(RetrainError::experiment(format!(
            "attribution: a part of {n} training images must have at least 1 and not all of them; fraction = {} makes {size}",
            benchmark.fraction
        )));
    }
    let indices = size.saturating_mul(benchmark.subsets);
    if indices > MAX_INDICES {
        return Err(RetrainError::experiment(format!(
            "attribution: {} parts of {size} images are {indices} numbers to hold, and {MAX_INDICES} are allowed: choose fewer subsets or a \
             smaller fraction",
            benchmark.subsets
        )));
    }
    let subset = |k: usize| {
        let mut rng = generator(benchmark.seed, RandomStream::Measure, [k as u64]);
        let mut indices = index::sample(&mut rng, n, size).into_vec();
        indices.sort_unstable();
        indices
    };
    Ok((0..benchmark.subsets).map(subset).collect())
}

/// Resolves the groups of a benchmark.
///
/// Returns the indices of each group, ascending.
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
            Selected::Indices(indices) if indices.len() == images.len() => {
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

/// Identifies a set of indices: their SHA-256 in hexadecimal.
pub fn fingerprint(indices: &[usize]) -> String {
    let mut hash = Sha256::new();
    for &index in indices {
        hash.update((index as u64).to_le_bytes());
    }
    hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
}
