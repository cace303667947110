//! Projected gradients of the network's weights: TRAK (Park et al., arXiv 2303.14186) and D-TRAK (Zheng et al., arXiv 2311.00500).

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{DType, Tensor, TensorData};
use datasway_diffusion::loss::{denoise_each, denoising_loss};
use datasway_diffusion::network::NetworkDenoiser;
use datasway_diffusion::random::{RandomStream, generator, normal};
use datasway_diffusion::sampler::{FrozenNoise, Sampler, sample};
use datasway_diffusion::schedule;
use datasway_diffusion::unet::UNet;
use datasway_diffusion::validate::{distinct, within};
use rand::RngExt;
use serde::{Deserialize, Serialize};

use super::ridge::RidgeInfluence;
use super::similarity::similarity_scores;
use crate::AttributionError;
use crate::attributor::{AttributionContext, Attributor, CostScaling, ScoreColumns, Scores};
use crate::target::AttributionTarget;

/// Entries of the projection that each weight contributes to, with random signs (a sparse Johnson–Lindenstrauss transform; Kane
/// and Nelson, *J. ACM* 61, 2014).
const ENTRIES_PER_WEIGHT: usize = 8;

/// Influence `−ψᵀG⁻¹φ_j` with `G = ΦᵀΦ/m + λ·(mean of its diagonal)·1`.
///
/// The feature `φ_j` is the projected gradient, in the weights, of a function of training image j, averaged over noise levels.
/// The feature ψ is that of the attributed point or functional.
///
/// - TRAK: the function is the loss, for training images and attributed points.
/// - D-TRAK: the function is the mean square of the predicted noise, for both.
/// - *Through the sampler*: ψ is the gradient of the sample's `⟨v, x⟩`, back-propagated through all steps of the sampler.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trak {
    /// Function whose gradient is the feature of an image.
    #[serde(rename = "of")]
    function: ImageFunction,
    /// Number of entries of the projection.
    #[serde(default = "default_dimensions")]
    dimensions: usize,
    /// Number of noise levels of each image.
    #[serde(default = "default_levels")]
    levels: usize,
    /// Ridges λ, each a form of its own.
    ridges: Vec<f64>,
}

/// Function of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ImageFunction {
    /// The loss (TRAK).
    Loss,
    /// The mean square of the noise that the network predicts (D-TRAK).
    SquaredOutput,
}

fn default_dimensions() -> usize {
    1024
}

fn default_levels() -> usize {
    10
}

impl Attributor for Trak {
    fn name(&self) -> String {
        match self.function {
            ImageFunction::Loss => "TRAK".to_owned(),
            ImageFunction::SquaredOutput => "D-TRAK".to_owned(),
        }
    }

    fn cost_scaling(&self) -> CostScaling {
        CostScaling::TrainingImages
    }

    fn check(&self) -> Result<(), AttributionError> {
        within("gradients: dimensions", self.dimensions, 1..=8_192)?;
        within("gradients: levels", self.levels, 1..=10_000)?;
        within(
            "gradients: the number of ridges",
            self.ridges.len(),
            1..=100,
        )?;
        for &ridge in &self.ridges {
            within("gradients: a ridge", ridge, 0.0..=1e12)?;
        }
        Ok(distinct("ridges", self.ridges.iter().map(f64::to_string))?)
    }

    fn removal_forms(&self) -> Vec<String> {
        self.ridges.iter().map(|ridge| self.form(*ridge)).collect()
    }

    fn attribute(&self, context: &AttributionContext<'_>) -> Result<Vec<Scores>, AttributionError> {
        let network = DifferentiableNetwork::new(context)?;
        let seed = context.targets.seed;
        let projection = Projection::new(network.weights(), self.dimensions, seed);
        let features =
            |points, target| self.features(context, &network, &projection, points, target);
        // The target only separates the noise of the three sets of points.
        let images = features(&context.image_points, AttributionTarget::Sample);
        let samples = features(&context.samples, AttributionTarget::SampleLoss);
        let held_out = features(&context.held_out, AttributionTarget::HeldOutLoss);
        let functionals = network.functional_features(context, &projection)?;
        let mut results = Vec::new();
        for &lambda in &self.ridges {
            let influence = RidgeInfluence::new(&images, lambda)?;
            let name = self.form(lambda);
            results.extend(similarity_scores(
                &name,
                context,
                influence.apply(&samples),
                influence.apply(&held_out),
            ));
            results.push(Scores {
                name: format!("{name}, through the sampler"),
                target: AttributionTarget::Sample,
                columns: ScoreColumns::Images,
                rows: -influence.apply(&functionals),
            });
        }
        Ok(results)
    }
}

impl Trak {
    /// Name of the form with a ridge.
    fn form(&self, lambda: f64) -> String {
        format!("{} λ {lambda}", self.name())
    }

    /// Features of points `[n, d]`, `[n, dimensions]`, with noise for each point and target.
    fn features(
        &self,
        context: &AttributionContext<'_>,
        network: &DifferentiableNetwork,
        projection: &Projection,
        points: &Tensor<2>,
        target: AttributionTarget,
    ) -> Tensor<2> {
        let [n, _] = points.dims();
        let mut values = Vec::with_capacity(n * self.dimensions);
        for i in 0..n {
            let point = points.clone().slice_dim(0, i..i + 1);
            let index = [i as u64, target.stream()];
            let value = self.value(network, context, point, index);
            values.extend(projection.project(&network.gradient(value)));
        }
        let data = TensorData::new(values, [n, self.dimensions]);
        Tensor::from_data(data, &points.device())
    }

    /// The function of one image `[1, d]`, averaged over noise levels; `index` selects the noise.
    fn value(
        &self,
        network: &DifferentiableNetwork,
        context: &AttributionContext<'_>,
        image: Tensor<2>,
        index: [u64; 2],
    ) -> Tensor<1> {
        let device = context.device.clone().autodiff();
        let sigmas = &context.loss_noise().sigmas;
        let sigmas: Vec<f64> = sigmas.iter().cycle().take(self.levels).copied().collect();
        let shape = context.images.shape;
        let dims = [self.levels, shape.channels, shape.height, shape.width];
        let mut rng = generator(context.targets.seed, RandomStream::TrainingNoise, index);
        let noise = normal(&mut rng, [self.levels, shape.dim()], &device).reshape(dims);
        let clean = image
            .to_device(&device)
            .repeat_dim(0, self.levels)
            .reshape(dims);
        let (network, precondition) = (&network.network, &context.precondition);
        match self.function {
            ImageFunction::Loss => denoising_loss(network, precondition, clean, noise, &sigmas),
            ImageFunction::SquaredOutput => {
                let scale = TensorData::new(sigmas.clone(), [self.levels, 1, 1, 1]);
                let sigma = Tensor::<4>::from_data(scale, (&device, DType::F32));
                let noisy = clean + noise * sigma.clone();
                let denoised = denoise_each(network, precondition, noisy.clone(), &sigmas);
                // ε̂ = (x − D(x, σ))/σ
                ((noisy - denoised) / sigma).powi_scalar(2).mean()
            }
        }
    }
}

/// The base model's network with gradients of its weights.
struct DifferentiableNetwork {
    network: UNet,
}

impl DifferentiableNetwork {
    /// # Errors
    /// If the checkpoint's weights do not fit its network.
    fn new(context: &AttributionContext<'_>) -> Result<Self, AttributionError> {
        let network = context.checkpoint.averaged_network(context.device)?;
        Ok(Self {
            network: network.set_require_grad(true).train(),
        })
    }

    /// Number of weights.
    fn weights(&self) -> usize {
        self.network.num_params()
    }

    /// Gradient of a value in all weights, in the order of the weights.
    fn gradient(&self, value: Tensor<1>) -> Vec<f32> {
        let gradients = GradientsParams::from_grads(value.backward(), &self.network);
        let mut flat = FlatGradients {
            gradients,
            values: Vec::with_capacity(self.weights()),
        };
        self.network.visit(&mut flat);
        flat.values
    }

    /// Projected gradients of the linear functionals of all samples through the sampler, `[n·K, dimensions]`.
    ///
    /// # Errors
    /// If the sampler fails.
    fn functional_features(
        &self,
        context: &AttributionContext<'_>,
        projection: &Projection,
    ) -> Result<Tensor<2>, AttributionError> {
        let device = context.device.clone().autodiff();
        let config = context.checkpoint.header.network.clone();
        let model = NetworkDenoiser::new(self.network.clone(), config, context.precondition);
        let (spec, directions) = (context.sample_spec, context.directions());
        let [n, k, d] = directions.dims();
        let mut values = Vec::with_capacity(n * k * projection.dimensions);
        for row in 0..n * k {
            let (i, functional) = (row / k, row % k);
            let noise = FrozenNoise::new(spec.seed).starting_at(i as u64);
            let start = noise
                .start([1, d], context.device, DType::F32)
                .to_device(&device);
            let sigmas = schedule::edm(spec.steps);
            let x = sample(&model, &Sampler::Heun, &sigmas, start, &noise)?;
            let v = directions
                .clone()
                .slice([i..i + 1, functional..functional + 1, 0..d]);
            let value = (x * v.reshape([1, d]).to_device(&device)).sum();
            values.extend(projection.project(&self.gradient(value)));
        }
        let data = TensorData::new(values, [n * k, projection.dimensions]);
        Ok(Tensor::from_data(data, context.device))
    }
}

/// Collects gradients in the order of the weights.
struct FlatGradients {
    gradients: GradientsParams,
    values: Vec<f32>,
}

impl ModuleVisitor for FlatGradients {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        match self.gradients.get::<D>(param.id) {
            Some(gradient) => self.values.extend(gradient.into_data().iter::<f32>()),
            // The value does not depend on this weight.
            None => self
                .values
                .extend(vec![0.0; param.val().shape().num_elements()]),
        }
    }
}

/// Random linear map of gradients to `dimensions` entries that preserves inner products in expectation.
struct Projection {
    dimensions: usize,
    /// [`ENTRIES_PER_WEIGHT`] entries with their factors for each weight.
    targets: Vec<(u32, f32)>,
}

impl Projection {
    fn new(weights: usize, dimensions: usize, seed: u64) -> Self {
        let mut rng = generator(seed, RandomStream::Probe, [u64::MAX]);
        let size = 1.0 / (ENTRIES_PER_WEIGHT as f32).sqrt();
        let target = |_| {
            let entry = rng.random_range(0..dimensions) as u32;
            (entry, if rng.random() { size } else { -size })
        };
        Self {
            dimensions,
            targets: (0..weights * ENTRIES_PER_WEIGHT).map(target).collect(),
        }
    }

    fn project(&self, gradient: &[f32]) -> Vec<f32> {
        let mut projected = vec![0.0; self.dimensions];
        let targets = self.targets.chunks_exact(ENTRIES_PER_WEIGHT);
        for (value, targets) in gradient.iter().zip(targets) {
            for (entry, factor) in targets {
                projected[*entry as usize] += factor * value;
            }
        }
        projected
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_projection_keeps_inner_products() {
        let projection = Projection::new(2000, 512, 3);
        let wave = |f: f32| -> Vec<f32> { (0..2000).map(|i| (f * i as f32).sin()).collect() };
        let (a, b) = (wave(0.01), wave(0.0102));
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        let (pa, pb) = (projection.project(&a), projection.project(&b));
        let scale = (dot(&a, &a) * dot(&b, &b)).sqrt();
        for (real, projected) in [(dot(&a, &b), dot(&pa, &pb)), (dot(&a, &a), dot(&pa, &pa))] {
            assert!(
                (real - projected).abs() < 0.15 * scale,
                "{real} {projected}"
            );
        }
    }
}
