//! The folder of an influence run.

use std::collections::BTreeMap;
use std::path::Path;

use crate::rank::output::{Part, RunInfo, safetensors};
use anyhow::Result;
use datasway_data::Dataset;
use datasway_fs::process::peak_memory;
use datasway_report::{FunctionalSection, InfluenceCard, InfluencePage, Picture, PushedBy};
use datasway_sensitivity::influence::{FunctionalInfluences, Influences, RankedImage};
use serde_json::json;

use super::groups::{Group, groups};

/// Groups of a card, the strongest.
const GROUPS: usize = 6;
/// Beyond this factor between the density of the training images and the estimate it is compared by, the influences that hang on
/// it are wrong by as much.
const MAX_IMBALANCE: f32 = std::f32::consts::E;

/// An influence stands clear of the zero check, the mean over all images, if images add at least so many times as much on average,
/// whatever their sign.
const CLEAR_OF_RESIDUAL: f64 = 2.0;

/// Writes `influence.safetensors`, `images.csv`, `groups.csv`, `summary.json` and `index.html`, each complete or absent.
pub fn write(
    folder: &Path,
    results: &Influences,
    images: &Dataset,
    facts: &RunInfo,
    photos: bool,
) -> Result<()> {
    let groups = groups(images);
    let file = |name: &str| folder.join(name);
    datasway_fs::write(
        &file("influence.safetensors"),
        &safetensors(&parts(results))?,
    )?;
    datasway_fs::write(&file("images.csv"), ends(results, images).as_bytes())?;
    datasway_fs::write(&file("groups.csv"), totals(results, &groups).as_bytes())?;
    let summary = json!({
        "run": facts.json,
        "samples": results.count(),
        "images": results.images,
        "functionals": results.functionals.iter().map(|f| &f.name).collect::<Vec<_>>(),
        "seconds": results.seconds,
        "peak_memory_bytes": peak_memory(),
    });
    datasway_fs::write(&file("summary.json"), format!("{summary:#}\n").as_bytes())?;
    let shown = RankedDirection::new(results, images, photos);
    Ok(page(results, images, &groups, facts, &shown).write(&file("index.html"))?)
}

/// `samples` `[n, d]`, `sigmas` `[P]`, `balance` `[n, P]`, and for each functional `value/NAME` `[n]`, `gradient/NAME`
/// `[n, d]`, `influence/NAME` `[n, m]`, its mean over all images `residual/NAME` `[n]`, which should be 0, and
/// `strength/NAME` `[n, P]`.
fn parts(results: &Influences) -> Vec<Part<'_>> {
    let (n, d, p) = (results.count(), results.dim, results.sigmas.len());
    let mut parts: Vec<Part<'_>> = vec![
        ("samples".to_owned(), vec![n, d], &results.samples),
        ("sigmas".to_owned(), vec![p], &results.sigmas),
        ("balance".to_owned(), vec![n, p], &results.balance),
    ];
    for found in &results.functionals {
        let name = |what: &str| format!("{what}/{}", found.name);
        parts.push((name("value"), vec![n], &found.values));
        parts.push((name("gradient"), vec![n, d], &found.gradients));
        parts.push((name("influence"), vec![n, results.images], &found.influence));
        parts.push((name("residual"), vec![n], &found.residuals));
        parts.push((name("strength"), vec![n, p], &found.strength));
    }
    parts
}

fn ends(results: &Influences, images: &Dataset) -> String {
    let mut csv = String::from("functional,sample,side,rank,image,name,influence\n");
    for found in &results.functionals {
        for i in 0..results.count() {
            for (side, kept) in [("up", &found.top[i]), ("down", &found.bottom[i])] {
                for (rank, kept) in kept.iter().enumerate() {
                    csv += &format!(
                        "{},{i},{side},{},{},{},{}\n",
                        quoted(&found.name),
                        rank + 1,
                        kept.image,
                        quoted(&images.names[kept.image]),
                        kept.influence
                    );
                }
            }
        }
    }
    csv
}

fn totals(results: &Influences, groups: &[Group]) -> String {
    let mut csv = String::from("functional,sample,group,images,influence\n");
    for found in &results.functionals {
        for i in 0..results.count() {
            for group in groups {
                csv += &format!(
                    "{},{i},{},{},{}\n",
                    quoted(&found.name),
                    quoted(&group.name),
                    group.images.len(),
                    group.influence(results.row(found, i))
                );
            }
        }
    }
    csv
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// The pixels of the images on the page.
struct RankedDirection {
    images: BTreeMap<usize, Vec<f32>>,
}

impl RankedDirection {
    fn new(results: &Influences, images: &Dataset, photos: bool) -> Self {
        let kept = results
            .functionals
            .iter()
            .flat_map(|f| f.top.iter().chain(&f.bottom));
        let shown = kept.flatten().filter(|_| photos);
        Self {
            images: shown
                .map(|kept| (kept.image, images.values(kept.image).collect()))
                .collect(),
        }
    }
}

fn page<'a>(
    results: &'a Influences,
    images: &'a Dataset,
    groups: &[Group],
    facts: &RunInfo,
    shown: &'a RankedDirection,
) -> InfluencePage<'a> {
    let [channels, height, width] = facts.shape;
    let picture = |values: &'a [f32]| Picture {
        channels,
        height,
        width,
        values,
    };
    let (d, p, m) = (results.dim, results.sigmas.len(), results.images as f64);
    // Heun's method meets a noise level twice: at the end of a step and at the start of the next.
    let along = move |values: &[f32], scale: f64| {
        let mut curve: Vec<(f64, f64)> = Vec::new();
        for (sigma, value) in results.sigmas.iter().zip(values) {
            let (sigma, value) = (f64::from(*sigma), scale * f64::from(*value));
            match curve.last_mut() {
                Some(last) if last.0 == sigma => last.1 += value,
                _ => curve.push((sigma, value)),
            }
        }
        curve
    };
    let pushed = |kept: &RankedImage| PushedBy {
        name: images.names[kept.image].clone(),
        picture: shown.images.get(&kept.image).map(|values| picture(values)),
        share: f64::from(kept.influence) / m,
        along: along(&kept.along, 1.0 / m),
    };
    let card = |found: &'a FunctionalInfluences, i: usize| {
        let row = results.row(found, i);
        let mut totals: Vec<(String, usize, f64)> = groups
            .iter()
            .map(|group| (group.name.clone(), group.images.len(), group.influence(row)))
            .collect();
        totals.sort_by(|a, b| b.2.abs().total_cmp(&a.2.abs()));
        totals.truncate(GROUPS);
        InfluenceCard {
            index: i,
            sample: picture(&results.samples[i * d..(i + 1) * d]),
            gradient: picture(&found.gradients[i * d..(i + 1) * d]),
            value: f64::from(found.values[i]),
            top: found.top[i].iter().map(pushed).collect(),
            bottom: found.bottom[i].iter().map(pushed).collect(),
            strength: along(&found.strength[i * p..(i + 1) * p], 1.0 / m),
            groups: totals,
            warnings: warnings(results, found, i),
        }
    };
    let sections = results.functionals.iter().map(|found| FunctionalSection {
        name: found.name.clone(),
        cards: (0..results.count()).map(|i| card(found, i)).collect(),
    });
    InfluencePage {
        title: "Which images made these samples".to_owned(),
        summary: facts.summary.clone(),
        facts: facts.rows.clone(),
        functionals: sections.collect(),
    }
}

/// Why the influences on a sample cannot be trusted.
fn warnings(results: &Influences, found: &FunctionalInfluences, i: usize) -> Vec<String> {
    let p = results.sigmas.len();
    let row = results.row(found, i);
    if row.iter().any(|a| !a.is_finite()) {
        return vec!["Some are not finite: the density ratio overflowed on this path.".to_owned()];
    }
    let mut warnings = Vec::new();
    let size = row.iter().map(|a| f64::from(a.abs())).sum::<f64>() / row.len() as f64;
    let residual = f64::from(found.residuals[i]);
    if residual.abs() * CLEAR_OF_RESIDUAL > size {
        warnings.push(format!(
            "More of all training images alike, which changes nothing, seems to change this by {residual:.2e} per unit of mass, where a \
             typical image does by {size:.2e}: the model's own error is in every number here."
        ));
    }
    let strength = &found.strength[i * p..(i + 1) * p];
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
