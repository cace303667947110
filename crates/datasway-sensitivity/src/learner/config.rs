//! Options of sensitivities through the weights.

use datasway_diffusion::{DiffusionError, range};

/// Largest number of draws.
const MAX_DRAWS: usize = 1 << 24;
/// Largest number of iterations.
const MAX_ITERATIONS: usize = 10_000;

/// Options of the derivative of the weights.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LearnerConfig {
    /// Draws of the Gauss–Newton matrix.
    pub curvature_draws: usize,
    /// Draws of each gradient of the loss.
    pub gradient_draws: usize,
    /// Draws of each image, for influences.
    pub image_draws: usize,
    /// The damping λ, relative to the largest eigenvalue of the Gauss–Newton matrix.
    pub damping: f64,
    /// The estimated relative error in the norm of `G + λ` at which the solver stops.
    pub tolerance: f64,
    /// Largest number of the solver's iterations.
    pub iterations: usize,
    /// Measures the noise of the draws in δ, by two solutions with half of the draws each.
    pub draw_noise: bool,
    /// Draws evaluated together; results depend on it by rounding only.
    pub batch: usize,
    /// Seed of the draws.
    pub seed: u64,
}

impl Default for LearnerConfig {
    fn default() -> Self {
        Self {
            curvature_draws: 1_536,
            gradient_draws: 8_192,
            image_draws: 64,
            damping: 1e-3,
            tolerance: 0.1,
            iterations: 32,
            draw_noise: false,
            batch: 64,
            seed: 0,
        }
    }
}

impl LearnerConfig {
    /// Checks that every number is in its range.
    ///
    /// # Errors
    /// A sentence that names the number.
    pub fn check(&self) -> Result<(), DiffusionError> {
        for (name, draws) in [
            ("the number of draws of the curvature", self.curvature_draws),
            ("the number of draws of a gradient", self.gradient_draws),
            ("the number of draws of an image", self.image_draws),
            ("the batch of draws", self.batch),
        ] {
            range::check(name, draws, 1..=MAX_DRAWS)?;
        }
        range::check("the relative damping", self.damping, 0.0..=1e6)?;
        range::check("the solver's tolerance", self.tolerance, 0.0..=1.0)?;
        let name = "the number of the solver's iterations";
        range::check(name, self.iterations, 1..=MAX_ITERATIONS)
    }
}
