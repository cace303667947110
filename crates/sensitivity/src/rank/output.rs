//! The output folder: tensors, ranking, summary and page.

use std::path::Path;

use datasway_fs::names::unique_names;
use datasway_fs::process::peak_memory;
use datasway_report::{Card, DirectionSection, Picture, ReportError, SensitivityPage, strip_png};
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};

use datasway_sensitivity::ranking::Ranked;
use datasway_sensitivity::sensitivities::Sensitivities;

/// Why the results could not be written.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// The tensors cannot be laid out.
    #[error("the results cannot be written as SafeTensors")]
    Tensors(#[from] safetensors::SafeTensorError),
    /// A picture cannot be drawn.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// A file cannot be written.
    #[error(transparent)]
    Write(#[from] datasway_fs::WriteError),
}

/// A direction as the reader sees it.
#[derive(Debug, Clone)]
pub struct RankedDirection {
    /// The selection, such as `attr:Eyeglasses`.
    pub selection: String,
    /// Whether the images are removed; the prediction is then `−|η|·δ`.
    pub removing: bool,
    /// Number of images.
    pub count: usize,
    /// A few of them to show, `[k, d]` in `[-1, 1]`; empty without photos.
    pub pictures: Vec<f32>,
    /// The samples, most sensitive first.
    pub ranking: Vec<Ranked>,
}

impl RankedDirection {
    /// Name in the files: `add attr:Eyeglasses` or `remove attr:Eyeglasses`.
    pub fn name(&self) -> String {
        let verb = if self.removing { "remove" } else { "add" };
        format!("{verb} {}", self.selection)
    }

    /// The masses up to which its samples' predictions are trusted, ascending; empty if that was not asked for.
    pub fn limits(&self) -> Vec<f64> {
        let mut limits: Vec<f64> = self.ranking.iter().filter_map(|row| row.limit).collect();
        limits.sort_by(f64::total_cmp);
        limits
    }
}

/// What the page and the summary say about the run.
#[derive(Debug, Clone)]
pub struct RunInfo {
    /// One sentence.
    pub summary: String,
    /// Name and value, for the page.
    pub rows: Vec<(String, String)>,
    /// Everything, for programs.
    pub json: Value,
    /// Channels, height, width.
    pub shape: [usize; 3],
}

/// Samples at each end of the ranking in a direction's strip of pictures.
const STRIP: usize = 6;

/// Writes `sensitivities.safetensors`, `ranking.csv`, `summary.json`, `index.html` and for each direction
/// a picture of the samples that move most and least; each file is complete or absent.
///
/// # Errors
/// If the folder or a file cannot be written.
pub fn write(
    folder: &Path,
    results: &Sensitivities,
    directions: &[RankedDirection],
    facts: &RunInfo,
) -> Result<(), OutputError> {
    let tensors = tensors(results, directions)?;
    datasway_fs::write(&folder.join("sensitivities.safetensors"), &tensors)?;
    datasway_fs::write(&folder.join("ranking.csv"), csv(directions).as_bytes())?;
    let summary = format!("{:#}\n", summary(results, directions, facts));
    datasway_fs::write(&folder.join("summary.json"), summary.as_bytes())?;
    // `add-attr-Eyeglasses.png`, `remove-attr-not-Smiling.png`.
    let names: Vec<String> = directions.iter().map(RankedDirection::name).collect();
    let names = unique_names(&names).into_iter();
    for ((k, direction), name) in directions.iter().enumerate().zip(names) {
        let bytes = strip(results, k, direction, facts.shape)?;
        datasway_fs::write(&folder.join(name + ".png"), &bytes)?;
    }
    Ok(page(results, directions, facts).write(&folder.join("index.html"))?)
}

/// The samples at the top of the ranking, from the left, and those at its end.
fn strip(
    results: &Sensitivities,
    k: usize,
    direction: &RankedDirection,
    [channels, height, width]: [usize; 3],
) -> Result<Vec<u8>, ReportError> {
    let picture = |values| Picture {
        channels,
        height,
        width,
        values,
    };
    let (ranking, d) = (&direction.ranking, results.dim);
    let bottom = ranking
        .len()
        .saturating_sub(STRIP)
        .max(STRIP.min(ranking.len()));
    let ends = ranking.iter().take(STRIP).chain(&ranking[bottom..]);
    let (samples, deltas): (Vec<_>, Vec<_>) = ends
        .map(|row| {
            let x = &results.samples[row.sample * d..(row.sample + 1) * d];
            (picture(x), picture(results.delta(k, row.sample)))
        })
        .unzip();
    strip_png(&samples, &deltas, direction.removing)
}

/// `noise`, `samples` `[n, d]`; the sensitivity to the whole training set `residual` `[n, d]`, which should be 0;
/// `log_density` `[n, S]` at the noise levels `sigmas` `[S]`; and for each direction `sensitivity/NAME` `[n, d]`, `log_ratio/NAME` `[n, S]` and, if it was asked for, the second derivative
/// `curvature/NAME` `[n, d]`.
fn tensors(
    results: &Sensitivities,
    directions: &[RankedDirection],
) -> Result<Vec<u8>, OutputError> {
    let (n, d, steps) = (results.count(), results.dim, results.sigmas.len());
    let mut parts: Vec<Part<'_>> = vec![
        ("noise".to_owned(), vec![n, d], &results.noise),
        ("samples".to_owned(), vec![n, d], &results.samples),
        ("sigmas".to_owned(), vec![steps], &results.sigmas),
        (
            "log_density".to_owned(),
            vec![n, steps],
            &results.log_density,
        ),
    ];
    if let Some(residuals) = &results.residuals {
        parts.push(("residual".to_owned(), vec![n, d], residuals));
    }
    if let Some(deviation) = &results.log_density_deviation {
        let shape = vec![n, steps];
        parts.push(("log_density_deviation".to_owned(), shape, deviation));
    }
    for (k, direction) in directions.iter().enumerate() {
        let name = |what: &str| format!("{what}/{}", direction.name());
        parts.push((name("sensitivity"), vec![n, d], &results.deltas[k]));
        parts.push((name("log_ratio"), vec![n, steps], &results.log_ratios[k]));
        if let Some(curvatures) = &results.curvatures {
            parts.push((name("curvature"), vec![n, d], &curvatures[k]));
        }
    }
    safetensors(&parts)
}

/// Name, shape and values of a tensor.
pub type Part<'a> = (String, Vec<usize>, &'a [f32]);

/// Tensors as the bytes of a SafeTensors file.
///
/// # Errors
/// If values do not fill their shapes.
pub fn safetensors(parts: &[Part<'_>]) -> Result<Vec<u8>, OutputError> {
    let bytes: Vec<Vec<u8>> = parts
        .iter()
        .map(|(.., values)| values.iter().flat_map(|v| v.to_le_bytes()).collect())
        .collect();
    let mut views = Vec::new();
    for ((name, shape, _), bytes) in parts.iter().zip(&bytes) {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes)?;
        views.push((name.as_str(), view));
    }
    Ok(safetensors::serialize(views, None)?)
}

fn csv(directions: &[RankedDirection]) -> String {
    let limited = directions.iter().any(|d| !d.limits().is_empty());
    let mut csv = String::from("direction,rank,sample,score,max_log_ratio,trustworthy");
    let checked = directions
        .iter()
        .flat_map(|d| &d.ranking)
        .any(|row| row.residual.is_some());
    csv += if checked { ",residual" } else { "" };
    csv += if limited { ",limit\n" } else { "\n" };
    for direction in directions {
        let name = direction.name().replace('"', "\"\"");
        for (rank, row) in direction.ranking.iter().enumerate() {
            csv += &format!(
                "\"{name}\",{},{},{},{},{}",
                rank + 1,
                row.sample,
                finite(row.score),
                row.max_log_ratio,
                row.warnings.is_empty()
            );
            if checked {
                csv += &format!(",{}", row.residual.map_or(String::new(), finite));
            }
            csv += &row.limit.map_or(String::new(), |limit| format!(",{limit}"));
            csv.push('\n');
        }
    }
    csv
}

/// A number of a table; nothing where there is none.
fn finite(value: f64) -> String {
    match value.is_finite() {
        true => value.to_string(),
        false => String::new(),
    }
}

fn summary(results: &Sensitivities, directions: &[RankedDirection], facts: &RunInfo) -> Value {
    let directions: Vec<Value> = directions
        .iter()
        .map(|direction| {
            let ranking = &direction.ranking;
            let finite = ranking.iter().filter(|r| r.score.is_finite()).count();
            let middle = ranking.get(finite / 2).map(|r| r.score);
            let doubtful = ranking.iter().filter(|r| !r.warnings.is_empty()).count();
            let limits = direction.limits();
            json!({
                "name": direction.name(),
                "images": direction.count,
                "largest_score": ranking.first().map(|r| r.score),
                "median_score": middle,
                "samples_with_warnings": doubtful,
                "samples_not_finite": ranking.len() - finite,
                "median_limit": limits.get(limits.len() / 2),
            })
        })
        .collect();
    let cost = &results.cost;
    json!({
        "run": facts.json,
        "samples": results.count(),
        "directions": directions,
        "residual": residual_summary(results),
        "evaluations_per_sample": {
            "path": cost.evaluations.path,
            "density": cost.evaluations.density,
            "tangent": cost.evaluations.tangent,
            "curvature": cost.evaluations.curvature,
        },
        "seconds": {
            "total": cost.total,
            "path": cost.path,
            "density": cost.density,
            "tangent": cost.tangent,
            "curvature": cost.curvature,
        },
        "peak_memory_bytes": peak_memory(),
    })
}

/// The median and the largest `‖δ(ρ)‖` of the samples; none if they were not asked for.
pub fn residual_extent(results: &Sensitivities) -> Option<[f64; 2]> {
    let residuals = (0..results.count()).map(|sample| results.residual(sample));
    let mut residuals: Vec<f64> = residuals.collect::<Option<_>>()?;
    residuals.sort_by(f64::total_cmp);
    Some([*residuals.get(residuals.len() / 2)?, *residuals.last()?])
}

fn residual_summary(results: &Sensitivities) -> Value {
    let extent = residual_extent(results);
    extent.map_or(
        Value::Null,
        |[median, largest]| json!({ "median": median, "largest": largest }),
    )
}

fn page<'a>(
    results: &'a Sensitivities,
    directions: &'a [RankedDirection],
    facts: &RunInfo,
) -> SensitivityPage<'a> {
    let [channels, height, width] = facts.shape;
    let picture = |values: &'a [f32]| Picture {
        channels,
        height,
        width,
        values,
    };
    let sections = directions.iter().enumerate().map(|(k, direction)| {
        let cards = direction.ranking.iter().map(|row| {
            let i = row.sample;
            let curve = results.sigmas.iter().zip(results.log_ratio(k, i));
            Card {
                index: i,
                sample: picture(&results.samples[i * results.dim..(i + 1) * results.dim]),
                delta: picture(results.delta(k, i)),
                score: row.score,
                residual: row.residual,
                limit: row.limit,
                log_ratio: curve
                    .map(|(sigma, ratio)| (f64::from(*sigma), f64::from(*ratio)))
                    .collect(),
                warnings: row.warnings.clone(),
            }
        });
        DirectionSection {
            name: direction.selection.clone(),
            removing: direction.removing,
            pictures: direction
                .pictures
                .chunks_exact(results.dim)
                .map(picture)
                .collect(),
            picture_count: direction.count,
            cards: cards.collect(),
        }
    });
    SensitivityPage {
        title: "How the samples move".to_owned(),
        summary: facts.summary.clone(),
        facts: facts.rows.clone(),
        directions: sections.collect(),
    }
}
