//! Parsing of the command line.

use clap::error::ErrorKind;
use clap::{ArgMatches, Command, Parser};

/// Environment variable with the number of compute threads.
const THREADS: &str = "RAYON_NUM_THREADS";
/// Largest accepted number of threads.
const MOST_THREADS: u64 = 1_024;

/// A command line with its options as they were written.
pub struct Parsed<A> {
    /// The arguments.
    pub arguments: A,
    /// The command that was parsed.
    pub command: Command,
    /// The options as text.
    pub matches: ArgMatches,
}

/// Parses the command line. A wrong one ends the process with one sentence and exit code 2.
///
/// `--samples -1` is a value out of range and not an unknown option.
pub fn parse<A: Parser>() -> A {
    parse_all().arguments
}

/// [`parse`], with the options as they were written.
pub fn parse_all<A: Parser>() -> Parsed<A> {
    let mut command = with_negative_numbers(A::command());
    if let Some(message) = too_many_threads(std::env::var(THREADS).ok().as_deref()) {
        command.error(ErrorKind::ValueValidation, message).exit();
    }
    let matches = command.get_matches_mut();
    let arguments = A::from_arg_matches_mut(&mut matches.clone())
        .unwrap_or_else(|error| error.format(&mut command).exit());
    Parsed {
        arguments,
        command,
        matches,
    }
}

/// Parses words as if they were the command line, the name of the command first.
///
/// # Errors
/// If the words are no valid command line.
pub fn parse_words<A: Parser>(words: &[String]) -> Result<Parsed<A>, clap::Error> {
    let mut command = with_negative_numbers(A::command());
    let matches = command.try_get_matches_from_mut(words)?;
    let arguments = A::from_arg_matches_mut(&mut matches.clone())?;
    Ok(Parsed {
        arguments,
        command,
        matches,
    })
}

/// The reason to refuse a number of threads, or `None` if it is valid or not a number.
fn too_many_threads(value: Option<&str>) -> Option<String> {
    let threads: u64 = value?.parse().ok()?;
    (threads > MOST_THREADS)
        .then(|| format!("{THREADS}={threads}: write a number from 1 to {MOST_THREADS}"))
}

/// Lets options of a command and its subcommands take negative numbers as values.
fn with_negative_numbers(command: Command) -> Command {
    let options = command.mut_args(|argument| {
        if argument.get_action().takes_values() && !argument.is_positional() {
            argument.allow_negative_numbers(true)
        } else {
            argument
        }
    });
    options.mut_subcommands(with_negative_numbers)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[derive(Parser, Debug)]
    struct Arguments {
        #[arg(long, value_parser = crate::number::count(1..=9))]
        samples: Option<usize>,
        #[command(subcommand)]
        below: Option<Below>,
    }

    #[derive(clap::Subcommand, Debug)]
    enum Below {
        Deep {
            #[arg(long, value_parser = crate::number::real(0.0..=1.0))]
            share: f64,
            #[arg(long)]
            flag: bool,
        },
    }

    #[test]
    fn threads_that_no_machine_starts_are_refused() {
        for (value, refused) in [
            (None, false),
            (Some("0"), false),
            (Some("1024"), false),
            (Some("many"), false),
            (Some("100000"), true),
        ] {
            assert_eq!(too_many_threads(value).is_some(), refused, "{value:?}");
        }
    }

    #[test]
    fn a_negative_number_is_named_with_its_option_and_range() {
        for (line, says) in [
            (&["x", "--samples", "-1"][..], "'-1' for '--samples"),
            (&["x", "deep", "--share", "-0.5"], "'-0.5' for '--share"),
        ] {
            let command = with_negative_numbers(Arguments::command());
            let error = command.try_get_matches_from(line).unwrap_err().to_string();
            assert!(error.contains(says) && error.contains("from "), "{error}");
        }
        with_negative_numbers(Arguments::command()).debug_assert();
    }
}
