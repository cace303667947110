//! The output folder of an influence run: arrays, tables, summary and page.

use std::path::Path;

use anyhow::{Context, Result};
use datasway_data::Dataset;
use datasway_fs::arrays::{self, NamedArray};
use datasway_fs::csv::quoted;
use datasway_fs::process::peak_memory;
use datasway_sensitivity::influence::{FunctionalInfluences, Influences, RankedImage};
use serde::Serialize;

use super::groups::{Group, groups};
use super::page::{self, Photos};
use super::run::{ImageSets, InfluenceRun};
use crate::picture_arguments::{GivenPictures, PictureSummary};

/// `summary.json`.
#[derive(Serialize)]
struct Summary<'a> {
    run: &'a InfluenceRun,
    samples: usize,
    pictures: Option<Vec<PictureSummary>>,
    images: usize,
    candidates: Option<usize>,
    functionals: Vec<&'a str>,
    seconds: f64,
    peak_memory_bytes: Option<u64>,
}

/// Writes `influence.safetensors`, `images.csv`, `groups.csv`, `summary.json` and `index.html`, each complete or absent.
/// `candidates.csv` and `pictures.csv` are there with images outside the training set, and with given pictures.
///
/// # Errors
/// If the folder or a file cannot be written.
pub fn write(
    folder: &Path,
    results: &Influences,
    sets: &ImageSets<'_>,
    run: &InfluenceRun,
) -> Result<()> {
    let groups = groups(sets.training);
    let file = |name: &str| folder.join(name);
    let tensors = arrays::serialize(&named_arrays(results, run.pictures.as_ref()))
        .context("the results cannot be written as SafeTensors")?;
    datasway_fs::write(&file("influence.safetensors"), &tensors)?;
    let table = images_csv(results, sets.training, |f| (&f.proponents, &f.opponents));
    datasway_fs::write(&file("images.csv"), table.as_bytes())?;
    let table = groups_csv(results, &groups);
    datasway_fs::write(&file("groups.csv"), table.as_bytes())?;
    if let Some(candidates) = sets.candidates {
        let table = candidates_csv(results, candidates);
        datasway_fs::write(&file("candidates.csv"), table.as_bytes())?;
    }
    if let Some(pictures) = &run.pictures {
        datasway_fs::write(&file("pictures.csv"), pictures.csv().as_bytes())?;
    }
    let functionals = results.functionals.iter();
    let summary = serde_json::to_value(Summary {
        run,
        samples: results.count(),
        pictures: run.pictures.as_ref().map(GivenPictures::summaries),
        images: results.images,
        candidates: sets.candidates.map(Dataset::len),
        functionals: functionals.map(|f| f.name.as_str()).collect(),
        seconds: results.seconds,
        peak_memory_bytes: peak_memory(),
    })?;
    datasway_fs::write(&file("summary.json"), format!("{summary:#}\n").as_bytes())?;
    let photos = Photos::new(results, sets);
    let page = page::build(results, sets, &groups, run, &photos);
    Ok(page.write(&file("index.html"))?)
}

/// `samples` `[n, d]`, `sigmas` `[P]`, `balance` `[n, P]`, and for each functional `value/NAME` `[n]`, `gradient/NAME`
/// `[n, d]`, `influence/NAME` `[n, m]`, its mean over all images `residual/NAME` `[n]`, which should be 0, and
/// `strength/NAME` `[n, P]`. With the parts of the steps `step_sigmas` `[S]` and `by_step/NAME` `[n, S, m]`; with candidates
/// `candidate_influence/NAME` `[n, c]` and `candidate_by_step/NAME` `[n, S, c]`; with given pictures `pictures` and `noise`
/// `[n, d]`, and `samples` are their reconstructions.
fn named_arrays<'a>(
    results: &'a Influences,
    pictures: Option<&'a GivenPictures>,
) -> Vec<NamedArray<'a>> {
    let (n, d, p) = (results.count(), results.dim, results.sigmas.len());
    let array = |name: String, shape: &[usize], values| NamedArray {
        name,
        shape: shape.to_vec(),
        values,
    };
    let mut arrays = vec![array("samples".to_owned(), &[n, d], &results.samples)];
    if let Some(GivenPictures { encoded, .. }) = pictures {
        arrays.push(array("pictures".to_owned(), &[n, d], &encoded.pictures));
        arrays.push(array("noise".to_owned(), &[n, d], &encoded.noise));
    }
    let (steps, m, c) = (
        results.step_sigmas.len(),
        results.images,
        results.candidates,
    );
    if steps > 0 {
        arrays.push(array(
            "step_sigmas".to_owned(),
            &[steps],
            &results.step_sigmas,
        ));
    }
    // Influences through the weights are not a sum over the path.
    let is_sum_over_path = p > 0;
    if is_sum_over_path {
        arrays.push(array("sigmas".to_owned(), &[p], &results.sigmas));
        arrays.push(array("balance".to_owned(), &[n, p], &results.balance));
    }
    for f in &results.functionals {
        let name = |quantity: &str| format!("{quantity}/{}", f.name);
        arrays.push(array(name("value"), &[n], &f.values));
        arrays.push(array(name("gradient"), &[n, d], &f.gradients));
        arrays.push(array(name("influence"), &[n, m], &f.influence));
        if steps > 0 {
            arrays.push(array(name("by_step"), &[n, steps, m], &f.by_step));
        }
        if let Some(candidates) = &f.candidates {
            let influence = &candidates.influence;
            arrays.push(array(name("candidate_influence"), &[n, c], influence));
            if steps > 0 {
                let by_step = &candidates.by_step;
                arrays.push(array(name("candidate_by_step"), &[n, steps, c], by_step));
            }
        }
        arrays.push(array(name("residual"), &[n], &f.residuals));
        if is_sum_over_path {
            arrays.push(array(name("strength"), &[n, p], &f.strength));
        }
    }
    arrays
}

/// The candidates that would raise (`up`) and lower (`down`) each functional of each sample most.
fn candidates_csv(results: &Influences, candidates: &Dataset) -> String {
    images_csv(results, candidates, |f| match &f.candidates {
        Some(candidates) => (&candidates.proponents, &candidates.opponents),
        None => (&[], &[]),
    })
}

/// The images of both sides, a list for each sample.
type Sides<'a> = (&'a [Vec<RankedImage>], &'a [Vec<RankedImage>]);

/// The proponents (`up`) and opponents (`down`) of each functional and sample, as `ranked` has them.
fn images_csv(
    results: &Influences,
    images: &Dataset,
    ranked: impl Fn(&FunctionalInfluences) -> Sides<'_>,
) -> String {
    let mut csv = String::from("functional,sample,side,rank,image,name,influence\n");
    for functional in &results.functionals {
        let (proponents, opponents) = ranked(functional);
        for (i, (up, down)) in proponents.iter().zip(opponents).enumerate() {
            let sides = [("up", up), ("down", down)];
            for (side, ranked) in sides {
                for (rank, ranked) in ranked.iter().enumerate() {
                    csv += &format!(
                        "{},{i},{side},{},{},{},{}\n",
                        quoted(&functional.name),
                        rank + 1,
                        ranked.image,
                        quoted(&images.names[ranked.image]),
                        ranked.influence
                    );
                }
            }
        }
    }
    csv
}

/// The influence of each group on each functional and sample.
fn groups_csv(results: &Influences, groups: &[Group]) -> String {
    let mut csv = String::from("functional,sample,group,images,influence\n");
    for functional in &results.functionals {
        for i in 0..results.count() {
            for group in groups {
                csv += &format!(
                    "{},{i},{},{},{}\n",
                    quoted(&functional.name),
                    quoted(&group.name),
                    group.images.len(),
                    group.influence(results.row(functional, i))
                );
            }
        }
    }
    csv
}
