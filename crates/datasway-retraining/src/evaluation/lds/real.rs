//! The source of the real values of a benchmark.

use burn::tensor::Tensor;
use datasway_attribution::{AttributionTarget, TargetOptions};

use super::published::PublishedValues;
use super::values::{Values, mean_over_seeds, transposed};
use crate::RetrainError;
use crate::evaluation::SeedScope;
use crate::jobs::{JobId, ModelOutputs, Workspace};
use crate::resolved::ResolvedBenchmark;

/// The source of real values.
pub(super) enum RealSource<'a> {
    /// The outputs of the models of all parts, for each seed that has them.
    Models {
        workspace: &'a Workspace<'a>,
        complete: Vec<(SeedScope, &'a [ModelOutputs])>,
        /// The samples of the base model.
        samples: JobId,
        targets: TargetOptions,
    },
    /// Values of an earlier run.
    Published(PublishedValues),
}

/// Real values of one target.
pub(super) struct TargetValues {
    /// The values of each seed.
    pub of_seeds: Vec<(SeedScope, Values)>,
    /// Losses by the even and by the odd draws, for each seed that has them.
    pub halves: Vec<[Values; 2]>,
}

impl<'a> RealSource<'a> {
    /// The models of the seeds that have one of every part, and the other seeds.
    pub fn of_models(
        workspace: &'a Workspace<'a>,
        outputs_of_seeds: &'a [Vec<ModelOutputs>],
        samples: JobId,
        benchmark: &ResolvedBenchmark,
    ) -> (Self, Vec<u64>) {
        let is_done = |outputs: &ModelOutputs| {
            workspace.is_done(outputs.samples) && workspace.is_done(outputs.losses)
        };
        let seeds = outputs_of_seeds
            .iter()
            .zip(&workspace.experiment.spec.seeds);
        let (complete, incomplete): (Vec<_>, Vec<_>) =
            seeds.partition(|(outputs, _)| outputs.iter().all(is_done));
        let source = Self::Models {
            workspace,
            complete: complete
                .iter()
                .map(|(outputs, seed)| (SeedScope::Seed(**seed), outputs.as_slice()))
                .collect(),
            samples,
            targets: benchmark.spec.targets(),
        };
        (source, incomplete.iter().map(|(_, seed)| **seed).collect())
    }

    /// True if no seed has all its models.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Models { complete, .. } => complete.is_empty(),
            Self::Published(_) => false,
        }
    }

    /// The values of a target with `functionals` functionals.
    ///
    /// # Errors
    /// If a result cannot be read.
    pub fn values(&self, target: AttributionTarget) -> Result<TargetValues, RetrainError> {
        match self {
            Self::Published(published) => Ok(TargetValues {
                of_seeds: published.values(target),
                halves: Vec::new(),
            }),
            Self::Models {
                workspace,
                complete,
                samples,
                targets,
            } => {
                let directions = targets.directions(&workspace.samples(*samples)?);
                let (mut of_seeds, mut halves) = (Vec::new(), Vec::new());
                for (seed, outputs) in complete {
                    let values = match target {
                        AttributionTarget::Sample => {
                            sample_values(workspace, outputs, &directions)?
                        }
                        _ => {
                            let [even, odd] = loss_values(workspace, outputs, target)?;
                            let mean = mean_over_seeds(&[&even, &odd]);
                            halves.push([even, odd]);
                            mean
                        }
                    };
                    of_seeds.push((*seed, values));
                }
                Ok(TargetValues { of_seeds, halves })
            }
        }
    }
}

/// `⟨v, x⟩` of the samples of every model.
fn sample_values(
    workspace: &Workspace<'_>,
    outputs: &[ModelOutputs],
    directions: &Tensor<3>,
) -> Result<Values, RetrainError> {
    let products = |outputs: &ModelOutputs| {
        let samples = workspace.samples(outputs.samples)?.unsqueeze_dim::<3>(1);
        let products = (directions.clone() * samples).sum_dim(2);
        Ok(products.into_data().iter::<f64>().collect())
    };
    let columns = outputs.iter().map(products);
    Ok(transposed(
        &columns.collect::<Result<Vec<_>, RetrainError>>()?,
    ))
}

/// The losses of every model by the even and by the odd draws.
fn loss_values(
    workspace: &Workspace<'_>,
    outputs: &[ModelOutputs],
    target: AttributionTarget,
) -> Result<[Values; 2], RetrainError> {
    let half = |row: usize| {
        let losses = |outputs: &ModelOutputs| {
            let losses = workspace.array(outputs.losses, target.name())?;
            Ok(losses.row(row).iter().map(|v| f64::from(*v)).collect())
        };
        let columns = outputs.iter().map(losses);
        Ok::<_, RetrainError>(transposed(
            &columns.collect::<Result<Vec<_>, RetrainError>>()?,
        ))
    };
    Ok([half(0)?, half(1)?])
}
