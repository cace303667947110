//! Report of the solver: the spectrum of the curvature, and the progress of the iterations.

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
    /// The relative change of δ of the first samples by the last [`DELAY`](super::DELAY) iterations, for each right-hand side; empty where no δ
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
