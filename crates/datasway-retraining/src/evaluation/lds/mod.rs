//! The linear datamodeling score (LDS) of attribution methods, and its limits.

mod ceiling;
mod published;
mod real;
mod result;
mod target;
mod values;

use std::path::Path;

use datasway_attribution::AttributionTarget;

pub use ceiling::Ceiling;
use published::PublishedValues;
use real::RealSource;
pub use result::{LdsEvaluation, LdsRow, RealValues, SubsetDesign, TargetScore};
use target::TargetEvaluator;
pub use values::Values;

use crate::RetrainError;
use crate::jobs::{AttributionJobs, Workspace};

/// Evaluates an attribution benchmark; none while no seed has a model of every part.
///
/// The real values are those of a folder of tables of an earlier run with the same base model, if one is given, in place of
/// the models of the parts.
///
/// # Errors
/// If a result cannot be read, or published values do not fit the benchmark.
pub fn evaluate(
    workspace: &Workspace<'_>,
    jobs: &AttributionJobs,
    design: SubsetDesign,
    published: Option<&Path>,
) -> Result<Option<LdsEvaluation>, RetrainError> {
    let experiment = workspace.experiment;
    let benchmark = experiment.benchmark()?;
    let (parts, outputs_of_seeds) = match design {
        SubsetDesign::Subsets => (benchmark.subsets.clone(), &jobs.subsets),
        SubsetDesign::Groups => (benchmark.complements.clone(), &jobs.groups),
    };
    let (source, missing_seeds) = match published {
        Some(folder) => {
            let values = PublishedValues::read(folder, design, parts.len())?;
            (RealSource::Published(values), Vec::new())
        }
        None => RealSource::of_models(workspace, outputs_of_seeds, jobs.samples, benchmark),
    };
    if source.is_empty() {
        return Ok(None);
    }
    let methods = jobs.methods.iter().copied();
    let (methods, missing_methods) = methods.partition(|&job| workspace.is_done(job));
    let mut evaluation = LdsEvaluation {
        design,
        rows: Vec::new(),
        ceilings: Vec::new(),
        target_scores: Vec::new(),
        real: Vec::new(),
        missing_seeds,
        missing_methods,
    };
    let evaluator = TargetEvaluator {
        workspace,
        design,
        parts,
        source,
        methods,
        sums: &benchmark.spec.sums,
    };
    for target in AttributionTarget::ALL {
        let functionals = match target {
            AttributionTarget::Sample => benchmark.spec.functionals,
            _ => 1,
        };
        evaluator.evaluate(target, functionals, &mut evaluation)?;
    }
    Ok(Some(evaluation))
}
