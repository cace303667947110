//! Memory of the solvers of an experiment.

use datasway_diffusion::unet::UNet;
use datasway_diffusion::weights;

use crate::RetrainError;
use crate::prepared::PreparedExperiment;
use crate::spec::SensitivityEstimator;

/// Memory of the solver of an estimator through the weights.
pub struct SolverMemory {
    /// Name of the estimator.
    pub estimator: String,
    /// Iterations of its solver.
    pub iterations: usize,
    /// Bytes that it keeps.
    pub bytes: u128,
}

impl PreparedExperiment {
    /// The memory of the solver of every estimator through the weights.
    ///
    /// # Errors
    /// If the network of the configuration cannot be built.
    pub fn solver_memory(&self) -> Result<Vec<SolverMemory>, RetrainError> {
        let weights = self.number_of_weights()?;
        let right_hand_sides = self.distinct_images().0.len();
        let (training, samples) = (self.config.finite_training(), &self.spec.samples);
        let solvers = self.spec.estimators.iter().filter_map(|estimator| {
            let SensitivityEstimator::Weights(spec) = estimator else {
                return None;
            };
            let learner = spec.learner(spec.damping(training), samples.batch, samples.seed);
            Some(SolverMemory {
                estimator: estimator.name(),
                iterations: learner.iterations,
                bytes: learner.krylov_bytes(weights, right_hand_sides),
            })
        });
        Ok(solvers.collect())
    }

    /// The number of weights of a model. No weight is drawn.
    fn number_of_weights(&self) -> Result<usize, RetrainError> {
        let shapes = match self.config.own() {
            Some(own) => weights::shapes(&UNet::new(&own.network, &self.device)?),
            None => self.given()?.weight_shapes(),
        };
        let sizes = shapes.values().map(|shape| shape.iter().product::<usize>());
        Ok(sizes.sum())
    }
}
