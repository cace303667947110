//! The page: numbers, plots, and the samples that moved most and least.

mod numbers;
mod pictures;

use std::collections::BTreeMap;

use datasway_report::{document, facts};
use maud::{Markup, PreEscaped, html};

use crate::RetrainError;
use crate::evaluation::Evaluation;
use crate::execute::Executor;

use super::plots::Plot;
use super::variants;

/// One HTML file that loads nothing from anywhere.
pub fn page(
    executor: &Executor<'_>,
    evaluation: &Evaluation,
    bandwidths: &BTreeMap<String, f64>,
    plots: &[Plot],
    photos: bool,
) -> Result<String, RetrainError> {
    let experiment = &executor.setup.experiment;
    let variants = variants(executor, evaluation);
    let mut sections = Vec::new();
    for (i, variant) in variants.iter().enumerate() {
        let pictures = match photos {
            true => pictures::pictures(executor, evaluation, variant)?,
            false => html! {},
        };
        sections.push(html! {
            section id={ "variant-" (i) } {
                div.title {
                    h2 { (variant) }
                    span { "predicted from the base models alone" }
                }
                (numbers::pooled(executor, evaluation, variant))
                (numbers::by_direction(executor, evaluation, variant))
                div.figures {
                    @for plot in plots.iter().filter(|plot| plot.variant == *variant) {
                        figure.panel { (PreEscaped(&plot.svg)) figcaption { (plot.caption) } }
                    }
                }
                (pictures)
            }
        });
    }
    let body = html! {
        header.top {
            h1 { (experiment.name) }
            p.lead {
                "How far predicted changes of samples agree with what the samples did when models were really trained on changed data."
            }
            @if variants.len() > 1 {
                nav aria-label="Variants" {
                    @for (i, variant) in variants.iter().enumerate() { a href={ "#variant-" (i) } { (variant) } }
                }
            }
            div.intro { (how_to_read(photos)) (facts(&of_run(executor, bandwidths))) }
            @for missing in &evaluation.missing { p.warning { "Not done yet: " (missing) "." } }
        }
        main { @for section in &sections { (section) } }
    };
    let css = [datasway_report::STYLE, include_str!("page.css")].concat();
    Ok(document(&experiment.name, &css, &body))
}

fn how_to_read(photos: bool) -> Markup {
    html! {
        div.panel {
            h3 { "How to read this page" }
            p {
                "For one noise, the base model makes one picture and a model of the changed data another: their difference is the real change. "
                "The prediction knows the base model and the changed images, and no other training."
            }
            dl {
                dt { "correlation" }
                dd { "Of the pixels of a sample’s predicted and real change; the number is the median over samples, the bar its 95 % interval. 0 says nothing, 1 all." }
                dt { "ceiling" }
                dd { "How far the change with one seed agrees with the change with another: what is no noise of training. Its square root is what a perfect prediction would reach; a shared base model can lift one above that." }
                dt { "next seed" }
                dd { "The prediction from one base model against the change of another one: free of what both sides share." }
                dt { "÷ √ceiling" }
                dd { "The correlation with the noise of training taken out." }
                dt { "precision" }
                dd { "Of the tenth of samples predicted to move most, the part that does. 0.1 is chance." }
                dt { "slope" }
                dd { "Of real on predicted changes for a typical sample: 1 where sizes are right." }
                @if photos {
                    dt { "pictures" }
                    dd { "Before, as predicted (drawn as far as the sample really moved; the factor is in the caption), after." }
                }
            }
        }
    }
}

fn of_run(executor: &Executor<'_>, bandwidths: &BTreeMap<String, f64>) -> Vec<(String, String)> {
    let setup = executor.setup;
    let (experiment, config) = (&setup.experiment, &setup.config);
    let seeds: Vec<String> = experiment.seeds.iter().map(u64::to_string).collect();
    let facts = [
        ("Data", experiment.data.clone()),
        ("Training images", setup.images.len().to_string()),
        ("Data fingerprint", setup.images.fingerprint.clone()),
        (
            "Training",
            format!("{} steps of batch {}", config.steps, config.batch),
        ),
        ("Seeds", seeds.join(", ")),
        ("Samples", experiment.samples.count.to_string()),
        ("Datasway", env!("CARGO_PKG_VERSION").to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value));
    let chosen = bandwidths.iter();
    let chosen = chosen.map(|(name, h)| (format!("h of {name}"), format!("{h:.2}")));
    facts.into_iter().chain(chosen).collect()
}
