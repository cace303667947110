//! What is published of an experiment: Markdown, CSV, JSON, plots and a page.

pub(crate) mod csv;
mod markdown;
mod page;
mod plots;

use std::collections::BTreeMap;
use std::path::Path;

use datasway_sensitivity::density::Bandwidth;
use serde_json::{Value, json};

use crate::RetrainError;
use crate::evaluation::{Detail, Evaluation, Row};
use crate::execute::Executor;

/// Writes `table.md`, `statistics.csv`, `tests.csv`, `samples.csv` (the raw numbers), `statistics.json`, plots as SVG and
/// `index.html` into a folder. Without `photos` there is no picture of a sample in them.
///
/// # Errors
/// If a result cannot be read or a file cannot be written.
pub fn write(
    folder: &Path,
    executor: &Executor<'_>,
    evaluation: &Evaluation,
    photos: bool,
) -> Result<(), RetrainError> {
    let bandwidths = bandwidths(executor)?;
    let markdown = markdown::table(executor, evaluation, &bandwidths);
    let plots = plots::all(executor, evaluation)?;
    let page = page::page(executor, evaluation, &bandwidths, &plots, photos)?;
    let json = format!("{:#}\n", summary(executor, evaluation, &bandwidths));
    let texts = [
        ("table.md", markdown),
        ("statistics.csv", csv::statistics(evaluation)),
        ("tests.csv", csv::tests(evaluation)),
        ("samples.csv", csv::samples(evaluation)),
        ("statistics.json", json),
        ("index.html", page),
    ];
    for (name, text) in &texts {
        datasway_fs::write(&folder.join(name), text.as_bytes())?;
    }
    for plot in &plots {
        datasway_fs::write(&folder.join(&plot.file), plot.svg.as_bytes())?;
    }
    Ok(())
}

/// The bandwidths that were chosen by the images (`auto`), by estimator.
fn bandwidths(executor: &Executor<'_>) -> Result<BTreeMap<String, f64>, RetrainError> {
    let setup = executor.setup;
    let estimators = setup.experiment.estimators.iter();
    let chosen = estimators.filter_map(|estimator| match estimator.bandwidth? {
        Bandwidth::Fixed(_) => None,
        bandwidth => Some((estimator.name(), bandwidth)),
    });
    chosen
        .map(|(name, bandwidth)| {
            let h = bandwidth.value(&setup.images, setup.config.flip, &setup.device)?;
            Ok((name, h))
        })
        .collect()
}

fn summary(
    executor: &Executor<'_>,
    evaluation: &Evaluation,
    bandwidths: &BTreeMap<String, f64>,
) -> Value {
    let setup = executor.setup;
    let directions: Vec<Value> = setup
        .changes
        .iter()
        .map(|change| {
            json!({
                "name": change.direction.name(),
                "images": change.images.len(),
                "share_of_the_data": change.images.len() as f64 / setup.images.len() as f64,
                "tuning": change.direction.tuning,
            })
        })
        .collect();
    json!({
        "datasway": env!("CARGO_PKG_VERSION"),
        "experiment": setup.experiment,
        "config": setup.config,
        "images": setup.images.len(),
        "fingerprint": setup.images.fingerprint,
        "directions": directions,
        "bandwidths": bandwidths,
        "evaluation": evaluation,
    })
}

/// The seed whose numbers stand for a variant: the mean of the seeds, or the only one.
fn headline(evaluation: &Evaluation, variant: &str) -> String {
    let of = |row: &&Row| row.subject.variant == variant;
    let last = evaluation.rows.iter().rfind(of);
    last.map(|row| row.subject.seed.clone()).unwrap_or_default()
}

/// The variants that have numbers, in the experiment's order.
fn variants<'a>(executor: &Executor<'a>, evaluation: &Evaluation) -> Vec<&'a str> {
    let names = executor.setup.experiment.variants.iter().map(|v| v.name());
    let has = |name: &&str| {
        evaluation
            .rows
            .iter()
            .any(|row| row.subject.variant == *name)
    };
    names.filter(has).collect()
}

/// The pool that judges: `pooled`, or `tuning` if every direction is for tuning.
fn pool(executor: &Executor<'_>) -> &'static str {
    let directions = &executor.setup.experiment.directions;
    match directions.iter().all(|direction| direction.tuning) {
        true => "tuning",
        false => "pooled",
    }
}

/// Which directions a pool holds, after "all directions".
fn pool_words(pool: &str) -> &'static str {
    match pool {
        "pooled" => "that were not used for tuning",
        _ => "(used for tuning)",
    }
}

/// What would have been chosen on the tuning directions, as a sentence.
fn choice(evaluation: &Evaluation, variant: &str) -> Option<String> {
    let seed = headline(evaluation, variant);
    let mut choices = evaluation.choices.iter();
    let choice = choices.find(|choice| choice.variant == variant && choice.seed == seed)?;
    Some(format!(
        "Best of the estimators on the tuning directions: {} ({:.2} there, {:.2} on the others).",
        choice.estimator, choice.tuning, choice.judged
    ))
}

/// The details of one prediction in the directions that judge.
fn judged<'a>(
    executor: &'a Executor<'_>,
    evaluation: &'a Evaluation,
    variant: &'a str,
    prediction: &'a str,
) -> impl Iterator<Item = &'a Detail> {
    let tuning = pool(executor) == "tuning";
    let directions = &executor.setup.experiment.directions;
    let counts = move |name: &str| {
        let mut same = directions.iter().filter(|d| d.name() == name);
        same.any(|direction| direction.tuning == tuning)
    };
    let details = evaluation.details.iter();
    details.filter(move |detail| {
        detail.subject.variant == variant
            && detail.prediction == prediction
            && counts(&detail.subject.direction)
    })
}
