//! The command line: the ranking, and the subcommands.

use anyhow::{Result, anyhow, bail};
use clap::{ArgMatches, Command, Parser, Subcommand};
use datasway_cli::{Parsed, parse_words};

use crate::check::{self, CheckArgs};
use crate::influence::{self, InfluenceArgs};
use crate::rank::{self, RankArgs};
use crate::replay::FromArgs;
use crate::shard::ShardArgs;
use crate::shard::merge::MergeArgs;
use crate::verify::{self, VerifyArgs};

/// Sensitivities of samples of a trained model to changes of its training data, ranked by length.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Subcommands>,
    #[command(flatten)]
    rank: RankArgs,
}

#[derive(Subcommand)]
enum Subcommands {
    Influence(Box<InfluenceArgs>),
    Merge(MergeArgs),
    Check(Box<CheckArgs>),
    Convergence(VerifyArgs),
}

/// Runs the command that the arguments name.
///
/// # Errors
/// If the arguments contradict each other, the model or its images are not found, a computation fails, or the results
/// cannot be written.
pub fn execute(mut parsed: Parsed<Cli>) -> Result<()> {
    let mut merged = None;
    if let Some(Subcommands::Merge(arguments)) = &parsed.arguments.command {
        let (shards, words) = arguments.run()?;
        parsed = parse_words(&words).map_err(|error| anyhow!("{error}"))?;
        merged = Some(shards);
    }
    let mut cli = recorded(replayed(parsed)?);
    if let Some(shard) = cli.shard() {
        shard.merged = merged;
    }
    match cli.command {
        Some(Subcommands::Influence(arguments)) => influence::execute(*arguments),
        Some(Subcommands::Merge(_)) => bail!("a shard does not record a merge"),
        Some(Subcommands::Check(arguments)) => check::execute(&arguments),
        Some(Subcommands::Convergence(arguments)) => verify::execute(&arguments),
        None => rank::execute(cli.rank),
    }
}

impl Cli {
    /// The arguments of `--from`; none for a command without them.
    fn replay(&mut self) -> Option<&mut FromArgs> {
        match &mut self.command {
            Some(Subcommands::Influence(arguments)) => Some(&mut arguments.replay),
            Some(Subcommands::Check(_) | Subcommands::Convergence(_) | Subcommands::Merge(_)) => {
                None
            }
            None => Some(&mut self.rank.replay),
        }
    }

    /// The arguments of `--shard`; none for a command without them.
    fn shard(&mut self) -> Option<&mut ShardArgs> {
        match &mut self.command {
            Some(Subcommands::Influence(arguments)) => Some(&mut arguments.shard),
            Some(Subcommands::Check(_) | Subcommands::Convergence(_) | Subcommands::Merge(_)) => {
                None
            }
            None => Some(&mut self.rank.shard),
        }
    }
}

/// The command line of the run that `--from` names, or the given one without it.
fn replayed(mut parsed: Parsed<Cli>) -> Result<Parsed<Cli>> {
    let replay = parsed.arguments.replay();
    let Some(summary) = replay.and_then(|replay| replay.summary().map(ToOwned::to_owned)) else {
        return Ok(parsed);
    };
    let (names, command, matches) = chosen(&parsed.command, &parsed.matches);
    let (options, replay) = FromArgs::words(&summary, &names.join(" "), command, matches)?;
    let words: Vec<String> = names
        .iter()
        .map(|&name| name.to_owned())
        .chain(options)
        .collect();
    let mut again = parse_words::<Cli>(&words).map_err(|error| {
        let message = error.to_string();
        let first = message.lines().next().unwrap_or_default();
        anyhow!(
            "{}: {}",
            summary.display(),
            first.trim_start_matches("error: ")
        )
    })?;
    if let Some(arguments) = again.arguments.replay() {
        arguments.expect(replay);
    }
    Ok(again)
}

/// The arguments with a record of their options.
fn recorded(parsed: Parsed<Cli>) -> Cli {
    let Parsed {
        mut arguments,
        command,
        matches,
    } = parsed;
    let (names, command, matches) = chosen(&command, &matches);
    if let Some(replay) = arguments.replay() {
        replay.record(&names.join(" "), command, matches);
    }
    arguments
}

/// The command that is run, with its names and options: the ranking, or a subcommand.
fn chosen<'a>(
    command: &'a Command,
    matches: &'a ArgMatches,
) -> (Vec<&'a str>, &'a Command, &'a ArgMatches) {
    let below = matches.subcommand();
    let below = below.and_then(|(name, matches)| Some((command.find_subcommand(name)?, matches)));
    let name = command.get_name();
    match below {
        Some((below, matches)) => (vec![name, below.get_name()], below, matches),
        None => (vec![name], command, matches),
    }
}
