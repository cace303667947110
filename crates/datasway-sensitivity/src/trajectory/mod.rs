//! A sampler's path, kept so that its linearisation can be applied: forwards, and transposed backwards.
//!
//! A small change `F_p` of the denoiser at each evaluation p moves the sample by a linear map of all the `F_p`:
//! `δ = Σ_p L_p·F_p`. [`Trajectory::push_forward`] computes δ from the F_p; with `F_p = ∂_ηD(x_p)` it is the sensitivity of
//! [`sample_with_tangents`](crate::trajectory::tangent::sample_with_tangents). [`Trajectory::pull_back`] computes the `G_p = L_pᵀ·g` of a gradient `g = ∂f/∂x₀`,
//! so that `⟨g, δ⟩ = Σ_p ⟨G_p, F_p⟩` whatever the F_p are: one sweep back answers for every change of the data.
//!
//! The network is evaluated again at each point on the way back, so what a sweep holds of the network is one
//! evaluation; beside it stand the points of the path and the `G_p`, of the size of the samples each.

pub mod second_order;
pub mod tangent;

use burn::tensor::Tensor;
use datasway_diffusion::denoiser::{Denoiser, check_points, check_tangents};
use datasway_diffusion::sampler::{FrozenNoise, Sampler, Step, add_noise};
use datasway_diffusion::{DiffusionError, schedule};

use crate::density::{LogDensity, ReferenceDensity};

/// A batch of paths as they were taken.
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
    /// Where D was evaluated, `[n, d]`.
    pub x: Tensor<2>,
    /// `D(x, σ)`, `[n, d]`.
    pub denoised: Tensor<2>,
    /// What a direction is compared with there.
    pub reference: ReferenceDensity,
}

impl TrajectoryPoint {
    /// The D of the comparison, `[n, d]`.
    pub fn center(&self) -> &Tensor<2> {
        self.reference.denoised.as_ref().unwrap_or(&self.denoised)
    }
}

impl Trajectory {
    /// Samples `model` from the standard normal `start`, `[n, d]`, with the density of the data along the way.
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
        let mut known = density.begin(&x, sigmas[0])?;
        let mut points = Vec::new();
        for (k, step) in steps.iter().enumerate() {
            x = add_noise(x, step, k, noise);
            let probes = known.probes(&x, k);
            let (mut places, mut means) = (Vec::new(), Vec::new());
            for (j, stage) in step.stages.iter().enumerate() {
                let (denoised, products) = match &probes {
                    Some(probes) => {
                        let (mean, products) = model.jvp(x.clone(), stage.sigma, probes.clone())?;
                        (mean, Some(products))
                    }
                    None => (model.denoise(x.clone(), stage.sigma)?, None),
                };
                let reference = known.at(&x, stage.sigma)?;
                known.advance(stage, products, j + 1 == step.stages.len());
                points.push(TrajectoryPoint {
                    sigma: stage.sigma,
                    x: x.clone(),
                    denoised: denoised.clone(),
                    reference,
                });
                places.push(x.clone());
                means.push(denoised);
                x = stage.next(&places, &means).unwrap_or(x);
            }
        }
        Ok(Self {
            samples: x,
            points,
            steps,
        })
    }

    /// `δ = Σ_p L_p·F_p`, `[K, n, d]`, of changes `F_p` of the denoiser, each `[K, n, d]`: at every stage δ moves by
    /// the sampler's coefficients with `J·δ + F` in D's place, from δ = 0.
    ///
    /// # Errors
    /// If there is not one F for each point, shapes differ, or the model fails.
    pub fn push_forward(
        &self,
        model: &dyn Denoiser,
        forcings: &[Tensor<3>],
    ) -> Result<Tensor<3>, DiffusionError> {
        if forcings.len() != self.points.len() {
            return Err(DiffusionError::Invalid(format!(
                "{} changes of the denoiser for a path of {} evaluations",
                forcings.len(),
                self.points.len()
            )));
        }
        let mut all = self.points.iter().zip(forcings);
        let mut delta = forcings[0].zeros_like();
        for step in &self.steps {
            let (mut deltas, mut changes) = (Vec::new(), Vec::new());
            for stage in &step.stages {
                let Some((point, forcing)) = all.next() else {
                    break;
                };
                let (_, carried) = model.jvp(point.x.clone(), point.sigma, delta.clone())?;
                deltas.push(delta.clone());
                changes.push(carried + forcing.clone());
                delta = stage.next(&deltas, &changes).unwrap_or(delta);
            }
        }
        Ok(delta)
    }

    /// `G_p = L_pᵀ·g` at every point, each `[K, n, d]`, of gradients g, `[K, n, d]`: the table of coefficients transposed,
    /// the last stage first.
    ///
    /// # Errors
    /// If shapes differ, or the model fails.
    pub fn pull_back(
        &self,
        model: &dyn Denoiser,
        gradients: Tensor<3>,
    ) -> Result<Vec<Tensor<3>>, DiffusionError> {
        check_tangents(&self.samples, &gradients)?;
        let mut pulled = Vec::with_capacity(self.points.len());
        let mut points = self.points.iter().rev();
        let mut result = gradients;
        for step in self.steps.iter().rev() {
            let zero = result.zeros_like();
            let mut on_points = vec![zero.clone(); step.stages.len()];
            let mut on_denoised = vec![zero; step.stages.len()];
            for ((j, stage), point) in step.stages.iter().enumerate().rev().zip(&mut points) {
                // What stage j makes is the point of stage j + 1, or the step's result.
                let made = on_points.get(j + 1).unwrap_or(&result).clone();
                for i in 0..=j {
                    on_points[i] = on_points[i].clone() + made.clone() * stage.points[i];
                    on_denoised[i] = on_denoised[i].clone() + made.clone() * stage.denoised[i];
                }
                // Nothing before stage j uses D_j, so G is complete.
                let gradient = on_denoised[j].clone();
                let (_, product) = model.vjp(point.x.clone(), point.sigma, gradient.clone())?;
                on_points[j] = on_points[j].clone() + product;
                pulled.push(gradient);
            }
            result = on_points.swap_remove(0);
        }
        pulled.reverse();
        Ok(pulled)
    }
}
