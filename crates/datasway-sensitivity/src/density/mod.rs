//! Estimators of `q = log p^ρ + (d/2)·log 2πσ²` along a sampler's path.

mod bandwidth;
mod closed_form;
mod cross_validation;
mod cutoff;
mod estimator;
mod near_copies;
mod probability_flow;
mod smoothed;
mod spec;

use burn::tensor::Tensor;
use datasway_diffusion::DiffusionError;
use datasway_diffusion::sampler::{Stage, Step};

pub use bandwidth::{AUTO_BANDWIDTH_REVISION, Bandwidth, Choice};
pub use closed_form::ClosedForm;
pub use cutoff::Cutoff;
pub use estimator::{
    DensityConfig, DensityEstimator, DensityKind, TraceKind, TraceOptions, moment_matched_gaussian,
};
pub use probability_flow::ProbabilityFlow;
pub use smoothed::Smoothed;
pub use spec::EstimatorSpec;

pub use crate::jacobian_trace::Trace;

/// A way to know the density of the training data at the points of a path.
pub trait LogDensity {
    /// Checks that this estimator can follow these steps.
    ///
    /// # Errors
    /// [`DiffusionError::Unsupported`] with what to use instead.
    fn check(&self, steps: &[Step]) -> Result<(), DiffusionError>;

    /// Begins a batch of paths at their first points, `[n, d]`.
    ///
    /// # Errors
    /// If the points do not have the estimator's dimension.
    fn begin(
        &self,
        x: &Tensor<2>,
        sigma: f64,
    ) -> Result<Box<dyn LogDensityTracker + '_>, DiffusionError>;
}

impl<D: LogDensity + ?Sized> LogDensity for Box<D> {
    fn check(&self, steps: &[Step]) -> Result<(), DiffusionError> {
        (**self).check(steps)
    }

    fn begin(
        &self,
        x: &Tensor<2>,
        sigma: f64,
    ) -> Result<Box<dyn LogDensityTracker + '_>, DiffusionError> {
        (**self).begin(x, sigma)
    }
}

/// What ν is compared with at the points of a path.
#[derive(Debug, Clone)]
pub struct ReferenceDensity {
    /// Noise level of the comparison: the path's, or one above it where ρ and ν are smoothed.
    pub sigma: f64,
    /// `q^ρ` there, `[n]`, in the precision of the estimator.
    pub log_density: Tensor<1>,
    /// `D^ρ` there, `[n, d]`, in the precision of the estimator; the model's own if none.
    pub denoised: Option<Tensor<2>>,
    /// The weight w of the comparison: `∂_ηD = w·r·(D^ν − D^ρ)`.
    pub weight: f64,
}

impl ReferenceDensity {
    /// The density at the path's own noise level, to go with the model's denoiser.
    fn plain(sigma: f64, log_density: Tensor<1>) -> Self {
        Self {
            sigma,
            log_density,
            denoised: None,
            weight: 1.0,
        }
    }
}

/// The density along one batch of paths: for each step [`probes`](Self::probes) once, then for each of
/// its stages [`at`](Self::at) and [`advance`](Self::advance).
pub trait LogDensityTracker {
    /// Tangents, `[P, n, d]`, whose products with J each stage of step k must hand to `advance`.
    fn probes(&mut self, x: &Tensor<2>, k: usize) -> Option<Tensor<3>>;

    /// ρ at the stage's point.
    ///
    /// # Errors
    /// If the density cannot be evaluated there.
    fn at(&mut self, x: &Tensor<2>, sigma: f64) -> Result<ReferenceDensity, DiffusionError>;

    /// Moves on past a stage; `last` is true at the end of a step.
    fn advance(&mut self, stage: &Stage, products: Option<Tensor<3>>, last: bool);

    /// Variance of `q` over the choice of probes so far, `[n]`; none where nothing is random, or with a
    /// single probe, from which it cannot be told.
    fn variance(&self) -> Option<Tensor<1>>;
}
