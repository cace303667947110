//! The method of conjugate gradients for several right-hand sides at once (Hestenes and Stiefel 1952).
//!
//! The iterates minimise the error in the norm `‖v‖_A² = ⟨v, (A + λ)·v⟩`, which is the loss by which a change of the weights
//! misses its minimum, and not the residual, which rises and falls. With `α_i`, `r_i` the step and the residual of iteration
//! i the error obeys `‖x − x_k‖_A² = Σ_{i≥k} α_i·‖r_i‖²` (Hestenes and Stiefel, Theorem 6:1), of which the first few terms are an
//! estimate from below (Strakoš and Tichý, ETNA 13, 2002).
//!
//! With a preconditioner `M ≈ A + λ` the iterations are those for `Â·x̂ = M^{−½}·b` with `Â = M^{−½}·(A + λ)·M^{−½}` and
//! `x̂ = M^{½}·x`. The norm is the same, `‖x̂‖_Â = ‖x‖_A`, and the residuals are `r̂ = M^{−½}·r`, so that the terms of the error
//! become `α_i·⟨r_i, M⁻¹·r_i⟩` (Strakoš and Tichý, BIT 45, 2005).

use std::collections::VecDeque;

use burn_jvp::ParameterTangents;
use datasway_diffusion::DiffusionError;

use super::curvature::Curvature;
use super::stopping::{DELAY, EffectChanges, StoppingRule};

/// A symmetric and positive approximation of the inverse of a matrix that acts on directions of the weights.
pub trait Preconditioner {
    /// `M⁻¹·r_k` of K residuals.
    fn precondition(&self, residuals: &ParameterTangents) -> ParameterTangents;
}

/// The matrix `A + λ` of a system of linear equations.
#[derive(Clone, Copy)]
pub struct DampedCurvature<'a> {
    /// The curvature A.
    pub curvature: &'a dyn Curvature,
    /// The damping λ.
    pub damping: f64,
    /// An approximation of `(A + λ)⁻¹`; none for the identity.
    pub preconditioner: Option<&'a dyn Preconditioner>,
}

impl DampedCurvature<'_> {
    /// `(A + λ)·v_k` of K directions.
    fn product(
        &self,
        directions: &ParameterTangents,
        progress: &mut dyn FnMut(usize),
    ) -> Result<ParameterTangents, DiffusionError> {
        let product = self.curvature.product(directions, progress)?;
        Ok(product.add(&directions.scale(&vec![self.damping; directions.k()])))
    }

    /// `z_k = M⁻¹·r_k`, `⟨r_k, z_k⟩` and `⟨r_k, r_k⟩` of K residuals, which are one number without a preconditioner.
    fn improve(&self, residuals: &ParameterTangents) -> Improved {
        let lengths = residuals.dot(residuals);
        match self.preconditioner {
            Some(preconditioner) => {
                let directions = preconditioner.precondition(residuals);
                Improved {
                    squares: residuals.dot(&directions),
                    directions,
                    lengths,
                }
            }
            None => Improved {
                directions: residuals.clone(),
                squares: lengths.clone(),
                lengths,
            },
        }
    }
}

/// Residuals r with their preconditioned directions.
struct Improved {
    /// `z_k = M⁻¹·r_k`.
    directions: ParameterTangents,
    /// `⟨r_k, z_k⟩`.
    squares: Vec<f64>,
    /// `⟨r_k, r_k⟩`.
    lengths: Vec<f64>,
}

/// Solutions of `(A + λ)·x_k = b_k`.
#[derive(Debug, Clone)]
pub struct Solution {
    /// The K solutions.
    pub solutions: ParameterTangents,
    /// `‖b_k − (A + λ)·x_k‖/‖b_k‖` after each iteration, for each k.
    pub residuals: Vec<Vec<f64>>,
    /// The estimate of `‖x − x_k‖_A/‖x‖_A` for the iterate [`DELAY`] iterations before, after each iteration, for each k. It is 1
    /// for the first iterations.
    pub errors: Vec<Vec<f64>>,
    /// The relative change of the [effect](StoppingRule::effect) by the last [`DELAY`] iterations, for each k; empty without an
    /// effect.
    pub changes: Vec<f64>,
}

/// Solves `(A + λ)·x_k = b_k` for K right-hand sides, which share every product with the curvature A.
///
/// Each right-hand side has its own coefficients. Its solution stays as it is once its error, and the change of the effect, are
/// below the tolerance.
///
/// # Errors
/// If the curvature is not positive along a search direction, a number is not finite, or a product or the effect fails.
pub fn conjugate_gradients(
    matrix: DampedCurvature<'_>,
    right: &ParameterTangents,
    rule: StoppingRule<'_>,
    progress: &mut dyn FnMut(usize),
) -> Result<Solution, DiffusionError> {
    let mut solutions = right.scale(&vec![0.0; right.k()]);
    let mut residual = right.clone();
    // z = M⁻¹·r, p = z
    let Improved {
        directions: mut search,
        mut squares,
        lengths: size,
    } = matrix.improve(&residual);
    let mut residuals = vec![Vec::new(); size.len()];
    let mut progresses = vec![Progress::default(); size.len()];
    let mut effects = EffectChanges::new(rule, size.len());
    let mut last_steps = LastSteps::new(rule);
    check_finite(&squares)?;
    let mut active: Vec<bool> = size.iter().map(|square| *square > 0.0).collect();
    for _ in 0..rule.iterations {
        if !active.contains(&true) {
            break;
        }
        // (A + λ)·p
        let product = matrix.product(&search, progress)?;
        let curvatures = search.dot(&product);
        if let Some(c) = lost(&curvatures, &active) {
            return Err(DiffusionError::NotFinite(format!(
                "the curvature of the training loss along a search direction is {c:e}, which is not positive: the model has \
                 diverged, or the damping is too small"
            )));
        }
        // x ← x + α·p, r ← r − α·(A + λ)·p, α = ⟨r, z⟩/⟨p, (A + λ)·p⟩
        let steps = quotients(&squares, &curvatures, &active);
        let step = search.scale(&steps);
        solutions = solutions.add(&step);
        last_steps.push(step);
        let back: Vec<f64> = steps.iter().map(|step| -step).collect();
        residual = residual.add(&product.scale(&back));
        let improved = matrix.improve(&residual);
        for (k, progress) in progresses.iter_mut().enumerate() {
            if active[k] {
                progress.push(steps[k] * squares[k]);
            }
        }
        // p ← z + β·p, β = ⟨r', z'⟩/⟨r, z⟩
        let ratios = quotients(&improved.squares, &squares, &active);
        search = improved.directions.add(&search.scale(&ratios));
        squares = improved.squares;
        check_finite(&squares)?;
        for (k, history) in residuals.iter_mut().enumerate() {
            if active[k] {
                history.push((improved.lengths[k] / size[k]).sqrt());
            }
        }
        let errors: Vec<f64> = progresses.iter().map(Progress::error).collect();
        let last = || [last_steps.sum(), solutions.clone()];
        let done = effects.done(&errors, &active, last)?;
        for ((active, done), square) in active.iter_mut().zip(done).zip(&squares) {
            *active &= !done && *square > 0.0;
        }
    }
    let changes = effects.finish(&active, || [last_steps.sum(), solutions.clone()])?;
    Ok(Solution {
        solutions,
        residuals,
        errors: progresses.into_iter().map(|p| p.errors).collect(),
        changes,
    })
}

/// The last [`DELAY`] steps `α·p`, where their effect is asked for.
struct LastSteps {
    steps: VecDeque<ParameterTangents>,
    kept: usize,
}

impl LastSteps {
    fn new(rule: StoppingRule<'_>) -> Self {
        Self {
            steps: VecDeque::new(),
            kept: rule.effect.map_or(0, |_| DELAY),
        }
    }

    fn push(&mut self, step: ParameterTangents) {
        self.steps.push_back(step);
        if self.steps.len() > self.kept {
            self.steps.pop_front();
        }
    }

    /// The change of the solutions.
    fn sum(&self) -> ParameterTangents {
        let steps = self.steps.iter();
        steps.fold(ParameterTangents::new(), |sum, step| sum.add(step))
    }
}

/// The progress of one column in the norm of `A + λ`.
#[derive(Clone, Default)]
struct Progress {
    /// `α_i·⟨r_i, M⁻¹·r_i⟩` of each iteration.
    terms: Vec<f64>,
    /// Their sum, `‖x_k‖_A²`.
    sum: f64,
    errors: Vec<f64>,
}

impl Progress {
    fn push(&mut self, term: f64) {
        self.terms.push(term);
        self.sum += term;
        let last = self.terms.len().saturating_sub(DELAY);
        let error = self.terms[last..].iter().sum::<f64>();
        self.errors.push((error / self.sum).sqrt());
    }

    /// The estimate of the relative error [`DELAY`] iterations ago.
    fn error(&self) -> f64 {
        self.errors.last().copied().unwrap_or(f64::INFINITY)
    }
}

/// The first curvature of an active column that is not positive and finite.
fn lost(curvatures: &[f64], active: &[bool]) -> Option<f64> {
    let mut columns = curvatures.iter().zip(active);
    let bad = columns.find(|(c, active)| **active && !(c.is_finite() && **c > 0.0));
    bad.map(|(c, _)| *c)
}

/// Checks that the squares of the residuals are finite.
fn check_finite(squares: &[f64]) -> Result<(), DiffusionError> {
    if squares.iter().all(|square| square.is_finite()) {
        return Ok(());
    }
    Err(DiffusionError::NotFinite(
        "a residual of the solver for the weights is not finite: the model has diverged".to_owned(),
    ))
}

/// `a_k/b_k` of the active columns, 0 of the others.
fn quotients(a: &[f64], b: &[f64], active: &[bool]) -> Vec<f64> {
    let columns = a.iter().zip(b).zip(active);
    columns
        .map(|((a, b), active)| if *active { a / b } else { 0.0 })
        .collect()
}
