//! The method of conjugate gradients for several right-hand sides at once (Hestenes and Stiefel 1952).

use burn_jvp::ParameterTangents;
use datasway_diffusion::DiffusionError;

use super::curvature::Curvature;

/// The end of the iterations.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StoppingRule {
    /// The residual, relative to the right-hand side, below which a solution is taken.
    pub tolerance: f64,
    /// Largest number of iterations.
    pub iterations: usize,
}

/// Solutions of `(A + λ)·x_k = b_k`.
#[derive(Debug, Clone)]
pub struct Solution {
    /// The K solutions.
    pub solutions: ParameterTangents,
    /// `‖b_k − (A + λ)·x_k‖/‖b_k‖` after each iteration, for each k.
    pub residuals: Vec<Vec<f64>>,
}

/// Solves `(A + λ)·x_k = b_k` for K right-hand sides, which share every product with the curvature A.
///
/// Each right-hand side has its own coefficients. Its solution stays as it is once its residual is below the tolerance.
///
/// # Errors
/// If the curvature is not positive along a search direction, a number is not finite, or a product fails.
pub fn conjugate_gradients(
    curvature: &dyn Curvature,
    damping: f64,
    right: &ParameterTangents,
    rule: StoppingRule,
    progress: &mut dyn FnMut(usize),
) -> Result<Solution, DiffusionError> {
    let size = right.dot(right);
    let zero = vec![0.0; size.len()];
    let mut solutions = right.scale(&zero);
    let (mut residual, mut search) = (right.clone(), right.clone());
    let mut squares = size.clone();
    let mut residuals = vec![Vec::new(); size.len()];
    let goal = rule.tolerance.powi(2);
    for _ in 0..rule.iterations {
        let active: Vec<bool> = squares
            .iter()
            .zip(&size)
            .map(|(r, b)| *r > goal * b)
            .collect();
        if !active.contains(&true) {
            break;
        }
        // (A + λ)·p
        let product = curvature.product(&search, progress)?;
        let product = product.add(&search.scale(&vec![damping; size.len()]));
        let curvatures = search.dot(&product);
        if let Some(c) = lost(&curvatures, &active) {
            return Err(DiffusionError::NotFinite(format!(
                "the curvature of the training loss along a search direction is {c:e}, which is not positive: the model has \
                 diverged, or the damping is too small"
            )));
        }
        // x ← x + α·p, r ← r − α·(A + λ)·p, α = ⟨r, r⟩/⟨p, (A + λ)·p⟩
        let steps = quotients(&squares, &curvatures, &active);
        solutions = solutions.add(&search.scale(&steps));
        let back: Vec<f64> = steps.iter().map(|step| -step).collect();
        residual = residual.add(&product.scale(&back));
        let next = residual.dot(&residual);
        // p ← r + β·p, β = ⟨r', r'⟩/⟨r, r⟩
        let ratios = quotients(&next, &squares, &active);
        search = residual.add(&search.scale(&ratios));
        squares = next;
        for (k, history) in residuals.iter_mut().enumerate() {
            if active[k] {
                history.push((squares[k] / size[k]).sqrt());
            }
        }
    }
    Ok(Solution {
        solutions,
        residuals,
    })
}

/// The first curvature of an active column that is not positive and finite.
fn lost(curvatures: &[f64], active: &[bool]) -> Option<f64> {
    let mut columns = curvatures.iter().zip(active);
    let bad = columns.find(|(c, active)| **active && !(c.is_finite() && **c > 0.0));
    bad.map(|(c, _)| *c)
}

/// `a_k/b_k` of the active columns, 0 of the others.
fn quotients(a: &[f64], b: &[f64], active: &[bool]) -> Vec<f64> {
    let columns = a.iter().zip(b).zip(active);
    columns
        .map(|((a, b), active)| if *active { a / b } else { 0.0 })
        .collect()
}
