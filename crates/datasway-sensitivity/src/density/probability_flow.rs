//! The log-density of the model itself, integrated along its probability-flow ODE.

use burn::tensor::Tensor;
use datasway_diffusion::DiffusionError;
use datasway_diffusion::sampler::{Stage, Step};

use super::{LogDensity, LogDensityTracker, ReferenceDensity};
use crate::jacobian_trace::{Trace, terms};
use crate::measure::{Gaussian, Measure};
use crate::tensors::widest;

/// The log-density by `dq/dσ = tr J/σ` along the probability-flow ODE, with the quadrature of the sampler.
#[derive(Debug, Clone)]
pub struct ProbabilityFlow {
    /// The Gaussian that matches the moments of the data. The integral starts from it at the highest noise level, where the
    /// noised data are nearly Gaussian.
    pub start: Gaussian,
    /// The estimate of `tr J`.
    pub trace: Trace,
}

impl LogDensity for ProbabilityFlow {
    fn check(&self, steps: &[Step]) -> Result<(), DiffusionError> {
        if steps.iter().any(|step| step.noise != 0.0) {
            return Err(DiffusionError::Unsupported(
                "the probability-flow density follows an ODE and cannot follow the stochastic sampler: \
                 use the Euler or Heun sampler, or the empirical density"
                    .to_owned(),
            ));
        }
        self.trace.check()
    }

    fn begin(
        &self,
        x: &Tensor<2>,
        sigma: f64,
    ) -> Result<Box<dyn LogDensityTracker + '_>, DiffusionError> {
        let start = widest(self.start.log_density(x.clone(), sigma)?);
        Ok(Box::new(FlowTracker {
            trace: self.trace,
            now: start.clone(),
            variance: match self.trace {
                Trace::Hutchinson { probes: 2.., .. } => Some(start.zeros_like()),
                _ => None,
            },
            start,
            probes: None,
            traces: Vec::new(),
        }))
    }
}

struct FlowTracker {
    trace: Trace,
    /// q at the first point of the step.
    start: Tensor<1>,
    /// q at the current stage's point.
    now: Tensor<1>,
    probes: Option<Tensor<3>>,
    /// `⟨v, J·v⟩` for each probe, `[P, n]`, of the stages so far in this step.
    traces: Vec<Tensor<2>>,
    variance: Option<Tensor<1>>,
}

impl LogDensityTracker for FlowTracker {
    fn probes(&mut self, x: &Tensor<2>, k: usize) -> Option<Tensor<3>> {
        let reusable = match self.trace {
            // The unit tangents do not change along the path.
            Trace::Exact => self.probes.take(),
            Trace::Hutchinson { .. } | Trace::Probing { .. } => None,
        };
        self.probes = Some(reusable.unwrap_or_else(|| self.trace.tangents(x, k)));
        self.probes.clone()
    }

    fn at(&mut self, _: &Tensor<2>, sigma: f64) -> Result<ReferenceDensity, DiffusionError> {
        Ok(ReferenceDensity::plain(sigma, self.now.clone()))
    }

    fn advance(&mut self, stage: &Stage, products: Option<Tensor<3>>, last: bool) {
        let (Some(probes), Some(products)) = (&self.probes, products) else {
            return;
        };
        self.traces.push(widest(terms(probes, products)));
        // The increment of q by each probe: minus the coefficients of D (see `datasway_diffusion::sampler`).
        let increment = stage
            .denoised
            .iter()
            .zip(&self.traces)
            .map(|(&coefficient, traces)| traces.clone() * -coefficient)
            .reduce(|sum, term| sum + term);
        let Some(increment) = increment else { return };
        let mean = self.trace.combine(increment.clone());
        self.now = self.start.clone() + mean.clone();
        if last {
            self.start = self.now.clone();
            self.traces.clear();
            if let (Trace::Hutchinson { probes, .. }, Some(sum)) = (self.trace, &mut self.variance)
            {
                // Steps have independent probes, so their variances add up.
                let spread = increment - mean.unsqueeze_dim::<2>(0);
                let scale = 1.0 / (probes * (probes - 1)) as f64;
                let variance = ((spread.clone() * spread).sum_dim(0) * scale).squeeze_dim::<1>(0);
                *sum = sum.clone() + variance;
            }
        }
    }

    fn variance(&self) -> Option<Tensor<1>> {
        self.variance.clone()
    }
}
