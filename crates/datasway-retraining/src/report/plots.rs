//! The plots of an evaluation.

use datasway_report::{Axes, Corner, Curve, line_plot, scatter};

use super::view::View;
use crate::RetrainError;
use crate::evaluation::comparison::Comparison;
use crate::evaluation::{DirectionScope, Predictor, SeedScope};
use crate::spec::Experiment;

/// Largest number of curves: one for each colour.
const MAX_CURVES: usize = datasway_report::plot::PALETTE.len();

/// Largest number of baselines among the curves.
const MAX_BASELINES: usize = 3;

/// A plot of one variant.
pub(super) struct Plot {
    /// The variant, as an index in the experiment.
    pub variant: usize,
    /// Name of the file.
    pub file: String,
    /// Description in one sentence.
    pub caption: &'static str,
    /// The drawing.
    pub svg: String,
}

/// The plots of all variants: correlations, norms and, with several seeds, ceilings.
pub(super) fn all(view: &View<'_>) -> Result<Vec<Plot>, RetrainError> {
    let mut plots = Vec::new();
    for variant in view.variants() {
        let mut add = |name: &str, caption: &'static str, svg: String| {
            plots.push(Plot {
                variant,
                file: format!("{name}-{}.svg", view.names().variant(variant)),
                caption,
                svg,
            });
        };
        add(
            "correlations",
            "How the correlations are distributed: the part of samples (in all judged directions) at or above each value.",
            correlations(view, variant)?,
        );
        add(
            "norms",
            "Size of the predicted and of the real change of each sample in each judged direction, by the first estimator.",
            norms(view, variant)?,
        );
        let mut rows = view.evaluation.rows.iter();
        if rows.any(|row| row.ceiling.is_some()) {
            add(
                "ceiling",
                "Median correlation in each direction, judged or not, against the ceiling there.",
                ceiling(view, variant)?,
            );
        }
    }
    Ok(plots)
}

/// The comparisons of one predictor over the directions of the main tables.
/// Another seed is compared with single seeds only, all of which are pooled.
fn pooled(view: &View<'_>, variant: usize, predictor: Predictor) -> Comparison {
    let seeds = view.headline_seeds(variant);
    let is_of_seeds = |other: SeedScope| predictor == Predictor::OtherSeed || other == seeds;
    let comparisons = view.headline_comparisons(variant, predictor);
    let comparisons = comparisons.filter(|entry| is_of_seeds(entry.scope.seeds));
    Comparison::pooled(comparisons.map(|entry| &entry.comparison))
}

/// The predictors that are drawn: the first baselines, another seed, the last estimator, and as many of the first estimators as
/// there are colours left.
fn drawn_predictors(experiment: &Experiment) -> Vec<Predictor> {
    let baselines = experiment.baselines.len().min(MAX_BASELINES);
    let last_estimator = experiment.estimators.len().saturating_sub(1);
    let first_estimators = last_estimator.min(MAX_CURVES - 2 - baselines);
    let estimators = (0..first_estimators).chain(last_estimator..experiment.estimators.len());
    estimators
        .map(Predictor::Estimator)
        .chain((0..baselines).map(Predictor::Baseline))
        .chain([Predictor::OtherSeed])
        .collect()
}

/// The distribution of the correlations of each predictor.
fn correlations(view: &View<'_>, variant: usize) -> Result<String, RetrainError> {
    let predictors = drawn_predictors(&view.experiment.spec).into_iter();
    let curves = predictors.filter_map(|predictor| {
        let mut values = pooled(view, variant, predictor).correlation;
        values.sort_by(f64::total_cmp);
        let n = values.len();
        let points = values.into_iter().enumerate();
        (n > 0).then(|| Curve {
            name: match predictor {
                Predictor::OtherSeed => "one seed by another".to_owned(),
                _ => view.names().predictor(predictor),
            },
            points: points
                .map(|(i, c)| (c, 1.0 - i as f64 / n as f64))
                .collect(),
        })
    });
    let axes = Axes {
        title: view.names().variant(variant).to_owned(),
        x_label: "correlation of predicted and real change".into(),
        y_label: "part of samples at or above".into(),
        height: 380,
        legend: Corner::LowerLeft,
        ..Axes::default()
    };
    Ok(line_plot(&axes, &curves.collect::<Vec<_>>())?)
}

/// Real against predicted norms by the first estimator.
fn norms(view: &View<'_>, variant: usize) -> Result<String, RetrainError> {
    let estimator = Predictor::Estimator(0);
    let comparison = pooled(view, variant, estimator);
    let pairs = comparison.predicted.iter().zip(&comparison.real);
    let dots = Curve {
        points: pairs.map(|(p, r)| (p.log10(), r.log10())).collect(),
        ..Curve::default()
    };
    let names = view.names();
    let axes = Axes {
        title: format!("{}, {}", names.variant(variant), names.predictor(estimator)),
        x_label: "log₁₀ of the predicted norm (pixels)".into(),
        y_label: "log₁₀ of the real norm".into(),
        ..Axes::default()
    };
    Ok(scatter(&axes, &[dots])?)
}

/// The median correlation of each predictor against the noise ceiling of each direction.
fn ceiling(view: &View<'_>, variant: usize) -> Result<String, RetrainError> {
    let spec = &view.experiment.spec;
    let predictors = drawn_predictors(spec).into_iter();
    let predictors = predictors.filter(|predictor| *predictor != Predictor::OtherSeed);
    let groups = predictors.map(|predictor| {
        let directions = 0..spec.directions.len();
        let points = directions.filter_map(|k| {
            let row = view.headline_row(variant, DirectionScope::One(k), predictor)?;
            Some((row.ceiling?, row.summary.median))
        });
        Curve {
            points: points.collect(),
            name: view.names().predictor(predictor),
        }
    });
    let axes = Axes {
        title: view.names().variant(variant).to_owned(),
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
    use super::super::names::Names;
    use super::*;

    /// A plot needs baselines as a scale for correlations. Seven estimators leave room for two.
    #[test]
    fn baselines_and_the_ceiling_are_drawn_however_many_estimators_there_are() {
        let quick = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../experiments/faces16-quick.toml"
        );
        let drawn = |experiment: &Experiment| -> Vec<String> {
            let predictors = drawn_predictors(experiment).into_iter();
            predictors
                .map(|predictor| Names(experiment).predictor(predictor))
                .collect()
        };
        let mut experiment = Experiment::load(std::path::Path::new(quick)).unwrap();
        let others = [
            "optimal-transport-0.05",
            "nearest-image",
            "mean-shift",
            "another seed",
        ];
        assert_eq!(
            drawn(&experiment),
            [&["paper", "empirical-hauto"][..], &others].concat()
        );
        experiment.estimators.truncate(1);
        assert_eq!(drawn(&experiment), [&["paper"][..], &others].concat());
    }
}
