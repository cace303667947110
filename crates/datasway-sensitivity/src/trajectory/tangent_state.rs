//! The quantities that a propagation of tangents carries along the path, those of one evaluation, and its solution.

use burn::tensor::Tensor;
use datasway_diffusion::sampler::StageBuffer;

use super::TrajectoryPoint;
use crate::density::{LogDensityTracker, ReferenceDensity};
use crate::measure::Evaluated;
use crate::tensors::widest;

/// Samples with their sensitivities to K directions.
#[derive(Debug, Clone)]
pub struct TangentSolution {
    /// The samples at σ = 0, `[n, d]`.
    pub samples: Tensor<2>,
    /// `δ = dx₀/dη` for each direction, `[K, n, d]`. Nothing is clamped: δ is not finite where the density ratio
    /// overflows.
    pub sensitivities: Tensor<3>,
    /// Part of each step in ‖δ‖ for the first P directions, `[P, S, n]`
    /// ([`Trajectory::step_parts`](super::Trajectory::step_parts)); none if P = 0.
    pub step_parts: Option<Tensor<3>>,
    /// `γ = d²x₀/dη²` for the first C directions, `[C, n, d]`; none if C = 0.
    pub curvatures: Option<Tensor<3>>,
    /// Noise level at the first evaluation of each step, S in all.
    pub sigmas: Vec<f64>,
    /// `q^ρ = log p^ρ + (d/2)·log 2πσ²` at the first evaluation of each step, `[S, n]`.
    pub log_density: Tensor<2>,
    /// `log r` at the first evaluation of each step for each direction, `[K, S, n]`.
    pub log_ratio: Tensor<3>,
    /// Variance of each `log_density` over the choice of probes, `[S, n]`; none if it cannot be estimated.
    pub log_density_variance: Option<Tensor<2>>,
    /// Evaluations of the network.
    pub evaluations: Evaluations,
}

/// Evaluations of the network for each sample.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Evaluations {
    /// Denoised points.
    pub path: usize,
    /// Products with the Jacobian for the log-density; 0 where it has a closed form.
    pub density: usize,
    /// Products with the Jacobian for δ.
    pub tangent: usize,
    /// Products with the Jacobian for γ, two thirds of them at points of their own beside the path.
    pub curvature: usize,
}

/// The quantities that are propagated along the path, and the record of its steps.
pub(super) struct State<'a> {
    pub(super) x: Tensor<2>,
    /// `[K, n, d]`.
    pub(super) delta: Tensor<3>,
    /// `[C, n, d]`.
    pub(super) gamma: Option<Tensor<3>>,
    pub(super) density: Box<dyn LogDensityTracker + 'a>,
    pub(super) evaluations: Evaluations,
    pub(super) record: Record,
    /// Every evaluation, where the parts of the steps are asked for.
    pub(super) path: Option<PathRecord>,
}

/// Every evaluation of the path with the changes of the denoiser there.
#[derive(Default)]
pub(super) struct PathRecord {
    pub(super) points: Vec<TrajectoryPoint>,
    /// `∂_ηD` of the first P directions, `[P, n, d]` each.
    pub(super) forcings: Vec<Tensor<3>>,
}

/// The first evaluation of each step.
#[derive(Default)]
pub(super) struct Record {
    pub(super) sigmas: Vec<f64>,
    /// `[n]` each.
    pub(super) log_density: Vec<Tensor<1>>,
    /// `[K, n]` each.
    pub(super) log_ratio: Vec<Tensor<2>>,
    /// `[n]` each.
    pub(super) variance: Vec<Tensor<1>>,
}

/// Stages of one step for each quantity.
#[derive(Default)]
pub(super) struct StepBuffers {
    pub(super) x: StageBuffer<2>,
    pub(super) delta: StageBuffer<3>,
    pub(super) gamma: StageBuffer<3>,
}

/// The denoiser, its products with the tangents, and ρ at one point.
pub(super) struct Evaluation {
    pub(super) denoised: Tensor<2>,
    pub(super) products: Products,
    pub(super) reference: ReferenceDensity,
    /// Every ν at the noise level of the reference.
    pub(super) targets: Vec<Evaluated>,
}

impl Evaluation {
    /// The evaluation at a point, as a path records it.
    pub(super) fn point(&self, x: &Tensor<2>, sigma: f64) -> TrajectoryPoint {
        TrajectoryPoint {
            sigma,
            x: x.clone(),
            denoised: self.denoised.clone(),
            reference: self.reference.clone(),
        }
    }
}

/// Products of J with the stacked tangents of one evaluation: δ `[K, n, d]`, γ `[C, n, d]` and probes `[P, n, d]`.
pub(super) struct Products {
    pub(super) delta: Tensor<3>,
    pub(super) gamma: Option<Tensor<3>>,
    pub(super) probes: Option<Tensor<3>>,
}

/// Changes of the denoiser by the directions at one point.
pub(super) struct Forcing {
    /// `log r`, `[K, n]`.
    pub(super) log_ratio: Tensor<2>,
    /// `∂_ηD`, `[K, n, d]`.
    pub(super) first: Tensor<3>,
    /// `2·∂_x(r·a)·δ − 2r²·a`, `[C, n, d]`; none without γ or where the directions have no weight.
    pub(super) second: Option<Tensor<3>>,
}

impl Products {
    pub(super) fn new(stack: Tensor<3>, directions: usize, curvatures: usize) -> Self {
        let first_probe = directions + curvatures;
        let range = |start: usize, end: usize| {
            (start < end).then(|| stack.clone().slice_dim(0, start..end))
        };
        Self {
            delta: stack.clone().slice_dim(0, 0..directions),
            gamma: range(directions, first_probe),
            probes: range(first_probe, stack.dims()[0]),
        }
    }
}

impl State<'_> {
    /// Number of directions with γ, C.
    pub(super) fn curvatures(&self) -> usize {
        self.gamma.as_ref().map_or(0, |gamma| gamma.dims()[0])
    }

    pub(super) fn record(&mut self, sigma: f64, evaluation: &Evaluation, forcing: &Forcing) {
        let log_density = evaluation.reference.log_density.clone();
        self.record.sigmas.push(sigma);
        self.record.log_density.push(widest(log_density));
        self.record.variance.extend(self.density.variance());
        self.record.log_ratio.push(forcing.log_ratio.clone());
    }

    pub(super) fn finish(self, step_parts: Option<Tensor<3>>) -> TangentSolution {
        let Record {
            sigmas,
            log_density,
            log_ratio,
            variance,
        } = self.record;
        TangentSolution {
            samples: self.x,
            sensitivities: self.delta,
            step_parts,
            curvatures: self.gamma,
            sigmas,
            log_density: Tensor::stack(log_density, 0),
            log_ratio: Tensor::stack(log_ratio, 1),
            log_density_variance: (!variance.is_empty()).then(|| Tensor::stack(variance, 0)),
            evaluations: self.evaluations,
        }
    }
}
