//! Statistics of a training set for preconditioning and checkpoints.

use datasway_data::Dataset;
use datasway_diffusion::DiffusionError;
use datasway_diffusion::precondition::Precondition;

/// Name, fingerprint and statistics of the training images, as stored in a checkpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingSetInfo {
    /// The data set, as it was named on the command line.
    pub name: String,
    /// At most this many of its images are used.
    pub limit: Option<usize>,
    /// True if unreadable images were left out.
    pub skip_bad: bool,
    /// Fingerprint of the decoded images.
    pub fingerprint: String,
    /// Standard deviation of all pixels in `[-1, 1]`, for the preconditioning.
    pub sigma_data: f64,
    /// Mean of each entry.
    pub mean: Vec<f32>,
    /// Variance of each entry.
    pub variance: Vec<f32>,
}

impl TrainingSetInfo {
    /// The statistics of images, including their mirror images if `flip` is set.
    pub fn of(images: &Dataset, name: &str, flip: bool) -> Self {
        let (d, width) = (images.shape.dim(), images.shape.width);
        let (mut sums, mut squares) = (vec![0.0; d], vec![0.0; d]);
        for i in 0..images.len() {
            for (j, &byte) in images.image(i).iter().enumerate() {
                let value = f64::from(byte) / 127.5 - 1.0;
                sums[j] += value;
                squares[j] += value * value;
            }
        }
        if flip {
            for row in sums
                .chunks_exact_mut(width)
                .chain(squares.chunks_exact_mut(width))
            {
                let mirrored: Vec<f64> = row.iter().rev().copied().collect();
                row.iter_mut()
                    .zip(mirrored)
                    .for_each(|(a, b)| *a = (*a + b) / 2.0);
            }
        }
        let n = images.len() as f64;
        let mean = |values: &[f64]| values.iter().sum::<f64>() / (n * d as f64);
        let entries = sums.iter().zip(&squares);
        Self {
            name: name.to_owned(),
            limit: None,
            skip_bad: false,
            fingerprint: images.fingerprint.clone(),
            // Rounding can make the variance of a constant entry negative.
            sigma_data: (mean(&squares) - mean(&sums).powi(2)).max(0.0).sqrt(),
            variance: entries
                .map(|(s, q)| (q / n - (s / n).powi(2)).max(0.0) as f32)
                .collect(),
            mean: sums.iter().map(|s| (s / n) as f32).collect(),
        }
    }

    /// The preconditioning for these images.
    ///
    /// # Errors
    /// If all pixels of all images are equal, so there is nothing to learn.
    pub fn precondition(&self) -> Result<Precondition, DiffusionError> {
        Precondition::new(self.sigma_data).map_err(|_| {
            DiffusionError::Invalid(format!(
                "all pixels of all images of {} are alike (standard deviation {:e}), so there is nothing to learn: use other images",
                self.name, self.sigma_data
            ))
        })
    }
}
