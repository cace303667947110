//! Influence of every training image on the position of a sample along its principal line.

use burn::tensor::Tensor;
use datasway_diffusion::device::widest_float;
use datasway_sensitivity::density::EstimatorSpec;
use datasway_sensitivity::influence::{Functional as _, FunctionalContext, Principal};
use datasway_sensitivity::measure::ImagePoints;
use serde::{Deserialize, Serialize};

use super::adjoint::{image_influences, sample_batch};
use crate::AttributionError;
use crate::attributor::{AttributionContext, Attributor, ScoreColumns, Scores};
use crate::target::AttributionTarget;

/// Influence on the functional [`Principal`] of each sample, by the adjoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PrincipalMethod(EstimatorSpec);

impl PrincipalMethod {
    /// The density estimator.
    pub(crate) fn estimator(&self) -> &EstimatorSpec {
        &self.0
    }
}

impl Attributor for PrincipalMethod {
    fn name(&self) -> String {
        format!("ours {}, principal", self.0.name())
    }

    fn check(&self) -> Result<(), AttributionError> {
        Ok(self.0.check()?)
    }

    fn revision(&self) -> u32 {
        Principal::REVISION
    }

    fn removal_target(&self) -> AttributionTarget {
        AttributionTarget::Principal
    }

    fn attribute(&self, context: &AttributionContext<'_>) -> Result<Vec<Scores>, AttributionError> {
        let config = context.sensitivity_config(&self.0)?;
        let images = ImagePoints::new(context.images, context.mirrored, context.device);
        let principal = Principal::default();
        let [total, _] = context.samples.dims();
        let mut rows = Vec::new();
        for first in (0..total).step_by(config.batch) {
            let trajectory = sample_batch(context, &config, first)?;
            let direction = principal.value_and_gradient(&FunctionalContext {
                model: context.model,
                trajectory: &trajectory,
                first,
                images: &images,
                precision: widest_float(context.device),
                own: None,
            })?;
            let gradients = direction.gradients.unsqueeze_dim(0);
            let pulled = trajectory.pull_back(context.model, gradients)?;
            let influences = image_influences(context, &trajectory, pulled);
            rows.push(influences.squeeze_dim::<2>(0));
        }
        Ok(vec![Scores {
            name: self.name(),
            target: AttributionTarget::Principal,
            columns: ScoreColumns::Images,
            rows: Tensor::cat(rows, 0),
        }])
    }
}
