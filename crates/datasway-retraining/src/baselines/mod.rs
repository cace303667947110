//! Simple predictions of how samples move, to be beaten on the same runs.
//!
//! Each predicts, like a sensitivity, one displacement a sample per unit of added mass; a removal is the same
//! displacement the other way. A new baseline is one file here and one line in [`Baseline::displace`].

mod mean_shift;
mod nearest_image;
mod optimal_transport;
mod random;

use serde::{Deserialize, Serialize};

use crate::RetrainError;
use crate::range::within;

/// Which baseline. Those without options have braces, for serde refuses unknown fields of no others.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Baseline {
    /// Towards the sample's partner in an entropic optimal transport of the samples to ν.
    OptimalTransport {
        /// Strength of the entropy, as a part of the mean squared distance of samples and images.
        #[serde(default = "default_epsilon")]
        epsilon: f64,
    },
    /// Towards the image of ν that is nearest to the sample.
    NearestImage {},
    /// From the mean of the data to the mean of ν, alike for every sample.
    MeanShift {},
    /// Anywhere: what agreement by chance looks like.
    Random {},
}

impl Baseline {
    /// Checks that every number is in its range.
    pub(crate) fn check(&self) -> Result<(), RetrainError> {
        match self {
            Self::OptimalTransport { epsilon } => {
                within("optimal-transport: epsilon", *epsilon, 1e-6..=1e6)
            }
            Self::NearestImage {} | Self::MeanShift {} | Self::Random {} => Ok(()),
        }
    }
}

fn default_epsilon() -> f64 {
    0.05
}

/// What a baseline may know.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    /// The samples before the change, `[n, d]`.
    pub samples: &'a [f32],
    /// The images of ν as training shows them, `[m, d]`.
    pub images: &'a [f32],
    /// Mean of the training data, d entries.
    pub data_mean: &'a [f32],
    /// Seed of what is random.
    pub seed: u64,
}

impl Scene<'_> {
    fn dim(&self) -> usize {
        self.data_mean.len()
    }

    /// `‖x_i − y_j‖²`, `[n, m]`.
    fn squared_distances(&self) -> Vec<f64> {
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

impl Baseline {
    /// The name in files and tables.
    pub fn name(&self) -> String {
        match self {
            Self::OptimalTransport { epsilon } => format!("optimal-transport-{epsilon}"),
            Self::NearestImage {} => "nearest-image".to_owned(),
            Self::MeanShift {} => "mean-shift".to_owned(),
            Self::Random {} => "random".to_owned(),
        }
    }

    /// One displacement a sample, `[n, d]`.
    pub fn displace(&self, scene: &Scene<'_>) -> Vec<f32> {
        match *self {
            Self::OptimalTransport { epsilon } => optimal_transport::displace(scene, epsilon),
            Self::NearestImage {} => nearest_image::displace(scene),
            Self::MeanShift {} => mean_shift::displace(scene),
            Self::Random {} => random::displace(scene),
        }
    }
}
