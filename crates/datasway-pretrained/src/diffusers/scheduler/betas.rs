//! Tables of noise levels by their increments β, in single precision as diffusers computes them.

use std::f64::consts::FRAC_PI_2;

use serde::Deserialize;

/// Largest number of steps.
pub const MAX_STEPS: usize = 100_000;
/// Largest increment of a schedule that is given by `ᾱ(t)`.
const MAX_BETA: f64 = 0.999;

/// The rule of the increments β.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BetaSchedule {
    /// β evenly spaced.
    Linear,
    /// √β evenly spaced.
    ScaledLinear,
    /// `ᾱ(t) = cos²((t + 0.008)/1.008·π/2)`.
    SquaredcosCapV2,
    /// The logistic function of evenly spaced numbers.
    Sigmoid,
    /// `ᾱ(t)` with log signal-to-noise ratios of a Laplace distribution.
    Laplace,
}

impl BetaSchedule {
    /// `β_t`, t from 0.
    pub fn betas(self, [start, end]: [f64; 2], steps: usize) -> Vec<f32> {
        match self {
            Self::Linear => evenly([start, end], steps),
            Self::ScaledLinear => {
                let roots = evenly([start.sqrt(), end.sqrt()], steps);
                roots.into_iter().map(|root| root * root).collect()
            }
            Self::SquaredcosCapV2 => {
                from_signal(steps, |t| ((t + 0.008) / 1.008 * FRAC_PI_2).cos().powi(2))
            }
            Self::Sigmoid => evenly([-6.0, 6.0], steps)
                .into_iter()
                .map(|x| (1.0 / (1.0 + (-x).exp())) * (end - start) as f32 + start as f32)
                .collect(),
            Self::Laplace => from_signal(steps, |t| {
                let offset: f64 = 0.5 - t;
                let log = (1.0 - 2.0 * offset.abs() + 1e-6).ln();
                let ratio = (-0.5 * 1.0_f64.copysign(offset) * log).exp();
                (ratio / (1.0 + ratio)).sqrt()
            }),
        }
    }
}

/// `torch.linspace` in single precision, which counts from both ends and rounds each number once.
///
/// A table with no signal at its end holds differences of neighbours there, which show every rounding.
fn evenly([start, end]: [f64; 2], steps: usize) -> Vec<f32> {
    let [start, end] = [start as f32, end as f32];
    let step = (end - start) / (steps.max(2) - 1) as f32;
    let value = |i: usize| {
        if i < steps / 2 {
            step.mul_add(i as f32, start)
        } else {
            (-step).mul_add((steps - i - 1) as f32, end)
        }
    };
    (0..steps).map(value).collect()
}

/// `β_t = 1 − ᾱ((t + 1)/T)/ᾱ(t/T)`, at most 0.999.
fn from_signal(steps: usize, signal: impl Fn(f64) -> f64) -> Vec<f32> {
    let at = |t: usize| signal(t as f64 / steps as f64);
    let beta = |t: usize| (1.0 - at(t + 1) / at(t)).min(MAX_BETA) as f32;
    (0..steps).map(beta).collect()
}

/// `ᾱ_t = Π (1 − β)`.
pub fn signals(betas: &[f32]) -> Vec<f32> {
    // PyTorch multiplies in double precision and rounds each product.
    let mut product = 1.0_f64;
    let mut next = |beta: &f32| {
        product *= f64::from(1.0 - beta);
        product as f32
    };
    betas.iter().map(&mut next).collect()
}

/// The increments with no signal left at the last step (Lin et al. 2024, arXiv 2305.08891, Algorithm 1).
pub fn without_terminal_signal(betas: &[f32]) -> Vec<f32> {
    let roots: Vec<f32> = signals(betas).iter().map(|signal| signal.sqrt()).collect();
    let (Some(first), Some(last)) = (roots.first(), roots.last()) else {
        return Vec::new();
    };
    let scale = first / (first - last);
    let signals: Vec<f32> = roots
        .iter()
        .map(|root| ((root - last) * scale).powi(2))
        .collect();
    let mut previous = 1.0;
    signals
        .into_iter()
        .map(|signal| {
            let beta = 1.0 - signal / previous;
            previous = signal;
            beta
        })
        .collect()
}

/// `σ_t = √((1 − ᾱ_t)/ᾱ_t)`, without a last step that has no signal.
pub fn noise_levels(signals: &[f32]) -> Vec<f64> {
    let with_signal = signals.iter().filter(|signal| **signal > 0.0);
    with_signal
        .map(|signal| ((1.0 - f64::from(*signal)) / f64::from(*signal)).sqrt())
        .collect()
}
