//! The page of a sensitivity run: one HTML file, with every picture and plot inside it.
//!
//! No script, no request, no font: it opens from a disk, a mail or an archive, now and in ten years. Small pictures are
//! embedded at their own resolution and enlarged by the browser, and cards off screen are not laid out, so 256 samples stay quick.

use crate::exaggerate::{exaggeration, moved};
use crate::plot::{PALETTE, drawn, log_ratio_axes, number};
use crate::png::png_bytes;
use crate::{Axes, Curve, Picture, ReportError, document, heat_map, histogram, line_plot};
use base64::{Engine, engine::general_purpose::STANDARD};
use image::RgbImage;
use maud::{Markup, PreEscaped, html};
use std::fmt::Write;
use std::path::Path;

/// The style of a page with a top, an introduction of two panels, and sections of panels, in light and in dark.
pub const STYLE: &str = include_str!("page.css");

/// Log ratios are drawn no lower than this: at e⁻³⁰ the direction has no say, and millions of nats below it there would
/// be nothing else to see.
const LOG_RATIO_FLOOR: f64 = -30.0;
/// As many curves as can be told apart in one plot.
const CURVES_SHOWN: usize = 6;

/// A whole page.
#[derive(Debug, Clone, Default)]
pub struct SensitivityPage<'a> {
    /// The heading.
    pub title: String,
    /// One or two sentences in plain words under the heading: which model, which data, how many samples.
    pub summary: String,
    /// Seeds, configuration, versions, fingerprints, cost: shown as a table in this order.
    pub facts: Vec<(String, String)>,
    /// One section per direction, in this order.
    pub directions: Vec<DirectionSection<'a>>,
}

/// The samples ranked by their sensitivity to one direction.
#[derive(Debug, Clone, Default)]
pub struct DirectionSection<'a> {
    /// As the user wrote it, for example `attr:Eyeglasses`.
    pub name: String,
    /// True if the direction is to be removed (η < 0): then x − c·δ is the predicted picture and is marked so.
    pub removing: bool,
    /// Images of the direction itself; empty where they may not be shown.
    pub pictures: Vec<Picture<'a>>,
    /// How many images the direction holds; 0 if that has no meaning.
    pub picture_count: usize,
    /// The samples, best rank first.
    pub cards: Vec<Card<'a>>,
}

/// One sample.
#[derive(Debug, Clone)]
pub struct Card<'a> {
    /// The sample's number, which fixes its noise.
    pub index: usize,
    /// x₀, pixels in [-1, 1].
    pub sample: Picture<'a>,
    /// δ = dx₀/dη, the same shape.
    pub delta: Picture<'a>,
    /// ‖δ‖, by which the samples are ranked.
    pub score: f64,
    /// ‖δ‖ of the whole training set as direction, which should be 0, if it is known.
    pub residual: Option<f64>,
    /// The largest |η| up to which ηδ is trusted, if it is known.
    pub limit: Option<f64>,
    /// (σ, log density ratio) along the path.
    pub log_ratio: Vec<(f64, f64)>,
    /// Why this δ should not be trusted, one sentence each; empty if it can be.
    pub warnings: Vec<String>,
}

impl SensitivityPage<'_> {
    /// The page as HTML text.
    pub fn render(&self) -> Result<String, ReportError> {
        let sections = self
            .directions
            .iter()
            .enumerate()
            .map(|(i, d)| d.render(i))
            .collect::<Result<Vec<_>, _>>()?;
        let mut cards = self.directions.iter().flat_map(|d| &d.cards);
        let limits = cards.clone().any(|card| card.limit.is_some());
        let residuals = cards.any(|card| card.residual.is_some_and(|residual| residual != 0.0));
        let body = html! {
            header.top {
                h1 { (self.title) }
                p.lead { (self.summary) }
                @if self.directions.len() > 1 {
                    nav aria-label="Directions" {
                        @for (i, d) in self.directions.iter().enumerate() { a href={ "#direction-" (i) } { (d.label()) } }
                    }
                }
                div.intro { (how_to_read(limits, residuals)) (facts(&self.facts)) }
            }
            main { @for section in &sections { (section) } }
        };
        Ok(document(&self.title, STYLE, &body))
    }

    /// Renders the page and writes it, complete or not at all.
    pub fn write(&self, path: &Path) -> Result<(), ReportError> {
        Ok(datasway_fs::write(path, self.render()?.as_bytes())?)
    }
}

fn how_to_read(limits: bool, residuals: bool) -> Markup {
    html! {
        div.panel {
            h3 { "How to read this page" }
            p {
                "Each sample answers: if a little of the direction were added to the training data, and the model trained again, how would "
                "this very picture, drawn from the same noise, change? Nothing was retrained; the change is computed."
            }
            dl {
                dt { "δ = dx₀/dη" }
                dd { "The sensitivity: pixel values (black is −1, white is 1) per unit of mass. Mass η = 1 adds as much of the direction as there is data; η = 0.1 adds a tenth." }
                dt { "η · δ" }
                dd { "The predicted change, for small η. Adding is η > 0; removing is η < 0 and turns every sign round." }
                dt { "‖δ‖" }
                dd { "The score that ranks the samples: the length of δ over all pixels. It says how much a sample moves, not whether it gets better." }
                dt { "x ± c·δ" }
                dd { "The sample with its change exaggerated: c is chosen for each sample so that the change can be seen. Only the outlined picture goes the way asked for." }
                dt { "log ratio" }
                dd { "How much likelier the noisy picture is under the direction than under the data. Above 0, the direction has a say there; far below 0, none. Drawn down to −30." }
                @if residuals {
                    dt { "‖δ(all)‖" }
                    dd { "The same for more of all training images alike. That changes nothing, so it should be 0: what it is instead is the model’s own error, which is in every δ. It enters a δ times the density ratio; a δ less than twice as long as that is not trusted." }
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

/// A panel of what a run was made with.
pub fn facts(facts: &[(String, String)]) -> Markup {
    html! {
        @if !facts.is_empty() {
            div.panel {
                h3 { "This run" }
                table { tbody { @for (name, value) in facts { tr { th scope="row" { (name) } td { (value) } } } } }
            }
        }
    }
}

impl DirectionSection<'_> {
    fn label(&self) -> String {
        format!(
            "{} {}",
            if self.removing { "Remove" } else { "Add" },
            self.name
        )
    }

    fn render(&self, number: usize) -> Result<Markup, ReportError> {
        let cards = self
            .cards
            .iter()
            .enumerate()
            .map(|(i, c)| c.render(i + 1, self.removing))
            .collect::<Result<Vec<_>, _>>()?;
        let pictures = self
            .pictures
            .iter()
            .map(|p| data_uri(&p.to_rgb()?))
            .collect::<Result<Vec<_>, ReportError>>()?;
        let warned = self.cards.iter().filter(|c| !c.warnings.is_empty()).count();
        Ok(html! {
            section id={ "direction-" (number) } {
                div.title {
                    h2 { (self.label()) }
                    span {
                        (self.cards.len()) " samples, most sensitive first"
                        @if self.picture_count > 0 { " · the direction holds " (self.picture_count) (if self.picture_count == 1 { " image" } else { " images" }) }
                    }
                }
                div.overview {
                    @if !pictures.is_empty() {
                        div.panel {
                            h3 { "The direction" }
                            div.strip { @for (i, uri) in pictures.iter().enumerate() {
                                img src=(uri) alt={ "Image " (i + 1) " of the direction " (self.name) } loading="lazy";
                            } }
                        }
                    }
                    (self.overview()?)
                }
                @if warned > 0 {
                    div {
                        label.filter {
                            input.trusted type="checkbox";
                            "Hide the " (warned) " of " (self.cards.len()) " samples whose δ should not be trusted"
                        }
                    }
                }
                div.cards { @for card in &cards { (card) } }
            }
        })
    }

    fn overview(&self) -> Result<Markup, ReportError> {
        if self.cards.len() < 2 {
            return Ok(html! {});
        }
        let size = Axes {
            width: 420,
            height: 270,
            ..Axes::default()
        };
        // Raw scores can span many powers of ten; a histogram of them would be one bar.
        let scores: Vec<f64> = self
            .cards
            .iter()
            .map(|c| c.score)
            .filter(|s| s.is_finite() && *s > 0.0)
            .collect();
        let (low, high) = scores
            .iter()
            .fold((f64::INFINITY, 0.0f64), |(l, h), &s| (l.min(s), h.max(s)));
        let wide = high > 100.0 * low;
        let (axis, shown) = match wide {
            true => (
                "log₁₀ ‖δ‖ (pixels per unit of mass)",
                scores.iter().map(|s| s.log10()).collect(),
            ),
            false => ("‖δ‖ (pixels per unit of mass)", scores),
        };
        let axes = Axes {
            x_label: axis.into(),
            y_label: "samples".into(),
            ..size.clone()
        };
        let histogram = histogram(&axes, &shown, 20)?;

        let last = self.cards.len() - 1;
        let count = CURVES_SHOWN.min(self.cards.len());
        let ranks: Vec<usize> = (0..count).map(|i| i * last / (count - 1)).collect();
        // The legend stands under the plot, where it can cover no curve.
        let curves: Vec<Curve> = ranks
            .iter()
            .map(|&rank| Curve {
                name: String::new(),
                points: floored(&self.cards[rank].log_ratio).collect(),
            })
            .collect();
        let ratios = line_plot(
            &Axes {
                width: size.width,
                height: size.height,
                ..log_ratio_axes("")
            },
            &curves,
        )?;
        let colours = PALETTE.map(|[r, g, b]| format!("background:#{r:02x}{g:02x}{b:02x}"));
        Ok(html! {
            div.panel { h3 { "Scores" } (PreEscaped(histogram)) }
            div.panel {
                h3 { "Log density ratio along the path" }
                (PreEscaped(ratios))
                div.legend {
                    @for (rank, colour) in ranks.iter().zip(&colours) {
                        span { i style=(colour) {} "rank " (rank + 1) }
                    }
                }
            }
        })
    }
}

impl Card<'_> {
    fn render(&self, rank: usize, removing: bool) -> Result<Markup, ReportError> {
        if self.sample.shape() != self.delta.shape() {
            return Err(ReportError::Mixed {
                expected: self.sample.shape(),
                found: self.delta.shape(),
            });
        }
        let heat = heat_map(&self.delta, None)?;
        let c = exaggeration(&self.delta);
        let moved = |sign: f64| -> Result<String, ReportError> {
            let values = moved(&self.sample, &self.delta, sign * c);
            let picture = Picture {
                values: &values,
                ..self.sample
            };
            data_uri(&picture.to_rgb()?)
        };
        let (index, factor) = (self.index, number(c));
        let picture = |uri: String, alt: String, caption: String, wanted: bool| {
            html! { figure.want[wanted] { img src=(uri) alt=(alt) loading="lazy"; figcaption { (caption) } } }
        };
        let minus_alt = format!("Sample {index} with {factor} times its sensitivity subtracted");
        let plus_alt = format!("Sample {index} with {factor} times its sensitivity added");
        let heat_alt = format!(
            "Heat map of the sensitivity of sample {index}: red where it grows lighter, blue where darker"
        );
        Ok(html! {
            article.card.warned[!self.warnings.is_empty()] {
                header {
                    span.rank { "#" (rank) }
                    span.name { "sample " (index) }
                    span.score { i { "‖δ‖ = " } (score(self.score)) }
                }
                div.four {
                    (picture(moved(-1.0)?, minus_alt, format!("x − {factor}·δ"), removing))
                    (picture(data_uri(&self.sample.to_rgb()?)?, format!("Sample {index}"), "sample x".into(), false))
                    (picture(moved(1.0)?, plus_alt, format!("x + {factor}·δ"), !removing))
                    (picture(data_uri(&heat.image)?, heat_alt, format!("δ, ±{}", number(f64::from(heat.scale))), false))
                }
                @if let Some(residual) = self.residual.filter(|residual| *residual != 0.0) {
                    p.limit { "‖δ(all)‖ = " (score(residual)) ", where 0 is expected" }
                }
                @if let Some(limit) = self.limit { p.limit { "η·δ is trusted up to |η| = " (number(limit)) } }
                (sparkline(&self.log_ratio))
                @if !self.warnings.is_empty() {
                    div.warning role="note" {
                        b { "⚠ Do not trust this sample’s δ" }
                        @if let [only] = self.warnings.as_slice() { (only) }
                        @else { ul { @for warning in &self.warnings { li { (warning) } } } }
                    }
                }
            }
        })
    }
}

/// A score with three significant digits, trailing zeros kept so that neighbours in a ranking compare at sight.
fn score(value: f64) -> String {
    if (0.01..1000.0).contains(&value) {
        let digits = (2 - value.log10().floor() as i32).clamp(0, 4) as usize;
        format!("{value:.digits$}")
    } else {
        number(value)
    }
}

pub(crate) fn data_uri(image: &RgbImage) -> Result<String, ReportError> {
    Ok(format!(
        "data:image/png;base64,{}",
        STANDARD.encode(png_bytes(image)?)
    ))
}

/// The curve as it is drawn, without what is not a number.
fn floored(curve: &[(f64, f64)]) -> impl Iterator<Item = (f64, f64)> + '_ {
    let numbers = curve.iter().filter(|(_, ratio)| !ratio.is_nan());
    numbers.map(|&(sigma, ratio)| (sigma, ratio.max(LOG_RATIO_FLOOR)))
}

/// The log-ratio curve of one card: σ on a logarithmic axis, large on the right, zero dashed.
fn sparkline(points: &[(f64, f64)]) -> Markup {
    let points: Vec<(f64, f64)> = floored(points)
        .filter(|p| p.0 > 0.0 && drawn(p.0) && drawn(p.1))
        .map(|p| (p.0.log10(), p.1))
        .collect();
    if points.len() < 2 {
        return html! {};
    }
    let fold = |f: fn(f64, f64) -> f64, start: f64, of: fn(&(f64, f64)) -> f64| {
        points.iter().map(of).fold(start, f)
    };
    let (left, right) = (
        fold(f64::min, f64::INFINITY, |p| p.0),
        fold(f64::max, f64::NEG_INFINITY, |p| p.0),
    );
    let (real_low, real_high) = (
        fold(f64::min, f64::INFINITY, |p| p.1),
        fold(f64::max, f64::NEG_INFINITY, |p| p.1),
    );
    // Zero is always in view: it is what the curve is read against.
    let (low, high) = (real_low.min(-0.5), real_high.max(0.5));
    let place = |p: &(f64, f64)| {
        (
            300.0 * (p.0 - left) / (right - left).max(1e-12),
            4.0 + 56.0 * (high - p.1) / (high - low),
        )
    };
    let mut path = String::new();
    for (i, point) in points.iter().enumerate() {
        let (x, y) = place(point);
        // Writing to a String cannot fail.
        let _ = write!(path, "{}{x:.1} {y:.1}", if i == 0 { "M" } else { "L" });
    }
    let zero = format!("{:.1}", place(&(left, 0.0)).1);
    let words = format!(
        "log ratio {}{} to {} nats",
        if real_low > LOG_RATIO_FLOOR {
            ""
        } else {
            "below "
        },
        number(real_low),
        number(real_high)
    );
    html! {
        div.curve {
            svg viewBox="0 0 300 64" preserveAspectRatio="none" role="img" aria-label=(words) {
                line.zero x1="0" x2="300" y1=(zero) y2=(zero) {}
                path.line d=(path) {}
            }
            div { span { "σ = " (number(10f64.powf(left))) } span { (words) } span { "σ = " (number(10f64.powf(right))) } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_ratios_are_drawn_down_to_the_floor_and_not_a_number_not_at_all() {
        let curve = [(1.0, f64::NAN), (0.5, -4e6), (0.1, 2.0)];
        let drawn: Vec<_> = floored(&curve).collect();
        assert_eq!(drawn, [(0.5, LOG_RATIO_FLOOR), (0.1, 2.0)]);
    }
}
