//! Result files of an attribution benchmark.

use std::fmt::Write;
use std::path::Path;

use datasway_attribution::AttributionTarget;
use datasway_fs::csv::field;
use datasway_fs::plain_plural as plural;
use datasway_report::plot;
use serde_json::{Value, json};

use super::csv::{line, number};
use crate::RetrainError;
use crate::evaluation::SeedScope;
use crate::evaluation::lds::{Ceiling, LdsEvaluation, LdsRow, SubsetDesign};
use crate::jobs::Workspace;

/// Writes the evaluation of an attribution benchmark into a folder and returns its tables as Markdown.
///
/// The files are `attribution.md`, `attribution.csv`, `attribution-functionals.csv` (the score for each single functional),
/// `attribution-real.csv` (the real values behind the scores) and `attribution.json`.
/// For groups in place of random subsets the names begin with `groups`.
///
/// # Errors
/// If a file cannot be written.
pub fn write_lds(
    folder: &Path,
    workspace: &Workspace<'_>,
    evaluation: &LdsEvaluation,
) -> Result<String, RetrainError> {
    let name = evaluation.design.name();
    let markdown = markdown(workspace, evaluation)?;
    for (ending, text) in [
        (".md", &markdown),
        (".csv", &rows_csv(evaluation)),
        ("-functionals.csv", &functionals_csv(evaluation)),
        ("-real.csv", &real_csv(evaluation)),
        (".json", &json_text(workspace, evaluation)),
    ] {
        datasway_fs::write(&folder.join(format!("{name}{ending}")), text.as_bytes())?;
    }
    Ok(markdown)
}

/// Title of the section of a target.
fn title(target: AttributionTarget) -> &'static str {
    match target {
        AttributionTarget::Sample => "Linear functionals of samples",
        AttributionTarget::SampleLoss => "The loss at samples",
        AttributionTarget::HeldOutLoss => "The loss at held-out images",
        AttributionTarget::Principal => "The principal line of samples",
    }
}

/// Seeds and methods that are left out.
fn missing(workspace: &Workspace<'_>, evaluation: &LdsEvaluation) -> Vec<String> {
    let seeds = evaluation.missing_seeds.iter();
    let methods = evaluation.missing_methods.iter();
    seeds
        .map(|seed| format!("seed {seed}"))
        .chain(methods.map(|&job| workspace.plan.job(job).label.clone()))
        .collect()
}

// Writing to a String cannot fail, here and below.
fn markdown(workspace: &Workspace<'_>, evaluation: &LdsEvaluation) -> Result<String, RetrainError> {
    let experiment = workspace.experiment;
    let benchmark = &experiment.benchmark()?.spec;
    let (spec, config) = (&experiment.spec, &experiment.config);
    let seeds: Vec<String> = spec.seeds.iter().map(u64::to_string).collect();
    let parts = match evaluation.design {
        SubsetDesign::Subsets => format!(
            "{} of {} of them",
            plural(benchmark.subsets, "random part"),
            benchmark.fraction
        ),
        SubsetDesign::Groups => format!("all but one of {}", benchmark.groups.join(", ")),
    };
    let mut text = format!(
        "# {}\n\n{} of {}; {parts} ({}), seeds {}; base model of {} of batch {}. \
         {} with {} each, {}, losses over {}.\n\n\
         LDS: Spearman's correlation over the parts of predicted and real values, averaged over functionals. In brackets the bootstrap \
         95 % interval over points; ± is the standard error over the parts (jackknife). Neither covers the choice of the base model.\n",
        spec.name,
        plural(experiment.images.len(), "image"),
        spec.data,
        benchmark.variant.name(),
        seeds.join(", "),
        plural(config.steps() as usize, "step"),
        config.batch(),
        plural(spec.samples.count, "sample"),
        plural(benchmark.functionals, "functional"),
        plural(benchmark.held_out, "held-out image"),
        plural(benchmark.draws, "draw"),
    );
    for missing in missing(workspace, evaluation) {
        let _ = write!(text, "\nNot done yet: {missing}.\n");
    }
    for ceiling in &evaluation.ceilings {
        section(&mut text, evaluation, ceiling);
    }
    Ok(text)
}

/// The section of one target.
fn section(text: &mut String, evaluation: &LdsEvaluation, ceiling: &Ceiling) {
    let _ = write!(text, "\n## {}\n", title(ceiling.target));
    if let (Some(agreement), Some([low, high]), Some(means), Some(attainable)) = (
        ceiling.agreement,
        ceiling.interval,
        ceiling.agreement_of_means,
        ceiling.max_attainable,
    ) {
        let _ = write!(
            text,
            "\nTwo seeds agree to {agreement:.2} [{low:.2}, {high:.2}], the means of {0} to {means:.2}: knowing the expected value \
             exactly would score {attainable:.2} against the mean of the seeds.\n",
            plural(ceiling.seeds, "seed")
        );
    }
    if let Some(reliability) = ceiling.evaluation {
        let _ = write!(
            text,
            "\nReliability of the evaluation itself (even against odd draws): {reliability:.2}.\n"
        );
    }
    let rows = evaluation.rows.iter();
    let rows: Vec<&LdsRow> = rows.filter(|row| row.target == ceiling.target).collect();
    methods_table(text, &rows, ceiling);
}

/// The scores of all methods for one target, in descending order.
fn methods_table(text: &mut String, rows: &[&LdsRow], ceiling: &Ceiling) {
    let mut seeds: Vec<SeedScope> = Vec::new();
    for row in rows {
        if !seeds.contains(&row.seeds) {
            seeds.push(row.seeds);
        }
    }
    // The mean of the seeds is the last one, if there are several.
    let Some(headline) = seeds.pop() else {
        return;
    };
    let other_titles: String = seeds.iter().map(|seed| format!(" seed {seed} |")).collect();
    let _ = write!(
        text,
        "\n| method | LDS, {} | ± |{other_titles} ÷ reach | seconds | peak MiB |\n| --- | --- | --- |{} --- | --- | --- |\n",
        match headline {
            SeedScope::Mean => "mean of the seeds".to_owned(),
            SeedScope::Seed(seed) => format!("seed {seed}"),
        },
        " --- |".repeat(seeds.len())
    );
    let headline_rows = rows.iter().filter(|row| row.seeds == headline);
    let mut headline_rows: Vec<&&LdsRow> = headline_rows.collect();
    headline_rows.sort_by(|a, b| b.lds.total_cmp(&a.lds));
    let attainable = ceiling.max_attainable.filter(|score| *score > 0.0);
    for row in headline_rows {
        let [low, high] = row.interval;
        let mut cells = vec![
            row.method.clone(),
            format!("{:.3} [{low:.3}, {high:.3}]", row.lds),
            format!("{:.3}", row.error),
        ];
        cells.extend(seeds.iter().map(|seed| {
            let mut rows = rows.iter();
            let row = rows.find(|other| other.method == row.method && other.seeds == *seed);
            cell(row.map(|row| format!("{:.3}", row.lds)))
        }));
        cells.push(cell(
            attainable.map(|attainable| format!("{:.2}", row.lds / attainable)),
        ));
        cells.push(plot::number(row.seconds));
        cells.push(cell(row.peak.map(|peak| format!("{peak:.0}"))));
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
}

fn cell(value: Option<String>) -> String {
    value.unwrap_or_else(|| "–".to_owned())
}

/// One line for each score and each ceiling.
fn rows_csv(evaluation: &LdsEvaluation) -> String {
    let mut csv = String::from(
        "functional,method,seed,lds,low_95,high_95,error_over_parts,seconds,peak_mib\n",
    );
    for row in &evaluation.rows {
        let words = [
            field(row.target.name()).into_owned(),
            field(&row.method).into_owned(),
            row.seeds.to_string(),
        ];
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
            ("reach", ceiling.max_attainable, None),
            ("evaluation", ceiling.evaluation, None),
        ];
        for (name, value, interval) in rows {
            if let Some(value) = value {
                let words =
                    [ceiling.target.name(), name, "ceiling"].map(|word| field(word).into_owned());
                let [low, high] = interval.unwrap_or([f64::NAN; 2]);
                let empty = f64::NAN;
                let numbers = [value, low, high, empty, empty, empty];
                line(&mut csv, &words, &numbers.map(number));
            }
        }
    }
    csv
}

/// One line for each method and functional.
fn functionals_csv(evaluation: &LdsEvaluation) -> String {
    let mut csv = String::from("functional,point,index,method,lds\n");
    for score in &evaluation.target_scores {
        let words = [
            score.target.name().to_owned(),
            score.point.to_string(),
            score.index.to_string(),
            field(&score.method).into_owned(),
        ];
        line(&mut csv, &words, &[number(score.lds)]);
    }
    csv
}

/// One line for each seed and functional, with the real values of all parts.
fn real_csv(evaluation: &LdsEvaluation) -> String {
    let first_rows = evaluation.real.iter().flat_map(|real| real.values.first());
    let parts = first_rows.map(Vec::len).max().unwrap_or_default();
    let mut csv = String::from("functional,seed,row");
    for part in 0..parts {
        let _ = write!(csv, ",part_{part}");
    }
    csv.push('\n');
    for real in &evaluation.real {
        let SeedScope::Seed(seed) = real.seeds else {
            continue;
        };
        for (row, values) in real.values.iter().enumerate() {
            let words = [
                real.target.name().to_owned(),
                seed.to_string(),
                row.to_string(),
            ];
            let numbers: Vec<String> = values.iter().map(|v| number(*v)).collect();
            line(&mut csv, &words, &numbers);
        }
    }
    csv
}

fn json_text(workspace: &Workspace<'_>, evaluation: &LdsEvaluation) -> String {
    let experiment = workspace.experiment;
    let value = json!({
        "datasway": env!("CARGO_PKG_VERSION"),
        "experiment": experiment.spec,
        "config": experiment.config,
        "images": experiment.images.len(),
        "fingerprint": experiment.images.fingerprint,
        "evaluation": {
            "design": evaluation.design,
            "rows": evaluation.rows.iter().map(row_value).collect::<Vec<_>>(),
            "ceilings": evaluation.ceilings.iter().map(ceiling_value).collect::<Vec<_>>(),
            "missing": missing(workspace, evaluation),
        },
    });
    format!("{value:#}\n")
}

fn row_value(row: &LdsRow) -> Value {
    json!({
        "functional": row.target,
        "method": row.method,
        "seed": row.seeds.to_string(),
        "lds": row.lds,
        "interval": row.interval,
        "error": row.error,
        "seconds": row.seconds,
        "peak": row.peak,
    })
}

fn ceiling_value(ceiling: &Ceiling) -> Value {
    json!({
        "functional": ceiling.target,
        "seeds": ceiling.seeds,
        "agreement": ceiling.agreement,
        "interval": ceiling.interval,
        "agreement_of_means": ceiling.agreement_of_means,
        "reach": ceiling.max_attainable,
        "evaluation": ceiling.evaluation,
    })
}
