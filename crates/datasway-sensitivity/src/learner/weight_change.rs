//! The change of the weights by groups of images whose mass in the training data changes.

use burn::tensor::Device;
use burn_jvp::ParameterTangents;
use datasway_diffusion::DiffusionError;

use super::draws::DataPoints;
use super::finite_mass::GroupMass;
use super::first_samples::FirstSamples;
use super::inverse::CurvatureSolution;
use super::solve::Learner;
use crate::config::SensitivityConfig;

/// Groups of images whose mass in the training data changes.
pub enum ChangedGroups<'a> {
    /// The derivative in the mass of each group.
    Derivative(Vec<&'a dyn DataPoints>),
    /// The change by a mass of each group.
    Finite(Vec<GroupMass<'a>>),
}

impl ChangedGroups<'_> {
    /// Number of groups, K.
    pub fn count(&self) -> usize {
        match self {
            Self::Derivative(groups) => groups.len(),
            Self::Finite(groups) => groups.len(),
        }
    }

    /// The work of a product of the curvature and a direction for each group, with so many draws of the training set.
    pub(super) fn product_work(&self, draws: usize) -> usize {
        match self {
            Self::Derivative(groups) => groups.len() * draws,
            Self::Finite(groups) => groups.iter().map(|group| group.product_work(draws)).sum(),
        }
    }

    /// The mass η of each group, below 0 for a removal; none for a derivative.
    pub fn masses(&self) -> Option<Vec<f64>> {
        match self {
            Self::Derivative(_) => None,
            Self::Finite(groups) => Some(groups.iter().map(GroupMass::signed_mass).collect()),
        }
    }
}

/// The change of the weights by K groups relative to their mass, with which samples in parts of any size are predicted.
#[derive(Debug, Clone)]
pub struct WeightChange {
    /// `dθ/dη`, or `Δθ/η` by the masses, and the progress of the solver.
    pub solution: CurvatureSolution,
    /// A draw of the error of each; none without [`draw_noise`](super::LearnerConfig::draw_noise).
    pub noise: Option<ParameterTangents>,
    /// The mass η of each group, below 0 for a removal; none for a derivative.
    pub masses: Option<Vec<f64>>,
}

impl Learner<'_> {
    /// The change of the weights by every group, with a draw of its error if the noise of the draws is measured. It is solved until
    /// δ of the first samples of `config` stands still too.
    ///
    /// `progress` receives the work that is done, of [`weight_change_work`](Self::weight_change_work) at most.
    ///
    /// # Errors
    /// If the noise of the draws is asked for with finite masses, and as [`weight_tangent`](Self::weight_tangent) and
    /// [`finite_change`](Self::finite_change).
    pub fn weight_change(
        &self,
        groups: &ChangedGroups<'_>,
        config: &SensitivityConfig,
        device: &Device,
        progress: &mut dyn FnMut(usize),
    ) -> Result<WeightChange, DiffusionError> {
        let samples = FirstSamples::new(self.model, config, device)?;
        let (solution, noise) = match groups {
            ChangedGroups::Derivative(groups) if self.config.draw_noise => {
                let halved = self.halved_weight_tangent(groups, Some(&samples), progress)?;
                (halved.mean, Some(halved.noise))
            }
            ChangedGroups::Derivative(groups) => {
                let solution = self.weight_tangent_for(groups, Some(&samples), progress)?;
                (solution, None)
            }
            ChangedGroups::Finite(_) if self.config.draw_noise => {
                return Err(DiffusionError::Invalid(
                    "the noise of the draws is that of a derivative: leave out the mass of the groups".to_owned(),
                ));
            }
            ChangedGroups::Finite(groups) => {
                let solution = self.finite_change_for(groups, Some(&samples), progress)?;
                (solution, None)
            }
        };
        Ok(WeightChange {
            solution,
            noise,
            masses: groups.masses(),
        })
    }

    /// The work of [`weight_change`](Self::weight_change), in the units of its progress.
    pub fn weight_change_work(&self, groups: &ChangedGroups<'_>) -> usize {
        match groups {
            ChangedGroups::Derivative(groups) if self.config.draw_noise => {
                self.halved_weight_tangent_work(groups.len())
            }
            ChangedGroups::Derivative(groups) => self.weight_tangent_work(groups.len()),
            ChangedGroups::Finite(groups) => self.finite_change_work(groups),
        }
    }
}
