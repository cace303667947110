//! The command line: the ranking, and the subcommands.

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::check::{self, CheckArgs};
use crate::influence::{self, InfluenceArgs};
use crate::rank::{self, RankArgs};
use crate::verify::{self, VerifyArgs};

/// How samples of a trained model move when its training data change, ranked by how far.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    rank: RankArgs,
}

#[derive(Subcommand)]
enum Command {
    Influence(Box<InfluenceArgs>),
    Check(Box<CheckArgs>),
    Convergence(VerifyArgs),
}

/// Runs the command that the arguments name.
///
/// # Errors
/// If the arguments contradict each other, the model or its images are not found, a computation fails, or the results
/// cannot be written.
pub fn execute(cli: Cli) -> Result<()> {
    match cli.command {
        Some(Command::Influence(arguments)) => influence::execute(&arguments),
        Some(Command::Check(arguments)) => check::execute(&arguments),
        Some(Command::Convergence(arguments)) => verify::execute(&arguments),
        None => rank::execute(cli.rank),
    }
}
