//! `cargo run -p sensitivity`: how samples move when the training data change, ranked.

mod command;
mod default_model;
mod directions;
mod influence;
mod rank;
mod run_info;
mod trained;
mod verify;

use std::process::ExitCode;

use anyhow::{Result, bail, ensure};

use crate::rank::output::write;
use datasway_cli::memory::ensure_room;
use datasway_fs::output::Kind;
use datasway_sensitivity::density::DensityKind;
use datasway_sensitivity::measure::Measure;
use datasway_sensitivity::sensitivities::{SensitivityConfig, compute};
use indicatif::{ProgressBar, ProgressStyle};

use command::{Arguments, Command, SamplerKind};
use directions::{MODEL, directions, is_model, shown};
use run_info::{announcement, facts, verdict, zero_check};
use trained::TrainedModel;

fn main() -> ExitCode {
    datasway_cli::allocator::keep_memory();
    datasway_cli::finish(execute(datasway_cli::parse()))
}

/// The files of a ranking.
static FOLDER: Kind = Kind {
    name: "run of `sensitivity`",
    files: &[
        "sensitivities.safetensors",
        "ranking.csv",
        "add-*.png",
        "remove-*.png",
        "index.html",
        "summary.json",
    ],
    marks: &[
        ("sensitivities.safetensors", ""),
        ("summary.json", "\"sway\""),
    ],
};

fn execute(mut arguments: Arguments) -> Result<()> {
    match arguments.command.take() {
        Some(Command::Influence(influence)) => influence::execute(influence),
        Some(Command::Convergence(convergence)) => verify::execute(&convergence),
        None => ranking(arguments),
    }
}

/// Bytes of the results: in memory, as the parts of a file, and as the file.
fn size(arguments: &Arguments, model: &TrainedModel) -> u128 {
    let directions = arguments.add.len() + arguments.remove.len();
    let derivatives = directions * (1 + usize::from(arguments.limit));
    // Noise, samples, zero check and all derivatives are as large as a sample; the rest is small beside them.
    let images = arguments.samples as u128 * (3 + derivatives as u128);
    3 * 4 * images * model.images.shape.dim() as u128
}

/// Ranks samples by how far each change of the data moves them.
fn ranking(mut arguments: Arguments) -> Result<()> {
    if arguments.add.is_empty() && arguments.remove.is_empty() {
        if arguments.common.checkpoint.is_some() {
            bail!(
                "name a change of the data with --add or --remove, such as --add attr:Eyeglasses"
            );
        }
        arguments.add = vec![default_model::ADD.to_owned()];
        arguments.remove = vec![default_model::REMOVE.to_owned()];
    }
    // Both follow the network's own density and D.
    let own_density = arguments.limit || arguments.add.iter().any(|text| is_model(text));
    ensure!(
        !own_density || arguments.common.sampler != SamplerKind::Stochastic,
        "--sampler stochastic does not go with --limit or a direction {MODEL}CHECKPOINT, which follow an ODE: use heun or euler"
    );
    arguments.common.choose_form(own_density);
    let arguments = &arguments;
    ensure!(
        !arguments.limit || arguments.common.density() == DensityKind::ProbabilityFlow,
        "the limit follows the model's own density: --limit needs --density probability-flow"
    );
    if let Some(text) = arguments.add.iter().find(|text| is_model(text)) {
        ensure!(
            arguments.common.density() == DensityKind::ProbabilityFlow,
            "--add {text}: another model's density can only be compared with this model's own, not with that of the training images: \
             use --density probability-flow and no --bandwidth"
        );
    }
    arguments.check()?;
    let folder = datasway_cli::result_folder(&arguments.out, &FOLDER)?;
    let model = arguments.common.model()?;
    ensure_room(
        size(arguments, &model),
        "so many sensitivities",
        "ask for fewer --samples or fewer directions at a time",
    )?;
    let settings = SensitivityConfig {
        curvature: arguments.limit,
        ..arguments.common.settings(arguments.samples, &model)?
    };
    let directions = directions(arguments, &settings, &model)?;
    datasway_cli::tell(announcement(arguments, &model, &settings));
    let measures: Vec<&dyn Measure> = directions.iter().map(|v| v.measure.as_ref()).collect();

    let bar = ProgressBar::new(settings.samples as u64);
    bar.set_style(ProgressStyle::with_template(
        "{bar:30} {pos}/{len} samples  {eta} left",
    )?);
    let results = compute(&model.network, &measures, &settings, &model.device, |n| {
        bar.inc(n as u64);
    })?;
    bar.finish_and_clear();

    let shown = shown(directions, &results);
    let facts = facts(arguments, &model, &settings, &results);
    write(folder.path(), &results, &shown, &facts)?;
    folder.finish()?;
    for direction in &shown {
        datasway_cli::tell(verdict(direction));
    }
    datasway_cli::tell(zero_check(&results));
    datasway_cli::tell(format!(
        "{} samples in {:.0} s; open {}",
        results.count(),
        results.cost.total,
        arguments.out.join("index.html").display()
    ));
    let ranked = || shown.iter().flat_map(|direction| &direction.ranking);
    let lost = ranked().filter(|row| !row.score.is_finite()).count();
    ensure!(
        lost == 0,
        "{lost} of {} sensitivities are not finite, because the density ratio overflowed; they stand last in the ranking and have no \
         score: use --bandwidth auto, or another --density",
        ranked().count()
    );
    Ok(())
}
