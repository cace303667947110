//! The changes of the weights by the directions of an experiment.

use datasway_diffusion::DiffusionError;
use datasway_sensitivity::learner::{CurvatureSolution, DataPoints, GroupMass, Learner};
use datasway_sensitivity::measure::ImagePoints;

use crate::prepared::PreparedExperiment;
use crate::spec::WeightsSpec;

/// The changes of the weights that are solved for: one for each set of images, or for each direction where its mass decides.
pub(super) struct WeightChanges {
    groups: Vec<ImagePoints>,
    group_of_direction: Vec<usize>,
    /// The mass of each direction, if it decides.
    masses: Option<Vec<f64>>,
}

impl WeightChanges {
    pub fn new(experiment: &PreparedExperiment, weights: &WeightsSpec) -> Self {
        let (groups, group_of_direction) = experiment.groups();
        let directions = experiment.directions.iter();
        let masses = directions.map(|direction| direction.spec.signed_mass());
        Self {
            groups,
            group_of_direction,
            masses: weights.has_changed_curvature().then(|| masses.collect()),
        }
    }

    /// The index of the change of each direction.
    pub fn of_directions(&self) -> Vec<usize> {
        match &self.masses {
            Some(masses) => (0..masses.len()).collect(),
            None => self.group_of_direction.clone(),
        }
    }

    /// The changes relative to their masses.
    pub fn solve(&self, learner: &Learner<'_>) -> Result<CurvatureSolution, DiffusionError> {
        match &self.masses {
            Some(masses) => learner.weight_change(&self.with_masses(masses), &mut |_| ()),
            None => learner.weight_tangent(&self.without_masses(), &mut |_| ()),
        }
    }

    /// The work of [`solve`](Self::solve), in the units of the learner's progress.
    pub fn work(&self, learner: &Learner<'_>) -> usize {
        match &self.masses {
            Some(masses) => learner.weight_change_work(&self.with_masses(masses)),
            None => learner.weight_tangent_work(self.groups.len()),
        }
    }

    fn without_masses(&self) -> Vec<&dyn DataPoints> {
        self.groups.iter().map(|g| g as &dyn DataPoints).collect()
    }

    fn with_masses(&self, masses: &[f64]) -> Vec<GroupMass<'_>> {
        let pairs = self.group_of_direction.iter().zip(masses);
        let changes = pairs.map(|(&group, &mass)| GroupMass {
            points: &self.groups[group],
            mass,
        });
        changes.collect()
    }
}
