//! Mean and variance of the pixels of a data set.

use crate::dataset::Dataset;

/// Mean and variance of each entry of the images of a data set, in pixels of [-1, 1].
#[derive(Debug, Clone, PartialEq)]
pub struct PixelMoments {
    /// Mean of each entry, `[d]`.
    pub mean: Vec<f32>,
    /// Variance of each entry, `[d]`.
    pub variance: Vec<f32>,
    /// Standard deviation of all pixels about their common mean.
    pub deviation: f64,
}

impl PixelMoments {
    /// The moments of images, including their mirror images if `mirrored`.
    pub fn of(images: &Dataset, mirrored: bool) -> Self {
        let (d, width) = (images.shape.dim(), images.shape.width);
        let (mut sums, mut squares) = (vec![0.0; d], vec![0.0; d]);
        for i in 0..images.len() {
            for (j, &byte) in images.image(i).iter().enumerate() {
                let value = f64::from(byte) / 127.5 - 1.0;
                sums[j] += value;
                squares[j] += value * value;
            }
        }
        if mirrored {
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
            // Rounding can make the variance of a constant entry negative.
            deviation: (mean(&squares) - mean(&sums).powi(2)).max(0.0).sqrt(),
            variance: entries
                .map(|(s, q)| (q / n - (s / n).powi(2)).max(0.0) as f32)
                .collect(),
            mean: sums.iter().map(|s| (s / n) as f32).collect(),
        }
    }
}
