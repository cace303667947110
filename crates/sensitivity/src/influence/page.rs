//! The page of an influence run.

use std::collections::BTreeMap;

use datasway_data::Dataset;
use datasway_report::{FunctionalSection, InfluenceCard, InfluencePage, Picture, PushedBy};
use datasway_sensitivity::influence::{FunctionalInfluences, Influences, RankedImage};

use super::groups::Group;
use crate::run_info::RunInfo;

/// Groups of a card, the strongest.
const GROUPS: usize = 6;

/// The largest factor between the density of the training images and the estimate they are compared with that is trusted.
/// Influences that rest on the density are wrong by that factor.
const MAX_IMBALANCE: f32 = std::f32::consts::E;

/// The smallest ratio of the mean absolute influence of an image to the zero check, the mean over all images, that is
/// trusted.
const CLEAR_OF_RESIDUAL: f64 = 2.0;

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
    let pushed = |ranked: &RankedImage| PushedBy {
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
        top: functional.proponents[i].iter().map(pushed).collect(),
        bottom: functional.opponents[i].iter().map(pushed).collect(),
        strength: curve(
            &results.sigmas,
            &functional.strength[i * p..(i + 1) * p],
            1.0 / m,
        ),
        groups: strongest_groups(groups, results.row(functional, i)),
        warnings: warnings(results, functional, i),
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

/// Reasons not to trust the influences on a sample, in sentences.
fn warnings(results: &Influences, functional: &FunctionalInfluences, i: usize) -> Vec<String> {
    let p = results.sigmas.len();
    let row = results.row(functional, i);
    if row.iter().any(|a| !a.is_finite()) {
        return vec!["Some are not finite: the density ratio overflowed on this path.".to_owned()];
    }
    let mut warnings = Vec::new();
    let size = row.iter().map(|a| f64::from(a.abs())).sum::<f64>() / row.len() as f64;
    let residual = f64::from(functional.residuals[i]);
    if residual.abs() * CLEAR_OF_RESIDUAL > size {
        warnings.push(format!(
            "More of all training images alike, which changes nothing, seems to change this by {residual:.2e} per unit of mass, where a \
             typical image does by {size:.2e}: the model's own error is in every number here."
        ));
    }
    let strength = &functional.strength[i * p..(i + 1) * p];
    let strongest = (0..p).max_by(|&a, &b| strength[a].total_cmp(&strength[b]));
    let balance = strongest.map_or(1.0, |k| results.balance[i * p + k]);
    if !(MAX_IMBALANCE.recip()..=MAX_IMBALANCE).contains(&balance) {
        warnings.push(format!(
            "Where they are strongest, the training images are {balance:.1e} times as likely as the density they are compared with \
             says: use --bandwidth auto."
        ));
    }
    warnings
}
