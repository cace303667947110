//! A direction that knows nothing.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::Scene;

/// Standard normal numbers.
pub fn displace(scene: &Scene<'_>) -> Vec<f32> {
    let rng = ChaCha8Rng::seed_from_u64(scene.seed);
    let count = scene.samples.len();
    StandardNormal.sample_iter(rng).take(count).collect()
}
