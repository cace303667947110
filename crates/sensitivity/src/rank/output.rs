//! The output folder of a ranking: arrays, table, summary and page.

use std::path::Path;

use anyhow::{Context, Result};
use datasway_fs::arrays::{self, NamedArray};
use datasway_fs::csv::quoted;
use datasway_fs::names::unique_names;
use datasway_fs::process::peak_memory;
use datasway_sensitivity::sensitivities::TimeBreakdown;
use datasway_sensitivity::{RankedDirection, RankedSensitivities, Sensitivities};
use serde::Serialize;

use super::run::{RankRun, residual_extent};
use super::{page, strip};
use crate::picture_arguments::{GivenPictures, PictureSummary};

/// Writes `sensitivities.safetensors`, `ranking.csv`, `summary.json`, `index.html`, `pictures.csv` of given pictures, and for
/// each direction a picture of the samples that move most and least. Each file is complete or absent. `photos` are pictures of each direction, `[k, d]`.
///
/// # Errors
/// If the folder or a file cannot be written.
pub fn write(
    folder: &Path,
    results: &RankedSensitivities,
    photos: &[Vec<f32>],
    run: &RankRun,
) -> Result<()> {
    let tensors = arrays::serialize(&named_arrays(results, run.pictures.as_ref()))
        .context("the results cannot be written as SafeTensors")?;
    datasway_fs::write(&folder.join("sensitivities.safetensors"), &tensors)?;
    let table = ranking_csv(&results.directions);
    datasway_fs::write(&folder.join("ranking.csv"), table.as_bytes())?;
    if let Some(pictures) = &run.pictures {
        datasway_fs::write(&folder.join("pictures.csv"), pictures.csv().as_bytes())?;
    }
    let summary = serde_json::to_value(Summary::new(results, run))?;
    datasway_fs::write(
        &folder.join("summary.json"),
        format!("{summary:#}\n").as_bytes(),
    )?;
    // `add-attr-Eyeglasses.png`, `remove-attr-not-Smiling.png`.
    let names = results.directions.iter().map(|d| d.direction.to_string());
    let names = unique_names(&names.collect::<Vec<_>>());
    for (k, name) in names.into_iter().enumerate() {
        let png = strip::ends(results, k, run.shape)?;
        datasway_fs::write(&folder.join(name + ".png"), &png)?;
    }
    Ok(page::build(results, photos, run).write(&folder.join("index.html"))?)
}

/// `noise`, `samples` `[n, d]`; the sensitivity to the whole training set `residual` `[n, d]`, which should be 0;
/// `log_density` and `log_density_deviation` `[n, S]` at the noise levels `sigmas` `[S]`; and for each direction
/// `sensitivity/NAME` `[n, d]`, `log_ratio/NAME` `[n, S]`, the parts of the steps `by_step/NAME` `[n, S]` and the second
/// derivative `curvature/NAME` `[n, d]`. Given pictures are `pictures` `[n, d]`, and `samples` their reconstructions.
fn named_arrays<'a>(
    results: &'a RankedSensitivities,
    pictures: Option<&'a GivenPictures>,
) -> Vec<NamedArray<'a>> {
    let numbers = &results.sensitivities;
    let (n, d, steps) = (numbers.count(), numbers.dim, numbers.sigmas.len());
    let array = |name: &str, shape: &[usize], values| NamedArray {
        name: name.to_owned(),
        shape: shape.to_vec(),
        values,
    };
    let mut arrays = vec![
        array("noise", &[n, d], &numbers.noise),
        array("samples", &[n, d], &numbers.samples),
    ];
    if let Some(pictures) = pictures {
        arrays.push(array("pictures", &[n, d], &pictures.encoded.pictures));
    }
    if steps > 0 {
        arrays.push(array("sigmas", &[steps], &numbers.sigmas));
    }
    // No densities are compared through the weights.
    let compares_densities = !numbers.log_density.is_empty();
    if compares_densities {
        arrays.push(array("log_density", &[n, steps], &numbers.log_density));
    }
    if let Some(residuals) = &numbers.residuals {
        arrays.push(array("residual", &[n, d], residuals));
    }
    if let Some(deviation) = &numbers.log_density_deviation {
        arrays.push(array("log_density_deviation", &[n, steps], deviation));
    }
    for (k, RankedDirection { direction, .. }) in results.directions.iter().enumerate() {
        let name = |quantity: &str| format!("{quantity}/{direction}");
        arrays.push(array(&name("sensitivity"), &[n, d], &numbers.deltas[k]));
        if compares_densities {
            let ratios = &numbers.log_ratios[k];
            arrays.push(array(&name("log_ratio"), &[n, steps], ratios));
        }
        if let Some(parts) = &numbers.step_parts {
            arrays.push(array(&name("by_step"), &[n, steps], &parts[k]));
        }
        if let Some(noise) = &numbers.draw_noise {
            arrays.push(array(&name("draw_noise"), &[n], &noise[k]));
        }
        if let Some(curvatures) = &numbers.curvatures {
            arrays.push(array(&name("curvature"), &[n, d], &curvatures[k]));
        }
    }
    arrays
}

/// One row for each direction and sample. `residual`, `draw_noise`, `agreement` and `limit` are columns where they were asked for.
fn ranking_csv(directions: &[RankedDirection]) -> String {
    let rows = || directions.iter().flat_map(|direction| &direction.ranking);
    let has_residual = rows().any(|row| row.residual.is_some());
    let has_draw_noise = rows().any(|row| row.draw_noise.is_some());
    let has_agreement = rows().any(|row| row.agreement.is_some());
    let has_limit = rows().any(|row| row.trust_radius.is_some());
    let mut csv = String::from("direction,rank,sample,score,max_log_ratio,trustworthy");
    csv += if has_residual { ",residual" } else { "" };
    csv += if has_draw_noise { ",draw_noise" } else { "" };
    csv += if has_agreement { ",agreement" } else { "" };
    csv += if has_limit { ",limit\n" } else { "\n" };
    for RankedDirection { direction, ranking } in directions {
        let name = quoted(&direction.to_string());
        for (rank, row) in ranking.iter().enumerate() {
            csv += &format!(
                "{name},{},{},{},{},{}",
                rank + 1,
                row.index,
                finite(row.score),
                row.max_log_ratio
                    .map_or(String::new(), |ratio| ratio.to_string()),
                row.warnings.is_empty()
            );
            if has_residual {
                csv += &format!(",{}", row.residual.map_or(String::new(), finite));
            }
            if has_draw_noise {
                csv += &format!(",{}", row.draw_noise.map_or(String::new(), finite));
            }
            if has_agreement {
                csv += &format!(",{}", row.agreement.map_or(String::new(), finite));
            }
            let limit = row.trust_radius;
            csv += &limit.map_or(String::new(), |limit| format!(",{limit}"));
            csv.push('\n');
        }
    }
    csv
}

/// A number of a table; empty if it is not finite.
fn finite(value: f64) -> String {
    if value.is_finite() {
        value.to_string()
    } else {
        String::new()
    }
}

/// `summary.json`.
#[derive(Serialize)]
struct Summary<'a> {
    run: &'a RankRun,
    samples: usize,
    pictures: Option<Vec<PictureSummary>>,
    directions: Vec<DirectionSummary>,
    residual: Option<ResidualSummary>,
    evaluations_per_sample: EvaluationSummary,
    seconds: Seconds,
    peak_memory_bytes: Option<u64>,
}

/// Scores of one direction; numbers that are not finite are null.
#[derive(Serialize)]
struct DirectionSummary {
    name: String,
    images: usize,
    /// The mass, below 0 for a removal; none for a derivative.
    #[serde(skip_serializing_if = "Option::is_none")]
    mass: Option<f64>,
    largest_score: Option<f64>,
    median_score: Option<f64>,
    samples_with_warnings: usize,
    samples_not_finite: usize,
    median_limit: Option<f64>,
    /// The median noise of the draws of the loss relative to ‖δ‖.
    median_relative_draw_noise: Option<f64>,
    /// The median correlation with the run that was compared.
    median_agreement: Option<f64>,
}

/// `‖δ(ρ)‖` of the samples.
#[derive(Serialize)]
struct ResidualSummary {
    median: f64,
    largest: f64,
}

#[derive(Serialize)]
struct EvaluationSummary {
    path: usize,
    density: usize,
    tangent: usize,
    curvature: usize,
}

#[derive(Serialize)]
struct Seconds {
    total: f64,
    path: f64,
    density: f64,
    tangent: f64,
    curvature: f64,
}

impl<'a> Summary<'a> {
    fn new(results: &RankedSensitivities, run: &'a RankRun) -> Self {
        let numbers = &results.sensitivities;
        let TimeBreakdown {
            evaluations,
            total,
            path,
            density,
            tangent,
            curvature,
        } = numbers.cost;
        Self {
            run,
            samples: numbers.count(),
            pictures: run.pictures.as_ref().map(GivenPictures::summaries),
            directions: results
                .directions
                .iter()
                .map(DirectionSummary::new)
                .collect(),
            residual: ResidualSummary::new(numbers),
            evaluations_per_sample: EvaluationSummary {
                path: evaluations.path,
                density: evaluations.density,
                tangent: evaluations.tangent,
                curvature: evaluations.curvature,
            },
            seconds: Seconds {
                total,
                path,
                density,
                tangent,
                curvature,
            },
            peak_memory_bytes: peak_memory(),
        }
    }
}

impl DirectionSummary {
    fn new(ranked: &RankedDirection) -> Self {
        let (ranking, radii) = (&ranked.ranking, ranked.trust_radii());
        let agreements = ranked.agreements();
        let noises = ranked.relative_draw_noises();
        let finite = ranking.iter().filter(|row| row.score.is_finite()).count();
        let warned = ranking.iter().filter(|row| !row.warnings.is_empty());
        Self {
            name: ranked.direction.to_string(),
            images: ranked.direction.images().map_or(0, |images| images.len()),
            mass: ranked.direction.signed_mass(),
            largest_score: ranking.first().map(|row| row.score),
            median_score: ranking.get(finite / 2).map(|row| row.score),
            samples_with_warnings: warned.count(),
            samples_not_finite: ranking.len() - finite,
            median_limit: radii.get(radii.len() / 2).copied(),
            median_relative_draw_noise: noises.get(noises.len() / 2).copied(),
            median_agreement: agreements.get(agreements.len() / 2).copied(),
        }
    }
}

impl ResidualSummary {
    fn new(results: &Sensitivities) -> Option<Self> {
        let [median, largest] = residual_extent(results)?;
        Some(Self { median, largest })
    }
}
