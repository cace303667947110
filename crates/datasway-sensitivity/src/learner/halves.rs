//! The noise that the draws of the loss leave in the derivative of the weights.

use burn_jvp::ParameterTangents;
use datasway_diffusion::DiffusionError;

use super::config::LearnerConfig;
use super::draws::DataPoints;
use super::inverse::CurvatureSolution;
use super::solve::Learner;
use super::stopping::Effect;

/// Distance of the seeds of the two halves of the draws.
const SEED_OFFSET: u64 = 1 << 32;

/// The mean of two independent solutions and its standard error.
#[derive(Debug, Clone)]
pub struct HalvedSolution {
    /// The mean `(θ̇_a + θ̇_b)/2`, with the mean damping and eigenvalue, and with the residuals and errors of the K systems of
    /// a before those of b.
    pub mean: CurvatureSolution,
    /// Half of the difference, `(θ̇_a − θ̇_b)/2`: a draw of the error of the mean.
    pub noise: ParameterTangents,
}

impl Learner<'_> {
    /// [`weight_tangent`](Self::weight_tangent) from two solutions with half of the draws of the curvature and of each gradient,
    /// and seeds of their own. Each is solved until an effect of it stands still too, if one is given.
    ///
    /// The cost is that of a single solution with all draws.
    ///
    /// # Errors
    /// As [`weight_tangent`](Self::weight_tangent).
    pub fn halved_weight_tangent(
        &self,
        groups: &[&dyn DataPoints],
        effect: Option<&dyn Effect>,
        progress: &mut dyn FnMut(usize),
    ) -> Result<HalvedSolution, DiffusionError> {
        let [a, b] = self.halves();
        let (a, b) = (
            a.weight_tangent_for(groups, effect, progress)?,
            b.weight_tangent_for(groups, effect, progress)?,
        );
        let half = vec![0.5; groups.len()];
        let back = vec![-0.5; groups.len()];
        let first = a.solutions.scale(&half);
        Ok(HalvedSolution {
            noise: first.add(&b.solutions.scale(&back)),
            mean: CurvatureSolution {
                solutions: first.add(&b.solutions.scale(&half)),
                report: a.report.with_half(b.report),
            },
        })
    }

    /// The work of [`halved_weight_tangent`](Self::halved_weight_tangent) for K groups, in the units of its progress.
    pub fn halved_weight_tangent_work(&self, groups: usize) -> usize {
        let works = self.halves().map(|half| half.weight_tangent_work(groups));
        works.iter().sum()
    }

    /// Two learners with half of the draws each.
    fn halves(&self) -> [Self; 2] {
        [0, SEED_OFFSET].map(|offset| Self {
            config: LearnerConfig {
                curvature_draws: self.config.curvature_draws.div_ceil(2),
                gradient_draws: self.config.gradient_draws.div_ceil(2),
                seed: self.config.seed.wrapping_add(offset),
                ..self.config
            },
            ..*self
        })
    }
}
