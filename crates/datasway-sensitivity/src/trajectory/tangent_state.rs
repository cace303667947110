//! The quantities that a propagation of tangents carries along the path, and those of one evaluation.

use burn::tensor::Tensor;
use datasway_diffusion::sampler::StageBuffer;

use super::TrajectoryPoint;
use super::tangent::{Evaluations, TangentSolution};
use crate::density::{LogDensityTracker, ReferenceDensity};
use crate::tensors::widest;

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
