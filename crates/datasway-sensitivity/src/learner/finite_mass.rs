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
//!
//! A group that is removed is a part of the training set. `G_η` is then the mean over the draws of the training set in which
//! those of the group count less, and stays positive.

use burn_jvp::ParameterTangents;
use datasway_diffusion::DiffusionError;

use super::config::LearnerConfig;
use super::curvature::{Curvature, DrawWeights, GaussNewton};
use super::draws::{DataPoints, LossDraws, Subset};
use super::inverse::{CurvatureInverse, CurvatureSolution, Regularization};
use super::solve::Learner;
use super::stopping::{Effect, StoppingRule};

/// A group of images that is added to the training data, or removed from it.
#[derive(Clone, Copy)]
pub enum GroupMass<'a> {
    /// The group is added.
    Added {
        /// The group ν.
        points: &'a dyn DataPoints,
        /// The mass η > 0, relative to that of the training data.
        mass: f64,
    },
    /// The group is removed, in part or as a whole.
    Removed {
        /// The indices of the group's points in the training set.
        members: &'a [usize],
        /// The mass −η > 0, relative to that of the training data: at most the share of the members.
        mass: f64,
    },
}

impl<'a> GroupMass<'a> {
    /// Revision of the change by a finite mass. It is raised whenever the same options begin to give another change, so that whoever
    /// stores changes by their options finds no old ones.
    ///
    /// 2: the curvature of a removal is that of the draws that are left.
    /// 3: a mass above 1 has as many draws of the group as of the training set.
    pub const REVISION: u32 = 3;

    /// η: below 0 for a removal.
    pub fn signed_mass(&self) -> f64 {
        match self {
            Self::Added { mass, .. } => *mass,
            Self::Removed { mass, .. } => -mass,
        }
    }

    /// The points of ν.
    pub(super) fn points(&self, training_set: &'a dyn DataPoints) -> Subset<'a> {
        let (set, indices) = match *self {
            Self::Added { points, .. } => (points, (0..points.count()).collect()),
            Self::Removed { members, .. } => (training_set, members.to_vec()),
        };
        Subset { set, indices }
    }

    /// Checks the mass, and the members for a training set of `count` points.
    fn check(&self, count: usize) -> Result<(), DiffusionError> {
        let invalid = |problem: String| Err(DiffusionError::Invalid(problem));
        match *self {
            Self::Added { mass, .. } if !(mass.is_finite() && mass > 0.0) => invalid(format!(
                "the mass of a group that is added must be a number above 0, not {mass}"
            )),
            Self::Added { .. } => Ok(()),
            Self::Removed { members, mass } => {
                let is_ascending = members.windows(2).all(|pair| pair[0] < pair[1]);
                if !is_ascending || members.last().is_none_or(|last| *last >= count) {
                    return invalid(format!(
                        "a group that is removed must be ascending indices of some of the {count} points of the training set"
                    ));
                }
                let share = members.len() as f64 / count as f64;
                if mass > 0.0 && mass <= share && mass < 1.0 {
                    return Ok(());
                }
                invalid(format!(
                    "the mass of a group that is removed must be above 0, at most its share {share:.4} of the training set, and \
                     below 1, not {mass}"
                ))
            }
        }
    }

    /// The work of a product of `G_η` and a direction, with so many draws of the training set.
    pub(super) fn product_work(&self, draws: usize) -> usize {
        draws + self.draws(draws)
    }

    /// Draws of a group beside `draws` of the training set, `⌈min(η, 1)·draws⌉`: up to a mass of 1 each counts as much as one of these.
    fn draws(&self, draws: usize) -> usize {
        match self {
            Self::Added { mass, .. } => (mass.min(1.0) * draws as f64).ceil() as usize,
            Self::Removed { .. } => 0,
        }
    }
}

/// `G_η` of K groups. Each acts on a direction of its own.
pub(super) struct ChangedCurvature<'a> {
    training_set: GaussNewton<'a>,
    /// The weights of the draws of the training set for each group: the rest of what is removed.
    weights: Vec<DrawWeights>,
    /// The curvature and the mass of each group that is added.
    added: Vec<Option<(GaussNewton<'a>, f64)>>,
}

impl Curvature for ChangedCurvature<'_> {
    fn product(
        &self,
        directions: &ParameterTangents,
        progress: &mut dyn FnMut(usize),
    ) -> Result<ParameterTangents, DiffusionError> {
        let of_training_set =
            (self.training_set).weighted_products(directions, &self.weights, progress)?;
        let mut products = Vec::with_capacity(directions.k());
        for (k, added) in self.added.iter().enumerate() {
            let of_training_set = of_training_set.slice(k..k + 1);
            products.push(match added {
                Some((group, mass)) => {
                    let of_group = group.product(&directions.slice(k..k + 1), progress)?;
                    let of_group = of_group.scale(&[mass / (1.0 + mass)]);
                    of_training_set.scale(&[1.0 / (1.0 + mass)]).add(&of_group)
                }
                None => of_training_set,
            });
        }
        Ok(ParameterTangents::concat(&products))
    }
}

impl ChangedCurvature<'_> {
    /// `∇L_η` of every group over the draws of its matrix.
    pub(super) fn gradients(
        &self,
        progress: &mut dyn FnMut(usize),
    ) -> Result<ParameterTangents, DiffusionError> {
        let mut gradients = Vec::with_capacity(self.added.len());
        for (weights, added) in self.weights.iter().zip(&self.added) {
            let of_training_set = self.training_set.weighted_gradient(weights, progress)?;
            gradients.push(match added {
                Some((group, mass)) => {
                    let alike = vec![1.0; group.draws.count()];
                    let of_group = group.weighted_gradient(&alike, progress)?;
                    let sum = of_training_set.add(&of_group.scale(&[*mass]));
                    sum.scale(&[1.0 / (1.0 + mass)])
                }
                None => of_training_set,
            });
        }
        Ok(ParameterTangents::concat(&gradients))
    }
}

impl Learner<'_> {
    /// `Δθ/η` by the mass η of every group. The λ and the metric of a training are those of the training set.
    ///
    /// `progress` receives the work that is done, of [`finite_change_work`](Self::finite_change_work) at most.
    ///
    /// # Errors
    /// If a mass or a member is out of its range, no draw of the curvature is left, and as
    /// [`weight_tangent`](Self::weight_tangent).
    pub fn finite_change(
        &self,
        groups: &[GroupMass<'_>],
        progress: &mut dyn FnMut(usize),
    ) -> Result<CurvatureSolution, DiffusionError> {
        self.finite_change_for(groups, None, progress)
    }

    /// [`finite_change`](Self::finite_change), solved until an effect of it stands still too.
    pub(super) fn finite_change_for(
        &self,
        groups: &[GroupMass<'_>],
        effect: Option<&dyn Effect>,
        progress: &mut dyn FnMut(usize),
    ) -> Result<CurvatureSolution, DiffusionError> {
        self.config.check_linearizations()?;
        self.check_masses(groups)?;
        let curvature = self.changed_curvature(groups)?;
        let right = self.changed_gradient(groups, progress)?;
        let regularization = self.regularization(progress)?;
        let rule = StoppingRule {
            effect,
            ..self.stopping_rule()
        };
        match regularization {
            Regularization::Training(flow) if self.config.linearizations > 1 => {
                self.relinearized(groups, &flow, curvature, right, rule, progress)
            }
            regularization => {
                let inverse = CurvatureInverse {
                    curvature: Box::new(curvature),
                    regularization,
                    rule,
                };
                inverse.apply(&right, progress)
            }
        }
    }

    /// `−(∇L_η − ∇L_ρ)/η` of every group, `−t/η·(∇L_ν − ∇L_ρ)`.
    pub(super) fn changed_gradient(
        &self,
        groups: &[GroupMass<'_>],
        progress: &mut dyn FnMut(usize),
    ) -> Result<ParameterTangents, DiffusionError> {
        let points = groups.iter().map(|group| group.points(self.training_set));
        let points: Vec<Subset<'_>> = points.collect();
        let points: Vec<&dyn DataPoints> = points.iter().map(|p| p as &dyn DataPoints).collect();
        let factors = groups
            .iter()
            .map(|group| -1.0 / (1.0 + group.signed_mass()));
        let factors: Vec<f64> = factors.collect();
        Ok(self.gradient_difference(&points, progress)?.scale(&factors))
    }

    /// The work of [`finite_change`](Self::finite_change), in the units of its progress.
    pub fn finite_change_work(&self, groups: &[GroupMass<'_>]) -> usize {
        let LearnerConfig {
            curvature_draws: draws,
            iterations,
            linearizations,
            ..
        } = self.config;
        let of_groups: usize = groups.iter().map(|group| group.draws(draws)).sum();
        let once = self.weight_tangent_work(groups.len()) + iterations * of_groups;
        // One gradient at the unmoved weights, and one with the iterations in each later linearisation.
        let gradient = groups.len() * draws + of_groups;
        match linearizations {
            1 => once,
            n => once + gradient + (n - 1) * (iterations + 1) * gradient,
        }
    }

    /// Checks the masses and the members of the groups.
    pub(super) fn check_masses(&self, groups: &[GroupMass<'_>]) -> Result<(), DiffusionError> {
        let count = self.training_set.count();
        groups.iter().try_for_each(|group| group.check(count))
    }

    pub(super) fn changed_curvature<'p>(
        &'p self,
        groups: &[GroupMass<'p>],
    ) -> Result<ChangedCurvature<'p>, DiffusionError> {
        let training_set = self.curvature();
        let weights = groups.iter().map(|group| match *group {
            GroupMass::Added { .. } => Ok(vec![1.0; training_set.draws.count()]),
            GroupMass::Removed { members, mass } => {
                weights_of_rest(&training_set.draws, members, mass)
            }
        });
        let weights: Vec<DrawWeights> = weights.collect::<Result<_, _>>()?;
        let added = groups.iter().map(|group| match *group {
            GroupMass::Added { points, mass } => {
                let draws = group.draws(self.config.curvature_draws);
                let group = GaussNewton {
                    draws: self.random_draws(points, draws),
                    ..self.curvature()
                };
                Some((group, mass))
            }
            GroupMass::Removed { .. } => None,
        });
        Ok(ChangedCurvature {
            weights,
            added: added.collect(),
            training_set,
        })
    }
}

/// The weights of draws of the training set if `mass` is removed from some of its m points: each member keeps
/// `1 − mass·m/|members|` of its own.
fn weights_of_rest(
    draws: &LossDraws<'_>,
    members: &[usize],
    mass: f64,
) -> Result<DrawWeights, DiffusionError> {
    let kept = 1.0 - mass * draws.points() as f64 / members.len() as f64;
    let numbers = 0..draws.count();
    let mut weights: DrawWeights = numbers
        .map(|draw| match members.binary_search(&draws.point(draw)) {
            Ok(_) => kept.max(0.0),
            Err(_) => 1.0,
        })
        .collect();
    let mean = weights.iter().sum::<f64>() / weights.len() as f64;
    if mean > 0.0 {
        weights.iter_mut().for_each(|weight| *weight /= mean);
        return Ok(weights);
    }
    Err(DiffusionError::Invalid(format!(
        "all {} draws of the curvature are of images that are removed; ask for more draws",
        draws.count()
    )))
}
