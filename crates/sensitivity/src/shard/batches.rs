//! The batches of a run, which its shards share out.

use std::ops::Range;

use datasway_sensitivity::SensitivityConfig;

/// The samples of each batch, in order.
pub fn batches(config: &SensitivityConfig) -> impl Iterator<Item = Range<usize>> {
    let (samples, batch) = (config.samples, config.batch);
    let starts = (0..samples).step_by(batch);
    starts.map(move |first| first..(first + batch).min(samples))
}
