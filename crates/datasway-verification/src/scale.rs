//! The size of a verification run.

/// Size, seed and progress callback of a verification run.
pub struct StudyScale<'a> {
    /// Seed of mixtures, points, noise, probes and networks.
    pub seed: u64,
    /// True for studies of a reduced size, which show that they work and whose numbers mean less.
    pub quick: bool,
    /// Receives a line of text whenever a computation starts.
    pub progress: &'a dyn Fn(String),
}

impl StudyScale<'_> {
    /// The full size of something, or its size in a quick run.
    pub fn scaled(&self, full: usize, quick: usize) -> usize {
        if self.quick { quick } else { full }
    }

    /// Reports the computation that starts now.
    pub fn report_progress(&self, text: impl Into<String>) {
        (self.progress)(text.into());
    }
}
