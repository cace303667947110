//! Ours, forwards: each random part of the data is a direction ν of its own, and its sample functionals move by `⟨v, δ_ν⟩`.

use burn::tensor::{Tensor, TensorData};
use datasway_sensitivity::measure::{Empirical, Measure};
use datasway_sensitivity::sensitivities::{self, SensitivityConfig};
use serde::{Deserialize, Serialize};

use super::functional::Functional;
use super::{Attributor, Columns, Scene, Scores};
use crate::RetrainError;
use crate::experiment::EstimatorSpec;

/// The tangent of the sampler in the direction of every part. It says nothing of single images: that is what the adjoint is for, and the two
/// agree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tangent(EstimatorSpec);

impl Attributor for Tangent {
    fn name(&self) -> String {
        format!("tangent {}", self.0.name())
    }

    fn needs_subsets(&self) -> bool {
        true
    }

    fn check(&self) -> Result<(), RetrainError> {
        self.0.check()
    }

    fn choosing(&self) -> Vec<String> {
        Vec::new()
    }

    fn attribute(&self, scene: &Scene<'_>) -> Result<Vec<Scores>, RetrainError> {
        let setup = scene.setup;
        let settings = SensitivityConfig {
            samples: scene.samples.dims()[0],
            ..setup.settings(scene.checkpoint, &self.0)?
        };
        let parts = setup.subsets.iter();
        let measures: Vec<Empirical> = parts
            .map(|indices| setup.measure(&setup.images.subset(indices)))
            .collect::<Result<_, _>>()?;
        let measures: Vec<&dyn Measure> = measures.iter().map(|m| m as &dyn Measure).collect();
        let found =
            sensitivities::compute(scene.model, &measures, &settings, &setup.device, |_| ())?;
        let directions = scene.directions();
        let [n, k, d] = directions.dims();
        // ⟨v, δ⟩ of every sample, functional and part.
        let moved = found.deltas.into_iter().map(|delta| {
            let delta: Tensor<2> = Tensor::from_data(TensorData::new(delta, [n, d]), &setup.device);
            (directions.clone() * delta.unsqueeze_dim::<3>(1))
                .sum_dim(2)
                .reshape([n * k, 1])
        });
        Ok(vec![Scores {
            name: self.name(),
            functional: Functional::Sample,
            of: Columns::Subsets,
            rows: Tensor::cat(moved.collect(), 1),
        }])
    }
}
