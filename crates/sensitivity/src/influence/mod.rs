//! `sensitivity influence`: the influence of training images on functionals of samples.

mod functional_spec;
mod groups;
mod output;
pub mod page;

use std::path::PathBuf;

use anyhow::{Result, ensure};
use datasway_cli::memory::ensure_room;
use datasway_cli::number::{self, count};
use datasway_fs::output::Kind;
use datasway_sensitivity::influence::{Influences, compute};
use datasway_sensitivity::{SensitivityConfig, TrainedModel};
use indicatif::{ProgressBar, ProgressStyle};

use crate::model_arguments::ModelArgs;
use crate::run_info::RunInfo;

/// The files of an influence run.
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
pub struct InfluenceArgs {
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
    functionals: Vec<String>,
    /// Samples to draw
    #[arg(long, default_value_t = 16, value_parser = count(number::SAMPLES))]
    samples: usize,
    /// Images to show at either end for each sample
    #[arg(long, default_value_t = 8, value_name = "COUNT", value_parser = count(number::SHOWN))]
    top: usize,
    #[command(flatten)]
    model: ModelArgs,
    /// Leave training images out of the page
    #[arg(long)]
    no_photos: bool,
    /// Where the results go
    #[arg(long, default_value = "runs/influence")]
    out: PathBuf,
}

/// Computes the influences and writes the folder.
///
/// # Errors
/// If the arguments contradict each other, the model or its images are not found, the computation fails, the results
/// cannot be written, or an influence is not finite.
pub fn execute(arguments: &InfluenceArgs) -> Result<()> {
    let samples = arguments.samples;
    let config = SensitivityConfig {
        zero_check: false,
        ..arguments.model.config(samples, false)
    };
    datasway_cli::distinct("--of", &arguments.functionals, functional_spec::meaning)?;
    let folder = datasway_cli::result_folder(&arguments.out, &FOLDER)?;
    arguments.model.check(&config)?;
    let model = arguments.model.model()?;
    ensure_room(
        arguments.result_bytes(&model),
        "so many influences",
        "ask for fewer --samples or fewer questions at a time",
    )?;
    let functionals = arguments.functionals.iter();
    let functionals = functionals
        .map(|text| functional_spec::parse(text, samples, &model))
        .collect::<Result<Vec<_>>>()?;
    let resolved = model.resolve(&config)?;
    datasway_cli::tell(format!(
        "{samples} samples of {}: which of its {} training images made them so?",
        model.name,
        model.images.len()
    ));
    let bar = ProgressBar::new(1000);
    bar.set_style(ProgressStyle::with_template(
        "{bar:30} {percent} %  {eta} left",
    )?);
    let results = compute(
        &model.network,
        &model.image_points(),
        &functionals,
        &resolved,
        arguments.top,
        |fraction| bar.set_position((1000.0 * fraction) as u64),
    )?;
    bar.finish_and_clear();

    let sampler = arguments.model.sampler_info();
    let run = output::InfluenceRun {
        info: RunInfo::new(&model, sampler, &config, &resolved),
        of: arguments.functionals.clone(),
    };
    output::write(
        folder.path(),
        &results,
        &model.images,
        &run,
        !arguments.no_photos,
    )?;
    folder.finish()?;
    datasway_cli::tell(format!(
        "{samples} samples in {:.0} s; open {}",
        results.seconds,
        arguments.out.join("index.html").display()
    ));
    ensure_finite(&results)
}

impl InfluenceArgs {
    /// Bytes of the results: in memory, as the arrays of a file, and as the file.
    fn result_bytes(&self, model: &TrainedModel) -> u128 {
        let [functionals, samples, images, entries] = [
            self.functionals.len(),
            self.samples,
            model.images.len(),
            model.images.shape.dim(),
        ]
        .map(|count| count as u128);
        3 * 4 * samples * (functionals * (images + entries) + entries)
    }
}

fn ensure_finite(results: &Influences) -> Result<()> {
    let functionals = results.functionals.iter();
    let influences = functionals.flat_map(|functional| &functional.influence);
    let lost = influences.filter(|a| !a.is_finite()).count();
    ensure!(
        lost == 0,
        "{lost} influences are not finite, because the density ratio overflowed: use --bandwidth auto, or another --density"
    );
    Ok(())
}
