//! Linearity of real changes in the mass.

use super::comparison::Comparison;
use super::scope::SeedScope;
use super::seeds::SeedResult;
use crate::resolved::ResolvedDirection;

/// Comparison of the real changes of one selection by two masses.
#[derive(Debug, Clone, PartialEq)]
pub struct Linearity {
    /// The variant, as an index in the experiment.
    pub variant: usize,
    /// The seed or the mean.
    pub seeds: SeedScope,
    /// The direction of the smaller mass, as an index in the experiment.
    pub small: usize,
    /// The direction of the larger mass.
    pub large: usize,
    /// Median correlation of the two changes.
    pub median: f64,
    /// Slope of the larger change on the smaller one times the ratio of the masses; 1 if changes are linear.
    pub slope: f64,
}

/// The linearity of every pair of directions of the same images; samples have `d` entries.
pub(super) fn linearity(
    directions: &[ResolvedDirection],
    variant: usize,
    result: &SeedResult,
    d: usize,
) -> Vec<Linearity> {
    let mut pairs = Vec::new();
    for (a, small) in directions.iter().enumerate() {
        for (b, large) in directions.iter().enumerate() {
            let same_images = small.images.fingerprint == large.images.fingerprint;
            let (from, to) = (small.spec.signed_mass(), large.spec.signed_mass());
            // Each pair once, the smaller mass first; of equal masses, the removal first.
            if !same_images || a == b || (from.abs(), from) > (to.abs(), to) {
                continue;
            }
            let (small, large) = (&result.real[a], &result.real[b]);
            let summary = Comparison::new(small, to / from, large, d).summary(1);
            pairs.push(Linearity {
                variant,
                seeds: result.seeds,
                small: a,
                large: b,
                median: summary.median,
                slope: summary.slope,
            });
        }
    }
    pairs
}
