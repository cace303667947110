//! The images that counterfactual models are trained without.

use std::path::Path;

use datasway_attribution::AttributionTarget;
use datasway_diffusion::random::{RandomStream, generator};
use rand::seq::index;

use super::store::{CANNOT_BE_USED, read_arrays};
use crate::RetrainError;
use crate::spec::RemovalSpec;

/// The `remove` images of `n` that are removed at random for a sample, ascending.
pub(super) fn random(seed: u64, sample: usize, remove: usize, n: usize) -> Vec<usize> {
    let mut rng = generator(seed, RandomStream::Measure, [sample as u64, u64::MAX]);
    let mut images = index::sample(&mut rng, n, remove).into_vec();
    images.sort_unstable();
    images
}

/// The `remove` images that the scores of a method hold most responsible for a sample, ascending.
///
/// Without them the loss at the sample would rise most, or the sample would move furthest along its principal line.
/// `scores` is the result of the attribution job.
///
/// # Errors
/// If the scores have no such form, or are of another shape.
pub(super) fn responsible(
    scores: &Path,
    removal: &RemovalSpec,
    sample: usize,
    remove: usize,
) -> Result<Vec<usize>, RetrainError> {
    let RemovalSpec { form, target, .. } = removal;
    let arrays = read_arrays(scores)?;
    let array = arrays.get(&format!("images/{}/{form}", target.name()));
    let array = array.ok_or_else(|| {
        RetrainError::experiment(format!(
            "attribution: counterfactual.forms names {form}, but its method scores no such form of the loss at samples"
        ))
    })?;
    match array.shape[..] {
        [rows, columns] if sample < rows && remove <= columns => {
            // A sample may move along its principal line in either direction.
            let either_end = *target == AttributionTarget::Principal;
            Ok(extreme(array.row(sample), remove, either_end))
        }
        _ => {
            let reason = format!("its scores have the shape {:?}", array.shape);
            Err(RetrainError::file(scores, CANNOT_BE_USED)(reason))
        }
    }
}

/// Indices of the `count` smallest numbers, ascending.
/// With `either_end`, those of the `count` largest instead if the magnitude of their sum is larger.
fn extreme(row: &[f32], count: usize, either_end: bool) -> Vec<usize> {
    let mut order: Vec<usize> = (0..row.len()).collect();
    order.sort_by(|&a, &b| row[a].total_cmp(&row[b]));
    let magnitude = |indices: &[usize]| {
        indices
            .iter()
            .map(|&j| f64::from(row[j]))
            .sum::<f64>()
            .abs()
    };
    let (low, high) = (&order[..count], &order[order.len() - count..]);
    let chosen = if either_end && magnitude(high) > magnitude(low) {
        high
    } else {
        low
    };
    let mut chosen = chosen.to_vec();
    chosen.sort_unstable();
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_responsible_are_at_the_low_end_or_at_the_heavier_one() {
        let row = [0.5, -1.0, 3.0, -2.0, 0.1];
        assert_eq!(extreme(&row, 2, false), [1, 3]);
        assert_eq!(extreme(&row, 2, true), [0, 2]);
    }
}
