//! Baseline: a sample moves as the mean of the data does.

use serde::{Deserialize, Serialize};

use crate::AttributionError;
use crate::attributor::{AttributionContext, Attributor, ScoreColumns, Scores};
use crate::target::AttributionTarget;

/// Score `⟨v, y_j⟩`, the same for all samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeanShift {}

impl Attributor for MeanShift {
    fn name(&self) -> String {
        "mean shift".to_owned()
    }

    fn removal_forms(&self) -> Vec<String> {
        Vec::new()
    }

    fn attribute(&self, context: &AttributionContext<'_>) -> Result<Vec<Scores>, AttributionError> {
        let directions = context.directions();
        let [n, k, d] = directions.dims();
        let images = context.image_points.clone().transpose();
        Ok(vec![Scores {
            name: self.name(),
            target: AttributionTarget::Sample,
            columns: ScoreColumns::Images,
            rows: directions.reshape([n * k, d]).matmul(images),
        }])
    }
}
