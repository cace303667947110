//! The change of the weights by a finite mass in several linearisations.
//!
//! Two runs of a training from θ₀, on ρ_η and on ρ, differ by Δθ. Near a minimum of `L_ρ` the second stays where it is, and the first
//! follows the flow
//!
//! `dΔθ/dτ = −P·(∇L_η(θ₀ + Δθ) − ∇L_ρ(θ₀))`.
//!
//! One linearisation takes the gradient as linear in Δθ, with the matrix `G_η` at θ₀. Here the time τ of the training is divided
//! into n legs, and each has the gradient and the `G_η` of the weights θ_i that are reached at its start τ_i:
//!
//! `Δθ(τ) = Δθ_i − P^½·f_{τ−τ_i}(P^½·G_η(θ_i)·P^½)·P^½·(∇L_η(θ_i) − ∇L_ρ(θ₀))`,
//!
//! an exponential Rosenbrock–Euler method (Hochbruck and Ostermann, Acta Numerica 19, 2010) with G in the place of the Hessian.
//! For n → ∞ it is the flow itself. The metric P stays that of θ₀. The averaged weights are the mean of Δθ(τ) over the end of the
//! training, as with one linearisation.
//!
//! `∇L_η(θ_i)` is that of θ₀ and the increment since. The increment `∇L_η(θ_i) − ∇L_η(θ₀)` is small beside the noise of either, and is
//! a mean over the draws of `G_η`, like `G_η·Δθ_i`, in whose place it stands.
//!
//! A leg must leave less of the gradient than there was at θ₀. Where it does not, the result is an error.

use burn_jvp::ParameterTangents;
use datasway_diffusion::DiffusionError;

use super::finite_mass::{ChangedCurvature, GroupMass};
use super::inverse::CurvatureSolution;
use super::solve::Learner;
use super::stopping::StoppingRule;
use super::training_flow::TrainingFlow;

/// The largest length of `∇L_η(θ_i) − ∇L_ρ(θ₀)`, relative to that at θ₀, with which a leg may start: 1, with room for rounding.
const MAX_GROWTH: f64 = 1.1;

/// Checks that `∇L_η(θ_i) − ∇L_ρ(θ₀)` is no longer than at θ₀, as a ratio of lengths in the metric of the flow.
///
/// The flow makes it smaller where the loss is curved as G is. A leg whose iterations do not resolve the flow, or on which the
/// Hessian is not near G, can leave more than there was, and each later leg multiplies it.
fn check_descent(leg: usize, ratio: f64) -> Result<(), DiffusionError> {
    if ratio <= MAX_GROWTH {
        return Ok(());
    }
    Err(DiffusionError::Invalid(format!(
        "after {leg} of the linearizations the gradient of the changed loss is {ratio:.1} times as long as at the start, and should be \
         shorter: give the solver more iterations and the curvature more draws, shorten the training, or take one linearization"
    )))
}

impl Learner<'_> {
    /// `Δθ/η` of every group in as many linearisations as the options say, two or more, from the matrices `G_η` of θ₀ and from
    /// `right = −(∇L_η − ∇L_ρ)/η` there.
    ///
    /// The rule of the first leg may watch an effect. The later legs, one group after the other, end by the norm alone.
    ///
    /// # Errors
    /// If a gradient that is left is larger than the first one, and as [`finite_change`](Self::finite_change).
    pub(super) fn relinearized(
        &self,
        groups: &[GroupMass<'_>],
        flow: &TrainingFlow,
        curvature: ChangedCurvature<'_>,
        right: ParameterTangents,
        rule: StoppingRule<'_>,
        progress: &mut dyn FnMut(usize),
    ) -> Result<CurvatureSolution, DiffusionError> {
        let legs = flow
            .filter
            .legs(&flow.filter.equal_starts(self.config.linearizations));
        let first = flow.follow(&legs[0], &curvature, &right, rule, progress)?;
        // right + ∇L_η(θ₀)/η, from which ∇L_η(θ_i)/η is subtracted.
        let inverse_masses = groups.iter().map(|group| 1.0 / group.signed_mass());
        let inverse_masses: Vec<f64> = inverse_masses.collect();
        let start = curvature.gradients(progress)?.scale(&inverse_masses);
        let start = right.add(&start);
        let sizes = flow.sizes(&right);
        drop((right, curvature));
        // Δθ_i/η at the start of a leg, and its mean over the average so far.
        let mut reached = first.advance;
        let mut average = first.averaged.unwrap_or_default();
        let mut report = first.report;
        for (i, leg) in legs.iter().enumerate().skip(1) {
            let starts = reached.take().expect("only the last leg has no end");
            let share = leg.averaged.share();
            let (mut ends, mut parts) = (Vec::new(), Vec::new());
            for (k, group) in groups.iter().enumerate() {
                let model = self.model.displaced(&starts, k, group.signed_mass());
                let moved = Learner {
                    model: model.as_ref(),
                    ..*self
                };
                let curvature = moved.changed_curvature(std::slice::from_ref(group))?;
                let gradient = curvature.gradients(progress)?;
                let right = (start.slice(k..k + 1)).add(&gradient.scale(&[-inverse_masses[k]]));
                check_descent(i, flow.sizes(&right)[0] / sizes[k])?;
                let rule = self.stopping_rule();
                let change = flow.follow(leg, &curvature, &right, rule, progress)?;
                let from = starts.slice(k..k + 1);
                parts.extend(change.averaged.map(|part| part.add(&from.scale(&[share]))));
                ends.extend(change.advance.map(|advance| from.add(&advance)));
                report.append(change.report);
            }
            average = average.add(&ParameterTangents::concat(&parts));
            reached = Some(ParameterTangents::concat(&ends));
        }
        Ok(CurvatureSolution {
            solutions: average,
            report,
        })
    }
}
