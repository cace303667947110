//! The tables of the page.

use datasway_report::plot::number;
use maud::{Markup, html};

use super::super::view::View;
use crate::evaluation::agreement::AgreementRow;
use crate::evaluation::{DirectionScope, Predictor};

/// Every predictor over the directions of the main tables, with its interval as a bar.
pub(super) fn predictions(view: &View<'_>, variant: usize) -> Markup {
    let scope = view.headline(variant);
    let rows = view.evaluation.rows.iter();
    let rows: Vec<&AgreementRow> = rows.filter(|row| row.scope == scope).collect();
    let ceiling = rows.first().and_then(|row| row.ceiling);
    html! {
        div.panel.numbers {
            h3 { "Median correlation, all directions " (view.headline_directions_phrase()) }
            table {
                thead { tr {
                    th scope="col" { "prediction" } th scope="col" { "0" span.end { "1" } } th scope="col" { "median" } th scope="col" { "95 %" }
                    th scope="col" { "next seed" } th scope="col" { "÷ √ceiling" } th scope="col" { "Spearman of norms" }
                    th scope="col" { "precision at 10 %" } th scope="col" { "slope" }
                } }
                tbody {
                    @for row in rows.iter().filter(|row| row.predictor != Predictor::OtherSeed) {
                        tr {
                            th scope="row" { (view.names().predictor(row.predictor)) }
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
            @if let Some(sentence) = view.selection_sentence(variant) { p.below { (sentence) } }
        }
    }
}

/// The median of every predictor in every direction, in darker cells where it is higher.
pub(super) fn by_direction(view: &View<'_>, variant: usize) -> Markup {
    let predictors = view.predictors();
    html! {
        div.panel.numbers {
            h3 { "Median correlation by direction" }
            table.shaded {
                thead { tr {
                    th scope="col" { "direction" } th scope="col" { "images" } th scope="col" { "ceiling" }
                    @for predictor in &predictors { th scope="col" { (view.names().predictor(*predictor)) } }
                } }
                tbody {
                    @for (k, direction) in view.experiment.directions.iter().enumerate() {
                        @let row = |predictor| view.headline_row(variant, DirectionScope::One(k), predictor);
                        tr {
                            th scope="row" { (direction.spec.name()) @if direction.spec.validation { " (tuning)" } }
                            td { (direction.images.len()) }
                            td { (row(predictors[0]).and_then(|row| row.ceiling).map_or("–".to_owned(), two)) }
                            @for predictor in &predictors {
                                @match row(*predictor) {
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

/// Median and interval on a line from 0 to 1, with the square root of the ceiling across it.
fn bar(row: &AgreementRow, ceiling: Option<f64>) -> Markup {
    let [low, high] = row.summary.interval.map(|end| end.clamp(0.0, 1.0));
    html! {
        div.bar {
            i style={ "left:" (percent(low)) ";width:" (percent(high - low)) } {}
            b style={ "left:" (percent(row.summary.median)) } {}
            @if let Some(ceiling) = ceiling { u style={ "left:" (percent(ceiling.max(0.0).sqrt())) } {} }
        }
    }
}

/// A fraction as a percentage of CSS.
fn percent(fraction: f64) -> String {
    format!("{:.1}%", 100.0 * fraction.clamp(0.0, 1.0))
}

/// A number with two decimals and a minus sign.
fn two(value: f64) -> String {
    format!("{value:.2}")
        .replace('-', "−")
        .replace("−0.00", "0.00")
}
