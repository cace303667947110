//! The learner at its minimum: the derivative of its weights, and the influence of single images on them.

use burn_jvp::ParameterTangents;
use datasway_diffusion::DiffusionError;
use datasway_diffusion::learned_denoiser::LearnedDenoiser;
use datasway_diffusion::training_noise::TrainingNoise;

use super::adam::{metric_draws, metric_root};
use super::config::{Damping, LearnerConfig, PreconditionerKind};
use super::curvature::{Curvature as _, GaussNewton};
use super::draws::{DataPoints, LossDraws};
use super::inverse::{CurvatureInverse, CurvatureSolution, Regularization};
use super::kronecker::{KroneckerFactors, KroneckerInverse, factor_draws};
use super::loss::{loss_derivatives, loss_gradient};
use super::spectrum::largest_eigenvalue;
use super::stopping::{Effect, StoppingRule};
use super::training_flow::TrainingFlow;

/// Products of Lanczos's method for the largest eigenvalue.
const LANCZOS_ITERATIONS: usize = 8;
/// Draws of the curvature whose largest eigenvalue is taken.
const LANCZOS_DRAWS: usize = 512;

/// A model with the data, the noise levels and the loss of its training.
#[derive(Clone, Copy)]
pub struct Learner<'a> {
    /// The model.
    pub model: &'a dyn LearnedDenoiser,
    /// The training data ρ.
    pub training_set: &'a dyn DataPoints,
    /// The noise levels of training.
    pub noise: &'a TrainingNoise,
    /// The options.
    pub config: LearnerConfig,
}

/// The influences of points on K functionals through the weights.
#[derive(Debug, Clone)]
pub struct WeightInfluences {
    /// Those of the training set, `[K][m]`.
    pub training_set: Vec<Vec<f64>>,
    /// Those of other points, `[K][c]`; none without them.
    pub others: Option<Vec<Vec<f64>>>,
}

impl<'a> Learner<'a> {
    /// `dθ/dη = −(G + λ)⁻¹·(∇L_ν − ∇L_ρ)` for every group ν.
    ///
    /// `progress` receives the work that is done, of [`weight_tangent_work`](Self::weight_tangent_work) at most.
    ///
    /// # Errors
    /// If there is no group, a group or the training set is empty, an option is out of its range, or the model fails.
    pub fn weight_tangent(
        &self,
        groups: &[&dyn DataPoints],
        progress: &mut dyn FnMut(usize),
    ) -> Result<CurvatureSolution, DiffusionError> {
        self.weight_tangent_for(groups, None, progress)
    }

    /// [`weight_tangent`](Self::weight_tangent), solved until an effect of it stands still too.
    pub(super) fn weight_tangent_for(
        &self,
        groups: &[&dyn DataPoints],
        effect: Option<&dyn Effect>,
        progress: &mut dyn FnMut(usize),
    ) -> Result<CurvatureSolution, DiffusionError> {
        let back = vec![-1.0; groups.len()];
        let right = self.gradient_difference(groups, progress)?.scale(&back);
        let mut inverse: CurvatureInverse<'_> = self.inverse(progress)?;
        inverse.rule.effect = effect;
        inverse.apply(&right, progress)
    }

    /// The work of [`weight_tangent`](Self::weight_tangent) for K groups, in the units of its progress.
    pub fn weight_tangent_work(&self, groups: usize) -> usize {
        (groups + 1) * self.config.gradient_draws + self.solve_work(groups)
    }

    /// `∇L_ν − ∇L_ρ` for every group ν, with the same noise for all.
    ///
    /// # Errors
    /// As [`weight_tangent`](Self::weight_tangent).
    pub fn gradient_difference(
        &self,
        groups: &[&dyn DataPoints],
        progress: &mut dyn FnMut(usize),
    ) -> Result<ParameterTangents, DiffusionError> {
        self.check()?;
        if groups.is_empty() {
            return Err(DiffusionError::Invalid(
                "sensitivities need at least one direction".to_owned(),
            ));
        }
        let mut gradient = |points: &dyn DataPoints| {
            check_points(self.model, points)?;
            let draws = self.random_draws(points, self.config.gradient_draws);
            loss_gradient(self.model, &draws, self.config.batch, progress)
        };
        let of_training_set = gradient(self.training_set)?.scale(&[-1.0]);
        let mut differences = Vec::with_capacity(groups.len());
        for group in groups {
            differences.push(gradient(*group)?.add(&of_training_set));
        }
        Ok(ParameterTangents::concat(&differences))
    }

    /// `(G + λ)⁻¹·b_k` for K right-hand sides, or `P^½·f(P^½·G·P^½)·P^½·b_k` with a [finite training](super::FiniteTraining).
    ///
    /// # Errors
    /// If an option is out of its range, or the model fails.
    pub fn solve(
        &self,
        right: &ParameterTangents,
        progress: &mut dyn FnMut(usize),
    ) -> Result<CurvatureSolution, DiffusionError> {
        self.inverse(progress)?.apply(right, progress)
    }

    /// The regularised inverse of the Gauss–Newton matrix, for several calls.
    ///
    /// # Errors
    /// If an option is out of its range, or the model fails.
    pub fn inverse(
        &self,
        progress: &mut dyn FnMut(usize),
    ) -> Result<CurvatureInverse<'a>, DiffusionError> {
        Ok(CurvatureInverse {
            curvature: Box::new(self.curvature()),
            regularization: self.regularization(progress)?,
            rule: self.stopping_rule(),
        })
    }

    /// The options of the solver that end it; no effect is watched.
    pub(super) fn stopping_rule(&self) -> StoppingRule<'static> {
        StoppingRule {
            tolerance: self.config.tolerance,
            iterations: self.config.iterations,
            effect: None,
        }
    }

    /// The regularisation, with what it needs of the model.
    pub(super) fn regularization(
        &self,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Regularization, DiffusionError> {
        self.check()?;
        Ok(match self.config.damping {
            Damping::Fraction(fraction) => {
                let largest_eigenvalue = self.largest_eigenvalue(progress)?;
                let damping = fraction * largest_eigenvalue;
                Regularization::Damping {
                    damping,
                    largest_eigenvalue,
                    preconditioner: self.preconditioner(damping, progress)?,
                }
            }
            Damping::Training(training) => {
                let draws = self.random_draws(self.training_set, metric_draws(training.batch));
                Regularization::Training(TrainingFlow {
                    root: metric_root(self.model, &draws, training.batch, progress)?,
                    filter: training.filter(),
                })
            }
        })
    }

    /// The preconditioner of `G + λ`.
    fn preconditioner(
        &self,
        damping: f64,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Option<KroneckerInverse>, DiffusionError> {
        match self.config.preconditioner {
            PreconditionerKind::None => Ok(None),
            PreconditionerKind::Kronecker => {
                let draws = self.random_draws(self.training_set, self.config.curvature_draws);
                let factors = KroneckerFactors::new(self.model, &draws, progress)?;
                factors.damped_inverse(damping).map(Some)
            }
        }
    }

    /// The largest eigenvalue of the Gauss–Newton matrix, to which the damping is relative.
    fn largest_eigenvalue(&self, progress: &mut dyn FnMut(usize)) -> Result<f64, DiffusionError> {
        let LearnerConfig {
            curvature_draws,
            batch,
            ..
        } = self.config;
        let draws = self.random_draws(self.training_set, curvature_draws);
        let draws = draws.first(LANCZOS_DRAWS);
        let first = draws.clone().first(batch);
        let start = loss_gradient(self.model, &first, batch, &mut |_| ())?;
        let curvature = GaussNewton {
            model: self.model,
            draws,
            batch,
        };
        largest_eigenvalue(&curvature, &start, LANCZOS_ITERATIONS, progress)
    }

    /// `G·v_k` of K directions.
    ///
    /// # Errors
    /// If an option is out of its range, or the model fails.
    pub fn curvature_product(
        &self,
        directions: &ParameterTangents,
        progress: &mut dyn FnMut(usize),
    ) -> Result<ParameterTangents, DiffusionError> {
        self.check()?;
        self.curvature().product(directions, progress)
    }

    /// The Gauss–Newton matrix.
    pub(super) fn curvature(&self) -> GaussNewton<'a> {
        GaussNewton {
            model: self.model,
            draws: self.random_draws(self.training_set, self.config.curvature_draws),
            batch: self.config.batch,
        }
    }

    /// The work of [`solve`](Self::solve) for K right-hand sides, at most.
    pub(super) fn solve_work(&self, right_hand_sides: usize) -> usize {
        let draws = self.config.curvature_draws;
        let regularization = match self.config.damping {
            Damping::Fraction(_) => {
                let factors = match self.config.preconditioner {
                    PreconditionerKind::None => 0,
                    PreconditionerKind::Kronecker => factor_draws(draws),
                };
                LANCZOS_ITERATIONS * draws.min(LANCZOS_DRAWS) + factors
            }
            Damping::Training(training) => metric_draws(training.batch),
        };
        regularization + self.config.iterations * draws * right_hand_sides
    }

    /// `a_j = −⟨∇ℓ_j − ∇L_ρ, u_k⟩` of every point j of the training set, `[K][m]`, for K solutions
    /// `u = (G + λ)⁻¹·∂f/∂θ`: `df/dη` for the mass η at the point.
    ///
    /// All points have the same noises, and the mean of `a_j` over a group is `⟨∂f/∂θ, dθ/dη⟩` of the group with gradients
    /// over these draws.
    ///
    /// # Errors
    /// If an option is out of its range, or the model fails.
    pub fn influences(
        &self,
        solutions: &ParameterTangents,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Vec<Vec<f64>>, DiffusionError> {
        let influences = self.influences_with(None, solutions, progress)?;
        Ok(influences.training_set)
    }

    /// [`influences`](Self::influences), and those of other points, `[K][c]`, if mass were added there: `∇L_ρ` is that of the
    /// training set, and the noises are the same.
    ///
    /// # Errors
    /// As [`influences`](Self::influences).
    pub fn influences_with(
        &self,
        others: Option<&dyn DataPoints>,
        solutions: &ParameterTangents,
        progress: &mut dyn FnMut(usize),
    ) -> Result<WeightInfluences, DiffusionError> {
        self.check()?;
        let LearnerConfig {
            image_draws, seed, ..
        } = self.config;
        let batch = (self.config.batch / solutions.k().max(1)).max(1);
        let mut derivatives = |points: &dyn DataPoints| {
            check_points(self.model, points)?;
            let draws = LossDraws::every_point(points, image_draws, self.noise, seed);
            loss_derivatives(self.model, &draws, solutions, batch, progress)
        };
        let mut rows = derivatives(self.training_set)?;
        let mut other_rows = others.map(&mut derivatives).transpose()?;
        for (k, row) in rows.iter_mut().enumerate() {
            let mean = row.iter().sum::<f64>() / row.len() as f64;
            row.iter_mut().for_each(|a| *a = mean - *a);
            let others = other_rows.iter_mut().flat_map(|rows| &mut rows[k]);
            others.for_each(|a| *a = mean - *a);
        }
        Ok(WeightInfluences {
            training_set: rows,
            others: other_rows,
        })
    }

    /// The work of the influences of the training set and of `others` other points on K functionals, with the solution: at
    /// most.
    pub fn influence_work(&self, functionals: usize, others: usize) -> usize {
        let products = (self.training_set.count() + others) * self.config.image_draws * functionals;
        self.solve_work(functionals) + products
    }

    pub(super) fn random_draws<'p>(&self, points: &'p dyn DataPoints, count: usize) -> LossDraws<'p>
    where
        'a: 'p,
    {
        LossDraws::random(points, count, self.noise, self.config.seed)
    }

    pub(super) fn check(&self) -> Result<(), DiffusionError> {
        self.config.check()?;
        check_points(self.model, self.training_set)
    }
}

/// Checks that there are points, and that they are those of the model.
fn check_points(
    model: &dyn LearnedDenoiser,
    points: &dyn DataPoints,
) -> Result<(), DiffusionError> {
    if points.count() == 0 {
        return Err(DiffusionError::Invalid(
            "a set of images that a model learns from has no image".to_owned(),
        ));
    }
    if points.dim() == model.dim() {
        return Ok(());
    }
    Err(DiffusionError::Shape {
        what: "a set of points".to_owned(),
        found: vec![points.count(), points.dim()],
        expected: vec![points.count(), model.dim()],
    })
}
