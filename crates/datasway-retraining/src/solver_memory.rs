//! Memory of the solvers of an experiment.

use datasway_attribution::Attributor;
use datasway_diffusion::unet::UNet;
use datasway_diffusion::weights;
use datasway_sensitivity::learner::LearnerConfig;

use crate::RetrainError;
use crate::prepared::PreparedExperiment;
use crate::spec::SensitivityEstimator;

/// Memory of the solver of an estimator or an attribution method through the weights.
pub struct SolverMemory {
    /// Name in tables, with the kind of the entry.
    pub name: String,
    /// Iterations of its solver.
    pub iterations: usize,
    /// Bytes that it keeps.
    pub bytes: u128,
}

impl PreparedExperiment {
    /// The memory of the solver of every estimator and every attribution method through the weights.
    ///
    /// # Errors
    /// If the network of the configuration cannot be built, or the training of the benchmark's parts is invalid.
    pub fn solver_memory(&self) -> Result<Vec<SolverMemory>, RetrainError> {
        let weights = self.number_of_weights()?;
        let memory = |name: String, learner: LearnerConfig, right_hand_sides: usize| SolverMemory {
            name,
            iterations: learner.iterations,
            bytes: learner.krylov_bytes(weights, right_hand_sides),
        };
        let (training, samples) = (self.config.finite_training(), &self.spec.samples);
        let right_hand_sides = self.distinct_images().0.len();
        let mut solvers = Vec::new();
        for estimator in &self.spec.estimators {
            if let SensitivityEstimator::Weights(spec) = estimator {
                let learner = spec.learner(spec.damping(training), samples.batch, samples.seed);
                let name = format!("estimator {}", estimator.name());
                solvers.push(memory(name, learner, right_hand_sides));
            }
        }
        if let Some(benchmark) = &self.benchmark {
            let training = self.training_of_parts()?;
            let parts = benchmark.subsets.len() + benchmark.groups.len();
            for method in &benchmark.spec.methods {
                if let Some((learner, together)) = method.solver(training, samples, parts) {
                    let name = format!("method {}", method.name());
                    solvers.push(memory(name, learner, together));
                }
            }
        }
        Ok(solvers)
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
