//! The options of a command line by name, as text: to record a run, and to replay it.

use std::collections::BTreeMap;

use anyhow::{Result, bail, ensure};
use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, Command};

/// Options of a command with their values, by long name. A flag that is set has the value `true`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options(BTreeMap<String, Vec<String>>);

impl Options {
    /// All options that have a value, given or by default.
    pub fn all(command: &Command, matches: &ArgMatches) -> Self {
        Self::with(command, matches, |_| true)
    }

    /// The options that the command line gives.
    pub fn given(command: &Command, matches: &ArgMatches) -> Self {
        Self::with(command, matches, |source| {
            source == ValueSource::CommandLine
        })
    }

    /// Options that were recorded.
    pub fn recorded(options: BTreeMap<String, Vec<String>>) -> Self {
        Self(options)
    }

    fn with(command: &Command, matches: &ArgMatches, counts: impl Fn(ValueSource) -> bool) -> Self {
        let mut options = BTreeMap::new();
        for argument in command.get_arguments() {
            let (Some(name), id) = (argument.get_long(), argument.get_id().as_str()) else {
                continue;
            };
            // `--help` and `--version` have no matches.
            let Ok(Some(values)) = matches.try_get_raw(id) else {
                continue;
            };
            let values = values.map(|value| value.to_string_lossy().into_owned());
            let values: Vec<String> = values.collect();
            let is_unset_flag = is_flag(argument.get_action()) && values == ["false"];
            if matches.value_source(id).is_some_and(&counts) && !is_unset_flag {
                options.insert(name.to_owned(), values);
            }
        }
        Self(options)
    }

    /// The options by name.
    pub fn by_name(&self) -> &BTreeMap<String, Vec<String>> {
        &self.0
    }

    /// The options without those of these names.
    pub fn without(mut self, names: &[&str]) -> Self {
        self.0.retain(|name, _| !names.contains(&name.as_str()));
        self
    }

    /// The options, and those of `others`.
    pub fn and(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }

    /// Sets an option to one value.
    pub fn set(&mut self, name: &str, value: String) {
        self.0.insert(name.to_owned(), vec![value]);
    }

    /// Refuses options that differ from those of `recorded`, which stand in `place`.
    ///
    /// # Errors
    /// A sentence that names the first such option.
    pub fn ensure_agree_with(&self, recorded: &Self, place: &str) -> Result<()> {
        for (name, values) in &self.0 {
            let here = shown(values);
            match recorded.0.get(name) {
                Some(there) if there == values => {}
                Some(there) => bail!(
                    "--{name} {here} contradicts {place}, which has {}: leave it out",
                    shown(there)
                ),
                None => bail!(
                    "--{name} {here} contradicts {place}, which does not have it: leave it out"
                ),
            }
        }
        Ok(())
    }

    /// The words of a command line of a command with these options.
    ///
    /// # Errors
    /// If the command has no option of a name.
    pub fn words(&self, command: &Command) -> Result<Vec<String>> {
        let mut words = Vec::new();
        for (name, values) in &self.0 {
            let mut arguments = command.get_arguments();
            let argument = arguments.find(|argument| argument.get_long() == Some(name));
            ensure!(
                argument.is_some(),
                "there is no option --{name}: use the version of Datasway that wrote it"
            );
            if argument.is_some_and(|argument| is_flag(argument.get_action())) {
                words.push(format!("--{name}"));
            } else {
                words.extend(values.iter().map(|value| format!("--{name}={value}")));
            }
        }
        Ok(words)
    }
}

fn is_flag(action: &ArgAction) -> bool {
    matches!(action, ArgAction::SetTrue)
}

fn shown(values: &[String]) -> String {
    values.join(" ")
}

#[cfg(test)]
mod tests {
    use clap::Arg;

    use super::*;

    fn command() -> Command {
        let option = |name: &'static str| Arg::new(name).long(name);
        Command::new("x")
            .arg(option("steps").default_value("18"))
            .arg(option("add").action(ArgAction::Append))
            .arg(option("limit").action(ArgAction::SetTrue))
            .arg(option("out"))
    }

    fn matches(line: &[&str]) -> ArgMatches {
        command().try_get_matches_from(line).unwrap()
    }

    #[test]
    fn recorded_options_are_a_command_line_again() {
        let line = ["x", "--add", "a b", "--add=-1", "--limit", "--out", "y"];
        let options = Options::all(&command(), &matches(&line)).without(&["out"]);
        let words = options.words(&command()).unwrap();
        assert_eq!(words, ["--add=a b", "--add=-1", "--limit", "--steps=18"]);
        let again: Vec<&str> = std::iter::once("x")
            .chain(words.iter().map(String::as_str))
            .collect();
        assert_eq!(Options::all(&command(), &matches(&again)), options);
        assert!(
            !Options::all(&command(), &matches(&["x"]))
                .0
                .contains_key("limit")
        );
    }

    #[test]
    fn given_options_agree_or_are_named() {
        let recorded = Options::all(&command(), &matches(&["x", "--add", "a"]));
        let agrees = |line: &[&str]| {
            let given = Options::given(&command(), &matches(line));
            let agreement = given.ensure_agree_with(&recorded, "run.json");
            agreement.map_err(|error| error.to_string())
        };
        agrees(&["x"]).unwrap();
        agrees(&["x", "--steps", "18", "--add", "a"]).unwrap();
        let error = agrees(&["x", "--steps", "9"]).unwrap_err();
        assert!(
            error.contains("--steps 9") && error.contains("has 18"),
            "{error}"
        );
        let error = agrees(&["x", "--limit"]).unwrap_err();
        assert!(
            error.contains("--limit") && error.contains("does not have it"),
            "{error}"
        );
    }
}
