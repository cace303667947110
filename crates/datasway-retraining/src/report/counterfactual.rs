//! Result files of the counterfactual models of a benchmark.

use std::fmt::Write;
use std::path::Path;

use super::csv::{line, number};
use crate::RetrainError;
use crate::evaluation::counterfactual::{Removal, RemovalEffect};
use crate::jobs::Workspace;
use datasway_fs::csv::field;
use datasway_fs::plain_plural as plural;

/// Writes `counterfactual.md` and `counterfactual.csv` (the displacement of each sample) into a folder and returns the former.
///
/// # Errors
/// If a file cannot be written.
pub fn write_counterfactuals(
    folder: &Path,
    workspace: &Workspace<'_>,
    effects: &[RemovalEffect],
) -> Result<String, RetrainError> {
    let experiment = workspace.experiment;
    let benchmark = experiment.benchmark()?;
    let remove = benchmark.spec.counterfactual.as_ref();
    let remove = remove.map_or(0, |counterfactual| counterfactual.remove);
    let mut markdown = format!(
        "# {}: without the images held responsible\n\nFor each of {} a model ({}) without the {remove} of {} that a method holds most \
         responsible for it. Moved: the distance of the sample, from the same noise, from where the model of all images puts it; and by how much \
         it is further than without random images, with its bootstrap 95 % interval over samples. Other samples: the same for the samples \
         that the images were not chosen for.\n\n\
         | images chosen by | moved | ÷ random | other samples ÷ random |\n| --- | --- | --- | --- |\n",
        experiment.spec.name,
        plural(
            effects.first().map_or(0, |effect| effect.distances.len()),
            "sample"
        ),
        benchmark.spec.variant.name(),
        plural(experiment.images.len(), "image"),
    );
    let mut csv = String::from("form,sample,distance\n");
    for effect in effects {
        let name = match effect.removal {
            Removal::Responsible(removal) => benchmark.removals[removal].form.as_str(),
            Removal::Random => "random",
        };
        let [low, high] = effect.interval;
        // Writing to a String cannot fail.
        let _ = writeln!(
            markdown,
            "| {name} | {:.3} | {:.2} [{low:.2}, {high:.2}] | {:.2} |",
            effect.mean, effect.ratio, effect.other_samples_ratio
        );
        for (sample, distance) in effect.distances.iter().enumerate() {
            let words = [field(name).into_owned(), sample.to_string()];
            line(&mut csv, &words, &[number(*distance)]);
        }
    }
    for (name, text) in [
        ("counterfactual.md", &markdown),
        ("counterfactual.csv", &csv),
    ] {
        datasway_fs::write(&folder.join(name), text.as_bytes())?;
    }
    Ok(markdown)
}
