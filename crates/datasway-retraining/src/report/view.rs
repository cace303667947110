//! An evaluation with the names and the headline numbers of its tables.

use super::names::Names;
use crate::evaluation::agreement::{AgreementRow, SampleComparison};
use crate::evaluation::directions::Evaluation;
use crate::evaluation::{DirectionScope, Predictor, Scope, SeedScope};
use crate::prepared::PreparedExperiment;

/// An evaluation, as tables, plots and pages show it.
pub(super) struct View<'a> {
    /// The experiment with its images.
    pub experiment: &'a PreparedExperiment,
    /// The evaluation.
    pub evaluation: &'a Evaluation,
    /// The directions of the main tables.
    pub headline_directions: DirectionScope,
}

impl<'a> View<'a> {
    /// A view of `evaluation` with the headline directions of the experiment.
    pub fn new(experiment: &'a PreparedExperiment, evaluation: &'a Evaluation) -> Self {
        Self {
            experiment,
            evaluation,
            headline_directions: DirectionScope::headline(&experiment.spec.directions),
        }
    }

    /// The names of the experiment.
    pub fn names(&self) -> Names<'a> {
        Names(&self.experiment.spec)
    }

    /// The variants that have numbers, in the order of the experiment.
    pub fn variants(&self) -> Vec<usize> {
        let has_rows = |variant: &usize| {
            let mut rows = self.evaluation.rows.iter();
            rows.any(|row| row.scope.variant == *variant)
        };
        let variants = 0..self.experiment.spec.variants.len();
        variants.filter(has_rows).collect()
    }

    /// The seeds of the main numbers of a variant: the mean of its seeds, or its only seed.
    pub fn headline_seeds(&self, variant: usize) -> SeedScope {
        let mut rows = self.evaluation.rows.iter();
        let last = rows.rfind(|row| row.scope.variant == variant);
        last.map_or(SeedScope::Mean, |row| row.scope.seeds)
    }

    /// The scope of the main numbers of a variant.
    pub fn headline(&self, variant: usize) -> Scope {
        Scope {
            variant,
            seeds: self.headline_seeds(variant),
            directions: self.headline_directions,
        }
    }

    /// The row of a predictor in one direction or pool of the main numbers of a variant.
    pub fn headline_row(
        &self,
        variant: usize,
        directions: DirectionScope,
        predictor: Predictor,
    ) -> Option<&'a AgreementRow> {
        let scope = Scope {
            directions,
            ..self.headline(variant)
        };
        self.evaluation.row(scope, predictor)
    }

    /// The estimators and baselines.
    pub fn predictors(&self) -> Vec<Predictor> {
        Predictor::all(&self.experiment.spec)
    }

    /// The seeds of a variant, apart from those of the main numbers.
    pub fn other_seeds(&self, variant: usize) -> Vec<SeedScope> {
        let headline = self.headline(variant);
        let mut seeds: Vec<SeedScope> = Vec::new();
        for row in &self.evaluation.rows {
            let scope = row.scope;
            let is_headline = scope.seeds == headline.seeds;
            if scope.variant == variant && !is_headline && !seeds.contains(&scope.seeds) {
                seeds.push(scope.seeds);
            }
        }
        seeds
    }

    /// The comparisons of one predictor in each of the directions of the main tables.
    pub fn headline_comparisons(
        &self,
        variant: usize,
        predictor: Predictor,
    ) -> impl Iterator<Item = &'a SampleComparison> {
        let validation = self.headline_directions == DirectionScope::Validation;
        let directions = &self.experiment.spec.directions;
        let is_in_headline = move |scope: Scope| match scope.directions {
            DirectionScope::One(k) => directions[k].validation == validation,
            _ => false,
        };
        let comparisons = self.evaluation.comparisons.iter();
        comparisons.filter(move |entry| {
            entry.scope.variant == variant
                && entry.predictor == predictor
                && is_in_headline(entry.scope)
        })
    }

    /// The directions of the main tables, after "all directions".
    pub fn headline_directions_phrase(&self) -> &'static str {
        match self.headline_directions {
            DirectionScope::Validation => "(used for tuning)",
            _ => "that were not used for tuning",
        }
    }

    /// The estimator that the validation directions select, as a sentence.
    pub fn selection_sentence(&self, variant: usize) -> Option<String> {
        let seeds = self.headline_seeds(variant);
        let mut selected = self.evaluation.selected.iter();
        let selected = selected.find(|s| s.variant == variant && s.seeds == seeds)?;
        Some(format!(
            "Best of the estimators on the tuning directions: {} ({:.2} there, {:.2} on the others).",
            self.names().estimator(selected.estimator),
            selected.validation,
            selected.test
        ))
    }

    /// Variants and seeds that are left out.
    pub fn missing(&self) -> Vec<String> {
        let missing = self.evaluation.missing.iter();
        missing.map(|entry| self.names().missing(*entry)).collect()
    }
}
