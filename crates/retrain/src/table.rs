//! `retrain table`: tables, numbers, plots and a page of everything that is done.

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, ensure};
use clap::Args;
use datasway_cli::{print, result_folder, tell};
use datasway_fs::output::Kind;
use datasway_retraining::RetrainError;
use datasway_retraining::evaluation::lds::SubsetDesign;
use datasway_retraining::evaluation::{counterfactual, directions, lds, weight_alignment};
use datasway_retraining::jobs::{AttributionJobs, Workspace};
use datasway_retraining::report;

use crate::experiment::ExperimentArgs;

/// The folder of tables, which stands beside that of the jobs.
static TABLE: Kind = Kind {
    name: "table of `retrain`",
    files: &["*"],
    marks: &[("../jobs", "")],
};

/// Arguments of `retrain table`.
#[derive(Args)]
pub struct TableArgs {
    #[command(flatten)]
    experiment: ExperimentArgs,
    /// Leave pictures of samples out of the page
    #[arg(long)]
    no_photos: bool,
    /// Take the real values of an attribution benchmark from a folder of tables of an earlier run with the same base model, in
    /// place of the models of the parts
    #[arg(long, value_name = "FOLDER")]
    real: Option<PathBuf>,
}

impl TableArgs {
    /// Writes the folder of tables and prints them.
    pub fn execute(&self) -> Result<()> {
        let experiment = self.experiment.open()?;
        ensure!(
            experiment.store.root().is_dir(),
            "{} holds no results yet: begin with `retrain run`, or name another folder with --out",
            experiment.out.display()
        );
        let folder = experiment.out.join("table");
        let results = result_folder(&folder, &TABLE)?;
        let workspace = experiment.workspace();
        if !workspace.plan.replicates.is_empty() {
            let evaluation = directions::evaluate(&workspace).map_err(with_command)?;
            let photos = !self.no_photos;
            let path = results.path();
            print(report::write_directions(
                path,
                &workspace,
                &evaluation,
                photos,
            )?)?;
        }
        let alignments = weight_alignment::evaluate(&workspace)?;
        if !alignments.is_empty() {
            let spec = &workspace.experiment.spec;
            print(report::write_weight_alignments(
                results.path(),
                spec,
                &alignments,
            )?)?;
        }
        if let Some(jobs) = &workspace.plan.attribution {
            benchmark_tables(&workspace, jobs, results.path(), self.real.as_deref())?;
        }
        results.finish()?;
        tell(format!(
            "these tables and the numbers behind them are in {}",
            folder.display()
        ));
        Ok(())
    }
}

/// Adds the command to the error of an experiment without results.
fn with_command(error: RetrainError) -> anyhow::Error {
    match error {
        RetrainError::NothingDone => anyhow!("{error}: go on with `retrain run`"),
        error => error.into(),
    }
}

/// Writes and prints the tables of an attribution benchmark.
fn benchmark_tables(
    workspace: &Workspace<'_>,
    jobs: &AttributionJobs,
    folder: &Path,
    real: Option<&Path>,
) -> Result<()> {
    let mut designs = vec![SubsetDesign::Subsets];
    if !workspace.experiment.benchmark()?.groups.is_empty() {
        designs.push(SubsetDesign::Groups);
    }
    for design in designs {
        match lds::evaluate(workspace, jobs, design, real)? {
            Some(evaluation) => print(report::write_lds(folder, workspace, &evaluation)?)?,
            None => print(format!(
                "Not done yet: {}, of which no seed has all its models.\n",
                design.name()
            ))?,
        }
    }
    if let Some(removal) = &jobs.removal {
        match counterfactual::evaluate(workspace, removal)? {
            Some(effects) => {
                print(report::write_counterfactuals(folder, workspace, &effects)?)?;
            }
            None => print("\nNot done yet: counterfactuals.\n")?,
        }
    }
    Ok(())
}
