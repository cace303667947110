//! Influence of every training image by the adjoint of the sampler.

use burn::tensor::{DType, Tensor};
use datasway_diffusion::device::widest_float;
use datasway_diffusion::parameterization::Parameterization;
use datasway_diffusion::sampler::{FrozenNoise, Sampler};
use datasway_sensitivity::ResolvedConfig;
use datasway_sensitivity::density::{Cutoff, DensityKind, EstimatorSpec, LogDensity};
use datasway_sensitivity::influence::AdjointInfluence;
use datasway_sensitivity::trajectory::Trajectory;
use serde::{Deserialize, Serialize};

use crate::AttributionError;
use crate::attributor::{AttributionContext, Attributor, ScoreColumns, Scores};
use crate::target::AttributionTarget;

/// Training images whose influences are in memory at a time.
const CHUNK: usize = 512;

/// Influence `a_j = Σ_p r_j(x_p)·⟨G_p, y_j − D_p⟩` of image j, where `G_p` is the gradient of the target in evaluation p of D.
///
/// - The gradient of a sample's `⟨v, x⟩` is pulled back through all steps of the sampler.
/// - A loss needs no sampler.
///   Each of its draws is a trajectory of one step from `x_σ = x + σε` to σ = 0, which ends at `D(x_σ, σ)`.
///   With `L = mean of λ·‖D − x‖²/d` its gradient is `G = 2λ·(D − x)/d`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AdjointMethod(EstimatorSpec);

impl AdjointMethod {
    /// The density estimator.
    pub(crate) fn estimator(&self) -> &EstimatorSpec {
        &self.0
    }
}

impl Attributor for AdjointMethod {
    fn name(&self) -> String {
        format!("ours {}", self.0.name())
    }

    fn check(&self) -> Result<(), AttributionError> {
        Ok(self.0.check()?)
    }

    fn removal_forms(&self) -> Vec<String> {
        match self.0.density {
            DensityKind::Empirical => vec![self.name()],
            DensityKind::ProbabilityFlow => Vec::new(),
        }
    }

    fn attribute(&self, context: &AttributionContext<'_>) -> Result<Vec<Scores>, AttributionError> {
        let config = context.sensitivity_config(&self.0)?;
        let scores = |target, rows| Scores {
            name: self.name(),
            target,
            columns: ScoreColumns::Images,
            rows,
        };
        let sample = AttributionTarget::Sample;
        let mut results = vec![scores(sample, sample_scores(context, &config)?)];
        // An integrated density has no value at points that no trajectory has reached.
        if self.0.density == DensityKind::Empirical {
            for (target, points) in [
                (AttributionTarget::SampleLoss, &context.samples),
                (AttributionTarget::HeldOutLoss, &context.held_out),
            ] {
                let rows = loss_scores(context, &config, points, target)?;
                results.push(scores(target, rows));
            }
        }
        Ok(results)
    }
}

/// Influences on the linear functionals of all samples, `[n·K, m]`.
fn sample_scores(
    context: &AttributionContext<'_>,
    config: &ResolvedConfig,
) -> Result<Tensor<2>, AttributionError> {
    let directions = context.directions();
    let [total, k, _] = directions.dims();
    let mut rows = Vec::new();
    for first in (0..total).step_by(config.batch) {
        let trajectory = sample_batch(context, config, first)?;
        let [n, _] = trajectory.samples.dims();
        let gradients = directions.clone().slice_dim(0, first..first + n);
        let pulled = trajectory.pull_back(context.model, gradients.swap_dims(0, 1))?;
        let influences = image_influences(context, &trajectory, pulled);
        let [_, _, m] = influences.dims();
        rows.push(influences.swap_dims(0, 1).reshape([n * k, m]));
    }
    Ok(Tensor::cat(rows, 0))
}

/// Trajectory of the batch of samples that starts at index `first`.
pub(super) fn sample_batch(
    context: &AttributionContext<'_>,
    config: &ResolvedConfig,
    first: usize,
) -> Result<Trajectory, AttributionError> {
    let [total, d] = context.samples.dims();
    let n = config.batch.min(total - first);
    let noise = FrozenNoise::new(config.seed).starting_at(first as u64);
    Ok(Trajectory::sample(
        context.model,
        &density_above_cutoff(config, first as u64),
        &config.sampler,
        &config.sigmas,
        noise.start([n, d], context.device, DType::F32),
        &noise,
    )?)
}

/// Influences on the losses at points `[n, d]`, `[n, m]`.
fn loss_scores(
    context: &AttributionContext<'_>,
    config: &ResolvedConfig,
    points: &Tensor<2>,
    target: AttributionTarget,
) -> Result<Tensor<2>, AttributionError> {
    let noise = context.loss_noise();
    let [n, d] = points.dims();
    let mut sum: Option<Tensor<3>> = None;
    for (t, &sigma) in noise.sigmas.iter().enumerate() {
        let trajectory = Trajectory::sample(
            context.model,
            &density_above_cutoff(config, 0),
            &Sampler::Euler,
            &[sigma, 0.0],
            noise.noisy(t, points, target) / sigma,
            &FrozenNoise::new(0),
        )?;
        // G = 2λ·(D − x)/d, and the mean over draws.
        let weight = context.precondition.loss_weight(sigma);
        let scale = 2.0 * weight / (d * noise.sigmas.len()) as f64;
        let gradient = (trajectory.samples.clone() - points.clone()) * scale;
        let pulled = vec![gradient.unsqueeze_dim::<3>(0)];
        let influences = image_influences(context, &trajectory, pulled);
        sum = Some(match sum {
            Some(sum) => sum + influences,
            None => influences,
        });
    }
    let [m, _] = context.image_points.dims();
    let zero = || Tensor::zeros([n, m], context.device);
    Ok(sum.map_or_else(zero, |sum| sum.squeeze_dim::<2>(0)))
}

/// The log-density of a batch whose first sample has index `first`, without effect below the cut-off.
fn density_above_cutoff(config: &ResolvedConfig, first: u64) -> impl LogDensity + '_ {
    Cutoff {
        density: config.density.starting_at(first),
        sigma: config.cutoff,
    }
}

/// Influences of all training images along a trajectory with pulled-back gradients G `[K, n, d]` for each evaluation, `[K, n, m]`.
pub(super) fn image_influences(
    context: &AttributionContext<'_>,
    trajectory: &Trajectory,
    pulled: Vec<Tensor<3>>,
) -> Tensor<3> {
    let influence = AdjointInfluence::new(trajectory, pulled, widest_float(context.device));
    let [m, _] = context.image_points.dims();
    let chunks = (0..m).step_by(CHUNK).map(|start| {
        let end = (start + CHUNK).min(m);
        influence.total(&context.image_points.clone().slice_dim(0, start..end))
    });
    Tensor::cat(chunks.collect(), 2)
}
