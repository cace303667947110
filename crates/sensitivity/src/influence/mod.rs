//! `sensitivity influence`: which training images made a sample what it is.

mod functional_spec;
mod groups;
mod output;

use std::path::PathBuf;

use anyhow::{Result, ensure};
use datasway_cli::memory::ensure_room;
use datasway_cli::number::{self, count};
use datasway_fs::output::Kind;
use datasway_sensitivity::influence::compute;
use datasway_sensitivity::measure::ImagePoints;
use indicatif::{ProgressBar, ProgressStyle};

use crate::command::ModelArgs;
use crate::run_info;
use crate::trained::TrainedModel;

/// The folder of an influence run.
static FOLDER: Kind = Kind {
    name: "run of `sensitivity influence`",
    files: &[
        "influence.safetensors",
        "images.csv",
        "groups.csv",
        "index.html",
        "summary.json",
    ],
    marks: &[("influence.safetensors", ""), ("summary.json", "\"sway\"")],
};

/// For each sample the influence of every training image on what you ask of it, by one sweep back through the sampler:
/// which images made it so, and which stood against it. Writes tensors, tables and a page. Unless told otherwise, what a
/// model learns from an image is that of the blurred training set: --bandwidth auto.
#[derive(clap::Args)]
pub struct Arguments {
    /// What is asked of a sample; repeatable.
    /// principal: how far it is along the line on which training images move it most.
    /// region:X,Y,WIDTH,HEIGHT or region:MASK.png: the mean of its pixels there.
    /// image:PATH or image:INDEX: its squared distance to that image, or that training image.
    /// log-odds:FILE.safetensors:LABEL: the log-odds of a label, such as attr:Eyeglasses, by a classifier of `train classifier`.
    /// linear:FILE.safetensors:TENSOR: its product with a direction of d numbers, or of `[n, d]`, one for each sample
    #[arg(
        long = "of",
        value_name = "FUNCTIONAL",
        default_value = "principal",
        verbatim_doc_comment
    )]
    of: Vec<String>,
    /// Samples to draw
    #[arg(long, default_value_t = 16, value_parser = count(number::SAMPLES))]
    samples: usize,
    /// ImagePoints to show at either end for each sample
    #[arg(long, default_value_t = 8, value_name = "COUNT", value_parser = count(number::SHOWN))]
    top: usize,
    #[command(flatten)]
    common: ModelArgs,
    /// Leave training images out of the page
    #[arg(long)]
    no_photos: bool,
    /// Where the results go
    #[arg(long, default_value = "runs/influence")]
    out: PathBuf,
}

/// Answers the questions and writes the folder.
pub fn execute(mut arguments: Arguments) -> Result<()> {
    arguments.common.choose_form(false);
    datasway_cli::distinct("--of", &arguments.of, functional_spec::meaning)?;
    let folder = datasway_cli::result_folder(&arguments.out, &FOLDER)?;
    let model = arguments.common.model()?;
    ensure_room(
        size(&arguments, &model),
        "so many influences",
        "ask for fewer --samples or fewer questions at a time",
    )?;
    let questions = arguments
        .of
        .iter()
        .map(|text| functional_spec::parse(text, arguments.samples, &model))
        .collect::<Result<Vec<_>>>()?;
    let settings = arguments.common.settings(arguments.samples, &model)?;
    let images = ImagePoints::new(&model.images, model.mirrored, &model.device);
    datasway_cli::tell(format!(
        "{} samples of {}: which of its {} training images made them so?",
        arguments.samples,
        model.name,
        model.images.len()
    ));
    let bar = ProgressBar::new(1000);
    bar.set_style(ProgressStyle::with_template(
        "{bar:30} {percent} %  {eta} left",
    )?);
    let results = compute(
        &model.network,
        &images,
        &questions,
        &settings,
        arguments.top,
        |part| bar.set_position((1000.0 * part) as u64),
    )?;
    bar.finish_and_clear();

    let mut facts = run_info::common(&arguments.common, &model, &settings);
    facts.summary = format!(
        "{} samples of a model trained on {}, and which of its {} images made them so.",
        arguments.samples,
        model.checkpoint.header.data,
        model.images.len()
    );
    facts.json["of"] = serde_json::json!(arguments.of);
    let time = format!("{:.1} s", results.seconds);
    facts.rows.push(("Time".to_owned(), time));
    output::write(
        folder.path(),
        &results,
        &model.images,
        &facts,
        !arguments.no_photos,
    )?;
    folder.finish()?;
    datasway_cli::tell(format!(
        "{} samples in {:.0} s; open {}",
        arguments.samples,
        results.seconds,
        arguments.out.join("index.html").display()
    ));
    let lost = results
        .functionals
        .iter()
        .flat_map(|found| &found.influence);
    let lost = lost.filter(|a| !a.is_finite()).count();
    ensure!(
        lost == 0,
        "{lost} influences are not finite, because the density ratio overflowed: use --bandwidth auto, or another --density"
    );
    Ok(())
}

/// Bytes of the results: in memory, as the parts of a file, and as the file.
fn size(arguments: &Arguments, model: &TrainedModel) -> u128 {
    let [questions, samples, images, entries] = [
        arguments.of.len(),
        arguments.samples,
        model.images.len(),
        model.images.shape.dim(),
    ]
    .map(|count| count as u128);
    3 * 4 * samples * (questions * (images + entries) + entries)
}
