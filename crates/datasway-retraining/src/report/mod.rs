//! Result files of an experiment: Markdown, CSV, JSON, plots and a page.

mod counterfactual;
mod csv;
mod json;
mod lds;
mod markdown;
mod names;
mod page;
mod plots;
mod view;
mod weight_alignment;

use std::collections::BTreeMap;
use std::path::Path;

use datasway_sensitivity::density::Bandwidth;

pub use counterfactual::write_counterfactuals;
pub use lds::write_lds;
use view::View;
pub use weight_alignment::write_weight_alignments;

use crate::RetrainError;
use crate::evaluation::directions::Evaluation;
use crate::jobs::Workspace;
use crate::prepared::PreparedExperiment;

/// Writes the evaluation of an experiment into a folder and returns its tables as Markdown.
///
/// The files are `table.md`, `statistics.csv`, `tests.csv`, `samples.csv` (the numbers of single samples), `statistics.json`, plots
/// as SVG and `index.html`.
/// Without `photos` they show no images of samples.
///
/// # Errors
/// If a result cannot be read or a file cannot be written.
pub fn write_directions(
    folder: &Path,
    workspace: &Workspace<'_>,
    evaluation: &Evaluation,
    photos: bool,
) -> Result<String, RetrainError> {
    let view = View::new(workspace.experiment, evaluation);
    let bandwidths = selected_bandwidths(workspace.experiment)?;
    let markdown = markdown::tables(&view, &bandwidths);
    let plots = plots::all(&view)?;
    let page = page::page(workspace, &view, &bandwidths, &plots, photos)?;
    let texts = [
        ("table.md", markdown.as_str()),
        ("statistics.csv", &csv::statistics(&view)),
        ("tests.csv", &csv::tests(&view)),
        ("samples.csv", &csv::samples(&view)),
        ("statistics.json", &json::statistics(&view, &bandwidths)),
        ("index.html", &page),
    ];
    for (name, text) in texts {
        datasway_fs::write(&folder.join(name), text.as_bytes())?;
    }
    for plot in &plots {
        datasway_fs::write(&folder.join(&plot.file), plot.svg.as_bytes())?;
    }
    Ok(markdown)
}

/// The bandwidths that were selected by the training images, by the names of their estimators.
fn selected_bandwidths(
    experiment: &PreparedExperiment,
) -> Result<BTreeMap<String, f64>, RetrainError> {
    let mut bandwidths = BTreeMap::new();
    for estimator in &experiment.spec.estimators {
        let density = estimator.density();
        if density.is_some_and(|density| density.bandwidth == Some(Bandwidth::Auto)) {
            let (images, flip) = (&experiment.images, experiment.config.flip());
            let h = Bandwidth::Auto.value(images, flip, &experiment.device)?;
            bandwidths.insert(estimator.name(), h);
        }
    }
    Ok(bandwidths)
}
