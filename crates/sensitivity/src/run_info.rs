//! What is said of a run, before it and after.

use crate::rank::output::{RankedDirection, RunInfo, residual_extent};
use clap::ValueEnum;
use datasway_fs::process::peak_memory;
use datasway_sensitivity::density::{DensityEstimator, TraceKind};
use datasway_sensitivity::sensitivities::{Sensitivities, SensitivityConfig};
use serde_json::json;

use crate::command::{Arguments, ModelArgs};
use crate::trained::TrainedModel;

/// What is about to be done, for the reader to check.
pub fn announcement(
    arguments: &Arguments,
    model: &TrainedModel,
    settings: &SensitivityConfig,
) -> String {
    let header = &model.checkpoint.header;
    let added = arguments.add.iter().map(|text| format!("adding {text}"));
    let removed = arguments
        .remove
        .iter()
        .map(|text| format!("removing {text}"));
    let changes: Vec<String> = added.chain(removed).collect();
    format!(
        "{} samples of {}, trained {} steps on {}: how would each move on {}? (log-density: {})",
        arguments.samples,
        model.name,
        header.step,
        header.data,
        changes.join(" and on "),
        density_text(&arguments.common, settings)
    )
}

/// One line of what the zero check δ(all) = 0 gave.
pub fn zero_check(results: &Sensitivities) -> String {
    format!("zero check ‖δ(all)‖: {}", residual_text(results))
}

fn residual_text(results: &Sensitivities) -> String {
    match residual_extent(results) {
        None => "not made".to_owned(),
        Some([_, 0.0]) => "0, since density and D are of one measure".to_owned(),
        Some([median, largest]) => format!(
            "median {median:.3}, at most {largest:.3}, where 0 is expected: the model's own error"
        ),
    }
}

/// The density that directions are compared with.
fn density_text(arguments: &ModelArgs, settings: &SensitivityConfig) -> String {
    let density = kebab(arguments.density().to_possible_value());
    let mut text = match &settings.density {
        DensityEstimator::Empirical(_) => density,
        DensityEstimator::Smoothed(smoothed) => {
            format!("{density}, blurred by h = {:.3}", smoothed.bandwidth)
        }
        DensityEstimator::ProbabilityFlow { .. } => format!("{density}, {}", trace_text(arguments)),
    };
    if arguments.sigma_cut > 0.0 {
        text += &format!("; directions count from σ = {} up", arguments.sigma_cut);
    }
    text
}

fn kebab(kind: Option<clap::builder::PossibleValue>) -> String {
    kind.map(|value| value.get_name().to_owned())
        .unwrap_or_default()
}

/// One line of what was found in a direction.
pub fn verdict(direction: &RankedDirection) -> String {
    let (ranking, limits) = (&direction.ranking, direction.limits());
    let reach = match limits.get(limits.len() / 2) {
        Some(limit) => format!("; half of them are trusted up to |η| = {limit:.2e}"),
        None => String::new(),
    };
    let doubtful = ranking.iter().filter(|r| !r.warnings.is_empty()).count();
    // A model's images are not known.
    let images = match direction.count {
        0 => String::new(),
        1 => "1 image; ".to_owned(),
        count => format!("{count} images; "),
    };
    format!(
        "{}: {images}sample {} moves most (‖δ‖ = {:.3}); {doubtful} of {} samples carry a warning{reach}",
        direction.name(),
        ranking[0].sample,
        ranking[0].score,
        ranking.len()
    )
}

fn trace_text(arguments: &ModelArgs) -> String {
    let trace = arguments.trace();
    match trace.kind {
        TraceKind::Hutchinson if trace.probes == 1 => "1 probe".to_owned(),
        TraceKind::Hutchinson => format!("{} probes", trace.probes),
        TraceKind::Probing => format!(
            "probing with colours that repeat every {} pixels",
            trace.period
        ),
        TraceKind::Exact => "exact trace".to_owned(),
    }
}

/// What the page and the summary say of a run.
pub fn facts(
    arguments: &Arguments,
    model: &TrainedModel,
    settings: &SensitivityConfig,
    results: &Sensitivities,
) -> RunInfo {
    let (cost, each) = (&results.cost, results.cost.evaluations);
    let with_limit = |text: String| if arguments.limit { text } else { String::new() };
    let mut facts = common(&arguments.common, model, settings);
    let rows = [
        ("Zero check ‖δ(all)‖", residual_text(results)),
        (
            "Network evaluations",
            format!(
                "{} for each sample; products with its Jacobian: {} for the density, {} for δ{}",
                each.path,
                each.density,
                each.tangent,
                with_limit(format!(", {} for γ", each.curvature))
            ),
        ),
        (
            "Time",
            format!(
                "{:.1} s, of which path {:.1}, density {:.1}, tangent {:.1}{}",
                cost.total,
                cost.path,
                cost.density,
                cost.tangent,
                with_limit(format!(", curvature {:.1}", cost.curvature))
            ),
        ),
    ];
    facts
        .rows
        .extend(rows.map(|(name, value)| (name.to_owned(), value)));
    facts.json["add"] = json!(arguments.add);
    facts.json["remove"] = json!(arguments.remove);
    facts.json["limit"] = json!(arguments.limit);
    facts.summary = format!(
        "{} samples of a model trained on {}, ranked by how far each moves per unit of mass.",
        arguments.samples, model.checkpoint.header.data
    );
    facts
}

/// What every question says of a run.
pub fn common(
    arguments: &ModelArgs,
    model: &TrainedModel,
    settings: &SensitivityConfig,
) -> RunInfo {
    let (header, images) = (&model.checkpoint.header, &model.images);
    let sampler = kebab(arguments.sampler.to_possible_value());
    let density = kebab(arguments.density().to_possible_value());
    let h = match &settings.density {
        DensityEstimator::Smoothed(smoothed) => Some(smoothed.bandwidth),
        _ => None,
    };
    let mut rows = vec![
        ("Model", model.name.clone()),
        (
            "Training",
            format!("{} steps on {}", header.step, header.data),
        ),
        ("Training images", images.len().to_string()),
        ("Data fingerprint", header.fingerprint.clone()),
        ("Sampler", format!("{sampler}, {} steps", arguments.steps)),
        ("Log-density", density_text(arguments, settings)),
        ("Seed", arguments.seed.to_string()),
        ("Datasway", env!("CARGO_PKG_VERSION").to_owned()),
    ];
    if let Some(bytes) = peak_memory() {
        rows.push(("Peak memory", format!("{} MiB", bytes >> 20)));
    }
    RunInfo {
        summary: String::new(),
        rows: rows
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
        json: json!({
            "datasway": env!("CARGO_PKG_VERSION"),
            "checkpoint": model.name,
            "training_step": header.step,
            "data": header.data,
            "fingerprint": header.fingerprint,
            "sampler": sampler,
            "steps": arguments.steps,
            "sigma_min": arguments.sigma_min,
            "sigma_max": arguments.sigma_max,
            "density": density,
            "bandwidth": arguments.bandwidth,
            "h": h,
            "sigma_cut": arguments.sigma_cut,
            "mirrored": model.mirrored,
            "trace": kebab(arguments.trace.to_possible_value()),
            "probes": arguments.trace().probes,
            "period": arguments.trace().period,
            "seed": arguments.seed,
            "batch": arguments.batch,
        }),
        shape: [
            images.shape.channels,
            images.shape.height,
            images.shape.width,
        ],
    }
}
