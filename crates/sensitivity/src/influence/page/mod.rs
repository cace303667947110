//! The page of an influence run: for each sample, the training images that raise and lower a functional most.

mod card;

use std::collections::BTreeMap;
use std::path::Path;

use datasway_data::Dataset;
use datasway_fs::{grouped, plural};
use datasway_report::{Curve, Picture, ReportError, STYLE, document, facts};
use datasway_sensitivity::influence::{
    FunctionalInfluences, InfluenceWarning, Influences, RankedImage,
};
use datasway_stats::median;
use maud::{Markup, html};

use super::groups::Group;
use super::run::{ImageSets, InfluenceRun};
use crate::given_picture::GivenPicture;
pub use card::{FunctionalSection, InfluenceCard, InfluentialImage};

/// Groups of a card, the strongest.
const GROUPS: usize = 6;
/// Groups in one plot.
const CURVES: usize = 4;

/// Pixels of the images on the page, by index.
pub struct Photos {
    training: BTreeMap<usize, Vec<f32>>,
    candidates: BTreeMap<usize, Vec<f32>>,
}

impl Photos {
    /// The strongest images of all samples; no images if they are not shown.
    pub fn new(results: &Influences, sets: &ImageSets<'_>) -> Self {
        let functionals = || results.functionals.iter().filter(|_| sets.shown);
        let ranked = functionals().flat_map(|f| f.proponents.iter().chain(&f.opponents));
        let others = functionals().filter_map(|f| f.candidates.as_ref());
        let others = others.flat_map(|c| c.proponents.iter().chain(&c.opponents));
        Self {
            training: pixels(ranked.flatten(), Some(sets.training)),
            candidates: pixels(others.flatten(), sets.candidates),
        }
    }
}

/// The pixels of ranked images by index.
fn pixels<'a>(
    ranked: impl Iterator<Item = &'a RankedImage>,
    images: Option<&Dataset>,
) -> BTreeMap<usize, Vec<f32>> {
    let images = images.into_iter();
    let pairs = ranked.flat_map(|r| {
        images
            .clone()
            .map(|set| (r.image, set.values(r.image).collect()))
    });
    pairs.collect()
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
        let contents = CardContents {
            curves: cards.clone().any(|card| !card.strength.is_empty()),
            groups: cards.any(|card| !card.groups.is_empty()),
        };
        let body = html! {
            header.top {
                h1 { (self.title) }
                p.lead { (self.summary) }
                @if self.functionals.len() > 1 {
                    nav aria-label="Questions" {
                        @for (i, f) in self.functionals.iter().enumerate() { a href={ "#functional-" (i) } { (f.name) } }
                    }
                }
                div.intro { (how_to_read(contents)) (facts(&self.facts)) }
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
    sets: &ImageSets<'a>,
    groups: &[Group],
    run: &'a InfluenceRun,
    photos: &'a Photos,
) -> InfluencePage<'a> {
    let images = sets.training;
    let picture = |values: &'a [f32]| Picture {
        channels: images.shape.channels,
        height: images.shape.height,
        width: images.shape.width,
        values,
    };
    let (d, p, m) = (results.dim, results.sigmas.len(), results.images as f64);
    let shown = |set: &Dataset, photos: &'a BTreeMap<usize, Vec<f32>>, ranked: &[RankedImage]| {
        let pushed = ranked.iter().map(|ranked| InfluentialImage {
            name: set.names[ranked.image].clone(),
            picture: photos.get(&ranked.image).map(|values| picture(values)),
            share: f64::from(ranked.influence) / m,
            along: curve(&results.sigmas, &ranked.along, 1.0 / m),
        });
        pushed.collect::<Vec<_>>()
    };
    let candidates = |functional: &FunctionalInfluences, i: usize| {
        let (results, set) = (functional.candidates.as_ref()?, sets.candidates?);
        let sides = [&results.proponents[i], &results.opponents[i]];
        Some(sides.map(|side| shown(set, &photos.candidates, side)))
    };
    let card = |functional: &'a FunctionalInfluences, i: usize| InfluenceCard {
        index: i,
        sample: picture(&results.samples[i * d..(i + 1) * d]),
        given: run.pictures.as_ref().map(|given| {
            let (name, values, error) = given.picture(i);
            GivenPicture {
                name: name.to_owned(),
                picture: picture(values),
                error,
            }
        }),
        gradient: picture(&functional.gradients[i * d..(i + 1) * d]),
        value: f64::from(functional.values[i]),
        proponents: shown(images, &photos.training, &functional.proponents[i]),
        opponents: shown(images, &photos.training, &functional.opponents[i]),
        candidates: candidates(functional, i),
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
            levels: levels(results, functional),
            groups: group_curves(results, functional, groups),
            cards: (0..results.count()).map(|i| card(functional, i)).collect(),
        });
    let mut facts = run.info.rows();
    facts.extend(
        sets.candidates
            .map(|set| ("Candidates".to_owned(), grouped(set.len()))),
    );
    InfluencePage {
        title: "Which images made these samples".to_owned(),
        summary: format!(
            "{} a model trained on {}, and which of its {} made {} so.",
            if run.pictures.is_some() {
                format!(
                    "{}, drawn again by",
                    plural(results.count(), "given picture")
                )
            } else {
                format!("{} of", plural(results.count(), "sample"))
            },
            run.info.data(),
            plural(images.len(), "image"),
            if results.count() == 1 { "it" } else { "them" }
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

/// The mean absolute contribution of an image of each sample by noise level, in f per image.
fn levels(results: &Influences, functional: &FunctionalInfluences) -> Vec<(f64, Vec<f64>)> {
    let (p, m) = (results.sigmas.len(), results.images as f64);
    let mut levels: Vec<(f64, Vec<f64>)> = Vec::new();
    if p == 0 {
        return levels;
    }
    for strength in functional.strength.chunks_exact(p) {
        for (k, (sigma, size)) in curve(&results.sigmas, strength, 1.0 / m)
            .into_iter()
            .enumerate()
        {
            match levels.get_mut(k) {
                Some((_, sizes)) => sizes.push(size),
                None => levels.push((sigma, vec![size])),
            }
        }
    }
    levels
}

/// The mean part of each step in the influence of the groups that act most, the median over the samples: a curve for each
/// group. Empty where the parts of the steps were not asked for.
fn group_curves(
    results: &Influences,
    functional: &FunctionalInfluences,
    groups: &[Group],
) -> Vec<Curve> {
    let (steps, m) = (results.step_sigmas.len(), results.images);
    let mut curves: Vec<Curve> = Vec::new();
    if steps == 0 {
        return curves;
    }
    for group in groups {
        let part = |s: usize| {
            let rows = functional.by_step.chunks_exact(m).skip(s).step_by(steps);
            median(&rows.map(|row| group.influence(row)).collect::<Vec<f64>>())
        };
        let points = results.step_sigmas.iter().enumerate();
        curves.push(Curve {
            name: group.name.clone(),
            points: points
                .map(|(s, sigma)| (f64::from(*sigma), part(s)))
                .collect(),
        });
    }
    let extent = |curve: &Curve| curve.points.iter().map(|p| p.1.abs()).fold(0.0, f64::max);
    curves.sort_by(|a, b| extent(b).total_cmp(&extent(a)));
    curves.truncate(CURVES);
    curves
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

/// Contents of cards that only some runs have.
#[derive(Debug, Clone, Copy)]
struct CardContents {
    /// The parts of the path, which only influences through the data have.
    curves: bool,
    groups: bool,
}

/// The panel that explains the page, with what only some runs have.
fn how_to_read(contents: CardContents) -> Markup {
    html! {
        div.panel {
            h3 { "How to read this page" }
            p {
                "Each sample was asked a question with a number for an answer, f. Which training images made the answer what it is? "
                @if contents.curves { "One sweep back through the sampler" } @else { "The derivative of the trained weights" }
                " tells it for all of them at once; nothing was retrained."
            }
            dl {
                dt { "∇f" }
                dd { "How f sees the picture: red where a lighter pixel raises f, blue where it lowers it." }
                dt { "± number" }
                dd { "What f would lose if the model had been trained without that image, to first order. Positive: the image raises f." }
                @if contents.curves {
                    dt { "Curves" }
                    dd { "Where along the sampler’s path the strongest image of either side acts, and the mean size over all images. Large σ decides composition, small σ detail." }
                }
                @if contents.groups {
                    dt { "Groups" }
                    dd { "Change of f per unit of mass added on all images of a label: η times it is predicted if a share η of the group is added." }
                }
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
            given: None,
            gradient: picture,
            value: 1.5,
            proponents: vec![image("up.png", Some(picture), 0.25)],
            opponents: vec![image("secret.png", None, -0.5)],
            candidates: None,
            strength: vec![(80.0, 0.1), (0.1, 0.2)],
            groups: vec![("attr:Wearing_Hat".into(), 40, -2.0)],
            warnings: vec!["The density is wrong.".into()],
        };
        let page = InfluencePage {
            functionals: vec![FunctionalSection {
                name: "principal".into(),
                cards: vec![card],
                ..FunctionalSection::default()
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
            "attr:Wearing_<wbr>Hat",
            "The density is wrong.",
            "One sweep back",
            "if a share η of the group",
        ] {
            assert!(html.contains(text), "{text}");
        }
    }

    #[test]
    fn the_page_explains_what_its_cards_have() {
        let html = InfluencePage::default().render().unwrap();
        for absent in ["One sweep back", "Curves", "Groups"] {
            assert!(!html.contains(absent), "{absent}");
        }
        assert!(html.contains("The derivative of the trained weights"));
    }
}
