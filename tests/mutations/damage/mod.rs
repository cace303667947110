//! Damage, from one generator.

pub mod bytes;
pub mod json;
pub mod tensors;
pub mod text;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// One of these.
pub fn one<'a, T>(rng: &mut ChaCha8Rng, of: &'a [T]) -> &'a T {
    &of[rng.random_range(0..of.len())]
}

/// How often damage is done to one input: mostly once.
pub fn times(rng: &mut ChaCha8Rng) -> usize {
    1 + (0..4).take_while(|_| rng.random_bool(0.4)).count()
}
