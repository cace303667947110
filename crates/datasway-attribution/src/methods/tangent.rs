//! Prediction for every subset by the tangent of the sampler.

use burn::tensor::{Tensor, TensorData};
use datasway_sensitivity::density::EstimatorSpec;
use datasway_sensitivity::measure::{Empirical, Measure};
use datasway_sensitivity::{ResolvedConfig, sensitivities};
use serde::{Deserialize, Serialize};

use crate::AttributionError;
use crate::attributor::{AttributionContext, Attributor, ScoreColumns, Scores};
use crate::target::AttributionTarget;

/// Change `⟨v, δ_ν⟩` of the linear functionals, with each subset as a direction ν.
///
/// The method scores no single image.
/// [`AdjointMethod`](super::adjoint::AdjointMethod) scores single images, and the two agree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TangentMethod(EstimatorSpec);

impl TangentMethod {
    /// The density estimator.
    pub(crate) fn estimator(&self) -> &EstimatorSpec {
        &self.0
    }
}

impl Attributor for TangentMethod {
    fn name(&self) -> String {
        format!("tangent {}", self.0.name())
    }

    fn needs_subsets(&self) -> bool {
        true
    }

    fn check(&self) -> Result<(), AttributionError> {
        Ok(self.0.check()?)
    }

    fn removal_forms(&self) -> Vec<String> {
        Vec::new()
    }

    fn attribute(&self, context: &AttributionContext<'_>) -> Result<Vec<Scores>, AttributionError> {
        let device = context.device;
        let config = ResolvedConfig {
            samples: context.samples.dims()[0],
            ..context.sensitivity_config(&self.0)?
        };
        let measures = context.subsets.iter().map(|indices| {
            let images = context.images.subset(indices);
            Empirical::of_images(&images, context.mirrored, device)
        });
        let measures: Vec<Empirical> = measures.collect::<Result<_, _>>()?;
        let measures: Vec<&dyn Measure> = measures.iter().map(|m| m as &dyn Measure).collect();
        let sensitivities =
            sensitivities::compute(context.model, &measures, &config, device, |_| ())?;
        let directions = context.directions();
        let [n, k, d] = directions.dims();
        // ⟨v, δ⟩ of every sample, functional and subset.
        let changes = sensitivities.deltas.into_iter().map(|delta| {
            let delta: Tensor<2> = Tensor::from_data(TensorData::new(delta, [n, d]), device);
            (directions.clone() * delta.unsqueeze_dim::<3>(1))
                .sum_dim(2)
                .reshape([n * k, 1])
        });
        Ok(vec![Scores {
            name: self.name(),
            target: AttributionTarget::Sample,
            columns: ScoreColumns::Subsets,
            rows: Tensor::cat(changes.collect(), 1),
        }])
    }
}
