//! The end of the solver's iterations.
//!
//! The norm of the curvature measures the loss that a solution misses. What a solution is for is another question: δ is linear in
//! it, so that the δ of the change by the last iterations, relative to the δ of the solution, says if δ stands still.

use burn_jvp::ParameterTangents;
use datasway_diffusion::DiffusionError;

/// Iterations whose progress estimates the error before them.
pub const DELAY: usize = 4;

/// A linear effect of solutions, such as δ.
pub trait Effect {
    /// `‖E·c_k‖/‖E·x_k‖` of K changes c and solutions x, with the effect E; 0 of a change without effect.
    ///
    /// # Errors
    /// If the model fails.
    fn relative(
        &self,
        changes: &ParameterTangents,
        solutions: &ParameterTangents,
    ) -> Result<Vec<f64>, DiffusionError>;
}

/// The end of the iterations.
#[derive(Clone, Copy)]
pub struct StoppingRule<'a> {
    /// The estimated error of a solution [`DELAY`] iterations ago, relative to the solution in the norm of `A + λ`, below which
    /// the present one is taken.
    pub tolerance: f64,
    /// Largest number of iterations.
    pub iterations: usize,
    /// The effect whose relative change by the last [`DELAY`] iterations is to be below the tolerance too; none if the norm alone
    /// decides.
    pub effect: Option<&'a dyn Effect>,
}

/// The relative changes of an effect by the last iterations, measured when the norm allows an end.
pub(super) struct EffectChanges<'a> {
    rule: StoppingRule<'a>,
    /// Of each right-hand side, when it was last measured.
    changes: Vec<f64>,
    /// True if the iteration that was looked at last was measured.
    is_current: bool,
}

impl<'a> EffectChanges<'a> {
    /// Those of K right-hand sides before the first iteration.
    pub fn new(rule: StoppingRule<'a>, k: usize) -> Self {
        Self {
            rule,
            changes: vec![0.0; k],
            is_current: false,
        }
    }

    /// The right-hand sides that are done after an iteration with these estimated errors. Those that are not `active` keep their
    /// change. `last` gives the change by the last iterations and the solutions.
    ///
    /// # Errors
    /// If a change is not finite, or the model fails.
    pub fn done(
        &mut self,
        errors: &[f64],
        active: &[bool],
        last: impl FnOnce() -> [ParameterTangents; 2],
    ) -> Result<Vec<bool>, DiffusionError> {
        let is_small = |change: f64| change <= self.rule.tolerance;
        let mut done: Vec<bool> = errors.iter().map(|error| is_small(*error)).collect();
        let mut columns = done.iter().zip(active);
        self.is_current = columns.any(|(done, active)| *done && *active);
        if self.is_current {
            self.measure(active, last)?;
        }
        for (done, change) in done.iter_mut().zip(&self.changes) {
            *done &= *change <= self.rule.tolerance;
        }
        Ok(done)
    }

    /// The changes by the last iterations; empty without an effect.
    ///
    /// # Errors
    /// If a change is not finite, or the model fails.
    pub fn finish(
        mut self,
        active: &[bool],
        last: impl FnOnce() -> [ParameterTangents; 2],
    ) -> Result<Vec<f64>, DiffusionError> {
        if !self.is_current && active.contains(&true) {
            self.measure(active, last)?;
        }
        Ok(match self.rule.effect {
            Some(_) => self.changes,
            None => Vec::new(),
        })
    }

    fn measure(
        &mut self,
        active: &[bool],
        last: impl FnOnce() -> [ParameterTangents; 2],
    ) -> Result<(), DiffusionError> {
        if let Some(effect) = self.rule.effect {
            let [changes, solutions] = last();
            let measured = effect.relative(&changes, &solutions)?;
            for ((change, measured), active) in self.changes.iter_mut().zip(measured).zip(active) {
                if *active {
                    *change = finite(measured)?;
                }
            }
        }
        Ok(())
    }
}

/// A relative change of the effect.
///
/// # Errors
/// If it is not finite.
fn finite(change: f64) -> Result<f64, DiffusionError> {
    if change.is_finite() {
        return Ok(change);
    }
    Err(DiffusionError::NotFinite(format!(
        "the relative change of the effect of a solution for the weights by the last iterations is {change}: the solution has \
         no effect or has diverged"
    )))
}
