//! A picture of the samples at both ends of a ranking.

use datasway_data::Shape;
use datasway_report::{Picture, ReportError, strip_png};
use datasway_sensitivity::{Change, RankedDirection, RankedSensitivities};

/// Samples at each end of the ranking.
const LENGTH: usize = 6;

/// A PNG of the samples that move most in direction k, from the left, and of those that move least.
///
/// # Errors
/// If the values do not fill the shape.
pub fn ends(results: &RankedSensitivities, k: usize, shape: Shape) -> Result<Vec<u8>, ReportError> {
    let RankedDirection { direction, ranking } = &results.directions[k];
    let numbers = &results.sensitivities;
    let picture = |values| Picture {
        channels: shape.channels,
        height: shape.height,
        width: shape.width,
        values,
    };
    // The two ends do not overlap.
    let last = ranking.len().saturating_sub(LENGTH);
    let last = last.max(LENGTH.min(ranking.len()));
    let ends = ranking.iter().take(LENGTH).chain(&ranking[last..]);
    let (samples, deltas): (Vec<_>, Vec<_>) = ends
        .map(|row| {
            let sample = numbers.sample(row.index);
            (picture(sample), picture(numbers.delta(k, row.index)))
        })
        .unzip();
    strip_png(&samples, &deltas, direction.change() == Change::Remove)
}
