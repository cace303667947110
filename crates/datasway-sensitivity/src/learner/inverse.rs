//! The regularised inverse of the curvature.

use burn_jvp::ParameterTangents;
use datasway_diffusion::DiffusionError;

use super::conjugate_gradients::{DampedCurvature, Preconditioner, conjugate_gradients};
use super::curvature::Curvature;
use super::kronecker::KroneckerInverse;
use super::stopping::StoppingRule;
use super::training_flow::TrainingFlow;

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
    Training(TrainingFlow),
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
    /// ([`Solution::errors`](super::Solution::errors)). With several linearisations those of the later ones follow, one right-hand
    /// side after the other.
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
        match &self.regularization {
            Regularization::Damping {
                damping,
                largest_eigenvalue,
                preconditioner,
            } => {
                let matrix = DampedCurvature {
                    curvature: &*self.curvature,
                    damping: *damping,
                    preconditioner: preconditioner.as_ref().map(|m| m as &dyn Preconditioner),
                };
                let solution = conjugate_gradients(matrix, right, self.rule, progress)?;
                Ok(CurvatureSolution {
                    solutions: solution.solutions,
                    report: SolverReport {
                        damping: Some(*damping),
                        largest_eigenvalue: *largest_eigenvalue,
                        residuals: solution.residuals,
                        errors: solution.errors,
                        delta_changes: solution.changes,
                    },
                })
            }
            Regularization::Training(flow) => {
                let filters = std::slice::from_ref(&flow.filter);
                let (mut solutions, report) =
                    flow.apply(filters, &*self.curvature, right, self.rule, progress)?;
                Ok(CurvatureSolution {
                    solutions: solutions.remove(0),
                    report,
                })
            }
        }
    }
}
