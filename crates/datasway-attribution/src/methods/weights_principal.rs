//! Influence of every training image on the position of a sample along its principal line, through the weights.

use burn::tensor::{Tensor, TensorData};
use datasway_diffusion::training_noise::TrainingNoise;
use datasway_sensitivity::density::EstimatorSpec;
use datasway_sensitivity::influence::{
    Functional, Principal, compute_through_weights, solved_together,
};
use datasway_sensitivity::measure::ImagePoints;
use datasway_sensitivity::sample_spec::SampleSpec;
use serde::{Deserialize, Serialize};

use super::weights::WeightsMethod;
use crate::AttributionError;
use crate::attributor::{AttributionContext, Attributor, ScoreColumns, Scores};
use crate::target::AttributionTarget;

/// Influence `−⟨∇ℓ_j − ∇L_ρ, (G + λ)⁻¹·∂f/∂θ⟩` of image j on the position f of a sample along its principal line
/// ([`compute_through_weights`]).
///
/// The line is that of a density estimator. The first samples only have scores, because each takes a solution and the
/// derivative of the loss of every image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightsPrincipalMethod {
    /// Number of samples with scores.
    samples: usize,
    /// The density estimator of the line.
    line: EstimatorSpec,
    /// Options of the derivative of the weights.
    weights: WeightsMethod,
}

impl WeightsPrincipalMethod {
    /// The density estimator of the line.
    pub(crate) fn estimator(&self) -> &EstimatorSpec {
        &self.line
    }

    /// The derivative of the weights.
    pub(crate) fn weights(&self) -> &WeightsMethod {
        &self.weights
    }

    /// The largest number of right-hand sides that are solved together.
    pub(crate) fn right_hand_sides(&self, samples: &SampleSpec) -> usize {
        solved_together(1, self.samples.min(samples.count).min(samples.batch))
    }
}

impl Attributor for WeightsPrincipalMethod {
    fn name(&self) -> String {
        format!("{}, principal", self.weights.name())
    }

    fn check(&self) -> Result<(), AttributionError> {
        self.line.check()?;
        self.weights.check()
    }

    fn revision(&self) -> u32 {
        Principal::REVISION
    }

    fn removal_target(&self) -> AttributionTarget {
        AttributionTarget::Principal
    }

    fn removal_samples(&self) -> Option<usize> {
        Some(self.samples)
    }

    fn attribute(&self, context: &AttributionContext<'_>) -> Result<Vec<Scores>, AttributionError> {
        let mut config = context.sensitivity_config(&self.line)?;
        config.samples = self.samples.min(config.samples);
        let images = ImagePoints::new(context.images, context.mirrored, context.device);
        let noise = TrainingNoise::LogNormal(context.training_noise);
        let learner = self.weights.learner(context, &images, &noise);
        let functionals: [Box<dyn Functional>; 1] = [Box::new(Principal::default())];
        let (influences, _) =
            compute_through_weights(&learner, &images, None, &functionals, &config, 0, |_| ())?;
        let shape = [config.samples, context.images.len()];
        let values = influences.functionals.into_iter().flat_map(|f| f.influence);
        let rows = TensorData::new(values.collect(), shape);
        Ok(vec![Scores {
            name: self.name(),
            target: AttributionTarget::Principal,
            columns: ScoreColumns::Images,
            rows: Tensor::from_data(rows, context.device),
        }])
    }

    fn estimated_seconds(
        &self,
        context: &AttributionContext<'_>,
    ) -> Result<Option<f64>, AttributionError> {
        let noise = TrainingNoise::LogNormal(context.training_noise);
        let learner = self.weights.learner(context, &context.image_points, &noise);
        let samples = self.samples.min(context.samples.dims()[0]);
        let work = learner.influence_work(samples, 0) as f64;
        Ok(Some(self.weights.seconds_of_work(context, samples)? * work))
    }
}
