//! The simplest prediction: samples move as the mean of the data does.

use serde::{Deserialize, Serialize};

use super::functional::Functional;
use super::{Attributor, Columns, Scene, Scores};
use crate::RetrainError;

/// `⟨v, y_j⟩`, whatever the sample.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeanShift {}

impl Attributor for MeanShift {
    fn name(&self) -> String {
        "mean shift".to_owned()
    }

    fn choosing(&self) -> Vec<String> {
        Vec::new()
    }

    fn attribute(&self, scene: &Scene<'_>) -> Result<Vec<Scores>, RetrainError> {
        let directions = scene.directions();
        let [n, k, d] = directions.dims();
        Ok(vec![Scores {
            name: self.name(),
            functional: Functional::Sample,
            of: Columns::ImagePoints,
            rows: directions
                .reshape([n * k, d])
                .matmul(scene.images.clone().transpose()),
        }])
    }
}
