//! The linear datamodeling score (LDS) of attribution methods, and its limits.

mod ceiling;
mod result;
mod target;
mod values;

use datasway_attribution::AttributionTarget;

pub use ceiling::Ceiling;
pub use result::{LdsEvaluation, LdsRow, RealValues, SubsetDesign, TargetScore};
use target::TargetEvaluator;
pub use values::Values;

use super::scope::SeedScope;
use crate::RetrainError;
use crate::jobs::{AttributionJobs, ModelOutputs, Workspace};

/// Evaluates an attribution benchmark; none while no seed has a model of every part.
///
/// # Errors
/// If a result cannot be read.
pub fn evaluate(
    workspace: &Workspace<'_>,
    jobs: &AttributionJobs,
    design: SubsetDesign,
) -> Result<Option<LdsEvaluation>, RetrainError> {
    let experiment = workspace.experiment;
    let benchmark = experiment.benchmark()?;
    let (parts, outputs_of_seeds) = match design {
        SubsetDesign::Subsets => (benchmark.subsets.clone(), &jobs.subsets),
        SubsetDesign::Groups => (benchmark.complements.clone(), &jobs.groups),
    };
    let is_done = |outputs: &ModelOutputs| {
        workspace.is_done(outputs.samples) && workspace.is_done(outputs.losses)
    };
    let seeds = outputs_of_seeds.iter().zip(&experiment.spec.seeds);
    let (complete, incomplete): (Vec<_>, Vec<_>) =
        seeds.partition(|(outputs, _)| outputs.iter().all(is_done));
    if complete.is_empty() {
        return Ok(None);
    }
    let methods = jobs.methods.iter().copied();
    let (methods, missing_methods) = methods.partition(|&job| workspace.is_done(job));
    let targets = benchmark.spec.targets();
    let mut evaluation = LdsEvaluation {
        design,
        rows: Vec::new(),
        ceilings: Vec::new(),
        target_scores: Vec::new(),
        real: Vec::new(),
        missing_seeds: incomplete.iter().map(|(_, seed)| **seed).collect(),
        missing_methods,
    };
    let directions = targets.directions(&workspace.samples(jobs.samples)?);
    let evaluator = TargetEvaluator {
        workspace,
        design,
        parts,
        complete: complete
            .iter()
            .map(|(outputs, seed)| (SeedScope::Seed(**seed), outputs.as_slice()))
            .collect(),
        methods,
        directions,
    };
    for target in AttributionTarget::ALL {
        let functionals = match target {
            AttributionTarget::Sample => targets.functionals,
            _ => 1,
        };
        evaluator.evaluate(target, functionals, &mut evaluation)?;
    }
    Ok(Some(evaluation))
}
