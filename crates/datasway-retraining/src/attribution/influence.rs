//! Ours: the influence of every training image by the adjoint.

use burn::tensor::{DType, Tensor};
use datasway_diffusion::device::widest_float;
use datasway_diffusion::sampler::{FrozenNoise, Sampler};
use datasway_sensitivity::density::{Cutoff, DensityKind, LogDensity};
use datasway_sensitivity::influence;
use datasway_sensitivity::sensitivities::SensitivityConfig;
use datasway_sensitivity::trajectory::Trajectory;
use serde::{Deserialize, Serialize};

use super::functional::Functional;
use super::{Attributor, Columns, Scene, Scores};
use crate::RetrainError;
use crate::experiment::EstimatorSpec;

/// Training images whose influences are in memory at a time.
const CHUNK: usize = 512;

/// `a_j = Σ_p r_j(x_p)·⟨G_p, y_j − D_p⟩`, G_p being the gradient of the functional with respect to each evaluation of D:
///
/// - a sample's `⟨v, x⟩` is pulled back through all steps of the sampler;
/// - a loss needs no sampler. Each of its draws is a path of one step from `x_σ = x + σε` to σ = 0, which ends at `D(x_σ, σ)`: with
///   `L = mean of λ·‖D − x‖²/d`, `G = 2λ·(D − x)/d`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Influence(EstimatorSpec);

impl Attributor for Influence {
    fn name(&self) -> String {
        format!("ours {}", self.0.name())
    }

    fn check(&self) -> Result<(), RetrainError> {
        self.0.check()
    }

    fn choosing(&self) -> Vec<String> {
        match self.0.density {
            DensityKind::Empirical => vec![self.name()],
            DensityKind::ProbabilityFlow => Vec::new(),
        }
    }

    fn attribute(&self, scene: &Scene<'_>) -> Result<Vec<Scores>, RetrainError> {
        let settings = scene.setup.settings(scene.checkpoint, &self.0)?;
        let scores = |functional, rows| Scores {
            name: self.name(),
            functional,
            of: Columns::ImagePoints,
            rows,
        };
        let mut all = vec![scores(Functional::Sample, of_samples(scene, &settings)?)];
        // An integrated density has no value at points that no path has reached.
        if self.0.density == DensityKind::Empirical {
            for functional in [Functional::SampleLoss, Functional::HeldOutLoss] {
                if let Some(points) = scene.points(functional) {
                    let rows = of_losses(scene, &settings, points, functional)?;
                    all.push(scores(functional, rows));
                }
            }
        }
        Ok(all)
    }
}

/// On the linear functionals of every sample, `[n·K, m]`.
fn of_samples(scene: &Scene<'_>, settings: &SensitivityConfig) -> Result<Tensor<2>, RetrainError> {
    let directions = scene.directions();
    let [all, k, _] = directions.dims();
    let mut rows = Vec::new();
    for first in (0..all).step_by(settings.batch) {
        let path = of_batch(scene, settings, first)?;
        let [n, _] = path.samples.dims();
        let gradients = directions.clone().slice_dim(0, first..first + n);
        let pulled = path.pull_back(scene.model, gradients.swap_dims(0, 1))?;
        let found = summed(scene, &path, pulled);
        let [_, _, m] = found.dims();
        rows.push(found.swap_dims(0, 1).reshape([n * k, m]));
    }
    Ok(Tensor::cat(rows, 0))
}

/// The path of a batch of samples from `first` on.
pub(super) fn of_batch(
    scene: &Scene<'_>,
    settings: &SensitivityConfig,
    first: usize,
) -> Result<Trajectory, RetrainError> {
    let [all, d] = scene.samples.dims();
    let n = settings.batch.min(all - first);
    let noise = FrozenNoise::new(settings.seed).starting_at(first as u64);
    Ok(Trajectory::sample(
        scene.model,
        &density(settings, first as u64),
        &settings.sampler,
        &settings.sigmas,
        noise.start([n, d], &scene.setup.device, DType::F32),
        &noise,
    )?)
}

/// On the losses at points, `[n, m]`.
fn of_losses(
    scene: &Scene<'_>,
    settings: &SensitivityConfig,
    points: &Tensor<2>,
    functional: Functional,
) -> Result<Tensor<2>, RetrainError> {
    let (draws, precondition) = (scene.draws(), scene.setup.precondition());
    let [_, d] = points.dims();
    let mut sum: Option<Tensor<3>> = None;
    for (t, &sigma) in draws.sigmas.iter().enumerate() {
        let path = Trajectory::sample(
            scene.model,
            &density(settings, 0),
            &Sampler::Euler,
            &[sigma, 0.0],
            draws.noisy(t, points, functional) / sigma,
            &FrozenNoise::new(0),
        )?;
        let scale = 2.0 * precondition.loss_weight(sigma) / (d * draws.sigmas.len()) as f64;
        let gradient = (path.samples.clone() - points.clone()) * scale;
        let found = summed(scene, &path, vec![gradient.unsqueeze_dim::<3>(0)]);
        sum = Some(match sum {
            Some(sum) => sum + found,
            None => found,
        });
    }
    let [n, m] = [points.dims()[0], scene.images.dims()[0]];
    let none = || Tensor::zeros([n, m], &scene.setup.device);
    Ok(sum.map_or_else(none, |sum| sum.squeeze_dim::<2>(0)))
}

fn density(settings: &SensitivityConfig, first: u64) -> impl LogDensity + '_ {
    Cutoff {
        density: settings.density.starting_at(first),
        sigma: settings.cutoff,
    }
}

/// The influences of all training images along a path, `[K, n, m]`.
pub(super) fn summed(scene: &Scene<'_>, path: &Trajectory, pulled: Vec<Tensor<3>>) -> Tensor<3> {
    let influence =
        influence::AdjointInfluence::new(path, pulled, widest_float(&scene.setup.device));
    let [m, _] = scene.images.dims();
    let chunks = (0..m).step_by(CHUNK).map(|start| {
        let end = (start + CHUNK).min(m);
        influence.of(&scene.images.clone().slice_dim(0, start..end))
    });
    Tensor::cat(chunks.collect(), 2)
}
