//! The regularised inverse of the curvature.

use burn_jvp::ParameterTangents;
use datasway_diffusion::DiffusionError;

use super::conjugate_gradients::{DampedCurvature, Preconditioner, conjugate_gradients};
use super::curvature::Curvature;
use super::kronecker::KroneckerInverse;
use super::solver_report::SolverReport;
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
