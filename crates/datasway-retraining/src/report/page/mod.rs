//! The page of an evaluation: tables, plots, and the samples that moved most and least.

mod samples;
mod tables;

use std::collections::BTreeMap;

use datasway_fs::plain_plural as plural;
use datasway_report::{document, facts};
use maud::{Markup, PreEscaped, html};

use super::plots::Plot;
use super::view::View;
use crate::RetrainError;
use crate::jobs::Workspace;

/// The page as one HTML file without references to other files.
pub(super) fn page(
    workspace: &Workspace<'_>,
    view: &View<'_>,
    bandwidths: &BTreeMap<String, f64>,
    plots: &[Plot],
    photos: bool,
) -> Result<String, RetrainError> {
    let variants = view.variants();
    let names: Vec<&str> = variants
        .iter()
        .map(|variant| view.names().variant(*variant))
        .collect();
    let mut sections = Vec::new();
    for (i, &variant) in variants.iter().enumerate() {
        let samples = if photos {
            samples::panels(workspace, view, variant)?
        } else {
            html! {}
        };
        sections.push(html! {
            section id={ "variant-" (i) } {
                div.title {
                    h2 { (names[i]) }
                    span { "predicted from the base models alone" }
                }
                (tables::predictions(view, variant))
                (tables::by_direction(view, variant))
                div.figures {
                    @for plot in plots.iter().filter(|plot| plot.variant == variant) {
                        figure.panel { (PreEscaped(&plot.svg)) figcaption { (plot.caption) } }
                    }
                }
                (samples)
            }
        });
    }
    let title = &view.experiment.spec.name;
    let body = html! {
        header.top {
            h1 { (title) }
            p.lead {
                "How far predicted changes of samples agree with what the samples did when models were really trained on changed data."
            }
            @if names.len() > 1 {
                nav aria-label="Variants" {
                    @for (i, name) in names.iter().enumerate() { a href={ "#variant-" (i) } { (name) } }
                }
            }
            div.intro { (how_to_read(photos)) (facts(&run_facts(view, bandwidths))) }
            @for missing in &view.missing() { p.warning { "Not done yet: " (missing) "." } }
        }
        main { @for section in &sections { (section) } }
    };
    let css = [datasway_report::STYLE, include_str!("page.css")].concat();
    Ok(document(title, &css, &body))
}

/// Explanation of the numbers and pictures.
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

/// Names and values of the run.
fn run_facts(view: &View<'_>, bandwidths: &BTreeMap<String, f64>) -> Vec<(String, String)> {
    let experiment = view.experiment;
    let (spec, config) = (&experiment.spec, &experiment.config);
    let seeds: Vec<String> = spec.seeds.iter().map(u64::to_string).collect();
    let facts = [
        ("Data", spec.data.clone()),
        ("Training images", experiment.images.len().to_string()),
        ("Data fingerprint", experiment.images.fingerprint.clone()),
        (
            "Training",
            format!(
                "{} of batch {}",
                plural(config.steps() as usize, "step"),
                config.batch()
            ),
        ),
        ("Seeds", seeds.join(", ")),
        ("Samples", spec.samples.count.to_string()),
        ("Datasway", env!("CARGO_PKG_VERSION").to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value));
    let bandwidths = bandwidths.iter();
    let bandwidths = bandwidths.map(|(name, h)| (format!("h of {name}"), format!("{h:.2}")));
    facts.into_iter().chain(bandwidths).collect()
}
