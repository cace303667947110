//! The page of an influence run: for each sample, the training images that raise and lower a functional most.

mod card;

use std::collections::BTreeMap;
use std::path::Path;

use datasway_data::Dataset;
use datasway_report::{Picture, ReportError, STYLE, document, facts};
use datasway_sensitivity::influence::{
    FunctionalInfluences, InfluenceWarning, Influences, RankedImage,
};
use maud::{Markup, html};

use super::groups::Group;
use crate::run_info::RunInfo;
pub use card::{FunctionalSection, InfluenceCard, InfluentialImage};

/// Groups of a card, the strongest.
const GROUPS: usize = 6;

/// Pixels of the training images on the page, by index.
pub struct Photos(BTreeMap<usize, Vec<f32>>);

impl Photos {
    /// The strongest images of all samples; no images if not `shown`.
    pub fn new(results: &Influences, images: &Dataset, shown: bool) -> Self {
        let functionals = results.functionals.iter();
        let ranked = functionals.flat_map(|f| f.proponents.iter().chain(&f.opponents));
        let ranked = ranked.flatten().filter(|_| shown);
        let pixels = ranked.map(|r| (r.image, images.values(r.image).collect()));
        Self(pixels.collect())
    }
}

/// The page of an influence run.
#[derive(Debug, Clone, Default)]
pub struct InfluencePage<'a> {
    /// The heading.
    pub title: String,
    /// One or two sentences under the heading.
    pub summary: String,
    /// Names and values of the run, in the order of the table.
    pub facts: Vec<(String, String)>,
    /// One section for each functional.
    pub functionals: Vec<FunctionalSection<'a>>,
}

impl InfluencePage<'_> {
    /// The page as HTML.
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
        let mut cards = self.functionals.iter().flat_map(|f| &f.cards);
        let curves = cards.any(|card| !card.strength.is_empty());
        let body = html! {
            header.top {
                h1 { (self.title) }
                p.lead { (self.summary) }
                @if self.functionals.len() > 1 {
                    nav aria-label="Questions" {
                        @for (i, f) in self.functionals.iter().enumerate() { a href={ "#functional-" (i) } { (f.name) } }
                    }
                }
                div.intro { (how_to_read(curves)) (facts(&self.facts)) }
            }
            main { @for section in &sections { (section) } }
        };
        let css = [STYLE, include_str!("influence.css")].concat();
        Ok(document(&self.title, &css, &body))
    }

    /// Renders the page and writes it, complete or not at all.
    ///
    /// # Errors
    /// As [`render`](Self::render), or if the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), ReportError> {
        Ok(datasway_fs::write(path, self.render()?.as_bytes())?)
    }
}

/// The page of results.
pub fn build<'a>(
    results: &'a Influences,
    images: &'a Dataset,
    groups: &[Group],
    info: &RunInfo,
    photos: &'a Photos,
) -> InfluencePage<'a> {
    let picture = |values: &'a [f32]| Picture {
        channels: images.shape.channels,
        height: images.shape.height,
        width: images.shape.width,
        values,
    };
    let (d, p, m) = (results.dim, results.sigmas.len(), results.images as f64);
    let pushed = |ranked: &RankedImage| InfluentialImage {
        name: images.names[ranked.image].clone(),
        picture: photos.0.get(&ranked.image).map(|values| picture(values)),
        share: f64::from(ranked.influence) / m,
        along: curve(&results.sigmas, &ranked.along, 1.0 / m),
    };
    let card = |functional: &'a FunctionalInfluences, i: usize| InfluenceCard {
        index: i,
        sample: picture(&results.samples[i * d..(i + 1) * d]),
        gradient: picture(&functional.gradients[i * d..(i + 1) * d]),
        value: f64::from(functional.values[i]),
        proponents: functional.proponents[i].iter().map(pushed).collect(),
        opponents: functional.opponents[i].iter().map(pushed).collect(),
        strength: curve(
            &results.sigmas,
            &functional.strength[i * p..(i + 1) * p],
            1.0 / m,
        ),
        groups: strongest_groups(groups, results.row(functional, i)),
        warnings: results.warnings(functional, i).iter().map(advice).collect(),
    };
    let sections = results
        .functionals
        .iter()
        .map(|functional| FunctionalSection {
            name: functional.name.clone(),
            cards: (0..results.count()).map(|i| card(functional, i)).collect(),
        });
    let mut facts = info.rows();
    facts.push(("Time".to_owned(), format!("{:.1} s", results.seconds)));
    InfluencePage {
        title: "Which images made these samples".to_owned(),
        summary: format!(
            "{} samples of a model trained on {}, and which of its {} images made them so.",
            results.count(),
            info.data(),
            images.len()
        ),
        facts,
        functionals: sections.collect(),
    }
}

/// Scaled values over the noise level. Heun's method evaluates a noise level twice, at the end of a step and at the start
/// of the next; both values are added.
fn curve(sigmas: &[f32], values: &[f32], scale: f64) -> Vec<(f64, f64)> {
    let mut curve: Vec<(f64, f64)> = Vec::new();
    for (sigma, value) in sigmas.iter().zip(values) {
        let (sigma, value) = (f64::from(*sigma), scale * f64::from(*value));
        match curve.last_mut() {
            Some(last) if last.0 == sigma => last.1 += value,
            _ => curve.push((sigma, value)),
        }
    }
    curve
}

/// Name, number of images and influence of the groups with the largest absolute influence.
fn strongest_groups(groups: &[Group], row: &[f32]) -> Vec<(String, usize, f64)> {
    let total = |group: &Group| (group.name.clone(), group.images.len(), group.influence(row));
    let mut totals: Vec<(String, usize, f64)> = groups.iter().map(total).collect();
    totals.sort_by(|a, b| b.2.abs().total_cmp(&a.2.abs()));
    totals.truncate(GROUPS);
    totals
}

/// A warning with the argument that helps.
fn advice(warning: &InfluenceWarning) -> String {
    match warning {
        InfluenceWarning::Imbalance { .. } => format!("{warning}: use --bandwidth auto."),
        InfluenceWarning::NotFinite | InfluenceWarning::WithinModelError { .. } => {
            format!("{warning}.")
        }
    }
}

/// The panel that explains the page.
fn how_to_read(curves: bool) -> Markup {
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
                @if curves {
                    dt { "Curves" }
                    dd { "Where along the sampler’s path the strongest image of either side acts, and the mean size over all images. Large σ decides composition, small σ detail." }
                }
                dt { "Groups" }
                dd { "Change of f per unit of mass added on all images of a label: η times it is predicted if a share η of the group is added." }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_image_of_a_card_is_on_the_page_and_none_where_photos_are_left_out() {
        let values = [0.5_f32];
        let picture = Picture::new(1, 1, 1, &values).unwrap();
        let image = |name: &str, picture, share| InfluentialImage {
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
            proponents: vec![image("up.png", Some(picture), 0.25)],
            opponents: vec![image("secret.png", None, -0.5)],
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
