//! Memory of the solvers of an experiment.

use datasway_attribution::Attributor;
use datasway_diffusion::unet::UNet;
use datasway_diffusion::weights;
use datasway_sensitivity::learner::{Damping, LearnerConfig, SolverBytes};

use crate::RetrainError;
use crate::prepared::PreparedExperiment;
use crate::spec::SensitivityEstimator;

/// Memory of the solver of an estimator or an attribution method through the weights.
pub struct SolverMemory {
    /// Name in tables, with the kind of the entry.
    pub name: String,
    /// Iterations of its solver, if each takes memory.
    pub iterations: Option<usize>,
    /// Bytes at its peak.
    pub bytes: SolverBytes,
}

impl PreparedExperiment {
    /// The memory of the solver of every estimator and every attribution method through the weights.
    ///
    /// # Errors
    /// If the network of the configuration cannot be built, or the training of the benchmark's parts is invalid.
    pub fn solver_memory(&self) -> Result<Vec<SolverMemory>, RetrainError> {
        let shapes = self.weight_shapes()?;
        let memory = |name: String, learner: &LearnerConfig, bytes: SolverBytes| SolverMemory {
            name,
            iterations: match learner.damping {
                Damping::Fraction(_) => None,
                Damping::Training(_) => Some(learner.iterations),
            },
            bytes,
        };
        let (training, samples) = (self.config.finite_training(), &self.spec.samples);
        let (sets, directions) = (self.distinct_images().0.len(), self.directions.len());
        let mut solvers = Vec::new();
        for estimator in &self.spec.estimators {
            if let SensitivityEstimator::Weights(spec) = estimator {
                let learner = spec.learner(spec.damping(training), samples.batch, samples.seed);
                let name = format!("estimator {}", estimator.name());
                let is_finite = spec.has_changed_curvature();
                let groups = if is_finite { directions } else { sets };
                let bytes = match (spec.checkpoints.is_empty(), is_finite) {
                    (true, true) => learner.finite_change_bytes(&shapes, groups),
                    (true, false) => learner.solution_bytes(&shapes, groups),
                    (false, _) => learner.change_along_bytes(&shapes, groups, is_finite),
                };
                solvers.push(memory(name, &learner, bytes));
            }
        }
        if let Some(benchmark) = &self.benchmark {
            let training = self.training_of_parts()?;
            let parts = benchmark.subsets.len() + benchmark.groups.len();
            for method in &benchmark.spec.methods {
                if let Some((learner, bytes)) = method.solver(training, samples, parts, &shapes) {
                    let name = format!("method {}", method.name());
                    solvers.push(memory(name, &learner, bytes));
                }
            }
        }
        Ok(solvers)
    }

    /// The shape of every parameter of a model. No weight is drawn.
    fn weight_shapes(&self) -> Result<Vec<Vec<usize>>, RetrainError> {
        let shapes = match self.config.own() {
            Some(own) => weights::shapes(&UNet::new(&own.network, &self.device)?),
            None => self.given()?.weight_shapes(),
        };
        Ok(shapes.into_values().collect())
    }
}
