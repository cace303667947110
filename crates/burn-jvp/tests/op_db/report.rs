//! Counts of the samples, and what remains without explanation.

use crate::arguments::LACKS;
use crate::exceptions::{EXCEPTIONS, Failure};
use crate::fixture::Case;
use burn_jvp::DynTensor;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The result of one sample.
#[derive(Default)]
pub struct Outcome {
    /// Number of replays that agree.
    pub agreeing: usize,
    /// Number of replays.
    pub replays: usize,
    /// Largest error among the derivatives that agree, in double and single precision.
    pub errors: [f64; 2],
    /// Reason why Burn does not have the arguments.
    lacking: Option<String>,
    /// Failures, with a text for the reader.
    failures: BTreeMap<Failure, String>,
}

impl Outcome {
    /// Ends a sample at a panic of the plain function.
    pub fn stop(&mut self, case: &Case, text: &str) {
        if let Some(what) = text.strip_prefix(LACKS) {
            self.lacking = Some(what.to_owned());
        } else if case.is_empty() {
            self.lacking = Some("this operation on tensors without entries".to_owned());
        } else {
            self.fail(Failure::Panic, text.to_owned());
        }
    }

    /// Notes a failure. Of several in one way the first counts.
    pub fn fail(&mut self, failure: Failure, text: String) {
        self.failures.entry(failure).or_insert(text);
    }
}

/// The counts of one operation.
#[derive(Default)]
struct Row {
    samples: usize,
    agreeing: usize,
    excepted: usize,
    lacking: usize,
    replays: usize,
    agreeing_replays: usize,
    errors: [f64; 2],
    in_parameters: ParameterCounts,
}

/// The counts of the replayed samples with tangents of parameters.
#[derive(Default)]
struct ParameterCounts {
    samples: usize,
    agreeing: usize,
    parameters: usize,
}

/// The counts of all samples. As text it is the table: operations, samples, agreement, exceptions.
#[derive(Default)]
pub struct Report {
    rows: BTreeMap<String, Row>,
    lacking: BTreeMap<String, usize>,
    /// The samples that each exception covers.
    covered: BTreeMap<usize, BTreeSet<usize>>,
    unexplained: Vec<String>,
}

impl Report {
    /// Counts one sample.
    pub fn add(&mut self, case: &Case, outcome: &Outcome) {
        let row = self.rows.entry(case.name.clone()).or_default();
        row.samples += 1;
        if let Some(what) = &outcome.lacking {
            row.lacking += 1;
            *self.lacking.entry(what.clone()).or_default() += 1;
            return;
        }
        row.replays += outcome.replays;
        row.agreeing_replays += outcome.agreeing;
        for (error, new) in row.errors.iter_mut().zip(outcome.errors) {
            *error = error.max(new);
        }
        if outcome.failures.is_empty() {
            row.agreeing += 1;
        } else {
            row.excepted += 1;
        }
        if !case.parameters.is_empty() {
            row.in_parameters.samples += 1;
            row.in_parameters.agreeing += usize::from(outcome.failures.is_empty());
            row.in_parameters.parameters += case.parameters.len();
        }
        for (failure, text) in &outcome.failures {
            match EXCEPTIONS.iter().position(|e| e.covers(case, *failure)) {
                Some(index) => {
                    self.covered.entry(index).or_default().insert(case.sample);
                }
                None => self.unexplained.push(line(case, outcome, *failure, text)),
            }
        }
    }

    /// The failures that no exception covers, a line each.
    pub fn unexplained(&self) -> &[String] {
        &self.unexplained
    }

    /// The counts, the arguments that Burn lacks and the exceptions as a page of Markdown.
    pub fn page(&self) -> String {
        let [header, in_parameters, ..] = self.totals();
        let mut page = format!(
            "# PyTorch's samples\n\n\
             The sample inputs of PyTorch's operator and module databases, replayed on Burn: values and derivatives against \
             `torch.func.jvp`, in double and single precision.\n\
             {header}\n\
             {in_parameters}\n\
             The test `op_db` compares this page with its counts and prints the largest error of each operation; with \
             `UPDATE_PYTORCH=1` it writes the page.\n\n\
             | operation | samples | agree | excepted | not replayed |\n| --- | --- | --- | --- | --- |\n"
        );
        for (name, row) in &self.rows {
            page += &format!(
                "| {name} | {} | {} | {} | {} |\n",
                row.samples, row.agreeing, row.excepted, row.lacking
            );
        }
        page += "\n## Derivatives in parameters\n\n\
                 The directions move one parameter alone, the remaining ones together, or all inputs and parameters.\n\n\
                 | module | samples | agree | parameters |\n| --- | --- | --- | --- |\n";
        for (name, row) in &self.rows {
            let counts = &row.in_parameters;
            if counts.samples > 0 {
                page += &format!(
                    "| {name} | {} | {} | {} |\n",
                    counts.samples, counts.agreeing, counts.parameters
                );
            }
        }
        page += "\n## Not replayed\n\n| Burn lacks | samples |\n| --- | --- |\n";
        for (what, count) in &self.lacking {
            page += &format!("| {what} | {count} |\n");
        }
        page += "\n## Excepted\n\n| operation | what differs | reason |\n| --- | --- | --- |\n";
        for exception in EXCEPTIONS {
            let operation = exception.operation;
            page += &format!(
                "| {operation} | {:?} | {} |\n",
                exception.failure, exception.reason
            );
        }
        page
    }

    /// The totals, three sentences.
    fn totals(&self) -> [String; 3] {
        let total = |count: fn(&Row) -> usize| self.rows.values().map(count).sum::<usize>();
        let modules = self.rows.keys().filter(|name| name.starts_with("module."));
        let modules = modules.count();
        let with_parameters = self.rows.values().filter(|r| r.in_parameters.samples > 0);
        [
            format!(
                "{} operations and {modules} modules, {} samples: {} agree, {} excepted, {} not replayed (Burn lacks the arguments).",
                self.rows.len() - modules,
                total(|r| r.samples),
                total(|r| r.agreeing),
                total(|r| r.excepted),
                total(|r| r.lacking)
            ),
            format!(
                "{} of the replayed samples, of {} modules, move in {} parameters too: {} agree.",
                total(|r| r.in_parameters.samples),
                with_parameters.count(),
                total(|r| r.in_parameters.parameters),
                total(|r| r.in_parameters.agreeing)
            ),
            format!(
                "{} replays: {} agree.",
                total(|r| r.replays),
                total(|r| r.agreeing_replays)
            ),
        ]
    }

    /// The operations of the exceptions that no sample needs any more.
    pub fn stale_exceptions(&self) -> Vec<String> {
        let none = BTreeSet::new();
        let stale = EXCEPTIONS.iter().enumerate().filter(|(index, exception)| {
            !exception.is_needed(self.covered.get(index).unwrap_or(&none))
        });
        stale
            .map(|(_, exception)| format!("{} {:?}", exception.operation, exception.failure))
            .collect()
    }
}

/// One failure for the reader.
fn line(case: &Case, outcome: &Outcome, failure: Failure, text: &str) -> String {
    let shapes: Vec<Vec<usize>> = case.inputs.iter().map(DynTensor::shape).collect();
    let words: Vec<&str> = text.split_whitespace().take(40).collect();
    format!(
        "{} {:?} sample {} of {shapes:?}: {failure:?}: {} ({} of {} replays agree)",
        case.name,
        case.variant,
        case.sample,
        words.join(" "),
        outcome.agreeing,
        outcome.replays
    )
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| operation | samples | agree | excepted | not replayed | replays | agree | error f64 | error f32 |"
        )?;
        writeln!(f, "|{}", " --- |".repeat(9))?;
        for (name, row) in &self.rows {
            let [double, single] = row.errors;
            writeln!(
                f,
                "| {name} | {} | {} | {} | {} | {} | {} | {double:.0e} | {single:.0e} |",
                row.samples,
                row.agreeing,
                row.excepted,
                row.lacking,
                row.replays,
                row.agreeing_replays
            )?;
        }
        for sentence in self.totals() {
            writeln!(f, "{sentence}")?;
        }
        for (what, count) in &self.lacking {
            writeln!(f, "Burn lacks {what}: {count} samples")?;
        }
        for exception in EXCEPTIONS {
            let operation = exception.operation;
            writeln!(
                f,
                "{operation} {:?}: {}",
                exception.failure, exception.reason
            )?;
        }
        Ok(())
    }
}
