//! Exact tangents of the discrete sampler: the sensitivity of each sample to the mass of a direction.
//!
//! For `ρ_η ∝ ρ + ην` the denoiser changes as `∂_ηD = r·(D^ν − D)`, `r = p^ν/p^ρ` (Theorem 3.1 of arXiv 2509.23092 in
//! denoiser form). Some densities compare ν with ρ at another noise level and bring a D of their own
//! ([`ReferenceDensity`]).
//!
//! Each step of a sampler is linear in x, D and fresh noise. So the coefficients that move x move `δ = dx/dη` as well,
//! with `J·δ + ∂_ηD` in D's place. The noise is frozen and drops out. δ = 0 at the start, where the sample is the same
//! noise for every η.
//!
//! **Sign.** Adding the mass η of ν moves a sample by `η·δ`. Removing it, with ν inside ρ, is η < 0 with the same δ: the
//! sample moves by `−|η|·δ`.

use burn::tensor::Tensor;
use datasway_diffusion::denoiser::{Denoiser, check_points};
use datasway_diffusion::sampler::{FrozenNoise, Sampler, Stage, Step, add_noise};
use datasway_diffusion::{DiffusionError, schedule};

use crate::density::{LogDensity, ReferenceDensity};
use crate::measure::{Asked, Evaluated, Measure, evaluate_together};
use crate::tensors::{layer, widest};
use crate::trajectory::Trajectory;
use crate::trajectory::second_order::{second_directional_derivative, second_order_forcing};
use crate::trajectory::tangent_state::{
    Evaluation, Forcing, PathRecord, Products, Record, State, StepBuffers,
};
pub use crate::trajectory::tangent_state::{Evaluations, TangentSolution};

/// A model, a sampler and the directions whose tangents it propagates.
#[derive(Clone, Copy)]
pub struct TangentSolver<'a> {
    /// The denoiser of ρ.
    pub model: &'a dyn Denoiser,
    /// Every ν, K in all.
    pub directions: &'a [&'a dyn Measure],
    /// log p^ρ.
    pub density: &'a dyn LogDensity,
    /// The sampler.
    pub sampler: &'a Sampler,
    /// Noise levels of the sampler, descending to 0.
    pub sigmas: &'a [f64],
    /// Fresh noise of the sampler.
    pub noise: &'a FrozenNoise,
    /// Number C of directions, the first ones, for which γ is propagated too
    /// ([`second_order`](crate::trajectory::second_order)).
    pub curvatures: usize,
    /// Number P of directions, the first ones, for which the part of each step in ‖δ‖ is computed, by a backward pass.
    pub step_parts: usize,
}

/// Samples `model` and propagates the sensitivity to every direction: [`TangentSolver::sample_with_tangents`] without γ.
///
/// # Errors
/// As [`TangentSolver::sample_with_tangents`].
pub fn sample_with_tangents(
    model: &dyn Denoiser,
    directions: &[&dyn Measure],
    density: &dyn LogDensity,
    sampler: &Sampler,
    sigmas: &[f64],
    start: Tensor<2>,
    noise: &FrozenNoise,
) -> Result<TangentSolution, DiffusionError> {
    let solver = TangentSolver {
        model,
        directions,
        density,
        sampler,
        sigmas,
        noise,
        curvatures: 0,
        step_parts: 0,
    };
    solver.sample_with_tangents(start)
}

impl<'a> TangentSolver<'a> {
    /// Samples the model from the standard normal `start`, `[n, d]`, and propagates the sensitivity to every direction.
    /// Each evaluation is one call of [`jvp`](Denoiser::jvp) with all tangents.
    ///
    /// # Errors
    /// If there is no direction, shapes or noise levels do not fit, the density cannot follow the sampler or brings a
    /// denoiser of its own where γ is asked for, or the model fails.
    pub fn sample_with_tangents(
        &self,
        start: Tensor<2>,
    ) -> Result<TangentSolution, DiffusionError> {
        let steps = self.checked_steps(&start)?;
        let mut state = self.start(start)?;
        for (k, step) in steps.iter().enumerate() {
            state.x = add_noise(state.x, step, k, self.noise);
            let probes = state.density.probes(&state.x, k);
            let mut buffers = StepBuffers::default();
            for (j, stage) in step.stages.iter().enumerate() {
                let evaluation = self.evaluate(&mut state, stage.sigma, probes.as_ref())?;
                let forcing = self.forcing(&state, stage.sigma, &evaluation)?;
                if j == 0 {
                    state.record(stage.sigma, &evaluation, &forcing);
                }
                if let Some(path) = &mut state.path {
                    let parts = 0..self.step_parts.min(self.directions.len());
                    path.forcings
                        .push(forcing.first.clone().slice_dim(0, parts));
                    path.points.push(evaluation.point(&state.x, stage.sigma));
                }
                let products = evaluation.products.probes.clone();
                let last = j + 1 == step.stages.len();
                state.density.advance(stage, products, last);
                self.advance(&mut state, &mut buffers, stage, evaluation, forcing)?;
            }
        }
        let step_parts = self.parts_of(state.path.take(), steps, &state)?;
        Ok(state.finish(step_parts))
    }

    /// The parts of the steps in ‖δ‖, from the record of the path; none without it.
    fn parts_of(
        &self,
        path: Option<PathRecord>,
        steps: Vec<Step>,
        state: &State<'a>,
    ) -> Result<Option<Tensor<3>>, DiffusionError> {
        let Some(PathRecord { points, forcings }) = path else {
            return Ok(None);
        };
        let trajectory = Trajectory {
            samples: state.x.clone(),
            points,
            steps,
        };
        let parts = self.step_parts.min(self.directions.len());
        let delta = state.delta.clone().slice_dim(0, 0..parts);
        let parts = trajectory.step_parts(self.model, &forcings, delta)?;
        Ok(Some(parts))
    }

    /// The sampler's steps, if everything fits.
    fn checked_steps(&self, start: &Tensor<2>) -> Result<Vec<Step>, DiffusionError> {
        schedule::check(self.sigmas)?;
        check_points(start, self.model.dim())?;
        for direction in self.directions {
            check_points(start, direction.dim())?;
        }
        if self.directions.is_empty() {
            return Err(DiffusionError::Invalid(
                "sensitivities need at least one direction".to_owned(),
            ));
        }
        let steps = self.sampler.steps(self.sigmas);
        self.density.check(&steps)?;
        Ok(steps)
    }

    /// The state at the highest noise level: `x = σ·start`, δ = 0, γ = 0.
    fn start(&self, start: Tensor<2>) -> Result<State<'a>, DiffusionError> {
        let (count, [n, d]) = (self.directions.len(), start.dims());
        let x = start * self.sigmas[0];
        let delta = Tensor::<3>::zeros([count, n, d], (&x.device(), x.dtype()));
        let curvatures = self.curvatures.min(count);
        Ok(State {
            gamma: (curvatures > 0).then(|| delta.clone().slice_dim(0, 0..curvatures)),
            delta,
            density: self.density.begin(&x, self.sigmas[0])?,
            x,
            evaluations: Evaluations::default(),
            record: Record::default(),
            path: (self.step_parts > 0).then(PathRecord::default),
        })
    }

    /// Evaluates the denoiser with its products, and ρ, at the state's point.
    fn evaluate(
        &self,
        state: &mut State<'a>,
        sigma: f64,
        probes: Option<&Tensor<3>>,
    ) -> Result<Evaluation, DiffusionError> {
        let tangents = std::iter::once(&state.delta)
            .chain(&state.gamma)
            .chain(probes);
        let tangents = Tensor::cat(tangents.cloned().collect(), 0);
        let (denoised, products) = self.model.jvp(state.x.clone(), sigma, tangents)?;
        let products = Products::new(products, self.directions.len(), state.curvatures());
        state.evaluations.path += 1;
        state.evaluations.tangent += self.directions.len();
        state.evaluations.curvature += 3 * state.curvatures();
        state.evaluations.density += products.probes.as_ref().map_or(0, |p| p.dims()[0]);
        let (reference, targets) = self.compare(state, sigma)?;
        if state.gamma.is_some() && reference.denoised.is_some() {
            return Err(DiffusionError::Unsupported(
                "the curvature follows the model's own denoiser: leave the bandwidth out"
                    .to_owned(),
            ));
        }
        Ok(Evaluation {
            denoised,
            products,
            reference,
            targets,
        })
    }

    /// ρ, and every ν at its noise level, at the state's point.
    fn compare(
        &self,
        state: &mut State<'a>,
        sigma: f64,
    ) -> Result<(ReferenceDensity, Vec<Evaluated>), DiffusionError> {
        if let Some(comparison) = self.density.comparison() {
            return comparison.with_directions(self.directions, &state.x, sigma);
        }
        let reference = state.density.at(&state.x, sigma)?;
        let asked = self.directions.iter().map(|measure| Asked {
            measure: *measure,
            denoised: true,
        });
        let asked: Vec<Asked<'_>> = asked.collect();
        let targets = evaluate_together(&asked, &state.x, reference.sigma)?;
        Ok((reference, targets))
    }

    /// The changes of the denoiser and of its derivative by each direction.
    fn forcing(
        &self,
        state: &State<'a>,
        sigma: f64,
        evaluation: &Evaluation,
    ) -> Result<Forcing, DiffusionError> {
        let Evaluation {
            denoised,
            products,
            reference,
            targets,
        } = evaluation;
        let (x, weight) = (&state.x, reference.weight);
        let center = widest(reference.denoised.as_ref().unwrap_or(denoised).clone());
        let reference_log = widest(reference.log_density.clone());
        let (mut log_ratios, mut first, mut second) = (Vec::new(), Vec::new(), Vec::new());
        for (k, (direction, target)) in self.directions.iter().zip(targets).enumerate() {
            let denoised = target.denoised.clone();
            let denoised = denoised.unwrap_or_else(|| unreachable!("D of every ν was asked for"));
            // Differences of large and nearly equal numbers: nothing is rounded before them.
            let a = widest(denoised) - center.clone();
            let log_ratio = widest(target.log_density.clone()) - reference_log.clone();
            let r = log_ratio.clone().exp().unsqueeze_dim::<2>(1);
            if k < state.curvatures() && weight != 0.0 {
                second.push(second_order_forcing(
                    *direction,
                    x,
                    sigma,
                    layer(&state.delta, k),
                    layer(&products.delta, k),
                    a.clone().cast(x.dtype()),
                    r.clone().cast(x.dtype()),
                )?);
            }
            // ∂_ηD = w·r·(D^ν − D^ρ). With w = 0 it is 0, and not 0·r: r may have overflowed.
            first.push(if weight == 0.0 {
                x.zeros_like()
            } else {
                (a * (r * weight)).cast(x.dtype())
            });
            log_ratios.push(log_ratio);
        }
        Ok(Forcing {
            log_ratio: Tensor::stack(log_ratios, 0),
            first: Tensor::stack(first, 0),
            second: (!second.is_empty()).then(|| Tensor::stack(second, 0)),
        })
    }

    /// Moves x, δ and γ to the next point by the stage's coefficients.
    fn advance(
        &self,
        state: &mut State<'a>,
        buffers: &mut StepBuffers,
        stage: &Stage,
        evaluation: Evaluation,
        forcing: Forcing,
    ) -> Result<(), DiffusionError> {
        let Products { delta, gamma, .. } = evaluation.products;
        if let (Some(now), Some(j_gamma)) = (state.gamma.take(), gamma) {
            // J·γ + ∂²D[δ, δ] + 2·∂_x(r·a)·δ − 2r²·a
            let first = state.delta.clone().slice_dim(0, 0..now.dims()[0]);
            let mut change =
                j_gamma + second_directional_derivative(self.model, &state.x, stage.sigma, &first)?;
            if let Some(second) = forcing.second {
                change = change + second;
            }
            state.gamma = Some(buffers.gamma.advance(stage, now, change));
        }
        // J·δ + ∂_ηD
        let change = delta + forcing.first;
        state.delta = buffers.delta.advance(stage, state.delta.clone(), change);
        state.x = buffers
            .x
            .advance(stage, state.x.clone(), evaluation.denoised);
        Ok(())
    }
}
