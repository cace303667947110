//! Prediction for every subset and for every part without a group, by the derivative of the weights.

use std::time::Instant;

use burn::tensor::{DType, Tensor};
use burn_jvp::ParameterTangents;
use datasway_diffusion::DiffusionError;
use datasway_diffusion::learned_denoiser::LearnedDenoiser;
use datasway_diffusion::sampler::{FrozenNoise, Sampler};
use datasway_diffusion::schedule;
use datasway_diffusion::training_noise::TrainingNoise;
use datasway_sensitivity::learner::{
    Damping, DampingSpec, DataPoints, FiniteTraining, Learner, LearnerConfig, PreconditionerKind,
    sample_with_weight_tangents,
};
use datasway_sensitivity::sample_spec::SampleSpec;
use serde::{Deserialize, Serialize};

use crate::AttributionError;
use crate::attributor::{AttributionContext, Attributor, ScoreColumns, Scores};
use crate::target::{AttributionTarget, LossNoise};

/// Training images of which the time is measured.
const TIMED_IMAGES: usize = 32;

/// Change `⟨∂f/∂θ, dθ/dη⟩` of a target f, with each part of the training images as a direction
/// ([`datasway_sensitivity::learner`]).
///
/// A part S changes the weights by `dθ/dη = −(G + λ)⁻¹·(∇L_S − ∇L_ρ)`, or by the filter of the
/// [length of the training](FiniteTraining) of the models of parts in place of the inverse. One solve a part serves all targets: samples move by
/// the tangent of the sampler, and the loss `mean of λ·‖D − x‖²/d` by `mean of (2λ/d)·⟨D − x, J_θ·dθ/dη⟩`.
///
/// The method scores no single image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightsMethod {
    /// Draws of the Gauss–Newton matrix.
    #[serde(default = "default_draws")]
    draws: usize,
    /// Draws of each training image.
    #[serde(default = "default_image_draws")]
    image_draws: usize,
    /// The regularisation in directions of little curvature.
    #[serde(default)]
    damping: DampingSpec,
    /// The preconditioner of the solver with a damping by a number.
    #[serde(default, skip_serializing_if = "PreconditionerKind::is_none")]
    preconditioner: PreconditionerKind,
    /// Iterations of the solver, all of which are done.
    #[serde(default = "default_iterations")]
    iterations: usize,
}

fn default_draws() -> usize {
    LearnerConfig::default().curvature_draws
}

fn default_image_draws() -> usize {
    LearnerConfig::default().image_draws
}

fn default_iterations() -> usize {
    24
}

impl Attributor for WeightsMethod {
    fn name(&self) -> String {
        let label = self.damping.label(self.preconditioner, self.iterations);
        format!("ours {label}")
    }

    fn check(&self) -> Result<(), AttributionError> {
        // The training of the models of parts is checked with them.
        self.config(self.damping.without_training(), 1, 0).check()?;
        Ok(self.damping.check_preconditioner(self.preconditioner)?)
    }

    fn removal_forms(&self) -> Vec<String> {
        Vec::new()
    }

    fn needs_subsets(&self) -> bool {
        true
    }

    fn needs_complements(&self) -> bool {
        true
    }

    fn attribute(&self, context: &AttributionContext<'_>) -> Result<Vec<Scores>, AttributionError> {
        let noise = TrainingNoise::LogNormal(context.training_noise);
        let learner = self.learner(context, &context.image_points, &noise);
        let parts = context.subsets.iter().chain(context.complements);
        let parts: Vec<Vec<usize>> = parts.map(|part| with_mirrored(context, part)).collect();
        let weights = learner.subset_tangents(&parts, &mut |_| ())?.solutions;
        let losses = |points, target| {
            let noisy = NoisyPoints {
                points,
                target,
                noise: &context.loss_noise(),
            };
            loss_changes(context.model, &weights, &noisy, context.sample_spec.batch)
        };
        let mut results = Vec::new();
        for (target, changes) in [
            (
                AttributionTarget::Sample,
                sample_changes(context, &weights)?,
            ),
            (
                AttributionTarget::SampleLoss,
                losses(&context.samples, AttributionTarget::SampleLoss)?,
            ),
            (
                AttributionTarget::HeldOutLoss,
                losses(&context.held_out, AttributionTarget::HeldOutLoss)?,
            ),
        ] {
            let (subsets, all) = (context.subsets.len(), parts.len());
            for (columns, range) in [
                (ScoreColumns::Subsets, 0..subsets),
                (ScoreColumns::Complements, subsets..all),
            ] {
                if !range.is_empty() {
                    results.push(Scores {
                        name: self.name(),
                        target,
                        columns,
                        rows: changes.clone().slice_dim(1, range),
                    });
                }
            }
        }
        Ok(results)
    }

    fn estimated_seconds(
        &self,
        context: &AttributionContext<'_>,
    ) -> Result<Option<f64>, AttributionError> {
        let noise = TrainingNoise::LogNormal(context.training_noise);
        let whole = self.learner(context, &context.image_points, &noise);
        let k = context.subsets.len() + context.complements.len();
        let seconds = self.seconds_of_work(context, k)? * whole.subset_tangent_work(k) as f64;
        Ok(Some(seconds))
    }
}

impl WeightsMethod {
    /// Seconds for each unit of work with k right-hand sides, from a short measurement.
    pub(super) fn seconds_of_work(
        &self,
        context: &AttributionContext<'_>,
        k: usize,
    ) -> Result<f64, AttributionError> {
        let noise = TrainingNoise::LogNormal(context.training_noise);
        let [m, _] = context.image_points.dims();
        let few = TIMED_IMAGES.min(m);
        let few_images = context.image_points.clone().slice_dim(0, 0..few);
        let whole = self.learner(context, &context.image_points, &noise);
        let timed = Learner {
            training_set: &few_images,
            config: LearnerConfig {
                curvature_draws: whole.config.batch,
                image_draws: 1,
                iterations: 1,
                damping: LearnerConfig::default().damping,
                preconditioner: PreconditionerKind::None,
                ..whole.config
            },
            ..whole
        };
        let parts = vec![(0..few.div_ceil(2)).collect(); k];
        let started = Instant::now();
        timed.subset_tangents(&parts, &mut |_| ())?;
        Ok(started.elapsed().as_secs_f64() / timed.subset_tangent_work(k) as f64)
    }

    /// True if the length of the training of the models of parts decides the scores.
    pub(crate) fn depends_on_training(&self) -> bool {
        self.damping.depends_on_training()
    }

    /// The options of the solver for models of parts with this training.
    pub(crate) fn solver(&self, training: FiniteTraining, samples: &SampleSpec) -> LearnerConfig {
        self.config(self.damping.resolve(training), samples.batch, samples.seed)
    }

    fn config(&self, damping: Damping, batch: usize, seed: u64) -> LearnerConfig {
        LearnerConfig {
            curvature_draws: self.draws,
            image_draws: self.image_draws,
            damping,
            preconditioner: self.preconditioner,
            // The number of iterations alone decides, so that results of different numbers can be compared.
            tolerance: 0.0,
            iterations: self.iterations,
            batch,
            seed,
            ..LearnerConfig::default()
        }
    }

    /// The learner with the model and the samples of the context.
    pub(super) fn learner<'a>(
        &self,
        context: &'a AttributionContext<'_>,
        training_set: &'a dyn DataPoints,
        noise: &'a TrainingNoise,
    ) -> Learner<'a> {
        Learner {
            model: context.model,
            training_set,
            noise,
            config: self.solver(context.training, context.sample_spec),
        }
    }
}

/// The indices of a part's images among [`AttributionContext::image_points`].
fn with_mirrored(context: &AttributionContext<'_>, part: &[usize]) -> Vec<usize> {
    let m = context.images.len();
    let copies = context.image_points.dims()[0] / m;
    let copies = (0..copies).flat_map(|copy| part.iter().map(move |j| j + copy * m));
    copies.collect()
}

/// `⟨v, δ⟩` of the linear functionals of all samples along K changes of the weights, `[n·F, K]`.
fn sample_changes(
    context: &AttributionContext<'_>,
    weights: &ParameterTangents,
) -> Result<Tensor<2>, AttributionError> {
    let (spec, directions) = (context.sample_spec, context.directions());
    let [total, functionals, d] = directions.dims();
    let sigmas = schedule::edm(spec.steps);
    let mut rows = Vec::new();
    for first in (0..total).step_by(spec.batch) {
        let n = spec.batch.min(total - first);
        let noise = FrozenNoise::new(spec.seed).starting_at(first as u64);
        let start = noise.start([n, d], context.device, DType::F32);
        let (_, delta) = sample_with_weight_tangents(
            context.model,
            weights,
            &Sampler::Heun,
            &sigmas,
            start,
            &noise,
        )?;
        // [n, F, d] times [n, d, K].
        let products = directions
            .clone()
            .slice_dim(0, first..first + n)
            .matmul(delta.permute([1, 2, 0]));
        rows.push(products.reshape([(n * functionals) as i64, -1]));
    }
    Ok(Tensor::cat(rows, 0))
}

/// The points `[n, d]` of a target with the noise of its loss.
struct NoisyPoints<'a> {
    points: &'a Tensor<2>,
    target: AttributionTarget,
    noise: &'a LossNoise,
}

/// The changes of the losses at n points along K changes of the weights, `[n, K]`.
fn loss_changes(
    model: &dyn LearnedDenoiser,
    weights: &ParameterTangents,
    noisy: &NoisyPoints<'_>,
    batch: usize,
) -> Result<Tensor<2>, DiffusionError> {
    let NoisyPoints { points, noise, .. } = noisy;
    let [n, d] = points.dims();
    let device = points.device();
    let mut sum = Tensor::<2>::zeros([weights.k(), n], (&device, points.dtype()));
    for (t, &sigma) in noise.sigmas.iter().enumerate() {
        let noisy = noise.noisy(t, points, noisy.target);
        let scale = 2.0 * model.loss_weight(sigma) / (d * noise.sigmas.len()) as f64;
        let changes = (0..n).step_by(batch).map(|first| {
            let rows = first..(first + batch).min(n);
            let x = noisy.clone().slice_dim(0, rows.clone());
            let clean = (*points).clone().slice_dim(0, rows);
            let levels = vec![sigma; x.dims()[0]];
            let (denoised, moved) = model.jvp_with_weights(x, &levels, None, weights)?;
            let residual = (denoised - clean) * scale;
            let products = moved * residual.unsqueeze_dim::<3>(0);
            Ok(products.sum_dim(2).squeeze_dim::<2>(2))
        });
        let changes = changes.collect::<Result<Vec<_>, DiffusionError>>()?;
        sum = sum + Tensor::cat(changes, 1);
    }
    Ok(sum.transpose())
}

#[cfg(test)]
mod tests {
    use burn::module::{Module as _, ModuleMapper, Param};
    use burn::tensor::Device;
    use datasway_diffusion::config::UNetConfig;
    use datasway_diffusion::loss::NoiseDistribution;
    use datasway_diffusion::network::NetworkDenoiser;
    use datasway_diffusion::precondition::Precondition;
    use datasway_diffusion::random::{RandomStream, generator, normal};
    use datasway_diffusion::unet::UNet;

    use super::*;
    use crate::target::{self, TargetOptions};

    /// Other parameters than those of an untrained network, whose last layer is zero.
    struct Randomize {
        seed: u64,
    }

    impl ModuleMapper for Randomize {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            self.seed += 1;
            let mut rng = generator(self.seed, RandomStream::Probe, [0]);
            param.map(|value| {
                let count = value.shape().num_elements();
                let shape = value.dims();
                (normal(&mut rng, [1, count], &value.device()) * 0.2).reshape(shape)
            })
        }
    }

    #[test]
    fn the_change_of_a_loss_is_its_difference() {
        let (device, precondition) = (Device::default(), Precondition { sigma_data: 0.5 });
        let config = UNetConfig {
            image_channels: 1,
            image_size: 4,
            channels: 8,
            multipliers: vec![1],
            blocks: 1,
            attention: vec![],
            head_channels: 8,
            groups: None,
        };
        let randomized = |seed| {
            let network = UNet::new(&config, &device).expect("a network");
            network.map(&mut Randomize { seed })
        };
        let network = randomized(10);
        let model = |network| NetworkDenoiser::new(network, config.clone(), precondition);
        let directions = [randomized(100), randomized(200)];
        let weights = ParameterTangents::from_modules(&network, &directions).expect("directions");
        let mut rng = generator(0, RandomStream::Sample, []);
        let points = normal(&mut rng, [5, 16], &device) * 0.5;
        let noise = TargetOptions {
            seed: 3,
            functionals: 1,
            draws: 4,
        }
        .loss_noise(&NoiseDistribution {
            mean: -1.2,
            std: 1.2,
        });
        let target = AttributionTarget::HeldOutLoss;
        let noisy = NoisyPoints {
            points: &points,
            target,
            noise: &noise,
        };
        // A batch that does not divide the number of points.
        let changes = loss_changes(&model(network.clone()), &weights, &noisy, 3);
        let changes: Vec<f64> = changes.expect("changes").into_data().iter().collect();
        for k in 0..2 {
            let at = |step| {
                let moved = model(weights.displace(network.clone(), k, step));
                let halves = target::losses(&moved, precondition, &points, target, &noise);
                let halves = halves.expect("losses");
                // Both halves have as many draws.
                let mean = |i: usize| f64::from(halves[i] + halves[5 + i]) / 2.0;
                (0..5).map(mean).collect::<Vec<_>>()
            };
            let (after, before) = (at(1e-3), at(-1e-3));
            let size = changes.iter().fold(0.0f64, |top, c| top.max(c.abs()));
            for i in 0..5 {
                let difference = (after[i] - before[i]) / 2e-3;
                let error = (difference - changes[2 * i + k]).abs();
                assert!(
                    error < 1e-2 * size && size > 0.0,
                    "{difference} {}",
                    changes[2 * i + k]
                );
            }
        }
    }
}
