//! Input of baselines.

/// Input of a baseline.
#[derive(Debug, Clone, Copy)]
pub struct BaselineContext<'a> {
    /// The samples before the change, `[n, d]`.
    pub samples: &'a [f32],
    /// The images of ν as training uses them, `[m, d]`.
    pub images: &'a [f32],
    /// Mean of the training data, `[d]`.
    pub data_mean: &'a [f32],
    /// Seed of random numbers.
    pub seed: u64,
}

impl BaselineContext<'_> {
    /// d.
    pub(super) fn dim(&self) -> usize {
        self.data_mean.len()
    }

    /// `‖x_i − y_j‖²`, `[n, m]`.
    pub(super) fn squared_distances(&self) -> Vec<f64> {
        let (d, images) = (self.dim(), self.images);
        let squared = |x: &[f32], y: &[f32]| -> f32 {
            let differences = x.iter().zip(y).map(|(x, y)| x - y);
            differences.map(|difference| difference * difference).sum()
        };
        let samples = self.samples.chunks_exact(d);
        samples
            .flat_map(|x| {
                images
                    .chunks_exact(d)
                    .map(move |y| f64::from(squared(x, y)))
            })
            .collect()
    }
}
