//! The plots.

use datasway_report::{Axes, Corner, Curve, line_plot, scatter};

use crate::RetrainError;
use crate::comparison::Comparison;
use crate::evaluation::{CEILING, Evaluation};
use crate::execute::Executor;
use crate::experiment::Experiment;

use super::{headline, judged, variants};

/// As many curves as there are colours.
const CURVES: usize = datasway_report::plot::PALETTE.len();

/// As many of them baselines at most.
const BASELINES: usize = 3;

/// A plot and the file it goes to.
pub struct Plot {
    /// The variant it is about.
    pub variant: String,
    /// Name of the file.
    pub file: String,
    /// What it shows, in a sentence.
    pub caption: &'static str,
    /// The drawing.
    pub svg: String,
}

/// Three plots a variant.
pub fn all(executor: &Executor<'_>, evaluation: &Evaluation) -> Result<Vec<Plot>, RetrainError> {
    let mut plots = Vec::new();
    for variant in variants(executor, evaluation) {
        let mut add = |what: &str, caption: &'static str, svg: String| {
            plots.push(Plot {
                variant: variant.to_owned(),
                file: format!("{what}-{variant}.svg"),
                caption,
                svg,
            });
        };
        add(
            "correlations",
            "How the correlations are distributed: the part of samples (in all judged directions) at or above each value.",
            correlations(executor, evaluation, variant)?,
        );
        add(
            "norms",
            "Size of the predicted and of the real change of each sample in each judged direction, by the first estimator.",
            norms(executor, evaluation, variant)?,
        );
        if evaluation.rows.iter().any(|row| row.ceiling.is_some()) {
            add(
                "ceiling",
                "Median correlation in each direction, judged or not, against the ceiling there.",
                ceiling(executor, evaluation, variant)?,
            );
        }
    }
    Ok(plots)
}

fn pooled(
    executor: &Executor<'_>,
    evaluation: &Evaluation,
    variant: &str,
    prediction: &str,
    seed: &str,
) -> Comparison {
    let details = judged(executor, evaluation, variant, prediction);
    // The mean of the seeds has no other seed to be compared with: its ceiling is that of the single seeds.
    let of_seed = details.filter(|detail| prediction == CEILING || detail.subject.seed == seed);
    Comparison::pooled(of_seed.map(|detail| &detail.comparison))
}

/// The first and the last of the experiment's estimators, as many of the first as find room, its first baselines and [`CEILING`].
fn curve_names(experiment: &Experiment) -> Vec<String> {
    let names = experiment.predictions();
    let (estimators, baselines) = names.split_at(experiment.estimators.len());
    let baselines = &baselines[..baselines.len().min(BASELINES)];
    let last = estimators.len().saturating_sub(1);
    let first = last.min(CURVES - 2 - baselines.len());
    let ceiling = CEILING.to_owned();
    [
        &estimators[..first],
        &estimators[last..],
        baselines,
        &[ceiling],
    ]
    .concat()
}

fn correlations(
    executor: &Executor<'_>,
    evaluation: &Evaluation,
    variant: &str,
) -> Result<String, RetrainError> {
    let seed = headline(evaluation, variant);
    let curves = curve_names(&executor.setup.experiment)
        .into_iter()
        .filter_map(|name| {
            let mut values = pooled(executor, evaluation, variant, &name, &seed).correlation;
            values.sort_by(f64::total_cmp);
            let n = values.len();
            let points = values.into_iter().enumerate();
            (n > 0).then(|| Curve {
                name: match name.as_str() {
                    CEILING => "one seed by another".to_owned(),
                    _ => name,
                },
                points: points
                    .map(|(i, c)| (c, 1.0 - i as f64 / n as f64))
                    .collect(),
            })
        });
    let axes = Axes {
        title: variant.to_owned(),
        x_label: "correlation of predicted and real change".into(),
        y_label: "part of samples at or above".into(),
        height: 380,
        legend: Corner::LowerLeft,
        ..Axes::default()
    };
    Ok(line_plot(&axes, &curves.collect::<Vec<_>>())?)
}

fn norms(
    executor: &Executor<'_>,
    evaluation: &Evaluation,
    variant: &str,
) -> Result<String, RetrainError> {
    let estimator = executor.setup.experiment.estimators[0].name();
    let seed = headline(evaluation, variant);
    let comparison = pooled(executor, evaluation, variant, &estimator, &seed);
    let pairs = comparison.predicted.iter().zip(&comparison.real);
    let dots = Curve {
        points: pairs.map(|(p, r)| (p.log10(), r.log10())).collect(),
        ..Curve::default()
    };
    let axes = Axes {
        title: format!("{variant}, {estimator}"),
        x_label: "log₁₀ of the predicted norm (pixels)".into(),
        y_label: "log₁₀ of the real norm".into(),
        ..Axes::default()
    };
    Ok(scatter(&axes, &[dots])?)
}

fn ceiling(
    executor: &Executor<'_>,
    evaluation: &Evaluation,
    variant: &str,
) -> Result<String, RetrainError> {
    let (seed, experiment) = (headline(evaluation, variant), &executor.setup.experiment);
    let single = |name: &str| experiment.directions.iter().any(|d| d.name() == name);
    let names = curve_names(experiment).into_iter();
    let groups = names.filter(|name| name != CEILING).map(|name| {
        let rows = evaluation.rows.iter().filter(|row| {
            row.subject.variant == variant
                && row.subject.seed == seed
                && row.prediction == name
                && single(&row.subject.direction)
        });
        let points = rows.filter_map(|row| Some((row.ceiling?, row.summary.median)));
        Curve {
            points: points.collect(),
            name,
        }
    });
    let axes = Axes {
        title: variant.to_owned(),
        x_label: "ceiling: agreement of seeds".into(),
        y_label: "median correlation".into(),
        height: 380,
        legend: Corner::UpperLeft,
        ..Axes::default()
    };
    Ok(scatter(&axes, &groups.collect::<Vec<_>>())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A plot without baselines would not say what a correlation is worth; seven estimators leave room for two.
    #[test]
    fn baselines_and_the_ceiling_are_drawn_however_many_estimators_there_are() {
        let quick = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../experiments/faces16-quick.toml"
        );
        let mut experiment = Experiment::load(std::path::Path::new(quick)).unwrap();
        let others = [
            "optimal-transport-0.05",
            "nearest-image",
            "mean-shift",
            CEILING,
        ];
        assert_eq!(
            curve_names(&experiment),
            [&["paper", "empirical-hauto"][..], &others].concat()
        );
        experiment.estimators.truncate(1);
        assert_eq!(curve_names(&experiment), [&["paper"][..], &others].concat());
    }
}
