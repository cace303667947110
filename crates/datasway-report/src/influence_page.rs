//! The page of an influence run: for each sample, the training images that pushed it up and down.

use std::path::Path;

use maud::{Markup, PreEscaped, html};

use crate::page::{data_uri, facts};
use crate::plot::number;
use crate::{Axes, Corner, Curve, Picture, ReportError, document, heat_map, line_plot};

/// A whole page.
#[derive(Debug, Clone, Default)]
pub struct InfluencePage<'a> {
    /// The heading.
    pub title: String,
    /// One or two sentences in plain words under the heading.
    pub summary: String,
    /// Configuration, seeds, versions, cost: shown as a table in this order.
    pub facts: Vec<(String, String)>,
    /// One section for each functional.
    pub functionals: Vec<FunctionalSection<'a>>,
}

/// The samples, asked one question.
#[derive(Debug, Clone, Default)]
pub struct FunctionalSection<'a> {
    /// The functional, as the user wrote it.
    pub name: String,
    /// One card for each sample.
    pub cards: Vec<InfluenceCard<'a>>,
}

/// One sample and one functional f.
#[derive(Debug, Clone)]
pub struct InfluenceCard<'a> {
    /// The sample's number, which fixes its noise.
    pub index: usize,
    /// x₀, pixels in [-1, 1].
    pub sample: Picture<'a>,
    /// ∇f, the same shape.
    pub gradient: Picture<'a>,
    /// f(x₀).
    pub value: f64,
    /// The images that raise f most, the strongest first.
    pub top: Vec<PushedBy<'a>>,
    /// The images that lower f most, the strongest first.
    pub bottom: Vec<PushedBy<'a>>,
    /// (σ, mean |influence| of a training image there), in f per image.
    pub strength: Vec<(f64, f64)>,
    /// Name, number of images and influence of groups of training images, the strongest first.
    pub groups: Vec<(String, usize, f64)>,
    /// Why these influences should not be trusted, one sentence each.
    pub warnings: Vec<String>,
}

/// One training image.
#[derive(Debug, Clone)]
pub struct PushedBy<'a> {
    /// Its name.
    pub name: String,
    /// The image; none where it may not be shown.
    pub picture: Option<Picture<'a>>,
    /// What f would lose without it.
    pub share: f64,
    /// (σ, what the path adds to that share there).
    pub along: Vec<(f64, f64)>,
}

impl InfluencePage<'_> {
    /// The page as HTML text.
    ///
    /// # Errors
    /// If a picture's values do not fill its shape.
    pub fn render(&self) -> Result<String, ReportError> {
        let sections = self
            .functionals
            .iter()
            .enumerate()
            .map(|(i, section)| section.render(i))
            .collect::<Result<Vec<_>, _>>()?;
        let body = html! {
            header.top {
                h1 { (self.title) }
                p.lead { (self.summary) }
                @if self.functionals.len() > 1 {
                    nav aria-label="Questions" {
                        @for (i, f) in self.functionals.iter().enumerate() { a href={ "#functional-" (i) } { (f.name) } }
                    }
                }
                div.intro { (how_to_read()) (facts(&self.facts)) }
            }
            main { @for section in &sections { (section) } }
        };
        let css = concat!(include_str!("page.css"), include_str!("influence_page.css"));
        Ok(document(&self.title, css, &body))
    }

    /// Renders the page and writes it, complete or not at all.
    ///
    /// # Errors
    /// As [`render`](Self::render), or if the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), ReportError> {
        Ok(datasway_fs::write(path, self.render()?.as_bytes())?)
    }
}

fn how_to_read() -> Markup {
    html! {
        div.panel {
            h3 { "How to read this page" }
            p {
                "Each sample was asked a question with a number for an answer, f. Which training images made the answer what it is? One sweep back "
                "through the sampler tells it for all of them at once; nothing was retrained."
            }
            dl {
                dt { "∇f" }
                dd { "How f sees the picture: red where a lighter pixel raises f, blue where it lowers it." }
                dt { "± number" }
                dd { "What f would lose if the model had been trained without that image, to first order. Positive: the image raises f." }
                dt { "Curves" }
                dd { "Where along the sampler’s path the strongest image of either side acts, and the mean size over all images. Large σ decides composition, small σ detail." }
                dt { "Groups" }
                dd { "Change of f per unit of mass added on all images of a label: η times it is predicted if a share η of the group is added." }
            }
        }
    }
}

impl FunctionalSection<'_> {
    fn render(&self, number: usize) -> Result<Markup, ReportError> {
        let cards = self.cards.iter().map(InfluenceCard::render);
        let cards = cards.collect::<Result<Vec<_>, _>>()?;
        Ok(html! {
            section id={ "functional-" (number) } {
                div.title { h2 { (self.name) } span { (cards.len()) " samples" } }
                div.answers { @for card in &cards { (card) } }
            }
        })
    }
}

impl InfluenceCard<'_> {
    fn render(&self) -> Result<Markup, ReportError> {
        let heat = heat_map(&self.gradient, None)?;
        let index = self.index;
        let curve = |name: &str, image: Option<&PushedBy<'_>>| Curve {
            name: name.to_owned(),
            points: image.map(|image| image.along.clone()).unwrap_or_default(),
        };
        let curves = [
            curve("raises most", self.top.first()),
            curve("lowers most", self.bottom.first()),
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
        let plot = line_plot(&axes, &curves)?;
        Ok(html! {
            article.card.warned[!self.warnings.is_empty()] {
                header {
                    span.rank { "sample " (index) }
                    span.score { i { "f = " } (number(self.value)) }
                }
                div.answer {
                    div.asked {
                        figure { img src=(data_uri(&self.sample.to_rgb()?)?) alt={ "Sample " (index) } loading="lazy"; figcaption { "sample x" } }
                        figure {
                            img src=(data_uri(&heat.image)?) alt={ "Gradient of f at sample " (index) } loading="lazy";
                            figcaption { "∇f, ±" (number(f64::from(heat.scale))) }
                        }
                    }
                    div.pushed {
                        (pushed("Raise f", &self.top)?)
                        (pushed("Lower f", &self.bottom)?)
                    }
                    div.where { (PreEscaped(plot)) }
                    @if !self.groups.is_empty() {
                        div.groups {
                            h3 { "Groups" }
                            table { tbody { @for (name, count, influence) in &self.groups {
                                tr { th scope="row" title={ (count) " images" } { (name) } td { (signed(*influence)) } }
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

fn pushed(title: &str, images: &[PushedBy<'_>]) -> Result<Markup, ReportError> {
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
                    @if let Some(uri) = uri { img src=(uri) alt={ "Training image " (image.name) } title=(image.name) loading="lazy"; }
                    @else { div.hidden { (image.name) } }
                    figcaption { (signed(image.share)) }
                }
            }
        }
    })
}

/// A number with its sign.
fn signed(value: f64) -> String {
    match value > 0.0 {
        true => format!("+{}", number(value)),
        false => number(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_image_of_a_card_is_on_the_page_and_none_where_photos_are_left_out() {
        let values = [0.5_f32];
        let picture = Picture::new(1, 1, 1, &values).unwrap();
        let image = |name: &str, picture, share| PushedBy {
            name: name.into(),
            picture,
            share,
            along: vec![(80.0, share), (0.1, share)],
        };
        let card = InfluenceCard {
            index: 7,
            sample: picture,
            gradient: picture,
            value: 1.5,
            top: vec![image("up.png", Some(picture), 0.25)],
            bottom: vec![image("secret.png", None, -0.5)],
            strength: vec![(80.0, 0.1), (0.1, 0.2)],
            groups: vec![("attr:Smiling".into(), 40, -2.0)],
            warnings: vec!["The density is wrong.".into()],
        };
        let page = InfluencePage {
            functionals: vec![FunctionalSection {
                name: "principal".into(),
                cards: vec![card],
            }],
            ..InfluencePage::default()
        };
        let html = page.render().unwrap();
        let pictures = html.matches("data:image/png").count();
        assert_eq!(pictures, 3, "sample, gradient and one of two images");
        for text in [
            "sample 7",
            "+0.25",
            "-0.5",
            "secret.png",
            "attr:Smiling",
            "The density is wrong.",
        ] {
            assert!(html.contains(text), "{text}");
        }
    }
}
