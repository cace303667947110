//! Result files of the comparison of weights.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use datasway_fs::csv::field;

use super::csv::{line, number};
use super::names::Names;
use crate::RetrainError;
use crate::evaluation::weight_alignment::{ChangeProducts, WeightAlignment};
use crate::spec::Experiment;

/// Name of the rows of all parameters.
const ALL: &str = "all";
/// Name of the metric `⟨r, p⟩`.
const EUCLIDEAN: &str = "euclidean";
/// Name of the metric `⟨r, G·p⟩`.
const LOSS: &str = "loss";

/// Writes `weights.md` and `weights.csv` into a folder and returns the former.
///
/// # Errors
/// If a file cannot be written.
pub fn write_weight_alignments(
    folder: &Path,
    experiment: &Experiment,
    alignments: &[WeightAlignment],
) -> Result<String, RetrainError> {
    let names = Names(experiment);
    let markdown = tables(names, alignments);
    for (name, text) in [
        ("weights.md", &markdown),
        ("weights.csv", &csv(names, alignments)),
    ] {
        datasway_fs::write(&folder.join(name), text.as_bytes())?;
    }
    Ok(markdown)
}

/// One line for each parameter, direction, seed, variant and estimator.
fn csv(names: Names<'_>, alignments: &[WeightAlignment]) -> String {
    let mut csv = String::from(
        "variant,seed,direction,estimator,metric,parameter,cosine,slope,real_norm,predicted_norm\n",
    );
    for alignment in alignments {
        let (whole, curved) = (alignment.whole(), alignment.curved);
        let parameters = alignment.parameters.iter();
        let rows = parameters.map(|(path, products)| (EUCLIDEAN, path.as_str(), *products));
        for (metric, parameter, products) in [(EUCLIDEAN, ALL, whole), (LOSS, ALL, curved)]
            .into_iter()
            .chain(rows)
        {
            let words = [
                names.variant(alignment.variant).to_owned(),
                alignment.seed.to_string(),
                names.direction(alignment.direction),
                names.estimator(alignment.estimator),
                metric.to_owned(),
                parameter.to_owned(),
            ];
            let words = words.map(|word| field(&word).into_owned());
            let numbers = [
                products.cosine(),
                products.slope(),
                products.real.sqrt(),
                products.predicted.sqrt(),
            ];
            line(&mut csv, &words, &numbers.map(number));
        }
    }
    csv
}

/// A table of directions and one of the parts of the network, for each variant and estimator.
fn tables(names: Names<'_>, alignments: &[WeightAlignment]) -> String {
    let mut text = format!(
        "# {}: changes of the weights\n\nThe real change r of the averaged weights beside the predicted one p = η·dθ/dη. Cosine: \
         ⟨r, p⟩/(‖r‖·‖p‖). In the loss: the same with the Gauss–Newton matrix G of the training loss between, ⟨r, G·p⟩, so that \
         directions count by what they change. Slope: ⟨r, G·p⟩/⟨p, G·p⟩. Means over seeds.\n",
        names.0.name
    );
    let mut groups: BTreeMap<(usize, usize), Vec<&WeightAlignment>> = BTreeMap::new();
    for alignment in alignments {
        let group = groups.entry((alignment.variant, alignment.estimator));
        group.or_default().push(alignment);
    }
    for ((variant, estimator), group) in groups {
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "\n## {}, {}\n\n| direction | cosine | cosine in the loss | slope in the loss |\n| --- | --- | --- | --- |\n",
            names.variant(variant),
            names.estimator(estimator)
        );
        let mut directions: BTreeMap<usize, Vec<&WeightAlignment>> = BTreeMap::new();
        for alignment in &group {
            let direction = directions.entry(alignment.direction);
            direction.or_default().push(alignment);
        }
        for (direction, seeds) in directions {
            let mean = |value: &dyn Fn(&WeightAlignment) -> f64| {
                seeds.iter().map(|seed| value(seed)).sum::<f64>() / seeds.len() as f64
            };
            let _ = writeln!(
                text,
                "| {} | {:.2} | {:.2} | {:.2} |",
                names.direction(direction),
                mean(&|seed| seed.whole().cosine()),
                mean(&|seed| seed.curved.cosine()),
                mean(&|seed| seed.curved.slope()),
            );
        }
        text.push_str("\n| part of the network | share of ‖r‖² | share of ‖p‖² | cosine |\n| --- | --- | --- | --- |\n");
        let whole = ChangeProducts::sum(&group.iter().map(|a| a.whole()).collect::<Vec<_>>());
        for (part, products) in parts(&group) {
            let _ = writeln!(
                text,
                "| `{part}` | {:.3} | {:.3} | {:.2} |",
                products.real / whole.real,
                products.predicted / whole.predicted,
                products.cosine()
            );
        }
    }
    text
}

/// The products of the parameters with the same first name, over all seeds and directions.
fn parts(group: &[&WeightAlignment]) -> BTreeMap<String, ChangeProducts> {
    let mut parts: BTreeMap<String, Vec<&ChangeProducts>> = BTreeMap::new();
    for (path, products) in group.iter().flat_map(|alignment| &alignment.parameters) {
        let part = path.split('.').next().unwrap_or(path);
        parts.entry(part.to_owned()).or_default().push(products);
    }
    let sums = parts.into_iter();
    sums.map(|(part, products)| (part, ChangeProducts::sum(products)))
        .collect()
}
