//! Attribution targets: the values of a model whose change is predicted.

use burn::tensor::Tensor;
use datasway_diffusion::DiffusionError;
use datasway_diffusion::denoiser::Denoiser;
use datasway_diffusion::loss::NoiseDistribution;
use datasway_diffusion::parameterization::Parameterization;
use datasway_diffusion::precondition::Precondition;
use datasway_diffusion::random::{RandomStream, generator, normal};
use serde::Serialize;

/// Offset of the seed of evaluation noise, which keeps it apart from training noise.
const EVALUATION_SEED_OFFSET: u64 = 1 << 33;

/// Kind of attribution target (the "model output function" of TRAK).
///
/// The discriminants index streams of random numbers and must not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttributionTarget {
    /// `⟨v, x⟩` of the model's own sample x, for random v.
    Sample = 0,
    /// Loss at a sample of the base model.
    SampleLoss = 1,
    /// Loss at a held-out image.
    HeldOutLoss = 2,
    /// Position of a sample along its principal line, on which training images move it most.
    /// It selects images for counterfactuals and has no value for other models.
    Principal = 3,
}

impl AttributionTarget {
    /// The targets that have a value for every model.
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

    /// Index of the target's stream of random numbers.
    pub(crate) fn stream(self) -> u64 {
        self as u64
    }
}

/// Numbers that define the targets of one experiment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TargetOptions {
    /// Seed of the linear functionals and of the noise of losses.
    pub seed: u64,
    /// Number K of random linear functionals of each sample.
    pub functionals: usize,
    /// Number of noise levels that a loss is averaged over.
    pub draws: usize,
}

impl TargetOptions {
    /// Directions v of the linear functionals of samples `[n, d]`, standard normal, `[n, K, d]`.
    pub fn directions(&self, samples: &Tensor<2>) -> Tensor<3> {
        let ([n, d], k) = (samples.dims(), self.functionals);
        let rows = (0..n).map(|sample| {
            let index = [sample as u64, u64::MAX];
            let mut rng = generator(self.seed, RandomStream::Probe, index);
            normal(&mut rng, [k, d], &samples.device())
        });
        Tensor::stack(rows.collect(), 0)
    }

    /// Noise of the losses, with noise levels from the distribution that models are trained on.
    pub fn loss_noise(&self, training: &NoiseDistribution) -> LossNoise {
        let seed = self.seed.wrapping_add(EVALUATION_SEED_OFFSET);
        let mut rng = generator(seed, RandomStream::TrainingNoise, [u64::MAX]);
        LossNoise {
            seed,
            sigmas: training.sample(&mut rng, self.draws),
        }
    }
}

/// Noise levels and noise of a loss, the same for all models.
#[derive(Debug, Clone, PartialEq)]
pub struct LossNoise {
    seed: u64,
    /// Noise level σ_t of each draw t.
    pub sigmas: Vec<f64>,
}

impl LossNoise {
    /// The first draw alone.
    pub fn first(&self) -> Self {
        self.with_sigmas(self.sigmas[..1].to_vec())
    }

    /// The noise of the first draws at other levels.
    pub fn with_sigmas(&self, sigmas: Vec<f64>) -> Self {
        Self {
            seed: self.seed,
            sigmas,
        }
    }

    /// The points of a target `[n, d]` with the noise of draw t: `x + σ_t·ε_{t,x}`.
    pub fn noisy(&self, t: usize, points: &Tensor<2>, target: AttributionTarget) -> Tensor<2> {
        let index = [t as u64, target.stream()];
        let mut rng = generator(self.seed, RandomStream::TrainingNoise, index);
        let noise = normal(&mut rng, points.dims(), &points.device());
        points.clone() + noise * self.sigmas[t]
    }
}

/// Loss of a model at points x `[n, d]`: `mean over draws of λ(σ)·‖D(x + σε, σ) − x‖²/d`, `[2, n]`.
///
/// The first row is the mean over even draws and the second over odd ones.
/// Their disagreement measures the noise of the evaluation.
///
/// # Errors
/// If the model fails.
pub fn losses(
    model: &dyn Denoiser,
    precondition: Precondition,
    points: &Tensor<2>,
    target: AttributionTarget,
    noise: &LossNoise,
) -> Result<Vec<f32>, DiffusionError> {
    let [n, _] = points.dims();
    let mut sums = vec![0.0f64; 2 * n];
    for (t, &sigma) in noise.sigmas.iter().enumerate() {
        let denoised = model.denoise(noise.noisy(t, points, target), sigma)?;
        let errors = (denoised - points.clone()).powi_scalar(2).mean_dim(1);
        let weight = precondition.loss_weight(sigma);
        let half = &mut sums[t % 2 * n..][..n];
        for (sum, error) in half.iter_mut().zip(errors.into_data().iter::<f64>()) {
            *sum += weight * error;
        }
    }
    let draws_in_half = |half: usize| (noise.sigmas.len() + 1 - half) / 2;
    let mean = |(i, sum): (usize, f64)| (sum / draws_in_half(i / n) as f64) as f32;
    Ok(sums.into_iter().enumerate().map(mean).collect())
}
