//! Baseline: random displacements.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::context::BaselineContext;

/// Standard normal displacements, `[n, d]`.
pub(super) fn displacements(context: &BaselineContext<'_>) -> Vec<f32> {
    let rng = ChaCha8Rng::seed_from_u64(context.seed);
    let count = context.samples.len();
    StandardNormal.sample_iter(rng).take(count).collect()
}
