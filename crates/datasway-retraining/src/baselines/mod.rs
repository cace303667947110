//! Baselines: simple predictions of the displacements of samples, evaluated on the same runs.
//!
//! A baseline predicts one displacement for each sample per unit of added mass, as a sensitivity does.
//! A removal is the negative displacement.
//! A new baseline is one file here and one line in [`Baseline::displacements`].

mod context;
mod mean_shift;
mod nearest_image;
mod optimal_transport;
mod random;

use datasway_diffusion::DiffusionError;
use datasway_diffusion::validate::within;
use serde::{Deserialize, Serialize};

pub use context::BaselineContext;

/// A baseline with its options.
// Baselines without options have braces: serde refuses unknown fields of struct variants only.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Baseline {
    /// Displacement to the partner of the sample in an entropic optimal transport of the samples to ν.
    OptimalTransport {
        /// Strength of the entropy, as a fraction of the mean squared distance of samples and images.
        #[serde(default = "default_epsilon")]
        epsilon: f64,
    },
    /// Displacement to the image of ν nearest to the sample.
    NearestImage {},
    /// Displacement from the mean of the data to the mean of ν, the same for every sample.
    MeanShift {},
    /// Random displacement, as a reference for agreement by chance.
    Random {},
}

impl Baseline {
    /// Checks that every number is in its range.
    pub(crate) fn check(&self) -> Result<(), DiffusionError> {
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

impl Baseline {
    /// Name in files and tables.
    pub fn name(&self) -> String {
        match self {
            Self::OptimalTransport { epsilon } => format!("optimal-transport-{epsilon}"),
            Self::NearestImage {} => "nearest-image".to_owned(),
            Self::MeanShift {} => "mean-shift".to_owned(),
            Self::Random {} => "random".to_owned(),
        }
    }

    /// Displacements of the samples per unit of added mass, `[n, d]`.
    pub fn displacements(&self, context: &BaselineContext<'_>) -> Vec<f32> {
        match *self {
            Self::OptimalTransport { epsilon } => {
                optimal_transport::displacements(context, epsilon)
            }
            Self::NearestImage {} => nearest_image::displacements(context),
            Self::MeanShift {} => mean_shift::displacements(context),
            Self::Random {} => random::displacements(context),
        }
    }
}
