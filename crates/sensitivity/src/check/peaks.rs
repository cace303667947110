//! Peaks of memory, and what they say of a larger batch.

use datasway_fs::process::Cost;

/// Peak memory of the process in bytes for one sample and for a batch; none where the system does not tell.
pub struct Peaks {
    alone: Option<u64>,
    together: Option<u64>,
    /// Samples of the batch.
    batch: usize,
}

impl Peaks {
    /// The peaks of one sample and of a batch of so many.
    pub fn new(alone: Cost, together: Cost, batch: usize) -> Self {
        Self {
            alone: alone.peak,
            together: together.peak,
            batch,
        }
    }

    /// The estimated peak with a batch of so many samples, at least that of the trial.
    pub fn with_batch(&self, batch: usize) -> Option<u64> {
        let added = self.added_by_sample()? * self.missing(batch);
        Some(self.largest()? + added)
    }

    /// The estimated peak with a batch of so many samples, each of which has arrays of `bytes`; all that it has beside them is at
    /// most `limit` for all samples together.
    pub fn with_limit(&self, batch: usize, bytes: u64, limit: u64) -> Option<u64> {
        let missing = self.missing(batch);
        let limited = self.added_by_sample()?.saturating_sub(bytes) * missing;
        Some(self.largest()? + bytes * missing + limited.min(limit))
    }

    fn largest(&self) -> Option<u64> {
        Some(self.alone?.max(self.together?))
    }

    fn added_by_sample(&self) -> Option<u64> {
        let added = self.together?.saturating_sub(self.alone?);
        Some(added / self.batch.saturating_sub(1).max(1) as u64)
    }

    /// Samples of the larger batch that were not measured.
    fn missing(&self, batch: usize) -> u64 {
        batch.saturating_sub(self.batch) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peaks(alone: u64, together: u64, batch: usize) -> Peaks {
        let cost = |peak| Cost {
            seconds: 0.0,
            peak: Some(peak),
        };
        Peaks::new(cost(alone), cost(together), batch)
    }

    #[test]
    fn the_peak_of_a_larger_batch_grows_by_what_each_sample_adds() {
        let peaks = peaks(100, 130, 4);
        assert_eq!(peaks.with_batch(4), Some(130));
        assert_eq!(peaks.with_batch(2), Some(130));
        assert_eq!(peaks.with_batch(8), Some(170));
    }

    #[test]
    fn arrays_of_a_limited_size_grow_to_the_limit_and_the_others_on() {
        let peaks = peaks(100, 130, 4);
        assert_eq!(peaks.with_limit(8, 2, 1000), Some(170));
        assert_eq!(peaks.with_limit(8, 2, 10), Some(148));
        assert_eq!(peaks.with_limit(4, 2, 10), Some(130));
    }

    #[test]
    fn a_single_sample_says_nothing_of_a_batch() {
        assert_eq!(peaks(100, 100, 1).with_batch(8), Some(100));
        assert_eq!(peaks(100, 100, 1).with_limit(8, 2, 10), Some(114));
    }
}
