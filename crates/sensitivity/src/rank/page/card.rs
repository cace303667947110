//! The card of one sample on the page of a ranking.

use std::fmt::Write;

use datasway_report::exaggerate::{exaggeration, moved};
use datasway_report::plot::{drawn, number};
use datasway_report::{Picture, ReportError, data_uri, heat_map};
use maud::{Markup, html};

use crate::given_picture::GivenPicture;

/// The lowest log ratio that is drawn. At e⁻³⁰ the direction has no effect, and a curve that goes millions of nats below it
/// would show nothing else.
const LOG_RATIO_FLOOR: f64 = -30.0;

/// One sample.
#[derive(Debug, Clone)]
pub struct SampleCard<'a> {
    /// Index of the sample, which fixes its noise.
    pub index: usize,
    /// x₀, pixels in [-1, 1].
    pub sample: Picture<'a>,
    /// The given picture that the sample is drawn again from; none for a drawn sample.
    pub given: Option<GivenPicture<'a>>,
    /// δ = dx₀/dη, the same shape.
    pub delta: Picture<'a>,
    /// The mass η for which δ is the difference to the sample of the moved weights; none for a derivative.
    pub mass: Option<f64>,
    /// ‖δ‖, by which the samples are ranked.
    pub score: f64,
    /// ‖δ‖ of the whole training set as direction, which should be 0; none without the zero check.
    pub residual: Option<f64>,
    /// Standard error of δ by the draws of the loss, as a norm; none if it was not asked for.
    pub draw_noise: Option<f64>,
    /// The largest |η| up to which ηδ is trusted; none if it was not asked for.
    pub limit: Option<f64>,
    /// The correlation of δ with that of another form; none if none was compared.
    pub agreement: Option<f64>,
    /// (σ, log density ratio) along the path.
    pub log_ratio: Vec<(f64, f64)>,
    /// Reasons not to trust δ, one sentence each.
    pub warnings: Vec<String>,
}

impl SampleCard<'_> {
    /// The card of the sample with this rank, counted from 1.
    ///
    /// # Errors
    /// If the pictures differ in shape, or their values do not fill it.
    pub(super) fn render(&self, rank: usize, removing: bool) -> Result<Markup, ReportError> {
        if self.sample.shape() != self.delta.shape() {
            return Err(ReportError::Mixed {
                expected: self.sample.shape(),
                found: self.delta.shape(),
            });
        }
        let heat = heat_map(&self.delta, None)?;
        let c = exaggeration(&self.delta);
        let moved = |factor: f64| -> Result<String, ReportError> {
            let values = moved(&self.sample, &self.delta, factor);
            let picture = Picture {
                values: &values,
                ..self.sample
            };
            data_uri(&picture.to_rgb()?)
        };
        let (index, factor) = (self.index, number(c));
        let figure = |uri: String, alt: String, caption: String, predicted: bool| {
            html! { figure.want[predicted] { img src=(uri) alt=(alt) loading="lazy"; figcaption { (caption) } } }
        };
        let sample = figure(
            data_uri(&self.sample.to_rgb()?)?,
            format!("Sample {index}"),
            "sample x".into(),
            false,
        );
        let minus = |predicted| -> Result<Markup, ReportError> {
            let alt = format!("Sample {index} with {factor} times its sensitivity subtracted");
            Ok(figure(
                moved(-c)?,
                alt,
                format!("x − {factor}·δ"),
                predicted,
            ))
        };
        let plus = |predicted| -> Result<Markup, ReportError> {
            let alt = format!("Sample {index} with {factor} times its sensitivity added");
            Ok(figure(moved(c)?, alt, format!("x + {factor}·δ"), predicted))
        };
        let pictures = match self.mass {
            None => [minus(removing)?, sample, plus(!removing)?],
            Some(mass) => {
                let alt = format!("Sample {index} of the model with moved weights");
                let caption = format!("moved, η = {}", number(mass));
                let exaggerated = if removing {
                    minus(false)?
                } else {
                    plus(false)?
                };
                [
                    sample,
                    figure(moved(mass)?, alt, caption, true),
                    exaggerated,
                ]
            }
        };
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
                @if let Some(given) = &self.given { (given.render(&self.sample)?) }
                div.four {
                    @for picture in &pictures { (picture) }
                    (figure(data_uri(&heat.image)?, heat_alt, format!("δ, ±{}", number(f64::from(heat.scale))), false))
                }
                @if let Some(residual) = self.residual.filter(|residual| *residual != 0.0) {
                    p.limit { "‖δ(all)‖ = " (score(residual)) ", where 0 is expected" }
                }
                @if let Some(noise) = self.draw_noise { p.limit { "other draws of the loss: ± " (score(noise)) } }
                @if let Some(limit) = self.limit { p.limit { "η·δ is trusted up to |η| = " (number(limit)) } }
                @if let Some(agreement) = self.agreement {
                    p.limit { "agrees with the other form to " (format!("{agreement:.2}")) }
                }
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

/// A score with three significant digits. Trailing zeros are kept, so that neighbours in a ranking are easy to compare.
fn score(value: f64) -> String {
    if (0.01..1000.0).contains(&value) {
        let digits = (2 - value.log10().floor() as i32).clamp(0, 4) as usize;
        format!("{value:.digits$}")
    } else {
        number(value)
    }
}

/// A log-ratio curve without points that are not a number, and not below [`LOG_RATIO_FLOOR`].
pub(super) fn floored(curve: &[(f64, f64)]) -> impl Iterator<Item = (f64, f64)> + '_ {
    let numbers = curve.iter().filter(|(_, ratio)| !ratio.is_nan());
    numbers.map(|&(sigma, ratio)| (sigma, ratio.max(LOG_RATIO_FLOOR)))
}

/// The log-ratio curve of a card. The axis of σ is logarithmic with large σ on the right; zero is dashed.
fn sparkline(points: &[(f64, f64)]) -> Markup {
    let points: Vec<(f64, f64)> = floored(points)
        .filter(|p| p.0 > 0.0 && drawn(p.0) && drawn(p.1))
        .map(|p| (p.0.log10(), p.1))
        .collect();
    if points.len() < 2 {
        return html! {};
    }
    let (left, right) = extent(points.iter().map(|p| p.0));
    let (lowest, highest) = extent(points.iter().map(|p| p.1));
    // Zero is always in view, because the curve is read against it.
    let (low, high) = (lowest.min(-0.5), highest.max(0.5));
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
        if lowest > LOG_RATIO_FLOOR {
            ""
        } else {
            "below "
        },
        number(lowest),
        number(highest)
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

/// The smallest and the largest of some numbers.
fn extent(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    })
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
