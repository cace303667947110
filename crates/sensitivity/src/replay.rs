//! `--from summary.json`: a run again, from the options that its summary records.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use clap::{ArgMatches, Args, Command};
use datasway_cli::Options;
use datasway_fs::plural;
use serde::{Deserialize, Serialize};

use crate::run_info::RunInfo;

/// Options that decide no result: where it is read and written, and who computes it.
const PLACES: [&str; 4] = ["from", "out", "cache", "shard"];

/// Largest size of a summary, in bytes.
const MAX_BYTES: u64 = 1 << 30;

/// The run to replay.
#[derive(Args)]
pub struct FromArgs {
    /// Do the run of this summary.json again, with the options that it records; the files get the same bytes
    #[arg(long = "from", value_name = "SUMMARY")]
    summary: Option<PathBuf>,
    /// The options of this run.
    #[arg(skip)]
    pub recorded: RecordedOptions,
    /// The model of the run that is replayed.
    #[arg(skip)]
    expected: Option<ExpectedModel>,
}

/// The options of a run by name, as `summary.json` has them.
#[derive(Debug, Clone, Default, Serialize)]
pub struct RecordedOptions {
    command: String,
    options: BTreeMap<String, Vec<String>>,
}

/// Data and training step of the model of a recorded run.
#[derive(Debug, Clone)]
struct ExpectedModel {
    summary: String,
    fingerprint: String,
    training_step: Option<u64>,
    model_fingerprint: Option<String>,
}

/// The part of `summary.json` that is read.
#[derive(Deserialize)]
struct Summary {
    run: RecordedRun,
}

#[derive(Deserialize)]
struct RecordedRun {
    datasway: String,
    fingerprint: String,
    training_step: Option<u64>,
    #[serde(default)]
    model_fingerprint: Option<String>,
    #[serde(default)]
    command: String,
    #[serde(default)]
    options: BTreeMap<String, Vec<String>>,
}

impl RecordedOptions {
    /// The options of a command line that decide the results.
    fn new(name: &str, command: &Command, matches: &ArgMatches) -> Self {
        let options = Options::all(command, matches).without(&PLACES);
        Self {
            command: name.to_owned(),
            options: options.by_name().clone(),
        }
    }

    /// Records the number of samples that are drawn, which an option of its own need not name.
    pub fn set_samples(&mut self, samples: usize) {
        let count = vec![samples.to_string()];
        self.options.insert("samples".to_owned(), count);
    }
}

impl FromArgs {
    /// The summary to replay.
    pub fn summary(&self) -> Option<&Path> {
        self.summary.as_deref()
    }

    /// Records the options of the command `name`.
    pub fn record(&mut self, name: &str, command: &Command, matches: &ArgMatches) {
        self.recorded = RecordedOptions::new(name, command, matches);
    }

    /// The words of the command line of the run that `summary` records, with the places of this command line, and what has to
    /// be true of the model.
    ///
    /// # Errors
    /// If the file is no summary of the command `name`, or an option of this command line contradicts it.
    pub fn words(
        summary: &Path,
        name: &str,
        command: &Command,
        matches: &ArgMatches,
    ) -> Result<(Vec<String>, Self)> {
        let place = summary.display().to_string();
        let run = read(summary)?;
        ensure!(
            !run.options.is_empty(),
            "{place}: does not record its options, as those of this version of Datasway do: give them yourself"
        );
        ensure!(
            run.command == name,
            "{place}: is of `{}`: replay it with that command",
            run.command
        );
        if run.datasway != env!("CARGO_PKG_VERSION") {
            datasway_cli::tell(format!(
                "{place}: was written by Datasway {}, and this is {}: the results may differ",
                run.datasway,
                env!("CARGO_PKG_VERSION")
            ));
        }
        let recorded = Options::recorded(run.options).without(&PLACES);
        let given = Options::given(command, matches);
        given
            .clone()
            .without(&PLACES)
            .ensure_agree_with(&recorded, &place)?;
        let mut places = Options::default();
        for name in &PLACES[1..] {
            if let Some(value) = given.by_name().get(*name).and_then(|values| values.first()) {
                places.set(name, value.clone());
            }
        }
        let words = recorded.and(places).words(command).context(place.clone())?;
        let expected = ExpectedModel {
            summary: place,
            fingerprint: run.fingerprint,
            training_step: run.training_step,
            model_fingerprint: run.model_fingerprint,
        };
        let replay = Self {
            summary: Some(summary.to_owned()),
            recorded: RecordedOptions::default(),
            expected: Some(expected),
        };
        Ok((words, replay))
    }

    /// Keeps what has to be true of the model of a replayed run.
    pub fn expect(&mut self, replay: Self) {
        self.summary = replay.summary;
        self.expected = replay.expected;
    }

    /// Checks that the model is that of the run that is replayed.
    ///
    /// # Errors
    /// If its data or its training differ.
    pub fn check_model(&self, info: &RunInfo) -> Result<()> {
        let Some(expected) = &self.expected else {
            return Ok(());
        };
        ensure!(
            info.is_of(
                &expected.fingerprint,
                expected.training_step,
                expected.model_fingerprint.as_deref()
            ),
            "{}: the model is not that of this run, which was trained{} on data of fingerprint {}: restore the checkpoint",
            expected.summary,
            expected
                .training_step
                .map_or(String::new(), |steps| format!(
                    " {}",
                    plural(steps as usize, "step")
                )),
            expected.fingerprint
        );
        Ok(())
    }
}

/// The words of the command that a summary, or the record of a shard, is of.
///
/// # Errors
/// If the file is none.
pub fn command(summary: &Path) -> Result<Vec<String>> {
    let command = read(summary)?.command;
    Ok(command.split(' ').map(ToOwned::to_owned).collect())
}

fn read(summary: &Path) -> Result<RecordedRun> {
    let place = summary.display();
    ensure!(
        summary.is_file(),
        "{place}: is not a file that is there: name the summary.json of a run of `sensitivity`"
    );
    let bytes = datasway_fs::read(summary, MAX_BYTES)?;
    let parsed: Summary = serde_json::from_slice(&bytes).map_err(|error| {
        anyhow!("{place}: is not the summary.json of a run of `sensitivity` ({error})")
    })?;
    Ok(parsed.run)
}
