//! The changes of the weights by the directions of an experiment.

use datasway_diffusion::DiffusionError;
use datasway_sensitivity::learner::{
    ChangedGroups, CurvatureSolution, DataPoints, GroupMass, Learner, PassedWeights,
};
use datasway_sensitivity::measure::ImagePoints;

use crate::prepared::PreparedExperiment;
use crate::spec::WeightsSpec;

/// The changes of the weights that are solved for: one for each set of images, or for each direction where its mass decides.
pub(super) struct WeightChanges {
    groups: Vec<ImagePoints>,
    group_of_direction: Vec<usize>,
    /// The change of each direction, if its mass decides.
    finite: Option<Vec<Change>>,
}

/// A direction with its mass.
struct Change {
    /// The mass, above 0.
    mass: f64,
    /// The indices of what is removed among the points of the training set.
    removed: Option<Vec<usize>>,
}

impl WeightChanges {
    pub fn new(experiment: &PreparedExperiment, weights: &WeightsSpec) -> Self {
        let (groups, group_of_direction) = experiment.groups();
        let training_set = experiment.image_points(&experiment.images);
        let directions = experiment.directions.iter();
        let finite = directions.map(|direction| {
            let is_removal = direction.spec.is_removal();
            Change {
                mass: direction.spec.mass,
                removed: is_removal.then(|| training_set.indices_of(&direction.indices)),
            }
        });
        Self {
            groups,
            group_of_direction,
            finite: weights.has_changed_curvature().then(|| finite.collect()),
        }
    }

    /// The same with half of each mass, for a measurement of time with few draws: some of them are left of every removal then.
    pub fn halved(mut self) -> Self {
        let changes = self.finite.iter_mut().flatten();
        changes.for_each(|change| change.mass /= 2.0);
        self
    }

    /// The index of the change of each direction.
    pub fn of_directions(&self) -> Vec<usize> {
        match &self.finite {
            Some(changes) => (0..changes.len()).collect(),
            None => self.group_of_direction.clone(),
        }
    }

    /// The changes relative to their masses, with `passed` along the training of the model; none for its final weights alone.
    pub fn solve(
        &self,
        learner: &Learner<'_>,
        passed: &[PassedWeights<'_>],
    ) -> Result<CurvatureSolution, DiffusionError> {
        match self.groups() {
            groups if !passed.is_empty() => learner.change_along(passed, &groups, &mut |_| ()),
            ChangedGroups::Finite(groups) => learner.finite_change(&groups, &mut |_| ()),
            ChangedGroups::Derivative(groups) => learner.weight_tangent(&groups, &mut |_| ()),
        }
    }

    /// The work of [`solve`](Self::solve) with so many checkpoints, in the units of the learner's progress.
    pub fn work(&self, learner: &Learner<'_>, passed: usize) -> usize {
        match self.groups() {
            groups if passed > 0 => learner.change_along_work(passed, &groups),
            ChangedGroups::Finite(groups) => learner.finite_change_work(&groups),
            ChangedGroups::Derivative(groups) => learner.weight_tangent_work(groups.len()),
        }
    }

    fn groups(&self) -> ChangedGroups<'_> {
        match &self.finite {
            Some(changes) => ChangedGroups::Finite(self.with_masses(changes)),
            None => ChangedGroups::Derivative(self.without_masses()),
        }
    }

    fn without_masses(&self) -> Vec<&dyn DataPoints> {
        self.groups.iter().map(|g| g as &dyn DataPoints).collect()
    }

    fn with_masses<'a>(&'a self, changes: &'a [Change]) -> Vec<GroupMass<'a>> {
        let pairs = self.group_of_direction.iter().zip(changes);
        let changes = pairs.map(|(&group, change)| match &change.removed {
            Some(members) => GroupMass::Removed {
                members,
                mass: change.mass,
            },
            None => GroupMass::Added {
                points: &self.groups[group],
                mass: change.mass,
            },
        });
        changes.collect()
    }
}
