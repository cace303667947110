//! The page of a ranking: one HTML file with every picture and plot inside it.
//!
//! It has no script, no request and no font, so it opens from a disk, a mail or an archive. Small pictures are embedded at
//! their own resolution and enlarged by the browser. Cards off screen are not laid out, so 256 samples stay quick.

mod card;
mod section;
#[cfg(test)]
mod synthetic;
#[cfg(test)]
mod tests;

use std::path::Path;

use datasway_fs::plural;
use datasway_report::{Picture, ReportError, STYLE, document, facts};
use datasway_sensitivity::ranking::Warning;
use datasway_sensitivity::{
    Change, RankedDirection, RankedSample, RankedSensitivities, Sensitivities,
};
use maud::{Markup, html};

use super::run::{RankRun, zero_check_text};
use crate::given_picture::GivenPicture;
pub use card::SampleCard;
pub use section::DirectionSection;

/// The page of a ranking.
#[derive(Debug, Clone, Default)]
pub struct SensitivityPage<'a> {
    /// The heading.
    pub title: String,
    /// One or two sentences under the heading: the model, the data, the number of samples.
    pub summary: String,
    /// Names and values of the run, in the order of the table.
    pub facts: Vec<(String, String)>,
    /// One section per direction, in this order.
    pub directions: Vec<DirectionSection<'a>>,
}

impl SensitivityPage<'_> {
    /// The page as HTML.
    ///
    /// # Errors
    /// If a picture's values do not fill its shape, or a plot cannot be drawn.
    pub fn render(&self) -> Result<String, ReportError> {
        let sections = self
            .directions
            .iter()
            .enumerate()
            .map(|(i, direction)| direction.render(i))
            .collect::<Result<Vec<_>, _>>()?;
        let mut cards = self.directions.iter().flat_map(|d| &d.cards);
        let limits = cards.clone().any(|card| card.limit.is_some());
        let ratios = cards.clone().any(|card| !card.log_ratio.is_empty());
        let draw_noises = cards.clone().any(|card| card.draw_noise.is_some());
        let agreements = cards.clone().any(|card| card.agreement.is_some());
        let finite = self.directions.iter().any(|d| d.mass.is_some());
        let residuals = cards.any(|card| card.residual.is_some_and(|residual| residual != 0.0));
        let contents = CardContents {
            finite,
            limits,
            residuals,
            ratios,
            agreements,
            draw_noises,
        };
        let body = html! {
            header.top {
                h1 { (self.title) }
                p.lead { (self.summary) }
                @if self.directions.len() > 1 {
                    nav aria-label="Directions" {
                        @for (i, d) in self.directions.iter().enumerate() { a href={ "#direction-" (i) } { (d.label()) } }
                    }
                }
                div.intro { (how_to_read(contents)) (facts(&self.facts)) }
            }
            main { @for section in &sections { (section) } }
        };
        Ok(document(&self.title, STYLE, &body))
    }

    /// Renders the page and writes it, complete or not at all.
    ///
    /// # Errors
    /// As [`render`](Self::render), or if the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), ReportError> {
        Ok(datasway_fs::write(path, self.render()?.as_bytes())?)
    }
}

/// The page of results; `photos` are pictures of each direction, `[k, d]`.
pub fn build<'a>(
    results: &'a RankedSensitivities,
    photos: &'a [Vec<f32>],
    run: &'a RankRun,
) -> SensitivityPage<'a> {
    let numbers = &results.sensitivities;
    let picture = |values: &'a [f32]| Picture {
        channels: run.shape.channels,
        height: run.shape.height,
        width: run.shape.width,
        values,
    };
    let card = |k: usize, row: &RankedSample| {
        let curve = numbers.sigmas.iter().zip(numbers.log_ratio(k, row.index));
        SampleCard {
            index: row.index,
            sample: picture(numbers.sample(row.index)),
            given: run.pictures.as_ref().map(|given| {
                let (name, values, error) = given.picture(row.index);
                GivenPicture {
                    name: name.to_owned(),
                    picture: picture(values),
                    error,
                }
            }),
            delta: picture(numbers.delta(k, row.index)),
            mass: results.directions[k].direction.signed_mass(),
            score: row.score,
            residual: row.residual,
            draw_noise: row.draw_noise,
            limit: row.trust_radius,
            agreement: row.agreement,
            log_ratio: curve
                .map(|(sigma, ratio)| (f64::from(*sigma), f64::from(*ratio)))
                .collect(),
            warnings: row.warnings.iter().map(advice).collect(),
        }
    };
    let directions = results.directions.iter().zip(photos).enumerate();
    let section = |(k, (ranked, photos)): (usize, (&RankedDirection, &'a Vec<f32>))| {
        let direction = &ranked.direction;
        DirectionSection {
            name: direction.selection().to_owned(),
            removing: direction.change() == Change::Remove,
            mass: direction.signed_mass(),
            pictures: photos.chunks_exact(numbers.dim).map(picture).collect(),
            picture_count: direction.images().map_or(0, |images| images.len()),
            step_shares: step_shares(numbers, k),
            cards: ranked.ranking.iter().map(|row| card(k, row)).collect(),
        }
    };
    SensitivityPage {
        title: "How the samples move".to_owned(),
        summary: format!(
            "{} a model trained on {}, ranked by how far each moves per unit of mass.",
            if run.pictures.is_some() {
                format!(
                    "{}, drawn again by",
                    plural(numbers.count(), "given picture")
                )
            } else {
                format!("{} of", plural(numbers.count(), "sample"))
            },
            run.info.data()
        ),
        facts: run_facts(results, run),
        directions: directions.map(section).collect(),
    }
}

/// The share of each step in ‖δ‖ of the samples that have a finite one, by noise level: `c_s/‖δ‖`, S lists. Empty where the
/// parts were not asked for.
fn step_shares(numbers: &Sensitivities, direction: usize) -> Vec<(f64, Vec<f64>)> {
    let levels = numbers.sigmas.iter().map(|sigma| f64::from(*sigma));
    let mut shares: Vec<(f64, Vec<f64>)> = levels.map(|sigma| (sigma, Vec::new())).collect();
    for sample in 0..numbers.count() {
        let Some(parts) = numbers.step_parts(direction, sample) else {
            return Vec::new();
        };
        let length: f64 = parts.iter().map(|part| f64::from(*part)).sum();
        if length > 0.0 && length.is_finite() {
            let pairs = shares.iter_mut().zip(parts);
            pairs.for_each(|((_, shares), part)| shares.push(f64::from(*part) / length));
        }
    }
    shares
}

/// A warning with the argument that helps.
fn advice(warning: &Warning) -> String {
    match warning {
        Warning::Diverged { .. } => format!("{warning}, use more --steps."),
        Warning::MovedDiverged { .. } => {
            format!("{warning}: use a smaller --mass or more --damping.")
        }
        Warning::WithinRounding { .. } => format!("{warning}: use a larger --mass, or none."),
        Warning::UncertainDensity { .. } => format!("{warning}: use more --probes."),
        Warning::WithinDrawNoise { .. } => {
            format!("{warning}: use more --draws and --gradient-draws.")
        }
        Warning::NotFinite
        | Warning::LargeRatio { .. }
        | Warning::WithinModelError { .. }
        | Warning::Disagreement { .. } => format!("{warning}."),
    }
}

/// Names and values of the run.
fn run_facts(results: &RankedSensitivities, run: &RankRun) -> Vec<(String, String)> {
    let evaluations = results.sensitivities.cost.evaluations;
    let mut curvature_evaluations = String::new();
    if run.limit {
        curvature_evaluations = format!(", {} for γ", evaluations.curvature);
    }
    let evaluations = format!(
        "{} for each sample; products with its Jacobian: {} for the density, {} for δ{curvature_evaluations}",
        evaluations.path, evaluations.density, evaluations.tangent,
    );
    let mut facts = run.info.rows();
    let zero_check = zero_check_text(&results.sensitivities);
    facts.extend(zero_check.map(|text| ("Zero check ‖δ(all)‖".to_owned(), text)));
    if let Some(compared) = &run.compared_with {
        facts.push(("Compared with".to_owned(), compared.text()));
    }
    facts.push(("Network evaluations".to_owned(), evaluations));
    facts
}

/// Contents of cards that only some runs have.
#[derive(Debug, Clone, Copy)]
struct CardContents {
    finite: bool,
    limits: bool,
    residuals: bool,
    ratios: bool,
    agreements: bool,
    draw_noises: bool,
}

/// The panel that explains the page, with what only some runs have.
fn how_to_read(contents: CardContents) -> Markup {
    let CardContents {
        finite,
        limits,
        residuals,
        ratios,
        agreements,
        draw_noises,
    } = contents;
    html! {
        div.panel {
            h3 { "How to read this page" }
            @if finite { p {
                "Each sample answers: if this mass of the direction were added to the training data (or removed), and the model trained again, "
                "how would this very picture, drawn from the same noise, change? Nothing was retrained: the weights of the model were moved by a "
                "computed change, and the sample was drawn again."
            } } @else { p {
                "Each sample answers: if a little of the direction were added to the training data, and the model trained again, how would "
                "this very picture, drawn from the same noise, change? Nothing was retrained; the change is computed."
            } }
            dl {
                @if finite {
                    dt { "moved" }
                    dd { "The sample of the model with the moved weights θ + Δθ: the predicted picture for the mass η of the direction. Mass η = 1 adds as much of the direction as there are data; η = 0.1 adds a tenth, and η < 0 removes." }
                    dt { "δ = (x(θ + Δθ) − x(θ))/η" }
                    dd { "The change per unit of mass: pixel values (black is −1, white is 1). It is that of this mass, and another mass may have another." }
                } @else {
                    dt { "δ = dx₀/dη" }
                    dd { "The sensitivity: pixel values (black is −1, white is 1) per unit of mass. Mass η = 1 adds as much of the direction as there are data; η = 0.1 adds a tenth." }
                    dt { "η · δ" }
                    dd { "The predicted change, for small η. Adding is η > 0; removing is η < 0 and turns every sign round." }
                }
                dt { "‖δ‖" }
                dd { "The score that ranks the samples: the length of δ over all pixels. It says how much a sample moves, not whether it gets better." }
                dt { "x ± c·δ" }
                dd { "The sample with its change exaggerated: c is chosen for each sample so that the change can be seen." @if !finite { " Only the outlined picture goes the way asked for." } }
                @if ratios {
                    dt { "log ratio" }
                    dd { "How much likelier the noisy picture is under the direction than under the data. Above 0, the direction has a say there; far below 0, none. Drawn down to −30." }
                }
                @if residuals {
                    dt { "‖δ(all)‖" }
                    dd { "The same for more of all training images alike. That changes nothing, so it should be 0: what it is instead is the model’s own error, which is in every δ. It enters a δ times the density ratio; a δ less than twice as long as that is not trusted." }
                }
                @if draw_noises {
                    dt { "other draws" }
                    dd { "How far δ would differ with other draws of the training loss, as a length over all pixels: one standard error. A δ less than twice as long as that is not trusted." }
                }
                @if agreements {
                    dt { "agrees to" }
                    dd { "The correlation of this δ with that of the other form, which errs in other ways. Where the two do not agree, at most one of them is right: below 0.5 neither is trusted." }
                }
                @if limits {
                    dt { "trusted up to" }
                    dd { "Where the second derivative of the sample grows to a tenth of the prediction. Beyond that mass η·δ is a direction, no longer a size." }
                }
                dt { "Heat map" }
                dd {
                    div.ramp role="img" aria-label="Colour scale from blue through white to red" {}
                    div { span { "darker as η grows" } span { "no change" } span { "lighter" } }
                    "δ summed over colour channels; each map’s strongest colour stands for the ± number under it."
                }
            }
        }
    }
}
