//! Estimators of the log-density `q = log p^ρ + (d/2)·log 2πσ²` along a sampling path.

mod bandwidth;
mod closed_form;
mod comparison;
mod cross_validation;
mod cutoff;
mod estimator;
mod near_copies;
mod none;
mod probability_flow;
mod smoothed;
mod spec;

use burn::tensor::Tensor;
use datasway_diffusion::DiffusionError;
use datasway_diffusion::sampler::{Stage, Step};

pub use bandwidth::{AUTO_BANDWIDTH_REVISION, Bandwidth};
pub use closed_form::ClosedForm;
pub use comparison::MeasureComparison;
pub use cutoff::Cutoff;
pub use estimator::{
    DensityConfig, DensityEstimator, DensityKind, TraceKind, TraceOptions, checkpoint_moments,
    moment_matched_gaussian,
};
pub(crate) use none::NoDensity;
pub use probability_flow::ProbabilityFlow;
pub use smoothed::Smoothed;
pub use spec::EstimatorSpec;

pub use crate::jacobian_trace::Trace;

/// An estimator of the log-density of the training data ρ along sampling paths.
pub trait LogDensity {
    /// Checks that this estimator can follow these steps.
    ///
    /// # Errors
    /// [`DiffusionError::Unsupported`] with what to use instead, or [`DiffusionError::Invalid`] for an option out of range.
    fn check(&self, steps: &[Step]) -> Result<(), DiffusionError>;

    /// The tracker of a batch of paths from their first points, `[n, d]`, at noise level `sigma`.
    ///
    /// # Errors
    /// If the points do not have the estimator's dimension.
    fn begin(
        &self,
        x: &Tensor<2>,
        sigma: f64,
    ) -> Result<Box<dyn LogDensityTracker + '_>, DiffusionError>;

    /// The comparison with a measure that this estimator is, if it is one: such a ρ depends on a point and its noise level
    /// alone, so that it can be evaluated together with ν, and for a whole path at once.
    fn comparison(&self) -> Option<MeasureComparison<'_>> {
        None
    }
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

    fn comparison(&self) -> Option<MeasureComparison<'_>> {
        (**self).comparison()
    }
}

/// Density and denoiser of ρ at the points of a path, with which ν is compared.
#[derive(Debug, Clone)]
pub struct ReferenceDensity {
    /// Noise level of the comparison: that of the path, or one above it where ρ and ν are smoothed.
    pub sigma: f64,
    /// `q^ρ` at that level, `[n]`, in the precision of the estimator.
    pub log_density: Tensor<1>,
    /// `D^ρ` at that level, `[n, d]`, in the precision of the estimator; none for the model's own.
    pub denoised: Option<Tensor<2>>,
    /// The weight w in `∂_ηD = w·r·(D^ν − D^ρ)`.
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

/// The log-density along one batch of paths.
///
/// For each step, the caller calls [`probes`](Self::probes) once, and then [`at`](Self::at) and
/// [`advance`](Self::advance) for each of its stages.
pub trait LogDensityTracker {
    /// Tangents of step k at the points x `[n, d]`, `[P, n, d]`. Each stage passes their products with J to
    /// [`advance`](Self::advance).
    fn probes(&mut self, x: &Tensor<2>, k: usize) -> Option<Tensor<3>>;

    /// ρ at the points x `[n, d]` of a stage.
    ///
    /// # Errors
    /// If the density cannot be evaluated at a point.
    fn at(&mut self, x: &Tensor<2>, sigma: f64) -> Result<ReferenceDensity, DiffusionError>;

    /// Passes a stage with the products of J and the probes, `[P, n, d]`; `last` is true at the end of a step.
    fn advance(&mut self, stage: &Stage, products: Option<Tensor<3>>, last: bool);

    /// Variance of `q` over the choice of probes so far, `[n]`; none where nothing is random, or with a single probe, from
    /// which it cannot be estimated.
    fn variance(&self) -> Option<Tensor<1>>;
}
