//! The quantities whose change is predicted: what a training image can have an influence on.

use burn::tensor::Tensor;
use datasway_diffusion::denoiser::Denoiser;
use datasway_diffusion::loss::NoiseDistribution;
use datasway_diffusion::precondition::Precondition;
use datasway_diffusion::random::{RandomStream, generator, normal};
use serde::Serialize;

use super::Benchmark;
use crate::RetrainError;

/// Noise of evaluations is that of the benchmark's seed plus this, so that it is no model's training noise.
const EVALUATION: u64 = 1 << 33;

/// A kind of functional of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Functional {
    /// `⟨v, x⟩` of the model's own sample x, for random v.
    Sample,
    /// The loss at a sample of the base model.
    SampleLoss,
    /// The loss at an image that no model was trained on.
    HeldOutLoss,
    /// How far a sample is along the line on which training images move it most. It chooses images for counterfactuals; no other
    /// model has a value of it.
    Principal,
}

impl Functional {
    /// The kinds that every model has values of.
    pub const ALL: [Self; 3] = [Self::Sample, Self::SampleLoss, Self::HeldOutLoss];

    /// Name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sample => "sample",
            Self::SampleLoss => "sample-loss",
            Self::HeldOutLoss => "held-out-loss",
            Self::Principal => "principal",
        }
    }
}

/// The directions v of the linear functionals of `n` samples, standard normal, `[n, K, d]`.
pub fn directions(benchmark: &Benchmark, samples: &Tensor<2>) -> Tensor<3> {
    let ([n, d], k) = (samples.dims(), benchmark.functionals);
    let of = |sample: usize| {
        let mut rng = generator(
            benchmark.seed,
            RandomStream::Probe,
            [sample as u64, u64::MAX],
        );
        normal(&mut rng, [k, d], &samples.device())
    };
    Tensor::stack((0..n).map(of).collect(), 0)
}

/// The noise levels and the noise of a loss, the same for every model.
#[derive(Debug, Clone, PartialEq)]
pub struct Draws {
    seed: u64,
    /// Drawn from the distribution that models are trained on.
    pub sigmas: Vec<f64>,
}

impl Draws {
    /// The draws of a benchmark.
    pub fn new(benchmark: &Benchmark, noise: &NoiseDistribution) -> Self {
        let seed = benchmark.seed.wrapping_add(EVALUATION);
        let mut rng = generator(seed, RandomStream::TrainingNoise, [u64::MAX]);
        Self {
            seed,
            sigmas: noise.sample(&mut rng, benchmark.draws),
        }
    }

    /// The first of them alone.
    pub(crate) fn first(&self) -> Self {
        Self {
            seed: self.seed,
            sigmas: self.sigmas[..1].to_vec(),
        }
    }

    /// One draw at a noise level of one's own.
    pub(crate) fn at(&self, sigma: f64) -> Self {
        Self {
            seed: self.seed,
            sigmas: vec![sigma],
        }
    }

    /// The points of a kind of functional, `[n, d]`, with the noise of draw t: `x + σ_t·ε_{t,x}`.
    pub fn noisy(&self, t: usize, points: &Tensor<2>, functional: Functional) -> Tensor<2> {
        let index = [t as u64, functional as u64];
        let mut rng = generator(self.seed, RandomStream::TrainingNoise, index);
        let noise = normal(&mut rng, points.dims(), &points.device());
        points.clone() + noise * self.sigmas[t]
    }
}

/// `mean over draws of λ(σ)·‖D(x + σε, σ) − x‖²/d` at points x, `[n, d]`: first by the even draws, then by the odd ones, `[2, n]`. How far the
/// two agree tells the noise of the evaluation.
///
/// # Errors
/// If the model fails.
pub fn losses(
    model: &dyn Denoiser,
    precondition: Precondition,
    points: &Tensor<2>,
    functional: Functional,
    draws: &Draws,
) -> Result<Vec<f32>, RetrainError> {
    let [n, _] = points.dims();
    let mut sums = vec![0.0f64; 2 * n];
    for (t, &sigma) in draws.sigmas.iter().enumerate() {
        let denoised = model.denoise(draws.noisy(t, points, functional), sigma)?;
        let errors = (denoised - points.clone()).powi_scalar(2).mean_dim(1);
        let weight = precondition.loss_weight(sigma);
        let half = &mut sums[t % 2 * n..][..n];
        for (sum, error) in half.iter_mut().zip(errors.into_data().iter::<f64>()) {
            *sum += weight * error;
        }
    }
    let count = |half: usize| (draws.sigmas.len() + 1 - half) / 2;
    let mean = |(i, sum): (usize, f64)| (sum / count(i / n) as f64) as f32;
    Ok(sums.into_iter().enumerate().map(mean).collect())
}
