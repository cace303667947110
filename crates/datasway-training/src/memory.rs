//! Lower bounds of the memory that training takes.

use datasway_diffusion::config::UNetConfig;

/// Copies of each weight: itself, its gradient, two moments and its average.
const COPIES: u128 = 5;
/// Tensors of a convolution that are kept for its gradient.
const KEPT: u128 = 2;
/// Convolutions of a block.
const CONVOLUTIONS: u128 = 2;
/// The network has blocks on the way down and on the way up.
const WAYS: u128 = 2;

/// A lower bound of the bytes for training `network` with batches of `batch` images.
pub fn network_bytes(network: &UNetConfig, batch: usize) -> u128 {
    let (mut weights, mut activations) = (0u128, 0u128);
    for (level, &multiplier) in network.multipliers.iter().enumerate() {
        let side = network.image_size.checked_shr(level as u32).unwrap_or(0);
        let channels = product([network.channels, multiplier]);
        let layers = WAYS * CONVOLUTIONS * network.blocks as u128;
        let values = product([side, side]).saturating_mul(channels);
        activations = activations.saturating_add(values.saturating_mul(layers * KEPT));
        weights =
            weights.saturating_add(channels.saturating_mul(channels).saturating_mul(9 * layers));
    }
    let entries = weights.saturating_mul(COPIES);
    let entries = entries.saturating_add(activations.saturating_mul(batch as u128));
    entries.saturating_mul(4)
}

/// The bytes of this number of weights in training.
pub fn weights_bytes(weights: usize) -> u128 {
    COPIES.saturating_mul(weights as u128).saturating_mul(4)
}

/// A lower bound of the bytes for training a classifier of `size`×`size` images.
pub fn classifier_bytes(channels: usize, size: usize, batch: usize) -> u128 {
    let activations = product([channels, size, size, batch]).saturating_mul(KEPT * CONVOLUTIONS);
    let weights = product([channels, channels]).saturating_mul(9 * COPIES);
    activations.saturating_add(weights).saturating_mul(4)
}

fn product<const N: usize>(factors: [usize; N]) -> u128 {
    let factors = factors.into_iter().map(|factor| factor as u128);
    factors.fold(1, u128::saturating_mul)
}
