//! The change of the weights by a training from scratch, from checkpoints of the run.
//!
//! Two runs of a training from one start, with the same batches on ρ_η and on ρ, differ to first order in Δθ by the solution of
//!
//! `dΔθ/dτ = −P_τ·(G_{η,τ}·Δθ + ∇L_η(θ_τ) − ∇L_ρ(θ_τ))`, `Δθ(0) = 0`,
//!
//! along the weights θ_τ of the run on ρ. The [length of a training](super::FiniteTraining) has the final weights in the place of
//! all θ_τ, which suits a fine-tuning: it begins there. A training from scratch begins elsewhere. Here its time τ is divided into
//! legs, and each has the gradient, the matrix and the metric of weights θ_i that the run passed on it:
//!
//! `Δθ(τ) = Δθ_i − P_i^½·f_{τ−τ_i}(P_i^½·G_{η,i}·P_i^½)·P_i^½·(∇L_η(θ_i) − ∇L_ρ(θ_i) + G_{η,i}·Δθ_i)`
//!
//! with the change Δθ_i at the start τ_i of the leg. These are the segments of SOURCE (Bae et al., arXiv 2405.12186). Here the matrix
//! is known by its products and not as Kronecker factors, the metric is that of Adam, the masses may be finite, and the result is
//! that of the averaged weights.

use burn_jvp::ParameterTangents;
use datasway_diffusion::DiffusionError;
use datasway_diffusion::learned_denoiser::LearnedDenoiser;

use super::config::Damping;
use super::curvature::Curvature;
use super::finite_training::FiniteTraining;
use super::inverse::{CurvatureSolution, Regularization};
use super::solve::Learner;
use super::solver_report::SolverReport;
use super::weight_change::ChangedGroups;

/// A model as it was during its training.
#[derive(Clone, Copy)]
pub struct PassedWeights<'a> {
    /// Steps that the training had taken.
    pub step: u64,
    /// The model with the weights after these steps.
    pub model: &'a dyn LearnedDenoiser,
}

impl Learner<'_> {
    /// The change of the weights relative to the mass of every group at the end of the training that the regularisation names, from
    /// `passed` in ascending order and the final weights: each stands for the steps that are nearer to it than to the others.
    ///
    /// The iterations of a leg end by the norm alone. `progress` receives the work that is done, of
    /// [`change_along_work`](Self::change_along_work) at most.
    ///
    /// # Errors
    /// If the regularisation is not the length of a training, there are several linearisations, the steps are not those of the
    /// training in order, the models have not one network, and as [`weight_tangent`](Self::weight_tangent) and [`finite_change`](Self::finite_change).
    pub fn change_along(
        &self,
        passed: &[PassedWeights<'_>],
        groups: &ChangedGroups<'_>,
        progress: &mut dyn FnMut(usize),
    ) -> Result<CurvatureSolution, DiffusionError> {
        self.check()?;
        let steps: Vec<u64> = passed.iter().map(|passed| passed.step).collect();
        let training = match self.config.damping {
            Damping::Training(training) => Some(training),
            Damping::Fraction(_) => None,
        };
        check_checkpoints(&steps, training.is_some(), self.config.linearizations)?;
        let training = training.expect("checked");
        let legs = training.filter().legs(&starts(&training, &steps)?);
        let k = groups.count();
        let models = passed.iter().map(|passed| passed.model);
        let models = models.chain([self.model]);
        // Δθ_i/η at the start of a leg, and its mean over the average so far.
        let mut reached = None;
        let mut average = ParameterTangents::new();
        let mut report: Option<SolverReport> = None;
        for (leg, model) in legs.iter().zip(models) {
            let there = Learner { model, ..*self };
            let (curvature, mut right) = there.linearized(groups, progress)?;
            if let Some(start) = &reached {
                check_parameters(start, &right)?;
                let pull = curvature.product(start, progress)?;
                right = right.add(&pull.scale(&vec![-1.0; k]));
                average = average.add(&start.scale(&vec![leg.averaged.share(); k]));
            }
            let Regularization::Training(flow) = there.regularization(progress)? else {
                unreachable!("the regularisation is the length of a training");
            };
            let rule = there.stopping_rule();
            let change = flow.follow(leg, &*curvature, &right, rule, progress)?;
            if let Some(part) = change.averaged {
                average = average.add(&part);
            }
            reached = match (reached, change.advance) {
                (Some(start), Some(advance)) => Some(start.add(&advance)),
                (_, advance) => advance,
            };
            match &mut report {
                Some(report) => report.append(change.report),
                None => report = Some(change.report),
            }
        }
        Ok(CurvatureSolution {
            solutions: average,
            report: report.expect("the final weights have a leg"),
        })
    }

    /// The work of [`change_along`](Self::change_along) with so many checkpoints, in the units of its progress.
    pub fn change_along_work(&self, passed: usize, groups: &ChangedGroups<'_>) -> usize {
        let leg = match groups {
            ChangedGroups::Derivative(groups) => self.weight_tangent_work(groups.len()),
            ChangedGroups::Finite(groups) => self.finite_change_work(groups),
        };
        let product = groups.product_work(self.config.curvature_draws);
        (passed + 1) * leg + passed * product
    }

    /// `G_η` and `−(∇L_η − ∇L_ρ)/η` of every group; for a derivative G and `−(∇L_ν − ∇L_ρ)`.
    fn linearized<'p>(
        &'p self,
        groups: &ChangedGroups<'p>,
        progress: &mut dyn FnMut(usize),
    ) -> Result<(Box<dyn Curvature + 'p>, ParameterTangents), DiffusionError> {
        Ok(match groups {
            ChangedGroups::Derivative(groups) => {
                let right = self.gradient_difference(groups, progress)?;
                let right = right.scale(&vec![-1.0; groups.len()]);
                (Box::new(self.curvature()), right)
            }
            ChangedGroups::Finite(groups) => {
                self.check_masses(groups)?;
                let curvature = self.changed_curvature(groups)?;
                (
                    Box::new(curvature),
                    self.changed_gradient(groups, progress)?,
                )
            }
        })
    }
}

/// Checks that gradients at two checkpoints are of the same parameters.
fn check_parameters(
    before: &ParameterTangents,
    after: &ParameterTangents,
) -> Result<(), DiffusionError> {
    let parameters = |tangents: &ParameterTangents| -> Vec<_> {
        let stacks = tangents.iter().map(|(id, stack)| (id, stack.shape()));
        stacks.collect()
    };
    if parameters(before) == parameters(after) {
        return Ok(());
    }
    Err(DiffusionError::Invalid(
        "the checkpoints are of different networks: give those of one training".to_owned(),
    ))
}

/// Checks the steps of checkpoints, which divide the length of a training.
///
/// # Errors
/// If they are not in order, the regularisation is not the length of a training, or linearisations divide it.
pub(super) fn check_checkpoints(
    steps: &[u64],
    divides_training: bool,
    linearizations: usize,
) -> Result<(), DiffusionError> {
    let is_ascending = steps.windows(2).all(|pair| pair[0] < pair[1]);
    let why = if !is_ascending || steps.first() == Some(&0) {
        "checkpoints must be after ascending numbers of steps, from 1 on"
    } else if !divides_training {
        "checkpoints divide the length of a training: give that in place of a damping by a number"
    } else if linearizations > 1 {
        "checkpoints divide the training, as linearizations do: leave one of them out"
    } else {
        return Ok(());
    };
    Err(DiffusionError::Invalid(why.to_owned()))
}

/// The times of the flow at which the legs of the checkpoints and of the final weights start: half way between their steps.
fn starts(training: &FiniteTraining, passed: &[u64]) -> Result<Vec<f64>, DiffusionError> {
    let end = training.optimization.steps;
    if let Some(last) = passed.last().filter(|last| **last >= end) {
        return Err(DiffusionError::Invalid(format!(
            "the training has {end} steps, and a checkpoint is after {last}: give earlier ones"
        )));
    }
    let steps: Vec<u64> = passed.iter().copied().chain([end]).collect();
    let between = steps.windows(2);
    let between = between.map(|pair| training.time_after(pair[0].midpoint(pair[1])));
    Ok(std::iter::once(0.0).chain(between).collect())
}
