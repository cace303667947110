//! The variants, seeds, directions and predictors that results belong to.

use std::fmt;

use crate::spec::{DirectionSpec, Experiment};

/// The variant, seeds and directions that a result covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope {
    /// The variant, as an index in the experiment.
    pub variant: usize,
    /// The seeds.
    pub seeds: SeedScope,
    /// The directions.
    pub directions: DirectionScope,
}

/// One seed or the mean of all seeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeedScope {
    /// One seed.
    Seed(u64),
    /// The mean prediction of all seeds against their mean change.
    Mean,
}

impl fmt::Display for SeedScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Seed(seed) => seed.fmt(f),
            Self::Mean => f.write_str("mean"),
        }
    }
}

/// One direction or a pool of directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DirectionScope {
    /// One direction, as an index in the experiment.
    One(usize),
    /// All test directions.
    Test,
    /// All validation directions.
    Validation,
    /// The additions among the test directions.
    Added,
    /// The removals among the test directions.
    Removed,
}

impl DirectionScope {
    /// The pool that decides about predictions: the test directions, or the validation directions if there are no others.
    pub fn headline(directions: &[DirectionSpec]) -> Self {
        if directions.iter().all(|direction| direction.validation) {
            Self::Validation
        } else {
            Self::Test
        }
    }

    /// Every scope of an experiment that has directions, with their indices: each direction alone, then the pools.
    /// The pools of additions and of removals exist only if there are both.
    pub fn all(directions: &[DirectionSpec]) -> Vec<(Self, Vec<usize>)> {
        let indices = |is_member: &dyn Fn(&DirectionSpec) -> bool| -> Vec<usize> {
            let indices = 0..directions.len();
            indices.filter(|&k| is_member(&directions[k])).collect()
        };
        let added = indices(&|direction| !direction.validation && !direction.is_removal());
        let removed = indices(&|direction| !direction.validation && direction.is_removal());
        let mut pools = vec![
            (Self::Test, indices(&|direction| !direction.validation)),
            (Self::Validation, indices(&|direction| direction.validation)),
        ];
        if !added.is_empty() && !removed.is_empty() {
            pools.extend([(Self::Added, added), (Self::Removed, removed)]);
        }
        let single = (0..directions.len()).map(|k| (Self::One(k), vec![k]));
        single
            .chain(pools.into_iter().filter(|(_, members)| !members.is_empty()))
            .collect()
    }
}

/// A source of predictions of the changes of samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Predictor {
    /// A density estimator, as an index in the experiment.
    Estimator(usize),
    /// A baseline, as an index in the experiment.
    Baseline(usize),
    /// The real change of a model of another seed: the noise ceiling.
    OtherSeed,
}

impl Predictor {
    /// The estimators and then the baselines of an experiment.
    pub fn all(experiment: &Experiment) -> Vec<Self> {
        let estimators = (0..experiment.estimators.len()).map(Self::Estimator);
        let baselines = (0..experiment.baselines.len()).map(Self::Baseline);
        estimators.chain(baselines).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn added_and_removed_pool_what_judges() {
        let direction = |text: &str| toml::from_str::<DirectionSpec>(text).unwrap();
        let directions = [
            "add = 'class:8'\nmass = 0.3\ntuning = true",
            "add = 'class:1'\nmass = 0.3",
            "remove = 'class:1'\nmass = 0.1",
            "add = 'class:2'\nmass = 0.3",
        ]
        .map(direction);
        let pools = |directions: &[DirectionSpec]| {
            DirectionScope::all(directions).split_off(directions.len())
        };
        assert_eq!(
            pools(&directions),
            [
                (DirectionScope::Test, vec![1, 2, 3]),
                (DirectionScope::Validation, vec![0]),
                (DirectionScope::Added, vec![1, 3]),
                (DirectionScope::Removed, vec![2]),
            ]
        );
        assert_eq!(pools(&directions[1..2]), [(DirectionScope::Test, vec![0])]);
    }
}
