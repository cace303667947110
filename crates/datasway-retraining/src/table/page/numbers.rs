//! The numbers of the page.

use datasway_report::plot::number;
use maud::{Markup, html};

use crate::evaluation::{CEILING, Evaluation, Row};
use crate::execute::Executor;

use super::super::{choice, headline, pool, pool_words};

/// Every prediction over all directions that judge, with its interval as a bar.
pub fn pooled(executor: &Executor<'_>, evaluation: &Evaluation, variant: &str) -> Markup {
    let pool = pool(executor);
    let rows: Vec<&Row> = of(evaluation, variant, pool).collect();
    let ceiling = rows.first().and_then(|row| row.ceiling);
    html! {
        div.panel.numbers {
            h3 { "Median correlation, all directions " (pool_words(pool)) }
            table {
                thead { tr {
                    th scope="col" { "prediction" } th scope="col" { "0" span.end { "1" } } th scope="col" { "median" } th scope="col" { "95 %" }
                    th scope="col" { "next seed" } th scope="col" { "÷ √ceiling" } th scope="col" { "Spearman of norms" }
                    th scope="col" { "precision at 10 %" } th scope="col" { "slope" }
                } }
                tbody {
                    @for row in rows.iter().filter(|row| row.prediction != CEILING) {
                        tr {
                            th scope="row" { (row.prediction) }
                            td { (bar(row, ceiling)) }
                            td { b { (two(row.summary.median)) } }
                            td { (two(row.summary.interval[0])) " to " (two(row.summary.interval[1])) }
                            td { (row.next_seed.map_or("–".to_owned(), two)) }
                            td { (row.disattenuated.map_or("–".to_owned(), two)) }
                            td { (two(row.summary.spearman)) }
                            td { (two(row.summary.precision)) }
                            td { (number(row.summary.median_slope)) }
                        }
                    }
                }
            }
            @if let Some(ceiling) = ceiling {
                p.below { "Ceiling " (two(ceiling)) "; its square root, " (two(ceiling.max(0.0).sqrt())) ", is the line through the bars." }
            }
            @if let Some(choice) = choice(evaluation, variant) { p.below { (choice) } }
        }
    }
}

/// The median of every prediction in every direction, darker where it is higher.
pub fn by_direction(executor: &Executor<'_>, evaluation: &Evaluation, variant: &str) -> Markup {
    let experiment = &executor.setup.experiment;
    let predictions = experiment.predictions();
    html! {
        div.panel.numbers {
            h3 { "Median correlation by direction" }
            table.shaded {
                thead { tr {
                    th scope="col" { "direction" } th scope="col" { "images" } th scope="col" { "ceiling" }
                    @for prediction in &predictions { th scope="col" { (prediction) } }
                } }
                tbody {
                    @for change in &executor.setup.changes {
                        @let name = change.direction.name();
                        @let rows: Vec<&Row> = of(evaluation, variant, &name).collect();
                        tr {
                            th scope="row" { (name) @if change.direction.tuning { " (tuning)" } }
                            td { (change.images.len()) }
                            td { (rows.first().and_then(|row| row.ceiling).map_or("–".to_owned(), two)) }
                            @for prediction in &predictions {
                                @match rows.iter().find(|row| row.prediction == *prediction) {
                                    Some(row) => td style={ "--part:" (percent(row.summary.median)) } { (two(row.summary.median)) },
                                    None => td { "–" },
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The rows of a variant's headline seed in one direction.
fn of<'a>(
    evaluation: &'a Evaluation,
    variant: &'a str,
    direction: &'a str,
) -> impl Iterator<Item = &'a Row> {
    let seed = headline(evaluation, variant);
    evaluation.rows.iter().filter(move |row| {
        let subject = &row.subject;
        subject.variant == variant && subject.seed == seed && subject.direction == direction
    })
}

/// Median and interval on a line from 0 to 1, with the square root of the ceiling across it.
fn bar(row: &Row, ceiling: Option<f64>) -> Markup {
    let [low, high] = row.summary.interval.map(|end| end.clamp(0.0, 1.0));
    html! {
        div.bar {
            i style={ "left:" (percent(low)) ";width:" (percent(high - low)) } {}
            b style={ "left:" (percent(row.summary.median)) } {}
            @if let Some(ceiling) = ceiling { u style={ "left:" (percent(ceiling.max(0.0).sqrt())) } {} }
        }
    }
}

fn percent(part: f64) -> String {
    format!("{:.1}%", 100.0 * part.clamp(0.0, 1.0))
}

/// Two decimals, and a proper minus.
fn two(value: f64) -> String {
    format!("{value:.2}")
        .replace('-', "−")
        .replace("−0.00", "0.00")
}
