//! The tables of an evaluation as Markdown.

use std::collections::BTreeMap;
use std::fmt::Write;

use datasway_fs::plain_plural as plural;
use datasway_report::plot;
use datasway_stats::fast_median as median;

use super::view::View;
use crate::evaluation::agreement::AgreementRow;
use crate::evaluation::comparison::Summary;
use crate::evaluation::correlates::MovementCorrelates;
use crate::evaluation::{DirectionScope, Predictor, Scope, SeedScope};

/// Cell without a value.
const NO_VALUE: &str = "–";

/// All tables of an experiment, and the bandwidths that were selected by the images.
// Writing to a String cannot fail, here and below.
pub(super) fn tables(view: &View<'_>, bandwidths: &BTreeMap<String, f64>) -> String {
    let experiment = view.experiment;
    let (spec, config) = (&experiment.spec, &experiment.config);
    let seeds: Vec<String> = spec.seeds.iter().map(u64::to_string).collect();
    let mut text = format!(
        "# {}\n\n{} of {} (fingerprint {}), {} of batch {}, {}, seeds {}.\n",
        spec.name,
        plural(experiment.images.len(), "image"),
        spec.data,
        &experiment.images.fingerprint[..16],
        plural(config.steps() as usize, "step"),
        config.batch(),
        plural(spec.samples.count, "sample"),
        seeds.join(", ")
    );
    for (name, h) in bandwidths {
        let _ = write!(text, "\n{name}: the images choose h = {h:.2}.\n");
    }
    for missing in view.missing() {
        let _ = write!(text, "\nNot done yet: {missing}.\n");
    }
    for variant in view.variants() {
        let _ = write!(text, "\n## {}\n", view.names().variant(variant));
        predictions(&mut text, view, variant);
        directions(&mut text, view, variant);
        tests(&mut text, view, variant);
        linearity(&mut text, view, variant);
        quarters(&mut text, view, variant);
        concord(&mut text, view, variant);
        correlates(&mut text, view, variant);
    }
    text
}

/// The main table: one row for each predictor, over all directions of the main tables.
fn predictions(text: &mut String, view: &View<'_>, variant: usize) {
    let scope = view.headline(variant);
    let other_seeds = view.other_seeds(variant);
    let other_titles: String = other_seeds
        .iter()
        .map(|seed| format!(" seed {seed} |"))
        .collect();
    let title = match scope.seeds {
        SeedScope::Mean => "mean of the seeds".to_owned(),
        SeedScope::Seed(seed) => format!("seed {seed}"),
    };
    let mut rows = view.evaluation.rows.iter();
    let ceiling = rows.find(|row| row.scope == scope);
    let ceiling = ceiling.and_then(|row| row.ceiling);
    let _ = write!(
        text,
        "\nMedian correlation of predicted and real change of each sample, with its bootstrap 95 % interval; \
         all directions {}.{}\n\n\
         | prediction | {title} | quartiles |{other_titles} next seed | ÷ √ceiling | Spearman of norms | precision at 10 % | slope | median slope |\n\
         | --- | --- | --- |{} --- | --- | --- | --- | --- | --- |\n",
        view.headline_directions_phrase(),
        ceiling.map_or(String::new(), |c| format!(" Ceiling: {c:.2}.")),
        " --- |".repeat(other_seeds.len()),
    );
    for predictor in predictors_with_ceiling(view) {
        let name = view.names().predictor(predictor);
        let cells = prediction_cells(view, scope, &other_seeds, predictor);
        let _ = writeln!(text, "| {name} | {} |", cells.join(" | "));
    }
    if let Some(sentence) = view.selection_sentence(variant) {
        let _ = write!(text, "\n{sentence}\n");
    }
}

/// The predictors of the main table: the noise ceiling is last, if there is one.
fn predictors_with_ceiling(view: &View<'_>) -> Vec<Predictor> {
    let mut predictors = view.predictors();
    let mut rows = view.evaluation.rows.iter();
    if rows.any(|row| row.predictor == Predictor::OtherSeed) {
        predictors.push(Predictor::OtherSeed);
    }
    predictors
}

/// The cells of one predictor in the main table.
fn prediction_cells(
    view: &View<'_>,
    scope: Scope,
    other_seeds: &[SeedScope],
    predictor: Predictor,
) -> Vec<String> {
    let row = view.evaluation.row(scope, predictor);
    let summary = row.map(|row| &row.summary);
    let other_seeds = other_seeds.iter().map(|&seeds| {
        let row = view.evaluation.row(Scope { seeds, ..scope }, predictor);
        cell(row.map(|row| median_with_interval(&row.summary)))
    });
    let mut cells = vec![
        cell(summary.map(median_with_interval)),
        cell(summary.map(quartiles)),
    ];
    cells.extend(other_seeds);
    cells.extend([
        two_decimals(row.and_then(|row| row.next_seed)),
        two_decimals(row.and_then(|row| row.disattenuated)),
        two_decimals(summary.map(|summary| summary.spearman)),
        two_decimals(summary.map(|summary| summary.precision)),
        cell(summary.map(|summary| plot::number(summary.slope))),
        cell(summary.map(|summary| plot::number(summary.median_slope))),
    ]);
    cells
}

fn cell(value: Option<String>) -> String {
    value.unwrap_or_else(|| NO_VALUE.to_owned())
}

fn two_decimals(value: Option<f64>) -> String {
    cell(value.map(|value| format!("{value:.2}")))
}

fn median_with_interval(summary: &Summary) -> String {
    let [low, high] = summary.interval;
    format!("{:.2} [{low:.2}, {high:.2}]", summary.median)
}

fn quartiles(summary: &Summary) -> String {
    let [low, high] = summary.quartiles;
    format!("{low:.2} to {high:.2}")
}

/// The median correlation of every predictor in every direction, and over the additions and the removals.
fn directions(text: &mut String, view: &View<'_>, variant: usize) {
    let predictors = view.predictors();
    let names: Vec<String> = predictors
        .iter()
        .map(|predictor| view.names().predictor(*predictor))
        .collect();
    let _ = write!(
        text,
        "\nMedian correlation by direction.\n\n| direction | images | size of the change | ceiling | {} |\n|{}\n",
        names.join(" | "),
        " --- |".repeat(names.len() + 4)
    );
    let single = view.experiment.directions.iter().enumerate();
    let single = single.map(|(k, direction)| {
        let mark = if direction.spec.validation {
            " (tuning)"
        } else {
            ""
        };
        let images = direction.images.len().to_string();
        (DirectionScope::One(k), mark, images)
    });
    let pools = [DirectionScope::Added, DirectionScope::Removed];
    let pools = pools.map(|pool| (pool, ", all that judge", NO_VALUE.to_owned()));
    for (scope, mark, images) in single.chain(pools) {
        let rows = predictors.iter();
        let rows = rows.map(|predictor| view.headline_row(variant, scope, *predictor));
        let Some(rows) = rows.collect::<Option<Vec<&AgreementRow>>>() else {
            continue;
        };
        let medians = rows.iter().map(|row| format!("{:.2}", row.summary.median));
        let _ = writeln!(
            text,
            "| {}{mark} | {images} | {} | {} | {} |",
            view.names().directions(scope),
            plot::number(rows[0].summary.real_norm),
            two_decimals(rows[0].ceiling),
            medians.collect::<Vec<_>>().join(" | ")
        );
    }
}

/// The paired tests of estimators against baselines.
fn tests(text: &mut String, view: &View<'_>, variant: usize) {
    let scope = view.headline(variant);
    let tests = view.evaluation.tests.iter();
    let mut tests = tests.filter(|test| test.scope == scope).peekable();
    if tests.peek().is_none() {
        return;
    }
    text.push_str(
        "\nPaired differences of the correlation, sample by sample.\n\n\
         | estimator | baseline | median difference | Wilcoxon p |\n| --- | --- | --- | --- |\n",
    );
    for test in tests {
        let [low, high] = test.interval;
        let _ = writeln!(
            text,
            "| {} | {} | {:.2} [{low:.2}, {high:.2}] | {:.1e} |",
            view.names().estimator(test.estimator),
            view.names().baseline(test.baseline),
            test.difference,
            test.p
        );
    }
}

/// The linearity of real changes in the mass.
fn linearity(text: &mut String, view: &View<'_>, variant: usize) {
    let pairs = view.evaluation.linearity.iter();
    let mut pairs = pairs.filter(|pair| pair.variant == variant).peekable();
    if pairs.peek().is_none() {
        return;
    }
    text.push_str(
        "\nReal changes by different masses of the same images: their correlation, and the slope of the larger on the \
         smaller times the ratio of masses (1 where changes are linear and free of noise).\n\n\
         | seed | smaller | larger | median correlation | slope |\n| --- | --- | --- | --- | --- |\n",
    );
    for pair in pairs {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {:.2} | {:.2} |",
            pair.seeds,
            view.names().direction(pair.small),
            view.names().direction(pair.large),
            pair.median,
            pair.slope
        );
    }
}

/// The median correlation in quarters of the samples by the size of the real change.
fn quarters(text: &mut String, view: &View<'_>, variant: usize) {
    let seeds = view.headline_seeds(variant);
    text.push_str(
        "\nMedian correlation by how far samples really moved, in quarters of each judged direction.\n\n\
         | prediction | least | | | most |\n| --- | --- | --- | --- | --- |\n",
    );
    for predictor in view.predictors() {
        let comparisons = view.headline_comparisons(variant, predictor);
        let mut quarters = [const { Vec::new() }; 4];
        for entry in comparisons.filter(|entry| entry.scope.seeds == seeds) {
            let pairs = quarters.iter_mut().zip(entry.comparison.quarters());
            pairs.for_each(|(correlations, quarter)| correlations.extend(quarter));
        }
        let cells = quarters.map(|correlations| {
            two_decimals((!correlations.is_empty()).then(|| median(&correlations)))
        });
        let name = view.names().predictor(predictor);
        let _ = writeln!(text, "| {name} | {} |", cells.join(" | "));
    }
}

/// The agreement of the parts of combinations as a sign of their correctness.
fn concord(text: &mut String, view: &View<'_>, variant: usize) {
    let seeds = view.headline_seeds(variant);
    let rows = view.evaluation.concord.iter();
    let mut rows = rows
        .filter(|row| row.variant == variant && row.seeds == seeds)
        .peekable();
    if rows.peek().is_none() {
        return;
    }
    text.push_str(
        "\nDoes the agreement of two predictions tell how right they are? Median correlation of the parts; Spearman's correlation over \
         samples of that with the correlation of their sum and the real change; and the median of the latter in quarters of the \
         samples by the agreement of the parts. Mean of the judged directions.\n\n\
         | sum | agreement of the parts | Spearman | least agreement | | | most |\n| --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for row in rows {
        let quarters = row
            .quarters
            .map(|median| format!("{median:.2}"))
            .join(" | ");
        let _ = writeln!(
            text,
            "| {} | {:.2} | {:.2} | {quarters} |",
            view.names().estimator(row.combination),
            row.agreement,
            row.spearman
        );
    }
}

/// The correlates of the real change, averaged over seeds.
fn correlates(text: &mut String, view: &View<'_>, variant: usize) {
    text.push_str(
        "\nWhich samples move far: Spearman's correlation of the norm of the real change with the sample's distance to the \
         nearest training image, its distance to the nearest image of ν, the difference between that and the distance to the \
         nearest image of the rest (0 on the boundary), and the largest log r on its path; mean of the seeds.\n\n\
         | direction | outlier | distance to ν | distance to the boundary | log r |\n| --- | --- | --- | --- | --- |\n",
    );
    for direction in 0..view.experiment.directions.len() {
        let rows: Vec<&MovementCorrelates> = view
            .evaluation
            .correlates
            .iter()
            .filter(|row| row.variant == variant && row.direction == direction)
            .collect();
        let mean = |value: &dyn Fn(&MovementCorrelates) -> f64| {
            let mean = rows.iter().map(|row| value(row)).sum::<f64>() / rows.len() as f64;
            format!("{mean:.2}")
        };
        let has_log_ratio = rows.iter().all(|row| row.log_ratio.is_some());
        let log_ratio = if has_log_ratio {
            mean(&|row| row.log_ratio.unwrap_or_default())
        } else {
            "–".to_owned()
        };
        let cells = [
            mean(&|row| row.outlier),
            mean(&|row| row.distance),
            mean(&|row| row.margin),
            log_ratio,
        ];
        let name = view.names().direction(direction);
        let _ = writeln!(text, "| {name} | {} |", cells.join(" | "));
    }
}
