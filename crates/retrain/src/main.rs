//! `cargo run -p retrain`: retraining and fine-tuning experiments.

mod experiment;
mod plan;
mod run;
mod status;
mod table;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::experiment::ExperimentArgs;
use crate::run::RunArgs;
use crate::table::TableArgs;

/// Agreement of predicted sensitivities with real changes of samples by retraining and fine-tuning.
#[derive(Parser)]
#[command(version)]
struct RetrainArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show the jobs and what they will cost, measured by a short probe on this machine as it is now
    Plan(ExperimentArgs),
    /// Do every job that is not done; any number of runners may share one folder
    Run(RunArgs),
    /// Show how far each job is
    Status(ExperimentArgs),
    /// Compare what is done, and write tables, raw numbers, plots and a page to OUT/table, in the place of what is there
    Table(TableArgs),
}

fn main() -> ExitCode {
    datasway_cli::allocator::keep_memory();
    datasway_cli::finish(execute(&datasway_cli::parse()))
}

fn execute(arguments: &RetrainArgs) -> Result<()> {
    match &arguments.command {
        Command::Plan(arguments) => plan::execute(&arguments.open()?),
        Command::Run(arguments) => arguments.execute(),
        Command::Status(arguments) => status::execute(&arguments.open()?),
        Command::Table(arguments) => arguments.execute(),
    }
}
