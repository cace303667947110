//! Gradients of the network's weights, projected at random: TRAK (Park et al., arXiv 2303.14186) and D-TRAK (Zheng et al., arXiv 2311.00500)
//! for diffusion models.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{DType, Tensor, TensorData};
use datasway_diffusion::loss::{denoise_each, denoising_loss};
use datasway_diffusion::network::NetworkDenoiser;
use datasway_diffusion::random::{RandomStream, generator, normal};
use datasway_diffusion::sampler::{FrozenNoise, Sampler, sample};
use datasway_diffusion::schedule;
use datasway_diffusion::unet::UNet;
use datasway_diffusion::weights;
use rand::RngExt;
use serde::{Deserialize, Serialize};

use super::functional::Functional;
use super::similarity::forms;
use super::{Attributor, Columns, CostScaling, Scene, Scores, ridge};
use crate::RetrainError;
use crate::experiment::distinct;
use crate::range::within;

/// Each weight goes to so many of the projection's entries, with random signs (a sparse Johnson–Lindenstrauss transform;
/// Kane and Nelson, *J. ACM* 61, 2014).
const COPIES: usize = 8;

/// `φ_j` is the projected gradient, in the weights, of a function of training image j, averaged over noise levels; `ψ` that of the
/// attributed functional. With `G = ΦᵀΦ/m + λ·(mean of its diagonal)·1`, an image of more mass moves the functional by `−ψᵀG⁻¹φ_j`.
///
/// - TRAK: the function is the loss, for training images and attributed points alike.
/// - D-TRAK: it is the squared norm of the predicted noise instead, for both.
/// - *Through the sampler*: ψ is the gradient of the sample's own functional `⟨v, x⟩`, back-propagated through all steps of the sampler.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gradients {
    /// Whose gradient.
    of: Of,
    /// Entries of the projection.
    #[serde(default = "dimensions")]
    dimensions: usize,
    /// Noise levels of each image.
    #[serde(default = "levels")]
    levels: usize,
    /// λ, each a form of its own.
    ridges: Vec<f64>,
}

/// The function of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Of {
    /// Its loss.
    Loss,
    /// The mean square of the noise that the network predicts in it.
    SquaredOutput,
}

fn dimensions() -> usize {
    1024
}

fn levels() -> usize {
    10
}

impl Attributor for Gradients {
    fn name(&self) -> String {
        match self.of {
            Of::Loss => "TRAK".to_owned(),
            Of::SquaredOutput => "D-TRAK".to_owned(),
        }
    }

    fn grows_with(&self) -> CostScaling {
        CostScaling::ImagePoints
    }

    fn check(&self) -> Result<(), RetrainError> {
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
        distinct("ridges", self.ridges.iter().map(f64::to_string))
    }

    fn choosing(&self) -> Vec<String> {
        let form = |lambda: &f64| format!("{} λ {lambda}", self.name());
        self.ridges.iter().map(form).collect()
    }

    fn attribute(&self, scene: &Scene<'_>) -> Result<Vec<Scores>, RetrainError> {
        let network = Differentiable::new(scene)?;
        let projection = Projection::new(network.weights(), self.dimensions, scene.benchmark.seed);
        let features = |points: &Tensor<2>, functional| {
            let [n, _] = points.dims();
            let rows = (0..n).flat_map(|i| {
                let point = points.clone().slice_dim(0, i..i + 1);
                let value = self.function(&network, scene, point, [i as u64, functional as u64]);
                projection.project(&network.gradient(value))
            });
            let values: Vec<f32> = rows.collect();
            Tensor::<2>::from_data(
                TensorData::new(values, [n, self.dimensions]),
                &points.device(),
            )
        };
        // Noise of its own for each of the three sets of points.
        let images = features(&scene.images, Functional::Sample);
        let samples = features(&scene.samples, Functional::SampleLoss);
        let held_out = features(&scene.held_out, Functional::HeldOutLoss);
        let through = network.through_the_sampler(scene, &projection)?;
        let mut all = Vec::new();
        for &lambda in &self.ridges {
            let influence = ridge::Influence::new(&images, lambda)?;
            let name = format!("{} λ {lambda}", self.name());
            all.extend(forms(
                &name,
                scene,
                influence.of(&samples),
                influence.of(&held_out),
            ));
            all.push(Scores {
                name: format!("{name}, through the sampler"),
                functional: Functional::Sample,
                of: Columns::ImagePoints,
                rows: -influence.of(&through),
            });
        }
        Ok(all)
    }
}

impl Gradients {
    /// The function of one image, `[1, d]`, averaged over noise levels.
    fn function(
        &self,
        network: &Differentiable<'_>,
        scene: &Scene<'_>,
        image: Tensor<2>,
        place: [u64; 2],
    ) -> Tensor<1> {
        let setup = scene.setup;
        let device = setup.device.clone().autodiff();
        let sigmas = &scene.draws().sigmas;
        let sigmas: Vec<f64> = sigmas.iter().cycle().take(self.levels).copied().collect();
        let shape = setup.images.shape;
        let dims = [self.levels, shape.channels, shape.height, shape.width];
        let mut rng = generator(scene.benchmark.seed, RandomStream::TrainingNoise, place);
        let noise = normal(&mut rng, [self.levels, shape.dim()], &device).reshape(dims);
        let clean = image
            .to_device(&device)
            .repeat_dim(0, self.levels)
            .reshape(dims);
        let precondition = setup.precondition();
        match self.of {
            Of::Loss => denoising_loss(&network.network, &precondition, clean, noise, &sigmas),
            Of::SquaredOutput => {
                let scale = TensorData::new(sigmas.clone(), [self.levels, 1, 1, 1]);
                let sigma = Tensor::<4>::from_data(scale, (&device, DType::F32));
                let noisy = clean + noise * sigma.clone();
                let denoised =
                    denoise_each(&network.network, &precondition, noisy.clone(), &sigmas);
                ((noisy - denoised) / sigma).powi_scalar(2).mean()
            }
        }
    }
}

/// The attributed network where gradients are recorded.
struct Differentiable<'a> {
    scene: &'a Scene<'a>,
    network: UNet,
}

impl<'a> Differentiable<'a> {
    fn new(scene: &'a Scene<'a>) -> Result<Self, RetrainError> {
        let checkpoint = scene.checkpoint;
        let stored = checkpoint.with_ids(checkpoint.ema.clone());
        let network = UNet::new(&checkpoint.header.network, &scene.setup.device)?;
        let network = weights::apply(network, stored).map_err(RetrainError::Experiment)?;
        Ok(Self {
            scene,
            network: network.set_require_grad(true).train(),
        })
    }

    /// Number of weights.
    fn weights(&self) -> usize {
        self.network.num_params()
    }

    /// The gradient of a value in all weights.
    fn gradient(&self, value: Tensor<1>) -> Vec<f32> {
        let gradients = GradientsParams::from_grads(value.backward(), &self.network);
        let mut flat = Flat {
            gradients,
            values: Vec::with_capacity(self.weights()),
        };
        self.network.visit(&mut flat);
        flat.values
    }

    /// The projected gradients of the linear functionals of all samples, `[n·K, k]`.
    fn through_the_sampler(
        &self,
        scene: &Scene<'_>,
        projection: &Projection,
    ) -> Result<Tensor<2>, RetrainError> {
        let setup = scene.setup;
        let device = setup.device.clone().autodiff();
        let config = &self.scene.checkpoint.header.network;
        let model =
            NetworkDenoiser::new(self.network.clone(), config.clone(), setup.precondition());
        let (samples, directions) = (&setup.experiment.samples, scene.directions());
        let [n, k, d] = directions.dims();
        let mut values = Vec::with_capacity(n * k * projection.dimensions);
        for row in 0..n * k {
            let (i, which) = (row / k, row % k);
            let noise = FrozenNoise::new(samples.seed).starting_at(i as u64);
            let start = noise
                .start([1, d], &setup.device, DType::F32)
                .to_device(&device);
            let x = sample(
                &model,
                &Sampler::Heun,
                &schedule::edm(samples.steps),
                start,
                &noise,
            )?;
            let v = directions.clone().slice([i..i + 1, which..which + 1, 0..d]);
            let functional = (x * v.reshape([1, d]).to_device(&device)).sum();
            values.extend(projection.project(&self.gradient(functional)));
        }
        let shape = [n * k, projection.dimensions];
        Ok(Tensor::from_data(
            TensorData::new(values, shape),
            &setup.device,
        ))
    }
}

/// Gradients in the order of the weights.
struct Flat {
    gradients: GradientsParams,
    values: Vec<f32>,
}

impl ModuleVisitor for Flat {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        match self.gradients.get::<D>(param.id) {
            Some(gradient) => self.values.extend(gradient.into_data().iter::<f32>()),
            // A weight that the value does not depend on.
            None => self
                .values
                .extend(vec![0.0; param.val().shape().num_elements()]),
        }
    }
}

/// A random linear map of gradients to fewer entries that keeps inner products in the mean.
struct Projection {
    dimensions: usize,
    /// For each weight, [`COPIES`] entries and signs.
    targets: Vec<(u32, f32)>,
}

impl Projection {
    fn new(weights: usize, dimensions: usize, seed: u64) -> Self {
        let mut rng = generator(seed, RandomStream::Probe, [u64::MAX]);
        let size = 1.0 / (COPIES as f32).sqrt();
        let target = |_| {
            let entry = rng.random_range(0..dimensions) as u32;
            (entry, if rng.random() { size } else { -size })
        };
        Self {
            dimensions,
            targets: (0..weights * COPIES).map(target).collect(),
        }
    }

    fn project(&self, gradient: &[f32]) -> Vec<f32> {
        let mut projected = vec![0.0; self.dimensions];
        for (value, targets) in gradient.iter().zip(self.targets.chunks_exact(COPIES)) {
            for (entry, sign) in targets {
                projected[*entry as usize] += sign * value;
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
