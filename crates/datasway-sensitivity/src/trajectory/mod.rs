//! Sampling paths: the recorded path of a sample, its linearisation, and tangents along it.
//!
//! [`Trajectory`] keeps every evaluation of D on a batch of paths. [`adjoint`] applies the linearisation of a recorded
//! path, forwards and transposed, and [`Trajectory::step_parts`] tells the part of each step. [`tangent`] propagates
//! sensitivities while it samples, and [`second_order`] their second derivatives.

pub mod adjoint;
pub mod second_order;
mod step_parts;
pub mod tangent;
mod tangent_state;

use burn::tensor::Tensor;
use datasway_diffusion::denoiser::{Denoiser, check_points};
use datasway_diffusion::sampler::{FrozenNoise, Sampler, StageBuffer, Step, add_noise};
use datasway_diffusion::{DiffusionError, schedule};

use crate::density::{LogDensity, ReferenceDensity};

/// A batch of sampling paths with all evaluations of D.
#[derive(Debug, Clone)]
pub struct Trajectory {
    /// The samples at σ = 0, `[n, d]`.
    pub samples: Tensor<2>,
    /// The evaluations of D, P in all, in the order in which they were made.
    pub points: Vec<TrajectoryPoint>,
    steps: Vec<Step>,
}

/// One evaluation of D.
#[derive(Debug, Clone)]
pub struct TrajectoryPoint {
    /// Noise level.
    pub sigma: f64,
    /// Point of the evaluation, `[n, d]`.
    pub x: Tensor<2>,
    /// `D(x, σ)`, `[n, d]`.
    pub denoised: Tensor<2>,
    /// Density and denoiser of ρ that a direction is compared with.
    pub reference: ReferenceDensity,
}

impl TrajectoryPoint {
    /// The denoiser that a direction is compared with, `[n, d]`.
    pub fn center(&self) -> &Tensor<2> {
        self.reference.denoised.as_ref().unwrap_or(&self.denoised)
    }
}

impl Trajectory {
    /// Samples `model` from the standard normal `start`, `[n, d]`, and evaluates the density of the data along the path.
    ///
    /// # Errors
    /// If shapes or noise levels do not fit, the density cannot follow the sampler, or the model fails.
    pub fn sample(
        model: &dyn Denoiser,
        density: &dyn LogDensity,
        sampler: &Sampler,
        sigmas: &[f64],
        start: Tensor<2>,
        noise: &FrozenNoise,
    ) -> Result<Self, DiffusionError> {
        schedule::check(sigmas)?;
        check_points(&start, model.dim())?;
        let steps = sampler.steps(sigmas);
        density.check(&steps)?;
        let mut x = start * sigmas[0];
        let mut tracker = density.begin(&x, sigmas[0])?;
        // ρ in closed form is evaluated when the whole path is known.
        let comparison = density.comparison();
        let mut evaluations = Vec::new();
        for (k, step) in steps.iter().enumerate() {
            x = add_noise(x, step, k, noise);
            let probes = tracker.probes(&x, k);
            let mut buffer = StageBuffer::default();
            for (j, stage) in step.stages.iter().enumerate() {
                let (denoised, products) = match &probes {
                    Some(probes) => {
                        let (denoised, products) =
                            model.jvp(x.clone(), stage.sigma, probes.clone())?;
                        (denoised, Some(products))
                    }
                    None => (model.denoise(x.clone(), stage.sigma)?, None),
                };
                let reference = match comparison {
                    Some(_) => None,
                    None => Some(tracker.at(&x, stage.sigma)?),
                };
                tracker.advance(stage, products, j + 1 == step.stages.len());
                evaluations.push((stage.sigma, x.clone(), denoised.clone(), reference));
                x = buffer.advance(stage, x, denoised);
            }
        }
        let mut along = Vec::new();
        if let Some(comparison) = comparison {
            let path = evaluations
                .iter()
                .map(|(sigma, x, _, _)| (*sigma, x.clone()));
            along = comparison.along(&path.collect::<Vec<_>>())?;
        }
        let mut along = along.into_iter();
        let points = evaluations
            .into_iter()
            .map(|(sigma, x, denoised, reference)| TrajectoryPoint {
                sigma,
                x,
                denoised,
                reference: reference
                    .or_else(|| along.next())
                    .unwrap_or_else(|| unreachable!("ρ was evaluated at every point")),
            });
        Ok(Self {
            samples: x,
            points: points.collect(),
            steps,
        })
    }
}
