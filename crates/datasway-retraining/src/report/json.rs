//! The evaluation as JSON.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::names::Names;
use super::view::View;
use crate::evaluation::agreement::{AgreementRow, PairedTest};
use crate::evaluation::comparison::Summary;
use crate::evaluation::{Scope, SeedScope};

/// `statistics.json`: the experiment, its data and every number of the evaluation.
pub(super) fn statistics(view: &View<'_>, bandwidths: &BTreeMap<String, f64>) -> String {
    let experiment = view.experiment;
    let directions = experiment.directions.iter();
    let directions = directions.map(|direction| {
        let images = direction.images.len();
        json!({
            "name": direction.spec.name(),
            "images": images,
            "share_of_the_data": images as f64 / experiment.images.len() as f64,
            "tuning": direction.spec.validation,
        })
    });
    let value = json!({
        "datasway": env!("CARGO_PKG_VERSION"),
        "experiment": experiment.spec,
        "config": experiment.config,
        "images": experiment.images.len(),
        "fingerprint": experiment.images.fingerprint,
        "directions": directions.collect::<Vec<_>>(),
        "bandwidths": bandwidths,
        "evaluation": evaluation(view),
    });
    format!("{value:#}\n")
}

fn evaluation(view: &View<'_>) -> Value {
    let (names, evaluation) = (view.names(), view.evaluation);
    let rows = evaluation.rows.iter().map(|row| agreement(names, row));
    let tests = evaluation.tests.iter().map(|test| paired_test(names, test));
    let linearity = evaluation.linearity.iter().map(|pair| {
        json!({
            "variant": names.variant(pair.variant),
            "seed": pair.seeds.to_string(),
            "small": names.direction(pair.small),
            "large": names.direction(pair.large),
            "median": pair.median,
            "slope": pair.slope,
        })
    });
    let correlates = evaluation.correlates.iter().map(|correlates| {
        json!({
            "variant": names.variant(correlates.variant),
            "seed": SeedScope::Seed(correlates.seed).to_string(),
            "direction": names.direction(correlates.direction),
            "outlier": correlates.outlier,
            "distance": correlates.distance,
            "margin": correlates.margin,
            "log_ratio": correlates.log_ratio,
        })
    });
    let selected = evaluation.selected.iter().map(|selected| {
        json!({
            "variant": names.variant(selected.variant),
            "seed": selected.seeds.to_string(),
            "estimator": names.estimator(selected.estimator),
            "tuning": selected.validation,
            "judged": selected.test,
        })
    });
    let concord = evaluation.concord.iter().map(|concord| {
        json!({
            "variant": names.variant(concord.variant),
            "seed": concord.seeds.to_string(),
            "sum": names.estimator(concord.combination),
            "agreement": concord.agreement,
            "spearman": concord.spearman,
            "quarters": concord.quarters,
        })
    });
    json!({
        "rows": rows.collect::<Vec<_>>(),
        "tests": tests.collect::<Vec<_>>(),
        "linearity": linearity.collect::<Vec<_>>(),
        "concord": concord.collect::<Vec<_>>(),
        "traits": correlates.collect::<Vec<_>>(),
        "choices": selected.collect::<Vec<_>>(),
        "missing": view.missing(),
    })
}

#[derive(Serialize)]
struct ScopeRecord {
    variant: String,
    seed: String,
    direction: String,
}

impl ScopeRecord {
    fn new(names: Names<'_>, scope: Scope) -> Self {
        let [variant, seed, direction] = names.scope(scope);
        Self {
            variant,
            seed,
            direction,
        }
    }
}

fn agreement(names: Names<'_>, row: &AgreementRow) -> Value {
    #[derive(Serialize)]
    struct Record<'a> {
        #[serde(flatten)]
        scope: ScopeRecord,
        prediction: String,
        #[serde(flatten)]
        summary: &'a Summary,
        ceiling: Option<f64>,
        next_seed: Option<f64>,
        disattenuated: Option<f64>,
    }
    json!(Record {
        scope: ScopeRecord::new(names, row.scope),
        prediction: names.predictor(row.predictor),
        summary: &row.summary,
        ceiling: row.ceiling,
        next_seed: row.next_seed,
        disattenuated: row.disattenuated,
    })
}

fn paired_test(names: Names<'_>, test: &PairedTest) -> Value {
    #[derive(Serialize)]
    struct Record {
        #[serde(flatten)]
        scope: ScopeRecord,
        estimator: String,
        baseline: String,
        difference: f64,
        interval: [f64; 2],
        p: f64,
    }
    json!(Record {
        scope: ScopeRecord::new(names, test.scope),
        estimator: names.estimator(test.estimator),
        baseline: names.baseline(test.baseline),
        difference: test.difference,
        interval: test.interval,
        p: test.p,
    })
}
