//! Expands an experiment into its plan.

use super::benchmark_planner::BenchmarkPlanner;
use super::builder::PlanBuilder;
use super::plan::Plan;
use crate::RetrainError;
use crate::prepared::PreparedExperiment;

/// The jobs of an experiment.
///
/// # Errors
/// If the training configuration of a variant is invalid.
pub fn plan(experiment: &PreparedExperiment) -> Result<Plan, RetrainError> {
    let mut builder = PlanBuilder::new(experiment);
    let mut replicates = Vec::new();
    for variant in 0..experiment.spec.variants.len() {
        for &seed in &experiment.spec.seeds {
            replicates.push(builder.replicate(variant, seed)?);
        }
    }
    let attribution = match &experiment.benchmark {
        Some(benchmark) => Some(BenchmarkPlanner::new(&mut builder, benchmark)?.plan()),
        None => None,
    };
    Ok(Plan {
        jobs: builder.jobs,
        replicates,
        attribution,
    })
}
