//! Names of variants, directions and predictors in files and tables.

use crate::evaluation::{DirectionScope, Predictor, Scope};
use crate::spec::Experiment;

/// Name of [`Predictor::OtherSeed`].
const OTHER_SEED: &str = "another seed";

/// The names of the entries of an experiment.
#[derive(Clone, Copy)]
pub(super) struct Names<'a>(pub &'a Experiment);

impl<'a> Names<'a> {
    /// Name of a variant.
    pub fn variant(self, variant: usize) -> &'a str {
        self.0.variants[variant].name()
    }

    /// Name of a direction.
    pub fn direction(self, direction: usize) -> String {
        self.0.directions[direction].name()
    }

    /// Name of a direction or a pool of directions.
    pub fn directions(self, scope: DirectionScope) -> String {
        match scope {
            DirectionScope::One(direction) => self.direction(direction),
            DirectionScope::Test => "pooled".to_owned(),
            DirectionScope::Validation => "tuning".to_owned(),
            DirectionScope::Added => "added".to_owned(),
            DirectionScope::Removed => "removed".to_owned(),
        }
    }

    /// Name of a predictor.
    pub fn predictor(self, predictor: Predictor) -> String {
        match predictor {
            Predictor::Estimator(estimator) => self.estimator(estimator),
            Predictor::Baseline(baseline) => self.baseline(baseline),
            Predictor::OtherSeed => OTHER_SEED.to_owned(),
        }
    }

    /// Name of a density estimator.
    pub fn estimator(self, estimator: usize) -> String {
        self.0.estimators[estimator].name()
    }

    /// Name of a baseline.
    pub fn baseline(self, baseline: usize) -> String {
        self.0.baselines[baseline].name()
    }

    /// Names of variant, seed and directions.
    pub fn scope(self, scope: Scope) -> [String; 3] {
        [
            self.variant(scope.variant).to_owned(),
            scope.seeds.to_string(),
            self.directions(scope.directions),
        ]
    }

    /// A variant and a seed that are left out.
    pub fn missing(self, (variant, seed): (usize, u64)) -> String {
        format!("{}, seed {seed}", self.variant(variant))
    }
}
