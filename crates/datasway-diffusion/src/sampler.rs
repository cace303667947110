//! Samplers as generators of linear steps.
//!
//! Every sampler follows the probability-flow ODE `dx/dσ = (x − D)/σ`, the stochastic one after adding fresh noise. Each
//! step is *linear* in the points, the denoised points and the fresh noise. So a step is a small table of coefficients
//! ([`Step`]), and the same table moves
//!
//! - the samples x;
//! - a tangent δ, with `J·δ + ∂_ηD` in D's place and without the noise;
//! - an adjoint, with the table transposed;
//! - the log-density `q = log p + (d/2)·log 2πσ²`.
//!
//! Proof of the last: along the ODE `d log p/dσ = −div dx/dσ = −(d − tr J)/σ`, and the added term grows by `d/σ`, so
//! `dq/dσ = tr J/σ`. A step adds to x the sum of `w_j·(x_j − D_j)/σ_j` with quadrature weights `w_j`, so the coefficient of
//! `D_j` is `−w_j/σ_j`. The same quadrature adds to q the sum of `w_j·tr J_j/σ_j`, which is **minus the coefficient of `D_j`
//! times `tr J_j`**.

use burn::tensor::{DType, Device, Tensor, TensorData};
use rand_distr::{Distribution, StandardNormal};

use crate::denoiser::{Denoiser, check_points};
use crate::random::{RandomStream, generator};
use crate::{DiffusionError, schedule};

/// One step of a sampler, from one noise level of the grid to the next.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Before the first evaluation `noise·ε` is added to x, ε standard normal; 0 in an ODE step.
    pub noise: f64,
    /// Evaluations of D, in order; the result of the last is the next step's x.
    pub stages: Vec<Stage>,
}

/// One evaluation of D and the point that follows from it.
///
/// With `x_j`, `D_j` the points and evaluations of the stages so far in this step, the next point is
/// `Σ_j points[j]·x_j + Σ_j denoised[j]·D_j`.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// Noise level at which D is evaluated.
    pub sigma: f64,
    /// Coefficients of the points.
    pub points: Vec<f64>,
    /// Coefficients of the denoised points.
    pub denoised: Vec<f64>,
}

/// Points and values of the stages of one step. Samples, tangents and adjoints of any rank combine by the same
/// coefficients; each quantity has a buffer of its own.
#[derive(Debug, Clone, Default)]
pub struct StageBuffer<const D: usize> {
    points: Vec<Tensor<D>>,
    values: Vec<Tensor<D>>,
}

impl<const D: usize> StageBuffer<D> {
    /// Adds the `value` of an evaluation at `point` and returns the next point,
    /// `Σ_j points[j]·x_j + Σ_j denoised[j]·D_j` over the stages so far.
    pub fn advance(&mut self, stage: &Stage, point: Tensor<D>, value: Tensor<D>) -> Tensor<D> {
        self.points.push(point.clone());
        self.values.push(value);
        let points = stage.points.iter().zip(&self.points);
        let values = stage.denoised.iter().zip(&self.values);
        points
            .chain(values)
            .map(|(&coefficient, tensor)| tensor.clone() * coefficient)
            .reduce(|sum, term| sum + term)
            .unwrap_or(point)
    }
}

/// A method that moves samples from one noise level to the next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Sampler {
    /// First order, one evaluation a step (the same map as DDIM).
    Euler,
    /// Second order, two evaluations a step: EDM's Algorithm 1.
    Heun,
    /// Heun after fresh noise: EDM's Algorithm 2.
    Stochastic {
        /// Noise added over the whole path, in units of one step's relative increase of σ.
        s_churn: f64,
        /// No noise is added below this level.
        s_min: f64,
        /// No noise is added above this level.
        s_max: f64,
        /// Standard deviation of the added noise, relative to the exact value 1.
        s_noise: f64,
    },
}

impl Sampler {
    /// The steps through a grid of noise levels that ends with 0; the last step is Euler's.
    pub fn steps(&self, sigmas: &[f64]) -> Vec<Step> {
        let count = sigmas.len().saturating_sub(1);
        let step = |pair: &[f64]| {
            let (from, to) = (pair[0], pair[1]);
            match *self {
                Self::Euler => Step {
                    noise: 0.0,
                    stages: vec![euler(from, to)],
                },
                Self::Heun => Step {
                    noise: 0.0,
                    stages: heun(from, to),
                },
                Self::Stochastic {
                    s_churn,
                    s_min,
                    s_max,
                    s_noise,
                } => {
                    let inside = (s_min..=s_max).contains(&from);
                    let limit = std::f64::consts::SQRT_2 - 1.0;
                    let gamma = if inside {
                        (s_churn / count as f64).min(limit)
                    } else {
                        0.0
                    };
                    let raised = from * (1.0 + gamma);
                    Step {
                        noise: s_noise * from * (gamma * (2.0 + gamma)).sqrt(),
                        stages: heun(raised, to),
                    }
                }
            }
        };
        sigmas.windows(2).map(step).collect()
    }
}

/// `x + (σ' − σ)·(x − D)/σ`.
fn euler(from: f64, to: f64) -> Stage {
    Stage {
        sigma: from,
        points: vec![to / from],
        denoised: vec![1.0 - to / from],
    }
}

/// The stages of `x + (σ' − σ)/2·[(x − D)/σ + (x₁ − D₁)/σ']`, with x₁ Euler's result; Euler alone if
/// σ' = 0. It goes up (σ' > σ) as well as down.
pub fn heun(from: f64, to: f64) -> Vec<Stage> {
    let mut stages = vec![euler(from, to)];
    if to > 0.0 {
        let half = (to - from) / 2.0;
        stages.push(Stage {
            sigma: to,
            points: vec![1.0 + half / from, half / to],
            denoised: vec![-half / from, -half / to],
        });
    }
    stages
}

/// A fixed sequence of Gaussian noise. The ε of sample i before step k depends on the seed, i and k only. It is drawn on the
/// CPU in f64, so it is the same for every device, batch size and order of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrozenNoise {
    /// Seed of the sequence.
    pub seed: u64,
    /// Index of the first sample of the batch.
    pub first: u64,
}

impl FrozenNoise {
    /// The sequence of a seed, for a batch that begins with sample 0.
    pub fn new(seed: u64) -> Self {
        Self { seed, first: 0 }
    }

    /// The same sequence for a batch that begins with sample `first`.
    pub fn starting_at(self, first: u64) -> Self {
        Self { first, ..self }
    }

    /// The starting noise of the samples, standard normal, `[n, d]`. The first σ multiplies it.
    pub fn start(&self, shape: [usize; 2], device: &Device, dtype: DType) -> Tensor<2> {
        self.draw(0, shape, device, dtype)
    }

    /// The noise of step k (counted from 0), `[n, d]`.
    pub fn step(&self, k: usize, shape: [usize; 2], device: &Device, dtype: DType) -> Tensor<2> {
        self.draw(k as u64 + 1, shape, device, dtype)
    }

    fn draw(&self, moment: u64, [n, d]: [usize; 2], device: &Device, dtype: DType) -> Tensor<2> {
        let mut values: Vec<f64> = Vec::with_capacity(n * d);
        for row in 0..n as u64 {
            let mut rng = generator(self.seed, RandomStream::Sample, [self.first + row, moment]);
            values.extend(
                std::iter::repeat_with(|| -> f64 { StandardNormal.sample(&mut rng) }).take(d),
            );
        }
        Tensor::from_data(TensorData::new(values, [n, d]), (device, dtype))
    }
}

/// Samples of a model at σ = 0, `[n, d]`, from the standard normal `start`, `[n, d]`.
///
/// # Errors
/// If the noise levels are not a grid that ends with 0, shapes do not match, the model fails, or a sample is not finite.
pub fn sample<M: Denoiser + ?Sized>(
    denoiser: &M,
    sampler: &Sampler,
    sigmas: &[f64],
    start: Tensor<2>,
    noise: &FrozenNoise,
) -> Result<Tensor<2>, DiffusionError> {
    check_points(&start, denoiser.dim())?;
    let denoise = |x: Tensor<2>, sigma: f64| denoiser.denoise(x, sigma);
    sample_by(denoise, sampler, sigmas, start, noise)
}

/// [`sample`] of a denoiser whose derivative is not known.
///
/// # Errors
/// As [`sample`].
pub fn sample_by(
    denoise: impl Fn(Tensor<2>, f64) -> Result<Tensor<2>, DiffusionError>,
    sampler: &Sampler,
    sigmas: &[f64],
    start: Tensor<2>,
    noise: &FrozenNoise,
) -> Result<Tensor<2>, DiffusionError> {
    schedule::check(sigmas)?;
    let mut x = start * sigmas[0];
    for (k, step) in sampler.steps(sigmas).iter().enumerate() {
        x = add_noise(x, step, k, noise);
        let mut buffer = StageBuffer::default();
        for stage in &step.stages {
            let denoised = denoise(x.clone(), stage.sigma)?;
            x = buffer.advance(stage, x, denoised);
        }
    }
    if x.clone().is_finite().all().into_scalar::<bool>() {
        Ok(x)
    } else {
        Err(DiffusionError::NotFinite(
            "the model's samples are not finite: it has diverged, or was sampled at noise levels that it was not trained on"
                .to_owned(),
        ))
    }
}

/// The points x `[n, d]` with the fresh noise of step k. In an ODE step they do not change.
pub fn add_noise(x: Tensor<2>, step: &Step, k: usize, noise: &FrozenNoise) -> Tensor<2> {
    if step.noise == 0.0 {
        return x;
    }
    let epsilon = noise.step(k, x.dims(), &x.device(), x.dtype());
    x + epsilon * step.noise
}

#[cfg(test)]
mod tests {
    use super::*;

    const STOCHASTIC: Sampler = Sampler::Stochastic {
        s_churn: 10.0,
        s_min: 0.05,
        s_max: 50.0,
        s_noise: 1.0,
    };

    #[test]
    fn coefficients_sum_to_one() {
        // Where D = x nothing moves: the coefficients of every stage sum to 1.
        let sigmas = schedule::karras(12, 0.002, 80.0, 7.0);
        for sampler in [Sampler::Euler, Sampler::Heun, STOCHASTIC] {
            for step in sampler.steps(&sigmas) {
                for stage in step.stages {
                    let sum: f64 = stage.points.iter().chain(&stage.denoised).sum();
                    assert!((sum - 1.0).abs() < 1e-9, "{sampler:?}: {sum}");
                }
            }
        }
    }

    #[test]
    fn fresh_noise_raises_the_level() {
        let sigmas = [1.0, 0.5, 0.0];
        let steps = STOCHASTIC.steps(&sigmas);
        let raised = steps[0].stages[0].sigma;
        assert!((raised * raised - 1.0 - steps[0].noise.powi(2)).abs() < 1e-12);
        assert_eq!(steps[1].stages.len(), 1);
    }

    #[test]
    fn noise_does_not_depend_on_the_batch() {
        let device = Device::flex();
        let noise = FrozenNoise::new(3);
        let four = noise.step(2, [4, 5], &device, DType::F64);
        let tail = noise.starting_at(2).step(2, [2, 5], &device, DType::F64);
        let tail_of_four = four.slice([2..4, 0..5]);
        assert_eq!(tail_of_four.into_data(), tail.into_data());
    }
}
