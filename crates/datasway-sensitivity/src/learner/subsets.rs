//! The derivative of the weights for many overlapping subsets of the training set.

use burn_jvp::ParameterTangents;
use datasway_diffusion::DiffusionError;

use super::draws::{LossDraws, Subset};
use super::inverse::CurvatureSolution;
use super::loss::loss_gradient;
use super::solve::Learner;

/// Gradients of single points that are held until they are added to those of the subsets.
pub(super) const POINTS_TOGETHER: usize = 32;

impl Learner<'_> {
    /// `dθ/dη = −(G + λ)⁻¹·(∇L_S − ∇L_ρ)` for every subset S of the training set, given by the indices of its points.
    ///
    /// All points have the same noises, so that the derivative of a subset is the mean of those of its points.
    /// `progress` receives the work that is done, of [`subset_tangent_work`](Self::subset_tangent_work) at most.
    ///
    /// # Errors
    /// If there is no subset, a subset is empty or has an index out of range, an option is out of its range, or the model
    /// fails.
    pub fn subset_tangents(
        &self,
        subsets: &[Vec<usize>],
        progress: &mut dyn FnMut(usize),
    ) -> Result<CurvatureSolution, DiffusionError> {
        let back = vec![-1.0; subsets.len()];
        let right = self.subset_differences(subsets, progress)?.scale(&back);
        self.solve(&right, progress)
    }

    /// The work of [`subset_tangents`](Self::subset_tangents) for K subsets, in the units of its progress.
    pub fn subset_tangent_work(&self, subsets: usize) -> usize {
        self.training_set.count() * self.config.image_draws + self.solve_work(subsets)
    }

    /// `∇L_S − ∇L_ρ = Σ_j (1[j ∈ S]/|S| − 1/m)·∇ℓ_j` for every subset S, from one gradient a point.
    ///
    /// # Errors
    /// As [`subset_tangents`](Self::subset_tangents).
    pub fn subset_differences(
        &self,
        subsets: &[Vec<usize>],
        progress: &mut dyn FnMut(usize),
    ) -> Result<ParameterTangents, DiffusionError> {
        self.check()?;
        let m = self.training_set.count();
        check_subsets(subsets, m)?;
        // The coefficient of each point in each difference.
        let mut coefficients = vec![vec![-1.0 / m as f64; m]; subsets.len()];
        for (row, subset) in coefficients.iter_mut().zip(subsets) {
            for &j in subset {
                row[j] += 1.0 / subset.len() as f64;
            }
        }
        let mut differences = ParameterTangents::new();
        for first in (0..m).step_by(POINTS_TOGETHER) {
            let block = first..(first + POINTS_TOGETHER).min(m);
            let gradients = block
                .clone()
                .map(|index| self.point_gradient(index, progress));
            let gradients = gradients.collect::<Result<Vec<_>, _>>()?;
            let parts: Vec<Vec<f64>> = coefficients
                .iter()
                .map(|row| row[block.clone()].to_vec())
                .collect();
            let combined = ParameterTangents::concat(&gradients).combine(&parts);
            differences = differences.add(&combined);
        }
        Ok(differences)
    }

    /// `∇ℓ_j` of one point of the training set, over the noises that all points have.
    fn point_gradient(
        &self,
        index: usize,
        progress: &mut dyn FnMut(usize),
    ) -> Result<ParameterTangents, DiffusionError> {
        let point = Subset {
            set: self.training_set,
            indices: vec![index],
        };
        let (draws, seed) = (self.config.image_draws, self.config.seed);
        let draws = LossDraws::every_point(&point, draws, self.noise, seed);
        loss_gradient(self.model, &draws, self.config.batch, progress)
    }
}

/// Checks that there are subsets, that none is empty, and that every index is one of `m` points.
fn check_subsets(subsets: &[Vec<usize>], m: usize) -> Result<(), DiffusionError> {
    let refuse = |why: &str| Err(DiffusionError::Invalid(why.to_owned()));
    if subsets.is_empty() || subsets.iter().any(Vec::is_empty) {
        return refuse("the derivative of the weights needs subsets with at least one image each");
    }
    if subsets.iter().flatten().any(|&j| j >= m) {
        return refuse("a subset names an image that the training set does not have");
    }
    Ok(())
}
