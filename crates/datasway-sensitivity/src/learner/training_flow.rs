//! The flow of the weights in the metric of a training.

use burn_jvp::ParameterTangents;
use datasway_diffusion::DiffusionError;

use super::curvature::Curvature;
use super::finite_training::{LegFilters, TrainingFilter};
use super::lanczos::KrylovSpaces;
use super::solver_report::SolverReport;
use super::stopping::{DELAY, Effect, EffectChanges, StoppingRule};

/// The metric of a training, and its filter.
pub(super) struct TrainingFlow {
    /// `P^½`, a stack of one.
    pub root: ParameterTangents,
    /// f.
    pub filter: TrainingFilter,
}

/// The change of the weights on a leg.
pub(super) struct LegChange {
    /// The change from its start to its end, K; none for the last leg.
    pub advance: Option<ParameterTangents>,
    /// The part of the change from its start in the averaged weights, K; none if no share of the average falls on the leg.
    pub averaged: Option<ParameterTangents>,
    pub report: SolverReport,
}

impl TrainingFlow {
    /// `‖P^½·g_k‖` of K gradients.
    pub fn sizes(&self, gradients: &ParameterTangents) -> Vec<f64> {
        let scaled = gradients.multiply(&self.root);
        let squares = scaled.dot(&scaled);
        squares.into_iter().map(f64::sqrt).collect()
    }

    /// `P^½·f(P^½·G·P^½)·P^½·b_k` of several filters f for K right-hand sides, a stack of K for each filter. The first filter
    /// ends the iterations.
    ///
    /// # Errors
    /// If a number is not finite, or the model fails.
    pub fn apply(
        &self,
        filters: &[TrainingFilter],
        curvature: &dyn Curvature,
        right: &ParameterTangents,
        rule: StoppingRule<'_>,
        progress: &mut dyn FnMut(usize),
    ) -> Result<(Vec<ParameterTangents>, SolverReport), DiffusionError> {
        let root = &self.root;
        let curvature = Rescaled {
            inner: curvature,
            root,
        };
        let effect = rule.effect.map(|effect| Rescaled {
            inner: effect,
            root,
        });
        let rule = StoppingRule {
            effect: effect.as_ref().map(|effect| effect as &dyn Effect),
            ..rule
        };
        let first = |h: f64| filters[0].response(h);
        let (spaces, report) =
            krylov_spaces(&curvature, &first, &right.multiply(root), rule, progress)?;
        let solutions = filters.iter().map(|filter| {
            let solution = spaces.function(&|h| filter.response(h));
            solution.multiply(root)
        });
        Ok((solutions.collect(), report))
    }

    /// The change of the weights on a leg with this curvature.
    pub(super) fn follow(
        &self,
        leg: &LegFilters,
        curvature: &dyn Curvature,
        right: &ParameterTangents,
        rule: StoppingRule<'_>,
        progress: &mut dyn FnMut(usize),
    ) -> Result<LegChange, DiffusionError> {
        let averaged = (leg.averaged.share() > 0.0).then_some(&leg.averaged);
        // The iterations go on until the start of the next leg stands still, or the result.
        let filters: Vec<_> = [leg.advance.as_ref(), averaged]
            .into_iter()
            .flatten()
            .cloned()
            .collect();
        let (changes, report) = self.apply(&filters, curvature, right, rule, progress)?;
        let mut changes = changes.into_iter();
        Ok(LegChange {
            advance: leg.advance.as_ref().and_then(|_| changes.next()),
            averaged: averaged.and_then(|_| changes.next()),
            report,
        })
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
