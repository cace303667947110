//! The change of the weights by a finite mass of a group.
//!
//! On `ρ_η ∝ ρ + η·ν` the loss is `L_η = (L_ρ + η·L_ν)/(1 + η)`. At the minimum of `L_ρ` its gradient is `t·(∇L_ν − ∇L_ρ)` with
//! the share `t = η/(1 + η)`, and its curvature `G_η = (G_ρ + η·G_ν)/(1 + η)`. The weights move by
//!
//! `Δθ = −t·(G_η + λ)⁻¹·(∇L_ν − ∇L_ρ)`,
//!
//! exactly so if the model is linear in its weights and λ is 0. A finite training has its filter of `G_η` in the place of the
//! inverse. `dθ/dη` is the limit of `Δθ/η` for η → 0. Where the group has more curvature than the training set, a change by a
//! larger mass is shorter for its mass.

use burn_jvp::ParameterTangents;
use datasway_diffusion::DiffusionError;

use super::curvature::{Curvature, GaussNewton};
use super::draws::DataPoints;
use super::inverse::{CurvatureInverse, CurvatureSolution, SolverReport};
use super::solve::Learner;

/// A group of images that is added to the training data, or removed from it.
#[derive(Clone, Copy)]
pub struct GroupMass<'a> {
    /// The group ν.
    pub points: &'a dyn DataPoints,
    /// The mass η, relative to that of the training data: above 0 to add the group, above −1 and below 0 to remove it.
    pub mass: f64,
}

impl GroupMass<'_> {
    fn check(&self) -> Result<(), DiffusionError> {
        if self.mass.is_finite() && self.mass > -1.0 && self.mass != 0.0 {
            return Ok(());
        }
        Err(DiffusionError::Invalid(format!(
            "the mass of a group must be a number above -1 other than 0, not {}",
            self.mass
        )))
    }

    /// Draws of the group that count as much each as one of `draws` draws of the training set.
    fn draws(&self, draws: usize) -> usize {
        (self.mass.abs() * draws as f64).ceil() as usize
    }
}

/// `G_η`, from draws that all count alike.
struct ChangedCurvature<'a> {
    training_set: GaussNewton<'a>,
    group: GaussNewton<'a>,
    mass: f64,
}

impl Curvature for ChangedCurvature<'_> {
    fn product(
        &self,
        directions: &ParameterTangents,
        progress: &mut dyn FnMut(usize),
    ) -> Result<ParameterTangents, DiffusionError> {
        let share = |mass: f64| vec![mass / (1.0 + self.mass); directions.k()];
        let of_training_set = self.training_set.product(directions, progress)?;
        let of_group = self.group.product(directions, progress)?;
        let of_group = of_group.scale(&share(self.mass));
        Ok(of_training_set.scale(&share(1.0)).add(&of_group))
    }
}

impl Learner<'_> {
    /// `Δθ/η` by the mass η of every group. The λ and the metric of a training are those of the training set.
    ///
    /// `progress` receives the work that is done, of [`weight_change_work`](Self::weight_change_work) at most.
    ///
    /// # Errors
    /// If a mass is not above −1 or is 0, and as [`weight_tangent`](Self::weight_tangent).
    pub fn weight_change(
        &self,
        groups: &[GroupMass<'_>],
        progress: &mut dyn FnMut(usize),
    ) -> Result<CurvatureSolution, DiffusionError> {
        groups.iter().try_for_each(GroupMass::check)?;
        let points: Vec<&dyn DataPoints> = groups.iter().map(|group| group.points).collect();
        let right = self.gradient_difference(&points, progress)?;
        let mut inverse: CurvatureInverse<'_> = self.inverse(progress)?;
        let mut solutions = Vec::with_capacity(groups.len());
        let mut report: Option<SolverReport> = None;
        for (k, group) in groups.iter().enumerate() {
            inverse.curvature = Box::new(self.changed_curvature(*group));
            let right = right.slice(k..k + 1).scale(&[-1.0 / (1.0 + group.mass)]);
            let solution = inverse.apply(&right, progress)?;
            solutions.push(solution.solutions);
            match &mut report {
                Some(report) => report.append(solution.report),
                None => report = Some(solution.report),
            }
        }
        let report = report.unwrap_or_else(|| unreachable!("no group has no gradient"));
        Ok(CurvatureSolution {
            solutions: ParameterTangents::concat(&solutions),
            report,
        })
    }

    /// The work of [`weight_change`](Self::weight_change), in the units of its progress.
    pub fn weight_change_work(&self, groups: &[GroupMass<'_>]) -> usize {
        let draws = self.config.curvature_draws;
        let of_groups: usize = groups.iter().map(|group| group.draws(draws)).sum();
        self.weight_tangent_work(groups.len()) + self.config.iterations * of_groups
    }

    fn changed_curvature<'p>(&'p self, group: GroupMass<'p>) -> ChangedCurvature<'p> {
        let draws = group.draws(self.config.curvature_draws);
        ChangedCurvature {
            training_set: self.curvature(),
            group: GaussNewton {
                model: self.model,
                draws: self.random_draws(group.points, draws),
                batch: self.config.batch,
            },
            mass: group.mass,
        }
    }
}
