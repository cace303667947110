//! The page of a ranking.

use datasway_report::{Card, DirectionSection, Picture, SensitivityPage};
use datasway_sensitivity::ranking::Warning;
use datasway_sensitivity::{Change, RankedDirection, RankedSample, RankedSensitivities};

use super::output::RankRun;
use super::zero_check_text;

/// The page of results; `photos` are pictures of each direction, `[k, d]`.
pub fn build<'a>(
    results: &'a RankedSensitivities,
    photos: &'a [Vec<f32>],
    run: &RankRun,
) -> SensitivityPage<'a> {
    let numbers = &results.sensitivities;
    let picture = |values: &'a [f32]| Picture {
        channels: run.shape.channels,
        height: run.shape.height,
        width: run.shape.width,
        values,
    };
    let card = |k: usize, row: &RankedSample| {
        let curve = numbers.sigmas.iter().zip(numbers.log_ratio(k, row.index));
        Card {
            index: row.index,
            sample: picture(numbers.sample(row.index)),
            delta: picture(numbers.delta(k, row.index)),
            score: row.score,
            residual: row.residual,
            limit: row.trust_radius,
            log_ratio: curve
                .map(|(sigma, ratio)| (f64::from(*sigma), f64::from(*ratio)))
                .collect(),
            warnings: row.warnings.iter().map(advice).collect(),
        }
    };
    let directions = results.directions.iter().zip(photos).enumerate();
    let section = |(k, (ranked, photos)): (usize, (&RankedDirection, &'a Vec<f32>))| {
        let direction = &ranked.direction;
        DirectionSection {
            name: direction.selection().to_owned(),
            removing: direction.change() == Change::Remove,
            pictures: photos.chunks_exact(numbers.dim).map(picture).collect(),
            picture_count: direction.images().map_or(0, |images| images.len()),
            cards: ranked.ranking.iter().map(|row| card(k, row)).collect(),
        }
    };
    SensitivityPage {
        title: "How the samples move".to_owned(),
        summary: format!(
            "{} samples of a model trained on {}, ranked by how far each moves per unit of mass.",
            numbers.count(),
            run.info.data()
        ),
        facts: facts(results, run),
        directions: directions.map(section).collect(),
    }
}

/// A warning with the argument that helps.
fn advice(warning: &Warning) -> String {
    match warning {
        Warning::Diverged { .. } => format!("{warning}, use more --steps."),
        Warning::UncertainDensity { .. } => format!("{warning}: use more --probes."),
        Warning::NotFinite | Warning::LargeRatio { .. } | Warning::WithinModelError { .. } => {
            format!("{warning}.")
        }
    }
}

/// Names and values of the run.
fn facts(results: &RankedSensitivities, run: &RankRun) -> Vec<(String, String)> {
    let cost = &results.sensitivities.cost;
    let evaluations = cost.evaluations;
    let (mut curvature_evaluations, mut curvature_time) = (String::new(), String::new());
    if run.limit {
        curvature_evaluations = format!(", {} for γ", evaluations.curvature);
        curvature_time = format!(", curvature {:.1}", cost.curvature);
    }
    let evaluations = format!(
        "{} for each sample; products with its Jacobian: {} for the density, {} for δ{curvature_evaluations}",
        evaluations.path, evaluations.density, evaluations.tangent,
    );
    let time = format!(
        "{:.1} s, of which path {:.1}, density {:.1}, tangent {:.1}{curvature_time}",
        cost.total, cost.path, cost.density, cost.tangent,
    );
    let mut facts = run.info.rows();
    facts.extend([
        (
            "Zero check ‖δ(all)‖".to_owned(),
            zero_check_text(&results.sensitivities),
        ),
        ("Network evaluations".to_owned(), evaluations),
        ("Time".to_owned(), time),
    ]);
    facts
}
