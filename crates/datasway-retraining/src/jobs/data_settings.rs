//! Descriptions of training data in labels, and their settings in keys.

use serde_json::{Value, json};

use super::job::TrainingData;
use crate::prepared::PreparedExperiment;
use crate::resolved::ResolvedBenchmark;
use crate::spec::subsets;

/// Name of random removals in keys and labels.
const RANDOM_FORM: &str = "random";

/// Description for labels; `fine_tuned` models of all images are called unchanged.
pub(super) fn data_description(
    data: TrainingData,
    experiment: &PreparedExperiment,
    fine_tuned: bool,
) -> String {
    match data {
        TrainingData::All if fine_tuned => "unchanged".to_owned(),
        TrainingData::All => String::new(),
        TrainingData::Perturbed(direction) => experiment.directions[direction].spec.name(),
        TrainingData::Subset(subset) => format!("subset {subset}"),
        TrainingData::WithoutGroup(group) => benchmark(experiment).spec.groups[group].clone(),
        TrainingData::WithoutResponsible {
            sample, removal, ..
        } => {
            let form = &benchmark(experiment).removals[removal].form;
            format!("{form} {sample}")
        }
        TrainingData::WithoutRandom { sample } => format!("{RANDOM_FORM} {sample}"),
    }
}

/// The settings that identify the data in keys; null for all training images.
pub(super) fn data_settings(data: TrainingData, experiment: &PreparedExperiment) -> Value {
    match data {
        TrainingData::All => Value::Null,
        TrainingData::Perturbed(direction) => {
            let direction = &experiment.directions[direction];
            json!({
                "images": direction.images.fingerprint,
                "mass": direction.spec.signed_mass(),
            })
        }
        TrainingData::Subset(subset) => {
            let indices = &benchmark(experiment).subsets[subset];
            json!({ "only": subsets::fingerprint(indices) })
        }
        TrainingData::WithoutGroup(group) => {
            let indices = &benchmark(experiment).groups[group];
            json!({ "without": subsets::fingerprint(indices) })
        }
        TrainingData::WithoutResponsible {
            sample, removal, ..
        } => {
            let benchmark = benchmark(experiment);
            removal_settings(benchmark, sample, &benchmark.removals[removal].form)
        }
        TrainingData::WithoutRandom { sample } => {
            removal_settings(benchmark(experiment), sample, RANDOM_FORM)
        }
    }
}

fn removal_settings(benchmark: &ResolvedBenchmark, sample: usize, form: &str) -> Value {
    let remove = benchmark.spec.counterfactual.as_ref().map(|c| c.remove);
    json!({
        "responsible_for": sample,
        "by": form,
        "remove": remove,
        "seed": benchmark.spec.seed,
    })
}

/// The benchmark of an experiment whose jobs have data of a benchmark.
fn benchmark(experiment: &PreparedExperiment) -> &ResolvedBenchmark {
    let benchmark = experiment.benchmark.as_ref();
    benchmark.expect("only an attribution benchmark has subsets, groups and removals")
}
