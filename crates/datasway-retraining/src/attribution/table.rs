//! What is published of an attribution benchmark.

use std::fmt::Write;
use std::path::Path;

use datasway_attribution::AttributionTarget;
use serde_json::json;

use super::counterfactual::Moved;
use super::evaluation::{Ceiling, Design, Evaluation, Row};
use crate::RetrainError;
use crate::execute::Executor;
use crate::table::csv::{line, number, quoted};

/// Writes `attribution.md`, `attribution.csv`, `attribution-functionals.csv` (the score of each single functional),
/// `attribution-real.csv` (the real values behind them) and `attribution.json` into a folder; for groups instead of random parts
/// `groups.md` and so on.
///
/// # Errors
/// If a file cannot be written.
pub fn write(
    folder: &Path,
    executor: &Executor<'_>,
    evaluation: &Evaluation,
) -> Result<(), RetrainError> {
    let setup = executor.setup;
    let name = file(evaluation.design);
    let json = json!({
        "datasway": env!("CARGO_PKG_VERSION"),
        "experiment": setup.experiment,
        "config": setup.config,
        "images": setup.images.len(),
        "fingerprint": setup.images.fingerprint,
        "evaluation": evaluation,
    });
    for (ending, text) in [
        (".md", markdown(executor, evaluation)?),
        (".csv", rows(evaluation)),
        ("-functionals.csv", functionals(evaluation)),
        ("-real.csv", real(evaluation)),
        (".json", format!("{json:#}\n")),
    ] {
        datasway_fs::write(&folder.join(format!("{name}{ending}")), text.as_bytes())?;
    }
    Ok(())
}

/// How the files of a design begin.
pub fn file(design: Design) -> &'static str {
    match design {
        Design::Subsets => "attribution",
        Design::Groups => "groups",
    }
}

/// Writes `counterfactual.md` and `counterfactual.csv` (how far each sample moved) into a folder.
///
/// # Errors
/// If a file cannot be written.
pub fn write_counterfactuals(
    folder: &Path,
    executor: &Executor<'_>,
    rows: &[Moved],
) -> Result<(), RetrainError> {
    let (benchmark, _) = executor.benchmark()?;
    let remove = benchmark
        .counterfactual
        .as_ref()
        .map_or(0, |ways| ways.remove);
    let mut text = format!(
        "# {}: without the images held responsible\n\nFor each of {} samples a model ({}) without the {remove} of {} images that a method holds most \
         responsible for it. Moved: the distance of the sample, from the same noise, from where the model of all images puts it; and by how much \
         it is further than without random images, with its bootstrap 95 % interval over samples. Other samples: the same for the samples \
         that the images were not chosen for.\n\n\
         | images chosen by | moved | ÷ random | other samples ÷ random |\n| --- | --- | --- | --- |\n",
        executor.setup.experiment.name,
        rows.first().map_or(0, |row| row.distances.len()),
        benchmark.variant.name(),
        executor.setup.images.len(),
    );
    let mut csv = String::from("form,sample,distance\n");
    for row in rows {
        let [low, high] = row.interval;
        let _ = writeln!(
            text,
            "| {} | {:.3} | {:.2} [{low:.2}, {high:.2}] | {:.2} |",
            row.form, row.mean, row.ratio, row.others
        );
        for (sample, distance) in row.distances.iter().enumerate() {
            let words = [quoted(&row.form), sample.to_string()];
            line(&mut csv, &words, &[number(*distance)]);
        }
    }
    for (name, text) in [("counterfactual.md", text), ("counterfactual.csv", csv)] {
        datasway_fs::write(&folder.join(name), text.as_bytes())?;
    }
    Ok(())
}

/// A kind of functional, for people.
fn title(functional: AttributionTarget) -> &'static str {
    match functional {
        AttributionTarget::Sample => "Linear functionals of samples",
        AttributionTarget::SampleLoss => "The loss at samples",
        AttributionTarget::HeldOutLoss => "The loss at held-out images",
        AttributionTarget::Principal => "The principal line of samples",
    }
}

fn markdown(executor: &Executor<'_>, evaluation: &Evaluation) -> Result<String, RetrainError> {
    let (benchmark, _) = executor.benchmark()?;
    let (experiment, config) = (&executor.setup.experiment, &executor.setup.config);
    let seeds: Vec<String> = experiment.seeds.iter().map(u64::to_string).collect();
    let parts = match evaluation.design {
        Design::Subsets => format!(
            "{} random parts of {} of them",
            benchmark.subsets, benchmark.fraction
        ),
        Design::Groups => format!("all but one of {}", benchmark.groups.join(", ")),
    };
    let mut text = format!(
        "# {}\n\n{} images of {}; {parts} ({}), seeds {}; base model of {} steps of batch {}. \
         {} samples with {} functionals each, {} held-out images, losses over {} draws.\n\n\
         LDS: Spearman's correlation over the parts of predicted and real values, averaged over functionals. In brackets the bootstrap \
         95 % interval over points; ± is the standard error over the parts (jackknife). Neither covers the choice of the base model.\n",
        experiment.name,
        executor.setup.images.len(),
        experiment.data,
        benchmark.variant.name(),
        seeds.join(", "),
        config.steps,
        config.batch,
        experiment.samples.count,
        benchmark.functionals,
        benchmark.held_out,
        benchmark.draws,
    );
    // Writing to a String cannot fail, here and below.
    for missing in &evaluation.missing {
        let _ = write!(text, "\nNot done yet: {missing}.\n");
    }
    for ceiling in &evaluation.ceilings {
        section(&mut text, evaluation, ceiling);
    }
    Ok(text)
}

fn section(text: &mut String, evaluation: &Evaluation, ceiling: &Ceiling) {
    let rows: Vec<&Row> = evaluation
        .rows
        .iter()
        .filter(|row| row.functional == ceiling.functional)
        .collect();
    let _ = write!(text, "\n## {}\n", title(ceiling.functional));
    if let (Some(one), Some([low, high]), Some(means), Some(reach)) = (
        ceiling.agreement,
        ceiling.interval,
        ceiling.agreement_of_means,
        ceiling.reach,
    ) {
        let _ = write!(
            text,
            "\nTwo seeds agree to {one:.2} [{low:.2}, {high:.2}], the means of {0} seeds to {means:.2}: knowing the expected value \
             exactly would score {reach:.2} against the mean of the seeds.\n",
            ceiling.seeds
        );
    }
    if let Some(evaluation) = ceiling.evaluation {
        let _ = write!(
            text,
            "\nReliability of the evaluation itself (even against odd draws): {evaluation:.2}.\n"
        );
    }
    let mut seeds: Vec<&str> = Vec::new();
    for row in &rows {
        if !seeds.contains(&row.seed.as_str()) {
            seeds.push(&row.seed);
        }
    }
    let Some(headline) = seeds.pop() else {
        return;
    };
    let others: String = seeds.iter().map(|seed| format!(" seed {seed} |")).collect();
    let _ = write!(
        text,
        "\n| method | LDS, {} | ± |{others} ÷ reach | seconds | peak MiB |\n| --- | --- | --- |{} --- | --- | --- |\n",
        match headline {
            "mean" => "mean of the seeds".to_owned(),
            seed => format!("seed {seed}"),
        },
        " --- |".repeat(seeds.len())
    );
    let mut main: Vec<&&Row> = rows.iter().filter(|row| row.seed == headline).collect();
    main.sort_by(|a, b| b.lds.total_cmp(&a.lds));
    for row in main {
        let [low, high] = row.interval;
        let mut cells = vec![
            row.method.clone(),
            format!("{:.3} [{low:.3}, {high:.3}]", row.lds),
            format!("{:.3}", row.error),
        ];
        cells.extend(seeds.iter().map(|seed| {
            let mut same = rows.iter().filter(|other| other.method == row.method);
            let other = same.find(|other| other.seed == *seed);
            other.map_or("–".to_owned(), |other| format!("{:.3}", other.lds))
        }));
        let reach = ceiling.reach.filter(|reach| *reach > 0.0);
        cells.push(reach.map_or("–".to_owned(), |reach| format!("{:.2}", row.lds / reach)));
        cells.push(datasway_report::plot::number(row.seconds));
        cells.push(row.peak.map_or("–".to_owned(), |peak| format!("{peak:.0}")));
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
}

fn rows(evaluation: &Evaluation) -> String {
    let mut csv = String::from(
        "functional,method,seed,lds,low_95,high_95,error_over_parts,seconds,peak_mib\n",
    );
    for row in &evaluation.rows {
        let words = [row.functional.name(), &row.method, &row.seed].map(quoted);
        let numbers = [
            row.lds,
            row.interval[0],
            row.interval[1],
            row.error,
            row.seconds,
            row.peak.unwrap_or(f64::NAN),
        ];
        line(&mut csv, &words, &numbers.map(number));
    }
    for ceiling in &evaluation.ceilings {
        let rows = [
            ("another seed", ceiling.agreement, ceiling.interval),
            ("mean of other seeds", ceiling.agreement_of_means, None),
            ("reach", ceiling.reach, None),
            ("evaluation", ceiling.evaluation, None),
        ];
        for (name, value, interval) in rows {
            if let Some(value) = value {
                let words = [ceiling.functional.name(), name, "ceiling"].map(quoted);
                let [low, high] = interval.unwrap_or([f64::NAN; 2]);
                let nothing = f64::NAN;
                let numbers = [value, low, high, nothing, nothing, nothing];
                line(&mut csv, &words, &numbers.map(number));
            }
        }
    }
    csv
}

fn functionals(evaluation: &Evaluation) -> String {
    let mut csv = String::from("functional,point,index,method,lds\n");
    for query in &evaluation.queries {
        let words = [
            query.functional.name().to_owned(),
            query.point.to_string(),
            query.index.to_string(),
            quoted(&query.method),
        ];
        line(&mut csv, &words, &[number(query.lds)]);
    }
    csv
}

fn real(evaluation: &Evaluation) -> String {
    let parts = evaluation
        .real
        .iter()
        .flat_map(|(_, _, values)| values.first());
    let parts = parts.map(Vec::len).max().unwrap_or_default();
    let mut csv = String::from("functional,seed,row");
    for part in 0..parts {
        let _ = write!(csv, ",part_{part}");
    }
    csv.push('\n');
    for (functional, seed, values) in &evaluation.real {
        for (row, values) in values.iter().enumerate().filter(|_| seed != "mean") {
            let words = [functional.name().to_owned(), seed.clone(), row.to_string()];
            let numbers: Vec<String> = values.iter().map(|v| number(*v)).collect();
            line(&mut csv, &words, &numbers);
        }
    }
    csv
}
