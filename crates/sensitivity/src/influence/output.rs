//! The output folder of an influence run: arrays, tables, summary and page.

use std::path::Path;

use anyhow::{Context, Result};
use datasway_data::Dataset;
use datasway_fs::arrays::{self, NamedArray};
use datasway_fs::csv::quoted;
use datasway_fs::process::peak_memory;
use datasway_sensitivity::influence::Influences;
use serde::Serialize;

use super::groups::{Group, groups};
use super::page::{self, Photos};
use crate::run_info::RunInfo;

/// Run information of influences.
#[derive(Debug, Clone, Serialize)]
pub struct InfluenceRun {
    /// Model and options.
    #[serde(flatten)]
    pub info: RunInfo,
    /// The functionals, as the arguments name them.
    pub of: Vec<String>,
}

/// `summary.json`.
#[derive(Serialize)]
struct Summary<'a> {
    run: &'a InfluenceRun,
    samples: usize,
    images: usize,
    functionals: Vec<&'a str>,
    seconds: f64,
    peak_memory_bytes: Option<u64>,
}

/// Writes `influence.safetensors`, `images.csv`, `groups.csv`, `summary.json` and `index.html`, each complete or absent.
/// `images` are the training images, which are on the page if `photos`.
///
/// # Errors
/// If the folder or a file cannot be written.
pub fn write(
    folder: &Path,
    results: &Influences,
    images: &Dataset,
    run: &InfluenceRun,
    photos: bool,
) -> Result<()> {
    let groups = groups(images);
    let file = |name: &str| folder.join(name);
    let tensors = arrays::serialize(&named_arrays(results))
        .context("the results cannot be written as SafeTensors")?;
    datasway_fs::write(&file("influence.safetensors"), &tensors)?;
    let table = images_csv(results, images);
    datasway_fs::write(&file("images.csv"), table.as_bytes())?;
    let table = groups_csv(results, &groups);
    datasway_fs::write(&file("groups.csv"), table.as_bytes())?;
    let functionals = results.functionals.iter();
    let summary = serde_json::to_value(Summary {
        run,
        samples: results.count(),
        images: results.images,
        functionals: functionals.map(|f| f.name.as_str()).collect(),
        seconds: results.seconds,
        peak_memory_bytes: peak_memory(),
    })?;
    datasway_fs::write(&file("summary.json"), format!("{summary:#}\n").as_bytes())?;
    let photos = Photos::new(results, images, photos);
    let page = page::build(results, images, &groups, &run.info, &photos);
    Ok(page.write(&file("index.html"))?)
}

/// `samples` `[n, d]`, `sigmas` `[P]`, `balance` `[n, P]`, and for each functional `value/NAME` `[n]`, `gradient/NAME`
/// `[n, d]`, `influence/NAME` `[n, m]`, its mean over all images `residual/NAME` `[n]`, which should be 0, and
/// `strength/NAME` `[n, P]`.
fn named_arrays(results: &Influences) -> Vec<NamedArray<'_>> {
    let (n, d, p) = (results.count(), results.dim, results.sigmas.len());
    let array = |name: String, shape: &[usize], values| NamedArray {
        name,
        shape: shape.to_vec(),
        values,
    };
    let mut arrays = vec![array("samples".to_owned(), &[n, d], &results.samples)];
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
        arrays.push(array(name("influence"), &[n, results.images], &f.influence));
        arrays.push(array(name("residual"), &[n], &f.residuals));
        if is_sum_over_path {
            arrays.push(array(name("strength"), &[n, p], &f.strength));
        }
    }
    arrays
}

/// The proponents (`up`) and opponents (`down`) of each functional and sample.
fn images_csv(results: &Influences, images: &Dataset) -> String {
    let mut csv = String::from("functional,sample,side,rank,image,name,influence\n");
    for functional in &results.functionals {
        for i in 0..results.count() {
            let sides = [
                ("up", &functional.proponents[i]),
                ("down", &functional.opponents[i]),
            ];
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
