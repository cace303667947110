//! Ours: how far a sample moves along the line on which training images move it most.

use burn::tensor::Tensor;
use datasway_diffusion::device::widest_float;
use datasway_sensitivity::influence::{self, Functional as _};
use datasway_sensitivity::measure::ImagePoints;
use serde::{Deserialize, Serialize};

use super::functional::Functional;
use super::influence::{of_batch, summed};
use super::{Attributor, Columns, Scene, Scores};
use crate::RetrainError;
use crate::experiment::EstimatorSpec;

/// Multiplications of the power method.
const ITERATIONS: usize = 4;

/// The influence of every training image on [`influence::Principal`] of each sample: which images decide where it is, for
/// counterfactuals.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Principal(EstimatorSpec);

impl Attributor for Principal {
    fn name(&self) -> String {
        format!("ours {}, principal", self.0.name())
    }

    fn check(&self) -> Result<(), RetrainError> {
        self.0.check()
    }

    fn attribute(&self, scene: &Scene<'_>) -> Result<Vec<Scores>, RetrainError> {
        let setup = scene.setup;
        let settings = setup.settings(scene.checkpoint, &self.0)?;
        let images = ImagePoints::new(&setup.images, setup.config.flip, &setup.device);
        let principal = influence::Principal {
            iterations: ITERATIONS,
        };
        let [all, _] = scene.samples.dims();
        let mut rows = Vec::new();
        for first in (0..all).step_by(settings.batch) {
            let path = of_batch(scene, &settings, first)?;
            let at = principal.differentiate(&influence::FunctionalContext {
                model: scene.model,
                path: &path,
                first,
                images: &images,
                precision: widest_float(&setup.device),
            })?;
            let pulled = path.pull_back(scene.model, at.gradients.unsqueeze_dim(0))?;
            rows.push(summed(scene, &path, pulled).squeeze_dim::<2>(0));
        }
        Ok(vec![Scores {
            name: self.name(),
            functional: Functional::Principal,
            of: Columns::ImagePoints,
            rows: Tensor::cat(rows, 0),
        }])
    }
}
