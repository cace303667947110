//! The regularised inverse of the curvature.

use burn_jvp::ParameterTangents;
use datasway_diffusion::DiffusionError;

use super::conjugate_gradients::{DampedCurvature, Preconditioner, conjugate_gradients};
use super::curvature::Curvature;
use super::finite_training::{LegFilters, TrainingFilter};
use super::kronecker::KroneckerInverse;
use super::lanczos::KrylovSpaces;
use super::stopping::{DELAY, Effect, EffectChanges, StoppingRule};

/// The regularised inverse of the Gauss–Newton matrix.
pub struct CurvatureInverse<'a> {
    pub(super) curvature: Box<dyn Curvature + 'a>,
    pub(super) regularization: Regularization,
    pub(super) rule: StoppingRule<'a>,
}

/// The regularisation, with what it needs of the model.
pub(super) enum Regularization {
    /// `(G + λ)⁻¹`.
    Damping {
        /// λ.
        damping: f64,
        /// The largest eigenvalue of G.
        largest_eigenvalue: f64,
        /// The preconditioner; none for plain conjugate gradients.
        preconditioner: Option<KroneckerInverse>,
    },
    /// `P^½·f(P^½·G·P^½)·P^½`.
    Training {
        /// `P^½`, a stack of one.
        root: ParameterTangents,
        /// f.
        filter: TrainingFilter,
    },
}

/// Changes of the weights by K gradients, through the regularised inverse of the Gauss–Newton matrix.
#[derive(Debug, Clone)]
pub struct CurvatureSolution {
    /// The K solutions.
    pub solutions: ParameterTangents,
    /// The spectrum and the progress of the iterations.
    pub report: SolverReport,
}

/// The spectrum of the curvature, and the progress of the iterations.
#[derive(Debug, Clone, PartialEq)]
pub struct SolverReport {
    /// λ; none with a finite training.
    pub damping: Option<f64>,
    /// The largest eigenvalue of G, or of `P^½·G·P^½` with a finite training.
    pub largest_eigenvalue: f64,
    /// The relative residual after each iteration, for each right-hand side; empty with a finite training.
    pub residuals: Vec<Vec<f64>>,
    /// The estimated relative error after each iteration, for each right-hand side
    /// ([`Solution::errors`](super::Solution::errors)).
    pub errors: Vec<Vec<f64>>,
    /// The relative change of δ of the first samples by the last [`DELAY`] iterations, for each right-hand side; empty where no δ
    /// is computed.
    pub delta_changes: Vec<f64>,
}

impl SolverReport {
    /// The report of two solutions from half of the draws each: means of the numbers, and the systems of `other` after those of
    /// `self`.
    pub(super) fn with_half(self, other: Self) -> Self {
        let dampings = self.damping.zip(other.damping);
        Self {
            damping: dampings.map(|(a, b)| f64::midpoint(a, b)),
            largest_eigenvalue: f64::midpoint(self.largest_eigenvalue, other.largest_eigenvalue),
            residuals: [self.residuals, other.residuals].concat(),
            errors: [self.errors, other.errors].concat(),
            delta_changes: [self.delta_changes, other.delta_changes].concat(),
        }
    }

    /// Adds the systems of a later call of the same inverse.
    pub fn append(&mut self, other: Self) {
        self.largest_eigenvalue = self.largest_eigenvalue.max(other.largest_eigenvalue);
        self.residuals.extend(other.residuals);
        self.errors.extend(other.errors);
        self.delta_changes.extend(other.delta_changes);
    }
}

impl CurvatureInverse<'_> {
    /// The inverse applied to K right-hand sides.
    ///
    /// # Errors
    /// If a number is not finite, or the model fails.
    pub fn apply(
        &self,
        right: &ParameterTangents,
        progress: &mut dyn FnMut(usize),
    ) -> Result<CurvatureSolution, DiffusionError> {
        let legs = self.regularization.legs(1);
        let (curvature, rule) = (&*self.curvature, self.rule);
        let leg = (self.regularization).follow(&legs[0], curvature, right, rule, progress)?;
        Ok(CurvatureSolution {
            solutions: leg.averaged,
            report: leg.report,
        })
    }
}

/// A part of the way of the weights, on which the loss is quadratic.
pub(super) struct Leg {
    /// The filters of a finite training; none with a damping, where every leg goes to the minimum.
    filters: Option<LegFilters>,
    /// The share of the averaged weights that falls on the leg.
    pub share: f64,
}

/// The change of the weights on a leg.
pub(super) struct LegSolution {
    /// The change from its start to its end, K.
    pub advance: ParameterTangents,
    /// The part of the change from its start in the averaged weights, K.
    pub averaged: ParameterTangents,
    /// The spectrum and the progress of the iterations.
    pub report: SolverReport,
}

impl Regularization {
    /// The way in n legs: equal times of a finite training. With a damping the result is the end of the last.
    pub fn legs(&self, n: usize) -> Vec<Leg> {
        match self {
            Self::Damping { .. } => {
                let legs = (1..=n).map(|leg| Leg {
                    filters: None,
                    share: if leg == n { 1.0 } else { 0.0 },
                });
                legs.collect()
            }
            Self::Training { filter, .. } => {
                let legs = filter.legs(n).into_iter().map(|filters| Leg {
                    share: filters.averaged.share(),
                    filters: Some(filters),
                });
                legs.collect()
            }
        }
    }

    /// The gradient by which the regularisation holds weights that are moved by `state`: `λ·state` with a damping.
    pub fn pull(&self, state: &ParameterTangents) -> Option<ParameterTangents> {
        match self {
            Self::Damping { damping, .. } => Some(state.scale(&vec![*damping; state.k()])),
            Self::Training { .. } => None,
        }
    }

    /// Follows a leg with this curvature, from weights with the gradients `−right`.
    ///
    /// # Errors
    /// If a number is not finite, or the model fails.
    pub fn follow(
        &self,
        leg: &Leg,
        curvature: &dyn Curvature,
        right: &ParameterTangents,
        rule: StoppingRule<'_>,
        progress: &mut dyn FnMut(usize),
    ) -> Result<LegSolution, DiffusionError> {
        match (self, &leg.filters) {
            (
                Self::Damping {
                    damping,
                    largest_eigenvalue,
                    preconditioner,
                },
                _,
            ) => {
                let matrix = DampedCurvature {
                    curvature,
                    damping: *damping,
                    preconditioner: preconditioner.as_ref().map(|m| m as &dyn Preconditioner),
                };
                let solution = conjugate_gradients(matrix, right, rule, progress)?;
                Ok(LegSolution {
                    averaged: solution.solutions.scale(&vec![leg.share; right.k()]),
                    advance: solution.solutions,
                    report: SolverReport {
                        damping: Some(*damping),
                        largest_eigenvalue: *largest_eigenvalue,
                        residuals: solution.residuals,
                        errors: solution.errors,
                        delta_changes: solution.changes,
                    },
                })
            }
            (Self::Training { root, .. }, Some(filters)) => {
                let curvature = Rescaled {
                    inner: curvature,
                    root,
                };
                let [advance, averaged] =
                    [&filters.advance, &filters.averaged].map(|filter| |h: f64| filter.response(h));
                let right = right.multiply(root);
                let effect = rule.effect.map(|effect| Rescaled {
                    inner: effect,
                    root,
                });
                let rule = StoppingRule {
                    effect: effect.as_ref().map(|effect| effect as &dyn Effect),
                    ..rule
                };
                // What the next leg starts from must stand still, or the result.
                let judged: &dyn Fn(f64) -> f64 =
                    if filters.is_last { &averaged } else { &advance };
                let (spaces, report) = krylov_spaces(&curvature, judged, &right, rule, progress)?;
                Ok(LegSolution {
                    advance: spaces.function(&advance).multiply(root),
                    averaged: spaces.function(&averaged).multiply(root),
                    report,
                })
            }
            (Self::Training { .. }, None) => {
                unreachable!("a leg of a finite training has filters")
            }
        }
    }
}

/// `P^½·A·P^½` of a curvature A, or `E·P^½` of an effect E.
struct Rescaled<'a, T: ?Sized> {
    inner: &'a T,
    root: &'a ParameterTangents,
}

impl Curvature for Rescaled<'_, dyn Curvature + '_> {
    fn product(
        &self,
        directions: &ParameterTangents,
        progress: &mut dyn FnMut(usize),
    ) -> Result<ParameterTangents, DiffusionError> {
        let product = self
            .inner
            .product(&directions.multiply(self.root), progress)?;
        Ok(product.multiply(self.root))
    }
}

impl Effect for Rescaled<'_, dyn Effect + '_> {
    fn relative(
        &self,
        changes: &ParameterTangents,
        solutions: &ParameterTangents,
    ) -> Result<Vec<f64>, DiffusionError> {
        let (changes, solutions) = (changes.multiply(self.root), solutions.multiply(self.root));
        self.inner.relative(&changes, &solutions)
    }
}

/// Krylov spaces for `f(A)·b_k` with K right-hand sides, by Lanczos's method.
///
/// The iterations end where all that the last [`DELAY`] added is below the tolerance, relative to the result, in the norm of A
/// and in the effect.
fn krylov_spaces(
    curvature: &dyn Curvature,
    filter: &dyn Fn(f64) -> f64,
    right: &ParameterTangents,
    rule: StoppingRule<'_>,
    progress: &mut dyn FnMut(usize),
) -> Result<(KrylovSpaces, SolverReport), DiffusionError> {
    let mut spaces = KrylovSpaces::new(right)?;
    let mut errors = vec![Vec::new(); right.k()];
    let mut effects = EffectChanges::new(rule, right.k());
    let all = vec![true; right.k()];
    for _ in 0..rule.iterations {
        spaces.extend(curvature.product(spaces.newest(), progress)?)?;
        let before = spaces.dimension().saturating_sub(DELAY);
        let added = spaces.progress_since(before, filter);
        let largest = added.iter().copied().fold(0.0, f64::max);
        for (history, error) in errors.iter_mut().zip(added) {
            history.push(error);
        }
        // All end together.
        let together = vec![largest; right.k()];
        let done = effects.done(&together, &all, || last(&spaces, filter))?;
        if !done.contains(&false) || spaces.is_exhausted() {
            break;
        }
    }
    let report = SolverReport {
        damping: None,
        largest_eigenvalue: spaces.largest_eigenvalue(),
        residuals: Vec::new(),
        errors,
        delta_changes: effects.finish(&all, || last(&spaces, filter))?,
    };
    Ok((spaces, report))
}

/// The change of `f(A)·b_k` by the last [`DELAY`] iterations, and `f(A)·b_k`.
fn last(spaces: &KrylovSpaces, filter: &dyn Fn(f64) -> f64) -> [ParameterTangents; 2] {
    let before = spaces.dimension().saturating_sub(DELAY);
    [before, 0].map(|m| spaces.function_since(m, filter))
}
