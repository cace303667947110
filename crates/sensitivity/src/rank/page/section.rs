//! The section of one direction on the page of a ranking.

use datasway_fs::plural;
use datasway_report::plot::{PALETTE, number as short};
use datasway_report::{Axes, Curve, Picture, ReportError, data_uri, histogram, line_plot};
use maud::{Markup, PreEscaped, html};

use super::card::{SampleCard, floored};
use crate::level_plot::level_plot;

/// Curves in one plot, as many as can be told apart.
const CURVES: usize = 6;

/// Size of a plot in pixels.
const PLOT_WIDTH: u32 = 420;
const PLOT_HEIGHT: u32 = 270;

/// The samples ranked by their sensitivity to one direction.
#[derive(Debug, Clone, Default)]
pub struct DirectionSection<'a> {
    /// The selection, such as `attr:Eyeglasses`.
    pub name: String,
    /// True if the direction is removed (η < 0). Then x − c·δ is the predicted picture and is marked.
    pub removing: bool,
    /// The mass η, below 0 for a removal; none for a derivative.
    pub mass: Option<f64>,
    /// Images of the direction; empty if they are not shown.
    pub pictures: Vec<Picture<'a>>,
    /// Number of images of the direction; 0 if ν is not a set of images.
    pub picture_count: usize,
    /// (σ, share of the step at σ in ‖δ‖ of each sample); empty if they were not asked for.
    pub step_shares: Vec<(f64, Vec<f64>)>,
    /// The samples, the most sensitive first.
    pub cards: Vec<SampleCard<'a>>,
}

impl DirectionSection<'_> {
    /// `Add attr:Eyeglasses` or `Remove attr:Eyeglasses`.
    pub(super) fn label(&self) -> String {
        format!(
            "{} {}",
            if self.removing { "Remove" } else { "Add" },
            self.name
        )
    }

    /// The section with the number that its link has.
    ///
    /// # Errors
    /// If a picture's values do not fill its shape, or a plot cannot be drawn.
    pub(super) fn render(&self, number: usize) -> Result<Markup, ReportError> {
        let cards = self
            .cards
            .iter()
            .enumerate()
            .map(|(i, card)| card.render(i + 1, self.removing))
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
                        (plural(self.cards.len(), "sample")) ", most sensitive first"
                        @if let Some(mass) = self.mass { " · mass η = " (short(mass)) }
                        @if self.picture_count > 0 { " · the direction holds " (plural(self.picture_count, "image")) }
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
                    @if !self.step_shares.is_empty() {
                        div.panel {
                            h3 { "Noise levels at which the direction acts" }
                            (PreEscaped(level_plot("share of the step in ‖δ‖", &self.step_shares)?))
                        }
                    }
                }
                @if warned > 0 {
                    div {
                        label.filter {
                            input.trusted type="checkbox";
                            "Hide the " (warned) " of " (plural(self.cards.len(), "sample")) " whose δ should not be trusted"
                        }
                    }
                }
                div.cards { @for card in &cards { (card) } }
            }
        })
    }

    /// The histogram of the scores and the log ratios of a few samples; nothing for a single sample.
    fn overview(&self) -> Result<Markup, ReportError> {
        if self.cards.len() < 2 {
            return Ok(html! {});
        }
        let histogram = self.score_histogram()?;
        if self.cards.iter().all(|card| card.log_ratio.is_empty()) {
            return Ok(html! { div.panel { h3 { "Scores" } (PreEscaped(histogram)) } });
        }
        let last = self.cards.len() - 1;
        let count = CURVES.min(self.cards.len());
        let ranks: Vec<usize> = (0..count).map(|i| i * last / (count - 1)).collect();
        let ratios = self.log_ratio_plot(&ranks)?;
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

    /// The scores, on a logarithmic axis if they span many powers of ten: otherwise the histogram would be one bar.
    fn score_histogram(&self) -> Result<String, ReportError> {
        let scores = self.cards.iter().map(|card| card.score);
        let scores: Vec<f64> = scores.filter(|s| s.is_finite() && *s > 0.0).collect();
        let low = scores.iter().copied().fold(f64::INFINITY, f64::min);
        let high = scores.iter().copied().fold(0.0, f64::max);
        let (label, values) = if high > 100.0 * low {
            (
                "log₁₀ ‖δ‖ (pixels per unit of mass)",
                scores.iter().map(|s| s.log10()).collect(),
            )
        } else {
            ("‖δ‖ (pixels per unit of mass)", scores)
        };
        let axes = Axes {
            x_label: label.into(),
            y_label: "samples".into(),
            width: PLOT_WIDTH,
            height: PLOT_HEIGHT,
            ..Axes::default()
        };
        histogram(&axes, &values, 20)
    }

    /// `log r` along the path of the samples with these ranks, counted from 0. The axis of σ is logarithmic, so the path runs
    /// from right to left and σ = 0 is left out. The legend stands under the plot, where it covers no curve.
    fn log_ratio_plot(&self, ranks: &[usize]) -> Result<String, ReportError> {
        let curve = |rank: &usize| Curve {
            name: String::new(),
            points: floored(&self.cards[*rank].log_ratio).collect(),
        };
        let curves: Vec<Curve> = ranks.iter().map(curve).collect();
        let axes = Axes {
            x_label: "noise level σ (sampling runs right to left)".into(),
            y_label: "log density ratio (nats)".into(),
            log_x: true,
            width: PLOT_WIDTH,
            height: PLOT_HEIGHT,
            ..Axes::default()
        };
        line_plot(&axes, &curves)
    }
}
