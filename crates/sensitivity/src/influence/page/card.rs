//! The section of one functional on the page of an influence run, and the card of one sample in it.

use datasway_fs::plural;
use datasway_report::plot::number;
use datasway_report::{Axes, Corner, Curve, Picture, ReportError, data_uri, heat_map, line_plot};
use maud::{Markup, PreEscaped, html};

use crate::given_picture::GivenPicture;
use crate::level_plot::{level_plot, plot};

/// The samples with the influences on one functional.
#[derive(Debug, Clone, Default)]
pub struct FunctionalSection<'a> {
    /// Name of the functional.
    pub name: String,
    /// (σ, mean absolute contribution of a training image at σ for each sample), in f per image; empty if there are none.
    pub levels: Vec<(f64, Vec<f64>)>,
    /// The noise levels at which the groups that act most do so, as curves; empty if the parts of the steps were not asked for.
    pub groups: Vec<Curve>,
    /// One card for each sample.
    pub cards: Vec<InfluenceCard<'a>>,
}

/// One sample and one functional f.
#[derive(Debug, Clone)]
pub struct InfluenceCard<'a> {
    /// Index of the sample, which fixes its noise.
    pub index: usize,
    /// x₀, pixels in [-1, 1].
    pub sample: Picture<'a>,
    /// The given picture that the sample is drawn again from; none for a drawn sample.
    pub given: Option<GivenPicture<'a>>,
    /// ∇f, the same shape.
    pub gradient: Picture<'a>,
    /// f(x₀).
    pub value: f64,
    /// The images that raise f most, the strongest first.
    pub proponents: Vec<InfluentialImage<'a>>,
    /// The images that lower f most, the strongest first.
    pub opponents: Vec<InfluentialImage<'a>>,
    /// The candidates that would raise and lower f most; none without candidates.
    pub candidates: Option<[Vec<InfluentialImage<'a>>; 2]>,
    /// (σ, mean absolute contribution of a training image at σ), in f per image.
    pub strength: Vec<(f64, f64)>,
    /// Name, number of images and influence of groups of training images, the strongest first.
    pub groups: Vec<(String, usize, f64)>,
    /// Reasons not to trust these influences, one sentence each.
    pub warnings: Vec<String>,
}

/// One image with its influence.
#[derive(Debug, Clone)]
pub struct InfluentialImage<'a> {
    /// Name of the image.
    pub name: String,
    /// The image; none if it is not shown.
    pub picture: Option<Picture<'a>>,
    /// Decrease of f without the image, or increase with a candidate, to first order.
    pub share: f64,
    /// (σ, contribution to `share` at σ).
    pub along: Vec<(f64, f64)>,
}

impl FunctionalSection<'_> {
    /// The section with the number that its link has.
    ///
    /// # Errors
    /// If a picture's values do not fill its shape, or a plot cannot be drawn.
    pub(super) fn render(&self, number: usize) -> Result<Markup, ReportError> {
        let cards = self.cards.iter().map(InfluenceCard::render);
        let cards = cards.collect::<Result<Vec<_>, _>>()?;
        Ok(html! {
            section id={ "functional-" (number) } {
                div.title { h2 { (self.name) } span { (plural(cards.len(), "sample")) } }
                (self.overview()?)
                div.answers { @for card in &cards { (card) } }
            }
        })
    }
}

impl FunctionalSection<'_> {
    /// The noise levels at which images act, over all samples; nothing for a single sample.
    fn overview(&self) -> Result<Markup, ReportError> {
        if self.cards.len() < 2 || self.levels.is_empty() {
            return Ok(html! {});
        }
        let levels = level_plot("size of an image’s part of f", &self.levels)?;
        Ok(html! {
            div.overview {
                div.panel { h3 { "Noise levels at which images act" } (PreEscaped(levels)) }
                @if !self.groups.is_empty() {
                    div.panel {
                        h3 { "Groups by noise level" }
                        (PreEscaped(plot("added to f per unit of mass", &self.groups)?))
                    }
                }
            }
        })
    }
}

impl InfluenceCard<'_> {
    fn render(&self) -> Result<Markup, ReportError> {
        let heat = heat_map(&self.gradient, None)?;
        let index = self.index;
        let curve = |name: &str, image: Option<&InfluentialImage<'_>>| Curve {
            name: name.to_owned(),
            points: image.map(|image| image.along.clone()).unwrap_or_default(),
        };
        let curves = [
            curve("raises most", self.proponents.first()),
            curve("lowers most", self.opponents.first()),
            Curve {
                name: "mean size".to_owned(),
                points: self.strength.clone(),
            },
        ];
        let axes = Axes {
            x_label: "noise level σ (sampling runs right to left)".into(),
            y_label: "added to f by one image".into(),
            log_x: true,
            width: 420,
            height: 230,
            legend: Corner::UpperLeft,
            ..Axes::default()
        };
        let is_drawn = curves.iter().any(|curve| !curve.points.is_empty());
        let plot = line_plot(&axes, &curves)?;
        Ok(html! {
            article.card.warned[!self.warnings.is_empty()] {
                header {
                    span.rank { "sample " (index) }
                    span.score { i { "f = " } (number(self.value)) }
                }
                @if let Some(given) = &self.given { (given.render(&self.sample)?) }
                div.answer {
                    div.asked {
                        figure { img src=(data_uri(&self.sample.to_rgb()?)?) alt={ "Sample " (index) } loading="lazy"; figcaption { "sample x" } }
                        figure {
                            img src=(data_uri(&heat.image)?) alt={ "Gradient of f at sample " (index) } loading="lazy";
                            figcaption { "∇f, ±" (number(f64::from(heat.scale))) }
                        }
                    }
                    div.pushed {
                        (pushed("Raise f", &self.proponents)?)
                        (pushed("Lower f", &self.opponents)?)
                        @if let Some([up, down]) = &self.candidates {
                            (pushed("Candidates that would raise f", up)?)
                            (pushed("Candidates that would lower f", down)?)
                        }
                    }
                    @if is_drawn { div.where { (PreEscaped(plot)) } }
                    @if !self.groups.is_empty() {
                        div.groups {
                            h3 { "Groups" }
                            table { tbody { @for (name, count, influence) in &self.groups {
                                tr { th scope="row" title=(plural(*count, "image")) { (breakable(name)) } td { (signed(*influence)) } }
                            } } }
                        }
                    }
                }
                @if !self.warnings.is_empty() {
                    div.warning role="note" {
                        b { "⚠ Do not trust these influences" }
                        @for warning in &self.warnings { (warning) " " }
                    }
                }
            }
        })
    }
}

/// The images of one side, with their influences.
fn pushed(title: &str, images: &[InfluentialImage<'_>]) -> Result<Markup, ReportError> {
    let uris = images
        .iter()
        .map(|image| image.picture.map(|p| data_uri(&p.to_rgb()?)).transpose())
        .collect::<Result<Vec<_>, ReportError>>()?;
    Ok(html! {
        h3 { (title) }
        @if images.is_empty() { p { "No image does." } }
        div.row {
            @for (image, uri) in images.iter().zip(&uris) {
                figure {
                    @if let Some(uri) = uri { img src=(uri) alt={ "Image " (image.name) } title=(image.name) loading="lazy"; }
                    @else { div.hidden { (image.name) } }
                    figcaption { (signed(image.share)) }
                }
            }
        }
    })
}

/// A name that may be broken after an underscore, so that it is not broken inside a word.
fn breakable(name: &str) -> Markup {
    html! { @for part in name.split_inclusive('_') { (part) @if part.ends_with('_') { wbr; } } }
}

/// A number with its sign.
fn signed(value: f64) -> String {
    if value > 0.0 {
        format!("+{}", number(value))
    } else {
        number(value)
    }
}
