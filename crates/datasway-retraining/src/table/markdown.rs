//! The tables, to be read.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::evaluation::{CEILING, Evaluation, Row};
use crate::execute::Executor;
use crate::traits::MovementCorrelates;
use datasway_stats::fast_median as median;

use super::{choice, headline, judged, pool, pool_words, variants};

/// All tables of an experiment, and the bandwidths that were chosen by the images.
pub fn table(
    executor: &Executor<'_>,
    evaluation: &Evaluation,
    bandwidths: &BTreeMap<String, f64>,
) -> String {
    let setup = executor.setup;
    let (experiment, config) = (&setup.experiment, &setup.config);
    let seeds: Vec<String> = experiment.seeds.iter().map(u64::to_string).collect();
    let mut text = format!(
        "# {}\n\n{} images of {} (fingerprint {}), {} steps of batch {}, {} samples, seeds {}.\n",
        experiment.name,
        setup.images.len(),
        experiment.data,
        &setup.images.fingerprint[..16],
        config.steps,
        config.batch,
        experiment.samples.count,
        seeds.join(", ")
    );
    // Writing to a String cannot fail, here and below.
    for (name, h) in bandwidths {
        let _ = write!(text, "\n{name}: the images choose h = {h:.2}.\n");
    }
    for missing in &evaluation.missing {
        let _ = write!(text, "\nNot done yet: {missing}.\n");
    }
    for variant in variants(executor, evaluation) {
        let _ = write!(text, "\n## {variant}\n");
        predictions(&mut text, executor, evaluation, variant);
        directions(&mut text, executor, evaluation, variant);
        tests(&mut text, executor, evaluation, variant);
        linearity(&mut text, evaluation, variant);
        quarters(&mut text, executor, evaluation, variant);
        traits(&mut text, executor, evaluation, variant);
    }
    text
}

/// The names of the rows: predictions, then the ceiling where there is one.
fn names(executor: &Executor<'_>, evaluation: &Evaluation) -> Vec<String> {
    let mut names = executor.setup.experiment.predictions();
    if evaluation.rows.iter().any(|row| row.prediction == CEILING) {
        names.push(CEILING.to_owned());
    }
    names
}

fn predictions(text: &mut String, executor: &Executor<'_>, evaluation: &Evaluation, variant: &str) {
    let (pool, headline) = (pool(executor), headline(evaluation, variant));
    let of = |row: &&Row| row.subject.variant == variant && row.subject.direction == pool;
    let rows: Vec<&Row> = evaluation.rows.iter().filter(of).collect();
    let mut seeds: Vec<&str> = Vec::new();
    for row in &rows {
        if !seeds.contains(&row.subject.seed.as_str()) {
            seeds.push(&row.subject.seed);
        }
    }
    seeds.retain(|seed| *seed != headline);
    let others: String = seeds.iter().map(|seed| format!(" seed {seed} |")).collect();
    let rules: String = seeds.iter().map(|_| " --- |").collect();
    let title = match headline.as_str() {
        "mean" => "mean of the seeds".to_owned(),
        seed => format!("seed {seed}"),
    };
    let ceiling = rows.iter().find(|row| row.subject.seed == headline);
    let ceiling = ceiling.and_then(|row| row.ceiling);
    let _ = write!(
        text,
        "\nMedian correlation of predicted and real change of each sample, with its bootstrap 95 % interval; \
         all directions {}.{}\n\n\
         | prediction | {title} | quartiles |{others} next seed | ÷ √ceiling | Spearman of norms | precision at 10 % | slope | median slope |\n\
         | --- | --- | --- |{rules} --- | --- | --- | --- | --- | --- |\n",
        pool_words(pool),
        ceiling.map_or(String::new(), |c| format!(" Ceiling: {c:.2}."))
    );
    for name in names(executor, evaluation) {
        let of_seed = |seed: &str| {
            let mut rows = rows.iter();
            rows.find(|row| row.prediction == name && row.subject.seed == seed)
        };
        let main = of_seed(&headline);
        let cell = |value: Option<String>| value.unwrap_or_else(|| "–".to_owned());
        let number = |f: &dyn Fn(&Row) -> f64| cell(main.map(|row| format!("{:.2}", f(row))));
        let interval = |row: &Row| {
            let [low, high] = row.summary.interval;
            format!("{:.2} [{low:.2}, {high:.2}]", row.summary.median)
        };
        let mut cells = vec![
            cell(main.map(|row| interval(row))),
            cell(main.map(|row| {
                let [low, high] = row.summary.quartiles;
                format!("{low:.2} to {high:.2}")
            })),
        ];
        cells.extend(
            seeds
                .iter()
                .map(|seed| cell(of_seed(seed).map(|row| interval(row)))),
        );
        for value in [
            main.and_then(|row| row.next_seed),
            main.and_then(|row| row.disattenuated),
        ] {
            cells.push(cell(value.map(|c| format!("{c:.2}"))));
        }
        cells.push(number(&|row| row.summary.spearman));
        cells.push(number(&|row| row.summary.precision));
        cells.push(cell(
            main.map(|row| datasway_report::plot::number(row.summary.slope)),
        ));
        cells.push(cell(main.map(|row| {
            datasway_report::plot::number(row.summary.median_slope)
        })));
        let _ = writeln!(text, "| {name} | {} |", cells.join(" | "));
    }
    if let Some(choice) = choice(evaluation, variant) {
        let _ = write!(text, "\n{choice}\n");
    }
}

fn directions(text: &mut String, executor: &Executor<'_>, evaluation: &Evaluation, variant: &str) {
    let headline = headline(evaluation, variant);
    let names = executor.setup.experiment.predictions();
    let _ = write!(
        text,
        "\nMedian correlation by direction.\n\n| direction | images | size of the change | ceiling | {} |\n|{}\n",
        names.join(" | "),
        " --- |".repeat(names.len() + 4)
    );
    let changes = executor.setup.changes.iter();
    let mut lines: Vec<(String, &str, String)> = changes
        .map(|change| {
            let mark = if change.direction.tuning {
                " (tuning)"
            } else {
                ""
            };
            (
                change.direction.name(),
                mark,
                change.images.len().to_string(),
            )
        })
        .collect();
    for kind in ["added", "removed"] {
        lines.push((kind.to_owned(), ", all that judge", "–".to_owned()));
    }
    for (direction, mark, images) in lines {
        let row = |name: &str| {
            evaluation.rows.iter().find(|row| {
                row.prediction == name
                    && row.subject.variant == variant
                    && row.subject.seed == headline
                    && row.subject.direction == direction
            })
        };
        let rows: Option<Vec<&Row>> = names.iter().map(|name| row(name)).collect();
        let Some(rows) = rows else { continue };
        let medians = rows.iter().map(|row| format!("{:.2}", row.summary.median));
        let ceiling = rows[0]
            .ceiling
            .map_or("–".to_owned(), |c| format!("{c:.2}"));
        let _ = writeln!(
            text,
            "| {direction}{mark} | {images} | {} | {ceiling} | {} |",
            datasway_report::plot::number(rows[0].summary.real_norm),
            medians.collect::<Vec<_>>().join(" | ")
        );
    }
}

fn tests(text: &mut String, executor: &Executor<'_>, evaluation: &Evaluation, variant: &str) {
    let (pool, headline) = (pool(executor), headline(evaluation, variant));
    let tests = evaluation.tests.iter().filter(|test| {
        let subject = &test.subject;
        subject.variant == variant && subject.seed == headline && subject.direction == pool
    });
    let mut tests = tests.peekable();
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
            test.estimator, test.baseline, test.difference, test.p
        );
    }
}

fn linearity(text: &mut String, evaluation: &Evaluation, variant: &str) {
    let pairs = evaluation
        .linearity
        .iter()
        .filter(|pair| pair.variant == variant);
    let mut pairs = pairs.peekable();
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
            pair.seed, pair.small, pair.large, pair.median, pair.slope
        );
    }
}

fn quarters(text: &mut String, executor: &Executor<'_>, evaluation: &Evaluation, variant: &str) {
    let seed = headline(evaluation, variant);
    text.push_str(
        "\nMedian correlation by how far samples really moved, in quarters of each judged direction.\n\n\
         | prediction | least | | | most |\n| --- | --- | --- | --- | --- |\n",
    );
    for name in executor.setup.experiment.predictions() {
        let details = judged(executor, evaluation, variant, &name);
        let mut quarters = [const { Vec::new() }; 4];
        for detail in details.filter(|detail| detail.subject.seed == seed) {
            let parts = quarters.iter_mut().zip(detail.comparison.quarters());
            parts.for_each(|(all, part)| all.extend(part));
        }
        let cells = quarters.map(|quarter| match quarter.is_empty() {
            true => "–".to_owned(),
            false => format!("{:.2}", median(&quarter)),
        });
        let _ = writeln!(text, "| {name} | {} |", cells.join(" | "));
    }
}

fn traits(text: &mut String, executor: &Executor<'_>, evaluation: &Evaluation, variant: &str) {
    text.push_str(
        "\nWhich samples move far: Spearman's correlation of the norm of the real change with the sample's distance to the \
         nearest training image, its distance to the nearest image of ν, the difference between that and the distance to the \
         nearest image of the rest (0 on the boundary), and the largest log r on its path; mean of the seeds.\n\n\
         | direction | outlier | distance to ν | distance to the boundary | log r |\n| --- | --- | --- | --- | --- |\n",
    );
    for change in &executor.setup.changes {
        let direction = change.direction.name();
        let of = |traits: &&MovementCorrelates| {
            traits.variant == variant && traits.direction == direction
        };
        let rows: Vec<&MovementCorrelates> = evaluation.traits.iter().filter(of).collect();
        let mean = |value: &dyn Fn(&MovementCorrelates) -> f64| {
            let mean = rows.iter().map(|traits| value(traits)).sum::<f64>() / rows.len() as f64;
            format!("{mean:.2}")
        };
        let cells = [
            mean(&|t| t.outlier),
            mean(&|t| t.distance),
            mean(&|t| t.margin),
            mean(&|t| t.log_ratio),
        ];
        let _ = writeln!(text, "| {direction} | {} |", cells.join(" | "));
    }
}
